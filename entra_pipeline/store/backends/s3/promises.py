"""What only a bucket can promise or lack: checksums, Object Lock, a clock, credentials that last."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.client import BaseClient
from botocore.exceptions import ClientError

from entra_pipeline.errors import StorageUnfit, StoreError
from entra_pipeline.store.backends.object_store import PROBES
from entra_pipeline.store.backends.promise import StoragePromise, tried
from entra_pipeline.store.backends.s3.client import clock_difference, md5
from entra_pipeline.store.backends.s3.credentials import RenewedCredentials
from entra_pipeline.store.backends.s3.errors import ErrorExplainer, code_of

# Requests are refused when clocks differ by more than fifteen minutes (AWS S3 user guide, RequestTimeTooSkewed).
_CLOCKS_DIFFER = timedelta(minutes=2)
_TOO_SHORT = timedelta(minutes=5)


class BucketPromises:
    """Tries a bucket.

    Args:
        client: boto3's S3 client.
        bucket: Name of the bucket.
        prefix: What all keys start with, with `/` at its end where there is one.
        object_lock: The profile's `object_lock`; empty when it has none.
        credentials: What the client signs with.
        explain: Says what errors mean.
    """

    def __init__(
        self,
        client: BaseClient,
        bucket: str,
        prefix: str,
        *,
        object_lock: str,
        credentials: RenewedCredentials,
        explain: ErrorExplainer,
    ) -> None:
        self._client, self._bucket, self._prefix = client, bucket, prefix
        self._object_lock, self._credentials, self._explain = object_lock, credentials, explain

    def check(self) -> Iterator[StoragePromise]:
        """Yields what the bucket promises."""
        yield tried("checksums", self._checksums, needed_for="safety")
        yield tried("Object Lock", self._locking, needed_for="backup" if self._object_lock else "retention")
        yield tried("clock", self._clock, needed_for="safety")
        yield tried("credentials", self._lasting, needed_for="safety")

    def _checksums(self) -> str:
        wrong = {"Body": b"sent", "ContentMD5": md5(b"meant")}
        with self._explain.explained("checksum"):
            try:
                self._client.put_object(Bucket=self._bucket, Key=f"{self._prefix}{PROBES}written", **wrong)
            except ClientError as error:
                if code_of(error) in {"BadDigest", "InvalidDigest", "XAmzContentSHA256Mismatch"}:
                    return "damaged uploads are refused (Content-MD5)"
                raise
        raise StorageUnfit(
            "an upload whose Content-MD5 does not fit was taken: damage on the way is found by verify only",
            remedy="Use https, and run entra-pipeline verify regularly.",
        )

    def _locking(self) -> str:
        kept = self._default_retention()
        versions = self._versioning()
        if self._object_lock and kept is None:
            raise StorageUnfit(
                "the profile has object_lock, and the bucket was made without Object Lock",
                remedy="Use a bucket that was made with Object Lock, or remove object_lock.",
            )
        if self._object_lock:
            return f"on; the bucket has a default retention of {kept}" if kept else "on"
        if kept:
            raise StorageUnfit(
                f"the bucket keeps everything that is written for {kept}, locks and job records too: backups work, and "
                "what retention deletes is only hidden",
                remedy="Set object_lock in the profile (then only recovery points are locked, for their time) and take "
                "the default retention off the bucket; or give it a lifecycle rule that expires noncurrent versions.",
            )
        if versions:
            raise StorageUnfit(
                "the bucket keeps versions: what retention deletes is only hidden, and still paid for",
                remedy="Give the bucket a lifecycle rule that expires noncurrent versions.",
            )
        return "off"

    def _default_retention(self) -> str | None:
        """Returns the bucket's own retention, empty for none; None when it has no Object Lock, or does not tell."""
        try:
            answer = self._client.get_object_lock_configuration(Bucket=self._bucket)
        except ClientError:
            return None
        rule: dict[str, Any] = answer.get("ObjectLockConfiguration", {}).get("Rule", {}).get("DefaultRetention", {})
        number, unit = (rule["Days"], "days") if "Days" in rule else (rule.get("Years"), "years")
        return f"{number} {unit} ({str(rule.get('Mode', '')).lower()})" if number else ""

    def _versioning(self) -> bool:
        try:
            return bool(self._client.get_bucket_versioning(Bucket=self._bucket).get("Status") == "Enabled")
        except ClientError:
            # Not every service has it, and not every key may ask.
            return False

    def _clock(self) -> str:
        with self._explain.explained(""):
            answer = self._client.list_objects(Bucket=self._bucket, Prefix=f"{self._prefix}{PROBES}", MaxKeys=1)
        ahead = clock_difference(answer["ResponseMetadata"].get("HTTPHeaders", {}))
        if ahead is None:
            return "the service returns no time"
        seconds = round(ahead.total_seconds())
        if abs(ahead) > _CLOCKS_DIFFER:
            raise StoreError(
                f"the service's clock is {abs(seconds)} s {'ahead of' if seconds > 0 else 'behind'} this machine's",
                remedy="Set the clock of this machine (timedatectl, chrony); at 15 minutes every request is refused.",
            )
        return f"differs by {abs(seconds)} s"

    def _lasting(self) -> str:
        with self._explain.explained(""):
            origin, until = self._credentials.origin()
        if until is None:
            return f"from {origin or 'the machine'}, without an end"
        left = until - datetime.now(UTC)
        if left < _TOO_SHORT:
            return f"from {origin}, for {max(0, round(left.total_seconds()))} s at a time; they are renewed"
        return f"from {origin}, until {until:%Y-%m-%d %H:%M} UTC; they are renewed"
