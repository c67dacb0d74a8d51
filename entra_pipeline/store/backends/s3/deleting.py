"""Deleting objects: many at once where the service can, one by one where it cannot; and versions, for good."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

from botocore.client import BaseClient
from botocore.exceptions import BotoCoreError, ClientError

from entra_pipeline.errors import StoreError
from entra_pipeline.store.backends.s3.errors import ErrorExplainer, code_of, is_unknown_here
from entra_pipeline.store.backends.s3.listing import every_page

_MANY = 1000  # AWS API reference, DeleteObjects: at most 1,000 keys
_AT_ONCE = 16
# What old or small services answer to DeleteObjects: they have it not, or only with what they do not say.
_NOT_MANY = {"MissingContentMD5", "InvalidDigest", "BadDigest", "MalformedXML", "XAmzContentSHA256Mismatch"}


class ObjectDeleter:
    """Deletes the objects of a bucket.

    Args:
        client: boto3's S3 client.
        bucket: Name of the bucket.
        prefix: What all keys start with, with `/` at its end where there is one.
        explain: Says what errors mean.
    """

    def __init__(self, client: BaseClient, bucket: str, prefix: str, explain: ErrorExplainer) -> None:
        self._client, self._bucket, self._prefix, self._explain = client, bucket, prefix, explain
        self._many = True

    def delete(self, keys: Iterable[str]) -> None:
        """Deletes objects; in a bucket with versions, this hides them."""
        remaining = iter(keys)
        while some := list(islice(remaining, _MANY)):
            self._each(self._one, self._undeleted(some) if self._many else some)

    def delete_versions(self, keys: Iterable[str]) -> None:
        """Deletes all versions of objects, and what hides them."""
        self._each(self._versions_of_one, keys)

    def destroy(self, key: str) -> None:
        """Deletes an object so that nothing of it is left: with all versions, where the service has any.

        Raises:
            StoreError: A version is left.
        """
        with self._explain.explained(key):
            try:
                self._client.list_object_versions(Bucket=self._bucket, Prefix=self._prefix + key, MaxKeys=1)
            except ClientError as error:
                if not is_unknown_here(error):
                    raise
                self._one(key)
                return
        self._versions_of_one(key)
        if self.versions(key, markers=True):
            raise StoreError(
                f"a version of {key} is left after all were deleted",
                remedy="Find out who writes there, and repeat it.",
            )

    def delete_version(self, key: str, version: str) -> None:
        """Deletes one version of an object."""
        with self._explain.explained(key):
            self._client.delete_object(Bucket=self._bucket, Key=self._prefix + key, VersionId=version)

    def versions(self, key: str, *, markers: bool = False) -> Sequence[str]:
        """Lists the ids of an object's versions, newest first; delete markers come before them, if asked for."""
        kinds = ("DeleteMarkers", "Versions") if markers else ("Versions",)
        with self._explain.explained(key):
            pages = every_page(self._client.list_object_versions, self._prefix + key, Bucket=self._bucket)
            found = [one for page in pages for kind in kinds for one in page.get(kind, ())]
        return [one["VersionId"] for one in found if one["Key"] == self._prefix + key]

    def _undeleted(self, keys: Sequence[str]) -> Sequence[str]:
        """Deletes many objects with one request; returns those that are still to be deleted one by one."""
        try:
            answer = self._client.delete_objects(
                Bucket=self._bucket,
                Delete={"Objects": [{"Key": self._prefix + key} for key in keys], "Quiet": True},
            )
        except ClientError as error:
            if is_unknown_here(error) or code_of(error) in _NOT_MANY:
                self._many = False
                return keys
            raise self._explain.error(keys[0], error) from error
        except BotoCoreError as error:
            raise self._explain.error(keys[0], error) from error
        # Asked for alone, each is tried again or says what is the matter.
        return [str(one.get("Key", "")).removeprefix(self._prefix) for one in answer.get("Errors", ())]

    def _one(self, key: str) -> None:
        with self._explain.explained(key):
            self._client.delete_object(Bucket=self._bucket, Key=self._prefix + key)

    def _versions_of_one(self, key: str) -> None:
        for version in self.versions(key, markers=True):
            self.delete_version(key, version)

    def _each(self, work: Callable[[str], None], keys: Iterable[str]) -> None:
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(work, keys))
