"""A bucket of any S3 store: its settings, and how the client and DuckDB get access.

The bucket as an object store is in `objects`, which is imported when a bucket is opened: boto3 takes a fifth of a
second to import.
"""

# ruff: noqa: D102 - what the methods do is said in `settings`

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from entra_pipeline.settings.fields import WebUrl, not_in_the_clear
from entra_pipeline.settings.secrets import Secret
from entra_pipeline.settings.section import Receiver, wrong
from entra_pipeline.store.backends.object_store import ObjectStore
from entra_pipeline.store.backends.s3.server_side import ServerSideEncryption, add_parameters
from entra_pipeline.store.backends.settings import StorageSettings

if TYPE_CHECKING:
    from botocore.client import BaseClient

    from entra_pipeline.store.backends.promise import StoragePromise
    from entra_pipeline.store.backends.s3.credentials import RenewedCredentials
    from entra_pipeline.store.backends.s3.objects import S3ObjectStore


_LONGEST_PREFIX = 600
_HURRIED = 10.0
_KEYS = "Empty, with the other key: the role of this machine."


def _bucket(value: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", value):
        raise wrong(
            f"{value!r} is not a bucket name", "Use 3 to 63 lower-case letters, digits, dots and hyphens (S3's rule)."
        )
    return value


BucketName = Annotated[str, AfterValidator(_bucket)]


class S3Storage(StorageSettings):
    """A bucket of any S3 store."""

    about: ClassVar[str] = "a bucket of any S3 store"

    kind: Literal["s3"]
    bucket: Annotated[BucketName, Field(title="Bucket", description="It must exist.")]
    prefix: Annotated[
        str, Field(title="Folder in the bucket", description="Such as prod/entra. Empty: the whole bucket.")
    ] = ""
    endpoint_url: Annotated[
        WebUrl | None, Field(title="Service address", description="Such as https://s3.example.net. Empty: Amazon S3.")
    ] = None
    region: Annotated[str, Field(title="Region")] = "us-east-1"
    access_key_id: Annotated[Secret | None, Field(title="Access key ID", description=_KEYS)] = None
    secret_access_key: Annotated[Secret | None, Field(title="Secret access key", description=_KEYS)] = None
    object_lock: Annotated[
        Literal["governance", "compliance"] | None,
        Field(
            title="Object Lock",
            description="Recovery points cannot be deleted before their retention ends. The bucket must have it.",
        ),
    ] = None
    server_side_encryption: Annotated[ServerSideEncryption | None, Field(title="Encryption by the service")] = None
    addressing: Annotated[
        Literal["path", "virtual"] | None,
        Field(title="Position of the bucket", description="In the address: virtual for services that require it."),
    ] = None
    patience: Annotated[
        float,
        Field(
            gt=0,
            le=3600,
            strict=False,
            title="Seconds to retry",
            description="While the service is overloaded or fails.",
        ),
    ] = 60

    @field_validator("prefix")
    @classmethod
    def _clean_prefix(cls, value: str) -> str:
        if value.startswith("/") or {"..", "."}.intersection(value.split("/")):
            raise wrong("is not a valid prefix", 'Write it without a leading slash, for example "prod/entra".')
        value = value.strip("/")
        if "//" in value or not value.isprintable():
            raise wrong(
                f"{value!r} has an empty part or a character that cannot be seen", 'Write one such as "prod/entra".'
            )
        # AWS S3 user guide, "Naming Amazon S3 objects": a key has at most 1,024 bytes; ours need some of them.
        if len(value.encode()) > _LONGEST_PREFIX:
            raise wrong(f"is longer than {_LONGEST_PREFIX} bytes", "Shorten it: a key has at most 1,024.")
        return value

    @model_validator(mode="after")
    def _both_keys(self) -> S3Storage:
        if (self.access_key_id is None) != (self.secret_access_key is None):
            raise wrong(
                "has half a key",
                "Set both access_key_id and secret_access_key, or neither: then the machine's own role is used.",
            )
        return self

    @model_validator(mode="after")
    def _key_in_private(self) -> S3Storage:
        if self.server_side_encryption and self.server_side_encryption.customer_key:
            not_in_the_clear(self.endpoint_url)
        return self

    def place(self, client: BaseClient | None = None) -> S3ObjectStore:
        """As `StorageSettings.place`.

        Args:
            client: boto3's S3 client to use; one made of the profile when None.
        """
        from entra_pipeline.store.backends.s3.objects import S3ObjectStore

        return S3ObjectStore(
            client or self.client(),
            self.bucket,
            self.prefix,
            object_lock=self.object_lock or "",
            patience=self.patience,
            error_factory=self.error,
        )

    def hurried(self) -> Self:
        return self.model_copy(update={"patience": min(self.patience, _HURRIED)})

    def promises(self, files: ObjectStore) -> Iterator[StoragePromise]:
        from entra_pipeline.store.backends.s3.errors import ErrorExplainer
        from entra_pipeline.store.backends.s3.promises import BucketPromises

        prefix = f"{self.prefix}/" if self.prefix else ""
        yield from BucketPromises(
            self.client(),
            self.bucket,
            prefix,
            object_lock=self.object_lock or "",
            credentials=self.credentials(),
            explain=ErrorExplainer(f"s3://{self.bucket}/{prefix}", self.error),
        ).check()

    def location(self) -> str:
        return f"{self.endpoint_url or self.region} {self.bucket}/{self.prefix}"

    def receiver(self) -> Receiver:
        return Receiver(self.endpoint_url.lower(), own=True) if self.endpoint_url else Receiver("Amazon S3")

    def machine_identity(self) -> tuple[str, str] | None:
        return None if self.access_key_id else ("access_key_id", "the role of this machine")

    def facts(self) -> list[tuple[str, str]]:
        return [
            ("Bucket", f"{self.bucket}/{self.prefix}" if self.prefix else self.bucket),
            ("Service", self.endpoint_url or f"Amazon S3, {self.region}"),
            ("Object Lock", self.object_lock or "off"),
            *self._encryption_facts(),
            *self.protection(),
        ]

    def _encryption_facts(self) -> list[tuple[str, str]]:
        encryption = self.server_side_encryption
        if encryption is None:
            return []
        return [("Server-side encryption", f"KMS key {encryption.kms_key}" if encryption.kms_key else "customer key")]

    def access_statements(self, name: str) -> list[str]:
        place = f"s3://{self.bucket}/{self.prefix}/" if self.prefix else f"s3://{self.bucket}/"
        settings = [
            "TYPE s3",
            f"SCOPE {_quoted(place)}",
            "KEY_ID '…'",
            "SECRET '…'",
            f"REGION {_quoted(self.region)}",
        ]
        if self.endpoint_url:
            scheme, _, address = self.endpoint_url.partition("://")
            style = "vhost" if self.addressing == "virtual" else "path"
            settings += [f"ENDPOINT {_quoted(address.rstrip('/'))}", f"URL_STYLE '{style}'"]
            settings += ["USE_SSL false"] if scheme == "http" else []
        keyed = self.server_side_encryption and self.server_side_encryption.customer_key
        notes = (
            ["-- DuckDB (1.4) has no setting for a customer key (SSE-C): it cannot read this bucket."] if keyed else []
        )
        return [*notes, "INSTALL httpfs;", "LOAD httpfs;", f'CREATE SECRET "{name}" ({", ".join(settings)});']

    def client(self) -> BaseClient:
        """Makes boto3's S3 client; its credentials are those of the profile, or what boto3 finds on this machine.

        Raises:
            ConfigurationError: A secret cannot be found.
        """
        from entra_pipeline.store.backends.s3.client import make_client

        client = make_client(
            self.credentials(),
            region=self.region,
            endpoint_url=self.endpoint_url,
            addressing=self.addressing or "",
            patience=self.patience,
        )
        if self.server_side_encryption is not None:
            add_parameters(client, self.server_side_encryption.parameters())
        return client

    def credentials(self) -> RenewedCredentials:
        """Returns what requests are signed with.

        Raises:
            ConfigurationError: A secret cannot be found.
        """
        from botocore.credentials import Credentials

        from entra_pipeline.store.backends.s3.credentials import RenewedCredentials

        key, secret = self.access_key_id, self.secret_access_key
        if key is None or secret is None:
            return RenewedCredentials.of_machine()
        # Looked for now: what is missing is an error of the configuration.
        key.reveal(), secret.reveal()
        # Read again when the service refuses them: whoever rotates keys writes the file anew.
        return RenewedCredentials(lambda: Credentials(key.reveal(), secret.reveal(), method="profile"))


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
