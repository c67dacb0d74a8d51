"""What the answers of an S3 service mean to the administrator: which setting is wrong, and what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    CredentialRetrievalError,
    EndpointConnectionError,
    HTTPClientError,
    IncompleteReadError,
    MetadataRetrievalError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
    ResponseStreamingError,
    SSLError,
)

from entra_pipeline.errors import DeleteRefused, EntraPipelineError, NotInStore, StoreError
from entra_pipeline.store.backends.object_store import ErrorFactory
from entra_pipeline.store.backends.s3.client import EXPIRED, SKEWED, clock_difference

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
        "Allow this access key s3:ListBucket, s3:GetObject and s3:PutObject on the bucket, and s3:DeleteObject for "
        "what retention deletes.",
    ),
    "ObjectLockConfigurationNotFoundError": (
        "object_lock",
        "Use a bucket that was made with Object Lock, or remove object_lock.",
    ),
    # Alibaba Cloud OSS; Tencent Cloud COS.
    "SecondLevelDomainForbidden": ("addressing", 'Set addressing = "virtual".'),
    "PathStyleDomainForbidden": ("addressing", 'Set addressing = "virtual".'),
    **dict.fromkeys(
        EXPIRED,
        (
            "access_key_id",
            "Renew the credentials; those of a role, a credential process or a file are looked up again automatically.",
        ),
    ),
}
_UNREACHABLE = (ConnectTimeoutError, EndpointConnectionError, SSLError)
BROKEN = (HTTPClientError, IncompleteReadError, ResponseStreamingError)
"""What a transfer that breaks off raises."""
_ABSENT = {"NoSuchKey", "404", "NotFound"}
_UNKNOWN_HERE = {"NotImplemented", "MethodNotAllowed", "InvalidRequest", "InvalidArgument", "BadRequest", "501", "400"}
_READS = {"GetObject", "HeadObject"}
# AWS S3 API reference, "Error responses": errors of AWS KMS come with its name before theirs.
_OF_KMS = "KMS."
_KMS = (
    "Name a key that exists and is enabled, and allow this access key kms:GenerateDataKey to back up and kms:Decrypt "
    "to read."
)
_OTHER_KEY = (
    "If the object was stored with a customer key, set server_side_encryption.customer_key to that key; an object "
    "that was stored without one cannot be read with one. Otherwise look at the storage service."
)
_DELETES = {"DeleteObject", "DeleteObjects"}
# An object that Object Lock keeps, and a key that may not delete, are both AccessDenied at Amazon.
_KEPT = {"AccessDenied", "403", "ObjectLocked", "WORMProtected", "FileImmutable", "MethodNotAllowed"}


class ErrorExplainer:
    """Turns what botocore raises into errors for people.

    Args:
        place: The bucket and prefix, as an address.
        error_factory: Makes the error when a setting proves wrong (keys as in the profile: `bucket` …).
    """

    def __init__(self, place: str, error_factory: ErrorFactory) -> None:
        self._place, self._error_factory = place, error_factory

    @contextmanager
    def explained(self, key: str) -> Iterator[None]:
        """Raises what the caller's block raises of botocore as an error for people; `key` is what it is about."""
        try:
            yield
        except (ClientError, BotoCoreError) as error:
            raise self.error(key, error) from error

    def error(self, key: str, error: Exception) -> EntraPipelineError:
        """Makes the error for people."""
        if isinstance(error, ClientError):
            return self._answer(key, error)
        if isinstance(error, NoCredentialsError | PartialCredentialsError):
            return self._error_factory(
                "access_key_id",
                f"there are no credentials for {self._place}",
                remedy="Set access_key_id and secret_access_key.",
            )
        if isinstance(error, CredentialRetrievalError | MetadataRetrievalError):
            return self._error_factory(
                "access_key_id",
                f"the credentials for {self._place} could not be renewed: {error}",
                remedy="See that what gives them (the role, the credential process) answers on this machine.",
            )
        if isinstance(error, ParamValidationError):
            return self._error_factory(
                "bucket", f"{self._place} is not a valid address: {error}", remedy="Name an existing bucket."
            )
        if isinstance(error, _UNREACHABLE):
            return self._error_factory(
                "endpoint_url",
                f"{self._place} cannot be reached: {error}",
                remedy="Check the address, the network and that the service runs.",
            )
        return StoreError(f"{self._place}{key}: {error}", remedy="Try again; then look at the storage service.")

    def undeleted(self, key: str, code: str) -> EntraPipelineError:
        """Makes the error for an object that the service does not delete."""
        return DeleteRefused(
            f"{self._place}{key} could not be deleted: {code}",
            remedy="Allow this access key s3:DeleteObject (with object_lock also s3:DeleteObjectVersion), and wait "
            "until the bucket's Object Lock lets the object go.",
        )

    def _answer(self, key: str, error: ClientError) -> EntraPipelineError:
        answer = error.response["ResponseMetadata"]
        code, status = code_of(error), answer.get("HTTPStatusCode", 0)
        if code in _ABSENT:
            return NotInStore(f"{self._place}{key} does not exist")
        if error.operation_name in _DELETES and code in _KEPT:
            return self.undeleted(key, code)
        if code == "403":
            # The answer to HEAD has no body, hence no code.
            code = "AccessDenied"
        said = error.response["Error"].get("Message") or ""
        message = f"{self._place}{key}: {error.operation_name} was answered {code}" + (f", {said!r}" if said else "")
        if code in SKEWED:
            ahead = clock_difference(answer.get("HTTPHeaders", {}))
            told = f"; its clock is {_difference(ahead.total_seconds())}" if ahead is not None else ""
            return StoreError(
                f"{message}{told}",
                remedy="Set the clock of this machine (timedatectl, chrony), or have that of the service set: they may "
                "differ by 15 minutes.",
            )
        if code.startswith(_OF_KMS):
            return self._error_factory("server_side_encryption.kms_key", message, remedy=_KMS)
        if error.operation_name in _READS and status == 400:
            return self._error_factory("server_side_encryption", message, remedy=_OTHER_KEY)
        if code in _SETTINGS:
            setting, remedy = _SETTINGS[code]
            return self._error_factory(setting, message, remedy=remedy)
        if status >= 500 and status != 501:
            return StoreError(f"{message} (HTTP {status}), repeatedly", remedy="Try again when the service is well.")
        return StoreError(message, remedy="Look up the code in the storage service's documentation.")


def code_of(error: ClientError) -> str:
    """Returns the code of an answer; the HTTP status where it has none."""
    return str(error.response["Error"].get("Code", ""))


def is_unknown_here(error: ClientError) -> bool:
    """Tells whether the service does not have what it was asked for, or not in this form."""
    return code_of(error) in _UNKNOWN_HERE or error.response["ResponseMetadata"].get("HTTPStatusCode") in {405, 501}


def _difference(seconds: float) -> str:
    amount = abs(round(seconds))
    if amount < 2:
        return "the same as this machine's, so one of its nodes has another"
    whole = f"{amount // 60} minutes {amount % 60} s" if amount >= 120 else f"{amount} s"
    return f"{whole} {'ahead of' if seconds > 0 else 'behind'} this machine's"
