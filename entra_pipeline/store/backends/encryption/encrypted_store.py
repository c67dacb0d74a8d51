"""A place above a place: records are encrypted when they are written, and decrypted when they are read."""

# ruff: noqa: D102 - what the methods do is said in `object_store`

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from entra_pipeline.errors import IntegrityError, StoreError
from entra_pipeline.store.backends.encryption.names import ENCRYPTION, key_name_in
from entra_pipeline.store.backends.encryption.person_keys import PersonKeys
from entra_pipeline.store.backends.encryption.vault import ENCRYPTED_PARQUET, Vault
from entra_pipeline.store.backends.layered_store import LayeredObjectStore
from entra_pipeline.store.backends.object_store import PROBES, ObjectStore
from entra_pipeline.store.manifest import canonical

if TYPE_CHECKING:
    import duckdb

    from entra_pipeline.store.backends.encryption.keys import DataKeys

FORMAT = "entra-pipeline/encrypted"
# What retention and `verify` of hashes need; nothing in it is of the tenant's objects.
_READABLE = ("_pruned/", "_holds/", "_heads/", "_locks/", "_keys/", "_adopted/", ENCRYPTION, PROBES)
# Readable but for a member of theirs, which their own modules encrypt.
_PARTLY = ("_recovery_points/", "_logs/", "_audit/")
_MEMBER = b'"encrypted":"g'
_EVENTS, _HEAD = "_audit/", "_audit/head.json"


class EncryptedRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A record as it is stored.

    Attributes:
        encrypted: As `Vault.seal` makes it.
        format, version: Of this file.
    """

    encrypted: str
    format: str = FORMAT
    version: int = 1


_DECODER = msgspec.json.Decoder(EncryptedRecord)
_OBJECT = msgspec.json.Decoder(dict[str, object])


class EncryptedObjectStore(LayeredObjectStore):
    """A place of which nothing can be read without the data keys but which points there are.

    What should be encrypted and is not is refused, whoever forgot it: StoreError.

    Args:
        place: The place.
        keys: Opens the data keys.

    Attributes:
        place: The place without encryption.
        vault: What encrypts and decrypts.
    """

    def __init__(self, place: ObjectStore, keys: Callable[[], DataKeys]) -> None:
        super().__init__(place)
        self.vault = self._vault = Vault(keys, PersonKeys(self))

    def create(self, key: str, data: bytes, *, until: datetime | None = None) -> None:
        self.place.create(key, self._encrypted(key, data), until=until)

    def replace(self, key: str, data: bytes) -> None:
        self.place.replace(key, self._encrypted(key, data))

    def upload(self, key: str, path: Path) -> None:
        self._require_encrypted(key, path)
        self.place.upload(key, path)

    def upload_in_parts(self, key: str, path: Path) -> None:
        self._require_encrypted(key, path)
        self.place.upload_in_parts(key, path)

    def read(self, key: str) -> bytes:
        stored = self.place.read(key)
        return self._decrypted(key, stored) if _is_whole(key) else stored

    def stream(self, key: str) -> Iterator[bytes]:
        return iter([self.read(key)]) if _is_whole(key) else self.place.stream(key)

    def slice(self, key: str, start: int, length: int) -> tuple[bytes, int]:
        if key.startswith(_EVENTS):
            data = self._event(key)
        elif _is_whole(key):
            data = self.read(key)
        else:
            return self.place.slice(key, start, length)
        first = max(0, len(data) + start) if start < 0 else start
        return data[first : first + length], len(data)

    def prepare(self, connection: duckdb.DuckDBPyConnection) -> None:
        self.place.prepare(connection)
        self._vault.prepare(connection)

    def _event(self, key: str) -> bytes:
        """Returns an event of the audit log with its members decrypted, as DuckDB reads it; no hash is over this."""
        data = self.place.read(key)
        members = _OBJECT.decode(data)
        if not (encrypted := members.pop("encrypted", "")):
            return data
        return canonical(members | _OBJECT.decode(self._vault.open(key, str(encrypted))))

    def _encrypted(self, key: str, data: bytes) -> bytes:
        """Returns the bytes that are stored."""
        if key.startswith(_READABLE) or key == _HEAD:
            return data
        if key.startswith(_PARTLY):
            if _MEMBER not in data:
                raise _plain(key)
            return data
        if key.endswith(".parquet"):
            if not (data.startswith(ENCRYPTED_PARQUET) and key_name_in(key)):
                raise _plain(key)
            return data
        return canonical(EncryptedRecord(encrypted=self._vault.seal(key, data)))

    def _require_encrypted(self, key: str, path: Path) -> None:
        if key.startswith(PROBES):
            return
        with path.open("rb") as file:
            if file.read(len(ENCRYPTED_PARQUET)) != ENCRYPTED_PARQUET or not key_name_in(key):
                raise _plain(key)

    def _decrypted(self, key: str, stored: bytes) -> bytes:
        """Returns the bytes that were written; raises IntegrityError for what somebody without the keys wrote."""
        try:
            record = _DECODER.decode(stored)
        except (msgspec.DecodeError, UnicodeDecodeError):
            record = None
        if record is None or record.format != FORMAT:
            raise IntegrityError(
                f"{key} is not encrypted: somebody wrote it who has no key",
                remedy="Find out who, and remove it, or restore the file from a copy of the storage.",
            )
        return self._vault.open(key, record.encrypted)


def _is_whole(key: str) -> bool:
    """Tells whether all of a record is encrypted."""
    return not (key.startswith((*_READABLE, *_PARTLY)) or key.endswith(".parquet"))


def _plain(key: str) -> StoreError:
    return StoreError(
        f"{key} was not encrypted, and is not stored: this is a fault of entra-pipeline",
        remedy="Report it with this message; nothing was written in plain.",
    )
