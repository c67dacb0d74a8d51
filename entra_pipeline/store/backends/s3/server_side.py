"""Encryption by the service (SSE-KMS, SSE-C): its settings, and what requests say for it.

What belongs here: parameters of S3 operations. What does not: encryption before bytes leave this machine.
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field, model_validator

from entra_pipeline.settings.secrets import Secret
from entra_pipeline.settings.section import Alternatives, Section, wrong

if TYPE_CHECKING:
    from botocore.client import BaseClient

_WRITES = ("PutObject", "CreateMultipartUpload")
# AWS S3 user guide, "Using server-side encryption with customer-provided keys": every request for the bytes of an
# object, or about it, has the key.
_WITH_KEY = (*_WRITES, "UploadPart", "GetObject", "HeadObject")
_KEY_BYTES = 32
_MAKE = "Make one of 32 bytes: openssl rand -base64 32"


class ServerSideEncryption(Section):
    """How the service encrypts what it stores, where the bucket's own setting is not enough.

    Attributes:
        kms_key: Id, ARN or alias of a key in AWS KMS, or in the service's own key management (SSE-KMS).
        customer_key: A key that the service uses and does not keep (SSE-C): 32 bytes as Base64.
    """

    one_of: ClassVar[Alternatives | None] = Alternatives("Key", {"kms_key": (), "customer_key": ()})

    kms_key: Annotated[
        str | None, Field(title="KMS key", description="ARN, id or alias, such as alias/entra-backup.")
    ] = None
    customer_key: Annotated[Secret | None, Field(title="Customer key", description="32 bytes as Base64.")] = None

    @model_validator(mode="after")
    def _one_way(self) -> ServerSideEncryption:
        if (self.kms_key is None) == (self.customer_key is None):
            raise wrong("does not name one key", "Set kms_key or customer_key.")
        if self.kms_key is not None and not self.kms_key.strip():
            raise wrong("names an empty kms_key", 'Write its ARN, id or alias, such as "alias/entra-backup".')
        return self

    def parameters(self) -> dict[str, dict[str, str | bytes]]:
        """Returns what requests say: operation of S3 → parameters.

        Raises:
            ConfigurationError: The customer's key cannot be found, or is none.
        """
        said: dict[str, str | bytes]
        if self.kms_key is not None:
            said = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": self.kms_key}
            return dict.fromkeys(_WRITES, said)
        said = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": self._revealed()}
        return dict.fromkeys(_WITH_KEY, said)

    def _revealed(self) -> bytes:
        text = self.customer_key.reveal() if self.customer_key else ""
        try:
            key = b64decode(text, validate=True)
        except binascii.Error:
            key = b""
        if len(key) != _KEY_BYTES:
            raise self.error("customer_key", "is not 32 bytes as Base64", remedy=_MAKE)
        return key


def add_parameters(client: BaseClient, parameters: Mapping[str, Mapping[str, str | bytes]]) -> None:
    """Has a client say more in its requests: operation of S3 → parameters."""

    def register(operation: str, more: Mapping[str, str | bytes]) -> None:
        def added(params: dict[str, Any], **_: Any) -> dict[str, Any]:
            return {**params, **more}

        client.meta.events.register(f"provide-client-params.s3.{operation}", added)

    for operation, more in parameters.items():
        register(operation, more)
