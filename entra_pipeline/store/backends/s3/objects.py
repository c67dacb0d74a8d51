"""An S3 bucket, or a prefix of one, as an object store."""

# ruff: noqa: D102 - what the methods do is said in `object_store`

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from botocore.client import BaseClient
from botocore.exceptions import BotoCoreError, ClientError

from entra_pipeline.clock import Clock
from entra_pipeline.errors import AlreadyExists, DeleteRefused
from entra_pipeline.store.backends.duckdb_filesystem import mount
from entra_pipeline.store.backends.leases import lease
from entra_pipeline.store.backends.locks import LockHandle
from entra_pipeline.store.backends.object_store import (
    CHUNK,
    ErrorFactory,
    ObjectStore,
    StoredFile,
    no_conditional_writes,
    store_error,
)
from entra_pipeline.store.backends.s3.client import PATIENCE, md5
from entra_pipeline.store.backends.s3.deleting import ObjectDeleter
from entra_pipeline.store.backends.s3.errors import BROKEN, ErrorExplainer, code_of, is_unknown_here
from entra_pipeline.store.backends.s3.listing import Listing, every_page
from entra_pipeline.store.backends.s3.multipart import upload_parts

if TYPE_CHECKING:
    import duckdb

_MULTIPART_BYTES = 64 << 20
_ATTEMPTS = 5
_TAKEN = "PreconditionFailed"
_CONFLICT = "ConditionalRequestConflict"
_NO_RANGE = "InvalidRange"


class S3ObjectStore(ObjectStore):
    """A bucket.

    Args:
        client: boto3's S3 client; `make_client` is how it should be made.
        bucket: Name of the bucket.
        prefix: What all keys start with, without `/` at its ends; empty for the whole bucket.
        object_lock: How objects are kept from being deleted: `governance` or `compliance`; empty: not at all.
        patience: For how many seconds a transfer that breaks off is taken up again.
        error_factory: Makes the error when a setting proves wrong (keys as in the profile: `bucket` …).
    """

    def __init__(
        self,
        client: BaseClient,
        bucket: str,
        prefix: str = "",
        *,
        object_lock: str = "",
        patience: float = PATIENCE,
        error_factory: ErrorFactory = store_error,
    ) -> None:
        self._client = client
        self._bucket = bucket
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self._mode = object_lock.upper()
        self.object_lock = bool(object_lock)
        self._patience = patience
        self._error_factory = error_factory
        self._explain = ErrorExplainer(str(self), error_factory)
        self._explained = self._explain.explained
        self._listing = Listing(client, bucket)
        self._deleter = ObjectDeleter(client, bucket, self._prefix, self._explain)

    def __str__(self) -> str:
        return f"s3://{self._bucket}/{self._prefix}"

    def create(self, key: str, data: bytes, *, until: datetime | None = None) -> None:
        if self.object_lock and self._deleter.versions(key):
            # A version that is written in vain may have to stay.
            self._require_same(key, data, self._deleter.versions(key)[-1])
            return
        conditions = {"IfNoneMatch": "*"}
        for attempt in range(_ATTEMPTS):
            try:
                made = self._put(key, data, **conditions)
            except ClientError as error:
                if code_of(error) == _CONFLICT and attempt + 1 < _ATTEMPTS:
                    # Another create or delete of the key is under way (S3 user guide, "Conditional writes"): ask again.
                    time.sleep(0.1 * 2**attempt)
                    continue
                if is_unknown_here(error) and self.object_lock and conditions:
                    # The first version of a key wins, as `_require_first` has it.
                    conditions = {}
                    continue
                if is_unknown_here(error):
                    what = f"answers {code_of(error)} to PUT with If-None-Match"
                    raise no_conditional_writes(str(self), what) from error
                if code_of(error) != _TAKEN:
                    raise self._explain.error(key, error) from error
                # The client repeats a request whose answer was lost; what is in the way may be our own.
                if error.response["ResponseMetadata"].get("RetryAttempts", 0) and self.read(key) == data:
                    break
                raise AlreadyExists(f"{self}{key} exists already") from None
            except BotoCoreError as error:
                raise self._explain.error(key, error) from error
            else:
                if self.object_lock:
                    self._require_first(key, data, made)
                break
        if until is not None:
            self.retain(key, until)

    def _require_first(self, key: str, data: bytes, version: str) -> None:
        """Deletes a version that is not the first of its key; raises AlreadyExists.

        A bucket with Object Lock has versions, and not every service heeds the condition there (Ceph RGW 16.2 does
        not). The first version of a key is the one that was created; so of two creators one still wins.
        """
        first = self._deleter.versions(key)[-1]
        if first == version:
            return
        try:
            self._deleter.delete_version(key, version)
        except DeleteRefused:
            # The version stays: what the first one says is written over it.
            with self._explained(key):
                self._put(key, self._version(key, first))
        self._require_same(key, data, first)

    def _require_same(self, key: str, data: bytes, version: str) -> None:
        """Raises AlreadyExists when a version has other bytes."""
        with self._explained(key):
            taken = self._version(key, version) != data
        if taken:
            raise AlreadyExists(f"{self}{key} exists already")

    def _version(self, key: str, version: str) -> bytes:
        # Asked for by its version: while others take theirs back, Ceph may not know which one is the latest.
        answer = self._client.get_object(Bucket=self._bucket, Key=self._prefix + key, VersionId=version)
        data: bytes = answer["Body"].read()
        return data

    def replace(self, key: str, data: bytes) -> None:
        with self._explained(key):
            self._put(key, data)

    def _put(self, key: str, data: bytes, **conditions: str) -> str:
        answer = self._client.put_object(
            Bucket=self._bucket, Key=self._prefix + key, Body=data, ContentMD5=md5(data), **conditions
        )
        return str(answer.get("VersionId", ""))

    def upload(self, key: str, path: Path) -> None:
        if path.stat().st_size <= _MULTIPART_BYTES:
            self.replace(key, path.read_bytes())
        else:
            self.upload_in_parts(key, path)

    def upload_in_parts(self, key: str, path: Path) -> None:
        with self._explained(key):
            upload_parts(self._client, self._bucket, self._prefix + key, path)

    def stream(self, key: str) -> Iterator[bytes]:
        position = 0
        etag = ""
        broken = 0.0
        while True:
            try:
                # A broken transfer goes on where it stopped, in the same version of the object.
                goes_on = {"Range": f"bytes={position}-", "IfMatch": etag} if position else {}
                answer = self._client.get_object(Bucket=self._bucket, Key=self._prefix + key, **goes_on)
                etag = answer["ETag"]
                for chunk in answer["Body"].iter_chunks(CHUNK):
                    position += len(chunk)
                    broken = 0.0
                    yield chunk
            except BROKEN as error:
                broken = self._wait(broken, key, error)
            except (ClientError, BotoCoreError) as error:
                raise self._explain.error(key, error) from error
            else:
                return

    def slice(self, key: str, start: int, length: int) -> tuple[bytes, int]:
        wanted = f"bytes={start}-{start + length - 1}" if start >= 0 else f"bytes={start}"
        broken = 0.0
        while True:
            try:
                answer = self._client.get_object(Bucket=self._bucket, Key=self._prefix + key, Range=wanted)
                data: bytes = answer["Body"].read()
            except BROKEN as error:
                broken = self._wait(broken, key, error)
            except ClientError as error:
                if code_of(error) in {_NO_RANGE, "416"}:
                    return b"", self.size(key)
                raise self._explain.error(key, error) from error
            except BotoCoreError as error:
                raise self._explain.error(key, error) from error
            else:
                size = str(answer.get("ContentRange", "")).rpartition("/")[2]
                if not size.isdigit():
                    # The service has sent the whole.
                    first = max(0, len(data) + start) if start < 0 else start
                    return data[first : first + length], len(data)
                return data, int(size)

    def _wait(self, broken: float, key: str, error: Exception) -> float:
        """Waits a little before a broken transfer is taken up; returns since when nothing has come."""
        now = time.monotonic()
        broken = broken or now
        if now - broken > self._patience:
            raise self._explain.error(key, error) from error
        time.sleep(min(0.1 + (now - broken) / 4, 5))
        return broken

    def size(self, key: str) -> int:
        with self._explained(key):
            answer = self._client.head_object(Bucket=self._bucket, Key=self._prefix + key)
        # Behind some proxies an answer does not say how long it is.
        return int(answer["ContentLength"]) if "ContentLength" in answer else self.slice(key, -1, 1)[1]

    def list(self, prefix: str) -> Iterator[StoredFile]:
        with self._explained(prefix):
            for page in self._listing.pages(self._prefix + prefix):
                for item in sorted(page.get("Contents", ()), key=lambda item: str(item["Key"])):
                    modified: datetime = item["LastModified"]
                    yield StoredFile(item["Key"].removeprefix(self._prefix), item["Size"], modified)

    def folders(self) -> Sequence[str]:
        with self._explained(""):
            pages = self._listing.pages(self._prefix, "/")
            found = [item["Prefix"] for page in pages for item in page.get("CommonPrefixes", ())]
        return [name.removeprefix(self._prefix).rstrip("/") for name in found]

    def retained_until(self, key: str) -> datetime | None:
        if not self.object_lock:
            return None
        with self._explained(key):
            answer = self._client.head_object(Bucket=self._bucket, Key=self._prefix + key)
        until: datetime | None = answer.get("ObjectLockRetainUntilDate")
        return until

    def retain(self, key: str, until: datetime) -> None:
        held = self.retained_until(key)
        if not self.object_lock or (held is not None and held >= until):
            return
        with self._explained(key):
            self._client.put_object_retention(
                Bucket=self._bucket,
                Key=self._prefix + key,
                Retention={"Mode": self._mode, "RetainUntilDate": until},
            )

    def check(self) -> None:
        if self.object_lock:
            with self._explained(""):
                self._client.get_object_lock_configuration(Bucket=self._bucket)
        super().check()

    def delete(self, keys: Iterable[str]) -> None:
        if self.object_lock:
            # A bucket with Object Lock has versions, and a plain delete only hides them.
            self._deleter.delete_versions(keys)
        else:
            self._deleter.delete(keys)

    def destroy(self, keys: Iterable[str]) -> None:
        for key in keys:
            self._deleter.destroy(key)

    def url(self, key: str) -> str:
        return f"{self}{key}"

    def prepare(self, connection: duckdb.DuckDBPyConnection) -> None:
        there = mount(connection, "s3", f"{self._bucket}/{self._prefix}", self)
        if isinstance(there, S3ObjectStore) and there._client.meta.endpoint_url != self._client.meta.endpoint_url:
            raise self._error_factory(
                "prefix",
                f"two storage profiles are called {self}, at different services: they cannot be read together",
                remedy="Move one of them to a prefix of its own.",
            )

    def lock(self, key: str, what: str, clock: Clock) -> AbstractContextManager[LockHandle]:
        """As `ObjectStore.lock`, by a lease that is renewed in a thread."""
        return lease(self, key, what, clock)

    def clear_unfinished(self, before: datetime, *, dry_run: bool = False) -> Sequence[str]:
        cleared = []
        with self._explained(""):
            pages = every_page(self._client.list_multipart_uploads, self._prefix, Bucket=self._bucket)
            for upload in (upload for page in pages for upload in page.get("Uploads", ())):
                if upload["Initiated"] < before:
                    cleared.append(upload["Key"].removeprefix(self._prefix))
                    if not dry_run:
                        self._client.abort_multipart_upload(
                            Bucket=self._bucket, Key=upload["Key"], UploadId=upload["UploadId"]
                        )
        return cleared
