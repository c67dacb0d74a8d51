"""A bucket of any S3 store: its settings, and how the client and DuckDB get access.

The bucket as an object store is in `objects`, which is imported when a bucket is opened: boto3 takes a fifth of a
second to import.
"""

# ruff: noqa: D102 - what the methods do is said in `settings`

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, field_validator, model_validator

from entra_pipeline.settings.fields import WebUrl
from entra_pipeline.settings.secrets import Secret
from entra_pipeline.settings.section import wrong
from entra_pipeline.store.backends.settings import StorageSettings

if TYPE_CHECKING:
    from botocore.client import BaseClient

    from entra_pipeline.store.backends.s3.objects import S3ObjectStore


def _bucket(value: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", value):
        raise wrong(
            f"{value!r} is no bucket name", "Use 3 to 63 lower-case letters, digits, dots and hyphens (S3's rule)."
        )
    return value


Bucket = Annotated[str, AfterValidator(_bucket)]


class S3Storage(StorageSettings):
    """A bucket of any S3 store."""

    about: ClassVar[str] = "a bucket of any S3 store"

    kind: Literal["s3"]
    bucket: Bucket
    prefix: str = ""
    endpoint_url: WebUrl | None = None
    region: str = "us-east-1"
    access_key_id: Secret | None = None
    secret_access_key: Secret | None = None
    object_lock: Literal["governance", "compliance"] | None = None

    @field_validator("prefix")
    @classmethod
    def _clean_prefix(cls, value: str) -> str:
        if value.startswith("/") or ".." in value.split("/"):
            raise wrong("is no prefix", 'Write it without a leading slash, for example "prod/entra".')
        return value.strip("/")

    @model_validator(mode="after")
    def _both_keys(self) -> S3Storage:
        if (self.access_key_id is None) != (self.secret_access_key is None):
            raise wrong(
                "has half a key",
                "Set both access_key_id and secret_access_key, or neither: then the machine's own role is used.",
            )
        return self

    def open(self, client: BaseClient | None = None) -> S3ObjectStore:
        """As `StorageSettings.open`.

        Args:
            client: boto3's S3 client to use; one made of the profile when None.
        """
        from entra_pipeline.store.backends.s3.objects import S3ObjectStore

        return S3ObjectStore(
            client or self._client(),
            self.bucket,
            self.prefix,
            duckdb_secret=self._duckdb_secret(),
            object_lock=self.object_lock or "",
            error_factory=self.error,
        )

    def facts(self) -> list[tuple[str, str]]:
        return [
            ("Bucket", f"{self.bucket}/{self.prefix}" if self.prefix else self.bucket),
            ("Service", self.endpoint_url or f"Amazon S3, {self.region}"),
            ("Object Lock", self.object_lock or "off"),
        ]

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
            settings += [f"ENDPOINT {_quoted(address.rstrip('/'))}", "URL_STYLE 'path'"]
            settings += ["USE_SSL false"] if scheme == "http" else []
        return ["INSTALL httpfs;", "LOAD httpfs;", f'CREATE SECRET "{name}" ({", ".join(settings)});']

    def _client(self) -> BaseClient:
        import boto3

        from entra_pipeline.store.backends.s3.objects import client_config

        return boto3.client(
            "s3",
            endpoint_url=self.endpoint_url,
            region_name=self.region,
            aws_access_key_id=self.access_key_id.reveal() if self.access_key_id else None,
            aws_secret_access_key=self.secret_access_key.reveal() if self.secret_access_key else None,
            config=client_config(path_style=bool(self.endpoint_url)),
        )

    def _duckdb_secret(self) -> Mapping[str, str]:
        """Makes DuckDB's own access: the profile's keys, or those that boto3 finds in environment or role."""
        import boto3

        secret = {"REGION": self.region}
        if self.access_key_id and self.secret_access_key:
            secret |= {"KEY_ID": self.access_key_id.reveal(), "SECRET": self.secret_access_key.reveal()}
        elif credentials := boto3.Session().get_credentials():
            found = credentials.get_frozen_credentials()
            secret |= {"KEY_ID": found.access_key, "SECRET": found.secret_key}
            if found.token:
                secret["SESSION_TOKEN"] = found.token
        if self.endpoint_url:
            address = urlsplit(self.endpoint_url)
            secret |= {
                "ENDPOINT": f"{address.netloc}{address.path}".rstrip("/"),
                "URL_STYLE": "path",
                "USE_SSL": str(address.scheme == "https").lower(),
            }
        return secret


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
