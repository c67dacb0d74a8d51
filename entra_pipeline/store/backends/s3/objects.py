"""An S3 bucket, or a prefix of one, as an object store."""

# ruff: noqa: D102 - what the methods do is said in `object_store`

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from importlib.util import find_spec
from itertools import islice
from pathlib import Path

import duckdb
from boto3.exceptions import S3UploadFailedError
from boto3.s3.transfer import TransferConfig
from botocore.client import BaseClient
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
    ResponseStreamingError,
    SSLError,
)

from entra_pipeline.clock import Clock
from entra_pipeline.errors import AlreadyExists, EntraPipelineError, NotInStore, StoreError
from entra_pipeline.store.backends.leases import lease
from entra_pipeline.store.backends.locks import LockHandle
from entra_pipeline.store.backends.object_store import CHUNK, ErrorFactory, ObjectStore, StoredFile, store_error

_MULTIPART_BYTES = 64 << 20
_DELETE_KEYS = 1000  # AWS API reference, DeleteObjects: at most 1,000 keys
_ATTEMPTS = 5
_PARALLEL_DELETES = 16

# AWS API reference, "Error responses"; the codes that mean that a setting is wrong, with the setting and the remedy.
_SETTINGS = {
    "NoSuchBucket": ("bucket", "Create the bucket, or name another."),
    "InvalidBucketName": ("bucket", "A bucket's name has 3 to 63 lower-case letters, digits, dots and hyphens."),
    "PermanentRedirect": ("region", "Name the region and endpoint that the bucket is in."),
    "AuthorizationHeaderMalformed": ("region", "Name the region that the bucket is in."),
    "InvalidAccessKeyId": ("access_key_id", "Use an access key that the service knows."),
    "SignatureDoesNotMatch": ("secret_access_key", "Use the secret that belongs to the access key."),
    "AccessDenied": (
        "access_key_id",
        "Allow this access key s3:ListBucket, s3:GetObject, s3:PutObject and s3:DeleteObject on the bucket.",
    ),
    "ExpiredToken": ("access_key_id", "Renew the credentials."),
    "ObjectLockConfigurationNotFoundError": (
        "object_lock",
        "Use a bucket that was made with Object Lock, or remove object_lock.",
    ),
}
_UNREACHABLE = (ConnectTimeoutError, EndpointConnectionError, SSLError)
_BROKEN = (HTTPClientError, IncompleteReadError, ResponseStreamingError)
_ABSENT = {"NoSuchKey", "404", "NotFound"}
_TAKEN = "PreconditionFailed"
_CONFLICT = "ConditionalRequestConflict"


def client_config(*, path_style: bool) -> Config:
    """Makes the S3 client's configuration: bounded retries, and only checksums that every S3 service understands.

    Args:
        path_style: Address the bucket in the path, as most services other than AWS want it.
    """
    return Config(
        retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
        connect_timeout=10,
        read_timeout=60,
        max_pool_connections=32,
        s3={"addressing_style": "path" if path_style else "auto"},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )


class S3ObjectStore(ObjectStore):
    """A bucket.

    Args:
        client: boto3's S3 client; `client_config` is how it should be configured.
        bucket: Name of the bucket.
        prefix: What all keys start with, without `/` at its ends; empty for the whole bucket.
        duckdb_secret: Parameters of DuckDB's S3 secret (KEY_ID, SECRET, REGION, ENDPOINT, URL_STYLE, USE_SSL,
            SESSION_TOKEN).
        object_lock: How objects are kept from being deleted: `governance` or `compliance`; empty: not at all.
        error_factory: Makes the error when a setting proves wrong (keys as in the profile: `bucket` …).
    """

    def __init__(
        self,
        client: BaseClient,
        bucket: str,
        prefix: str = "",
        *,
        duckdb_secret: Mapping[str, str],
        object_lock: str = "",
        error_factory: ErrorFactory = store_error,
    ) -> None:
        self._client = client
        self._bucket = bucket
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self._secret = duckdb_secret
        # Two services may have a bucket of the same name: each store has a secret of its own.
        self._secret_name = f"entra_pipeline {duckdb_secret.get('ENDPOINT', '')} {self}"
        self._mode = object_lock.upper()
        self.object_lock = bool(object_lock)
        self._error_factory = error_factory

    def __str__(self) -> str:
        return f"s3://{self._bucket}/{self._prefix}"

    def create(self, key: str, data: bytes, *, until: datetime | None = None) -> None:
        for attempt in range(_ATTEMPTS):
            try:
                made = self._put(key, data, IfNoneMatch="*")
            except ClientError as error:
                if _code(error) == _CONFLICT and attempt + 1 < _ATTEMPTS:
                    # Another create or delete of the key is under way (S3 user guide, "Conditional writes"): ask again.
                    time.sleep(0.1 * 2**attempt)
                    continue
                if _code(error) != _TAKEN:
                    raise self._error(key, error) from error
                # The client repeats a request whose answer was lost; what is in the way may be our own.
                if error.response["ResponseMetadata"].get("RetryAttempts", 0) and self.read(key) == data:
                    break
                raise AlreadyExists(f"{self}{key} exists already") from None
            except BotoCoreError as error:
                raise self._error(key, error) from error
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
        first = self._versions(key)[-1]
        if first == version:
            return
        with self._explained(key):
            self._client.delete_object(Bucket=self._bucket, Key=self._prefix + key, VersionId=version)
            # Asked for by its version: while others take theirs back, Ceph may not know which one is the latest.
            answer = self._client.get_object(Bucket=self._bucket, Key=self._prefix + key, VersionId=first)
            taken = answer["Body"].read() != data
        if taken:
            raise AlreadyExists(f"{self}{key} exists already")

    def replace(self, key: str, data: bytes) -> None:
        with self._explained(key):
            self._put(key, data)

    def _put(self, key: str, data: bytes, **conditions: str) -> str:
        digest = base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()
        answer = self._client.put_object(
            Bucket=self._bucket, Key=self._prefix + key, Body=data, ContentMD5=digest, **conditions
        )
        return str(answer.get("VersionId", ""))

    def upload(self, key: str, path: Path) -> None:
        if path.stat().st_size <= _MULTIPART_BYTES:
            self.replace(key, path.read_bytes())
            return
        with self._explained(key):
            self._client.upload_file(
                str(path),
                self._bucket,
                self._prefix + key,
                Config=TransferConfig(multipart_threshold=_MULTIPART_BYTES, multipart_chunksize=_MULTIPART_BYTES // 4),
            )

    def stream(self, key: str) -> Iterator[bytes]:
        position = 0
        etag = ""
        attempt = 0
        while True:
            try:
                # A broken transfer goes on where it stopped, in the same version of the object.
                goes_on = {"Range": f"bytes={position}-", "IfMatch": etag} if position else {}
                answer = self._client.get_object(Bucket=self._bucket, Key=self._prefix + key, **goes_on)
                etag = answer["ETag"]
                for chunk in answer["Body"].iter_chunks(CHUNK):
                    position += len(chunk)
                    yield chunk
            except _BROKEN as error:
                attempt += 1
                if attempt == _ATTEMPTS:
                    raise self._error(key, error) from error
            except (ClientError, BotoCoreError) as error:
                raise self._error(key, error) from error
            else:
                return

    def size(self, key: str) -> int:
        with self._explained(key):
            answer = self._client.head_object(Bucket=self._bucket, Key=self._prefix + key)
            return int(answer["ContentLength"])

    def list(self, prefix: str) -> Iterator[StoredFile]:
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=self._prefix + prefix
        )
        with self._explained(prefix):
            for page in pages:
                for item in page.get("Contents", ()):
                    modified: datetime = item["LastModified"]
                    yield StoredFile(item["Key"].removeprefix(self._prefix), item["Size"], modified)

    def folders(self) -> Sequence[str]:
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=self._prefix, Delimiter="/"
        )
        with self._explained(""):
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
            with ThreadPoolExecutor(_PARALLEL_DELETES) as pool:
                list(pool.map(self._delete_versions, keys))
            return
        remaining = iter(keys)
        while some := list(islice(remaining, _DELETE_KEYS)):
            with self._explained(some[0]):
                answer = self._client.delete_objects(
                    Bucket=self._bucket,
                    Delete={"Objects": [{"Key": self._prefix + key} for key in some], "Quiet": True},
                )
            for failure in answer.get("Errors", ()):
                raise StoreError(
                    f"{failure['Key']} could not be deleted from {self}: {failure['Code']}",
                    remedy="Allow s3:DeleteObject on the bucket.",
                )

    def _delete_versions(self, key: str) -> None:
        """Removes an object for good: a bucket with Object Lock has versions, and a plain delete only hides them."""
        for version in self._versions(key, markers=True):
            with self._explained(key):
                self._client.delete_object(Bucket=self._bucket, Key=self._prefix + key, VersionId=version)

    def _versions(self, key: str, *, markers: bool = False) -> Sequence[str]:
        """Lists the ids of an object's versions, newest first; delete markers come before them, if asked for."""
        kinds = ("DeleteMarkers", "Versions") if markers else ("Versions",)
        with self._explained(key):
            pages = self._client.get_paginator("list_object_versions").paginate(
                Bucket=self._bucket, Prefix=self._prefix + key
            )
            found = [one for page in pages for kind in kinds for one in page.get(kind, ())]
        return [one["VersionId"] for one in found if one["Key"] == self._prefix + key]

    def url(self, key: str) -> str:
        return f"{self}{key}"

    def prepare(self, connection: duckdb.DuckDBPyConnection) -> None:
        try:
            connection.execute(f"LOAD {_quoted(str(_httpfs()))}")
            self._require_told_apart(connection)
            parameters = ", ".join(f"{name} {_quoted(value)}" for name, value in self._secret.items())
            connection.execute(
                f"CREATE OR REPLACE SECRET {_identifier(self._secret_name)} "
                f"(TYPE s3, SCOPE {_quoted(str(self))}, {parameters})"
            )
        except duckdb.Error as error:
            # The statement holds the secret, and DuckDB may quote it: neither message nor cause goes on.
            raise StoreError(
                f"DuckDB could not be prepared for {self}: {type(error).__name__}",
                remedy="Install duckdb and duckdb-extension-httpfs in the same version.",
            ) from None

    def _require_told_apart(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Refuses two places of one bucket name and prefix: DuckDB would ask one service for the other's objects."""
        secrets = connection.execute("SELECT name, scope FROM duckdb_secrets()").fetchall()
        if any(str(self) in scope and name != self._secret_name.lower() for name, scope in secrets):
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
            pages = self._client.get_paginator("list_multipart_uploads").paginate(
                Bucket=self._bucket, Prefix=self._prefix
            )
            for upload in (upload for page in pages for upload in page.get("Uploads", ())):
                if upload["Initiated"] < before:
                    cleared.append(upload["Key"].removeprefix(self._prefix))
                    if not dry_run:
                        self._client.abort_multipart_upload(
                            Bucket=self._bucket, Key=upload["Key"], UploadId=upload["UploadId"]
                        )
        return cleared

    @contextmanager
    def _explained(self, key: str) -> Iterator[None]:
        try:
            yield
        except (ClientError, BotoCoreError, S3UploadFailedError) as error:
            raise self._error(key, error) from error

    def _error(self, key: str, error: Exception) -> EntraPipelineError:
        if isinstance(error, S3UploadFailedError) and isinstance(error.__context__, ClientError | BotoCoreError):
            # boto3 turns the cause into text when a file is uploaded.
            error = error.__context__
        if isinstance(error, ClientError):
            return self._answer(key, error)
        if isinstance(error, NoCredentialsError | PartialCredentialsError):
            return self._error_factory(
                "access_key_id",
                f"there are no credentials for {self}",
                remedy="Set access_key_id and secret_access_key.",
            )
        if isinstance(error, ParamValidationError):
            return self._error_factory(
                "bucket", f"{self} is not a possible address: {error}", remedy="Name an existing bucket."
            )
        if isinstance(error, _UNREACHABLE):
            return self._error_factory(
                "endpoint_url",
                f"{self} cannot be reached: {error}",
                remedy="Check the address, the network and that the service runs.",
            )
        return StoreError(f"{self}{key}: {error}", remedy="Try again; then look at the storage service.")

    def _answer(self, key: str, error: ClientError) -> EntraPipelineError:
        code = _code(error)
        status = error.response["ResponseMetadata"].get("HTTPStatusCode", 0)
        if code in _ABSENT:
            return NotInStore(f"{self}{key} does not exist")
        if code == "403":
            # The answer to HEAD has no body, hence no code.
            code = "AccessDenied"
        said = error.response["Error"].get("Message") or ""
        message = f"{self}{key}: {error.operation_name} was answered {code}" + (f", {said!r}" if said else "")
        if code in _SETTINGS:
            setting, remedy = _SETTINGS[code]
            return self._error_factory(setting, message, remedy=remedy)
        if status >= 500:
            return StoreError(f"{message} (HTTP {status}), repeatedly", remedy="Try again when the service is well.")
        return StoreError(message, remedy="Look up the code in the storage service's documentation.")


def _code(error: ClientError) -> str:
    return str(error.response["Error"].get("Code", ""))


def _httpfs() -> Path:
    """Returns the httpfs extension that the package index brought: nothing is downloaded at run time."""
    spec = find_spec("duckdb_extension_httpfs")
    folder = Path(spec.origin).parent if spec and spec.origin else Path()
    return folder / "extensions" / f"v{duckdb.__version__}" / "httpfs.duckdb_extension"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _identifier(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'
