"""A data key: what Parquet files and records are encrypted with."""

from __future__ import annotations

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from entra_pipeline.store.backends.encryption.names import generation_of

_BYTES = 32


class DataKey:
    """A data key.

    Attributes:
        name: Its name: of the key in DuckDB, in the names of files, in records.
        parquet: What Parquet files are encrypted with, 32 bytes.
        records: What everything else is encrypted with, 32 bytes.

    Args:
        name: Its name.
        secret: 32 bytes, of which the other keys are made (HKDF, RFC 5869).
    """

    def __init__(self, name: str, secret: bytes) -> None:
        self.name = name
        self.parquet, self.records = (
            HKDF(SHA256(), _BYTES, None, f"entra-pipeline/{purpose}/1".encode()).derive(secret)
            for purpose in ("parquet", "records")
        )

    @property
    def generation(self) -> int:
        """Its place among the keys of the storage, from 1."""
        return generation_of(self.name)
