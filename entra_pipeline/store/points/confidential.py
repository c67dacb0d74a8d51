"""What of a manifest is encrypted where the store is, and what stays readable for retention and `verify` of hashes.

What belongs here: which members may name people. What does not: how bytes are encrypted (`backends.encryption`), and
the shape of a manifest (`manifest`).

The members are encrypted as one, in the member `encrypted`. In their place stands nothing; of gaps, as many as there
are, so that who has no key still sees that something is missing.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

import msgspec
import pyarrow.parquet as pq

from entra_pipeline.errors import IntegrityError, StoreError
from entra_pipeline.store.backends import ObjectStore
from entra_pipeline.store.backends.encryption.names import key_name_in
from entra_pipeline.store.manifest import Gap, Manifest, TableEntry, canonical

if TYPE_CHECKING:
    import pyarrow as pa

    from entra_pipeline.store.backends.encryption.vault import Vault
_HIDDEN = Gap(what="encrypted", reason="this machine does not have the key of the storage")


class _Entry(msgspec.Struct, frozen=True, kw_only=True):
    """What is encrypted of an entry, or of a day of a log: members as there."""

    delta_link: str = ""
    gaps: tuple[Gap, ...] = ()
    notes: tuple[str, ...] = ()
    misfits: dict[str, int] = {}


class _Members(msgspec.Struct, frozen=True, kw_only=True):
    """What is encrypted of a recovery point: members as there."""

    selection: dict[str, list[str]]
    tables: dict[str, _Entry]


class _Day(Protocol):
    """What is encrypted of a day of a log, and where."""

    @property
    def gaps(self) -> tuple[Gap, ...]: ...
    @property
    def notes(self) -> tuple[str, ...]: ...
    @property
    def misfits(self) -> dict[str, int]: ...
    @property
    def encrypted(self) -> str | msgspec.UnsetType: ...


_D = TypeVar("_D", bound=_Day)
_MEMBERS_DECODER, _DAY_DECODER = msgspec.json.Decoder(_Members), msgspec.json.Decoder(_Entry)
_DAMAGED = "Restore the file from a copy of the storage."


def concealed(files: ObjectStore, key: str, manifest: Manifest) -> Manifest:
    """Returns the manifest as it is stored: in an encrypted store, what may name people is encrypted.

    Args:
        files: The store's place.
        key: The manifest's key.
        manifest: The point.
    """
    if files.vault is None:
        return manifest
    members = _Members(
        selection=manifest.selection, tables={name: _entry_of(entry) for name, entry in manifest.tables.items()}
    )
    tables = {
        name: msgspec.structs.replace(entry, delta_link="", gaps=_hidden(entry.gaps), notes=(), misfits={})
        for name, entry in manifest.tables.items()
    }
    encrypted = files.vault.seal(key, canonical(members))
    return msgspec.structs.replace(manifest, selection={}, tables=tables, encrypted=encrypted)


def revealed(files: ObjectStore, key: str, manifest: Manifest) -> Manifest:
    """Returns the manifest as it was before `concealed`; as it is stored where this machine has no key.

    Raises:
        IntegrityError: What is encrypted was changed.
    """
    if files.vault is None or not isinstance(manifest.encrypted, str):
        return manifest
    try:
        members = _MEMBERS_DECODER.decode(files.vault.open(key, manifest.encrypted))
        tables = {name: _with(entry, members.tables[name]) for name, entry in manifest.tables.items()}
    except (msgspec.DecodeError, KeyError) as error:
        raise IntegrityError(f"{key} cannot be read: {error}", remedy=_DAMAGED) from error
    return msgspec.structs.replace(manifest, selection=members.selection, tables=tables)


def concealed_day(files: ObjectStore, key: str, day: _D) -> _D:
    """Returns a day of a log as it is stored; as `concealed`."""
    if files.vault is None:
        return day
    kept = _Entry(gaps=tuple(day.gaps), notes=tuple(day.notes), misfits=day.misfits)
    encrypted = files.vault.seal(key, canonical(kept))
    return msgspec.structs.replace(day, gaps=_hidden(day.gaps), notes=(), misfits={}, encrypted=encrypted)  # type: ignore[type-var]  # a Struct, too


def revealed_day(files: ObjectStore, key: str, day: _D) -> _D:
    """Returns a day of a log as it was before `concealed_day`; as `revealed`."""
    if files.vault is None or not isinstance(day.encrypted, str):
        return day
    try:
        kept = _DAY_DECODER.decode(files.vault.open(key, day.encrypted))
    except msgspec.DecodeError as error:
        raise IntegrityError(f"{key} cannot be read: {error}", remedy=_DAMAGED) from error
    return msgspec.structs.replace(day, gaps=kept.gaps, notes=kept.notes, misfits=kept.misfits)  # type: ignore[type-var]  # a Struct, too


def encrypted_part(files: ObjectStore, key: str, path: Path, *, by_person: bool = False) -> str:
    """Encrypts a local Parquet file where the store is encrypted; returns the key under which it is stored.

    Args:
        files: The store's place.
        key: The key that a file has which is not encrypted.
        path: The file; it is replaced.
        by_person: The values of persons in it are encrypted with their own keys.
    """
    if files.vault is None:
        return key
    files.vault.encrypt(path)
    return files.vault.parquet_name(key, by_person=by_person)


def read_parquet(files: ObjectStore, key: str, data: bytes, columns: Sequence[str] = ()) -> pa.Table:
    """Reads a Parquet file of the store, encrypted or not.

    Args:
        files: The store's place.
        key: The file's key.
        data: Its bytes.
        columns: Columns to read; all when empty.

    Raises:
        IntegrityError: It is encrypted, and was changed.
        StoreError: It is encrypted, and this machine has no key.
    """
    if key_name_in(key):
        return require_vault(files, key).read(key, data, columns)
    return pq.read_table(io.BytesIO(data), columns=[*columns] or None)


def require_vault(files: ObjectStore, key: str) -> Vault:
    """Returns what decrypts a file; raises StoreError when this machine has no key."""
    if files.vault is None:
        raise StoreError(
            f"{key} is encrypted, and this machine has no key for it",
            remedy="Set encryption in the storage profile, as on the machine that runs the backups.",
        )
    return files.vault


def _entry_of(entry: TableEntry) -> _Entry:
    return _Entry(delta_link=entry.delta_link, gaps=entry.gaps, notes=entry.notes, misfits=entry.misfits)


def _with(entry: TableEntry, kept: _Entry) -> TableEntry:
    return msgspec.structs.replace(
        entry, delta_link=kept.delta_link, gaps=kept.gaps, notes=kept.notes, misfits=kept.misfits
    )


def _hidden(gaps: Sequence[Gap]) -> tuple[Gap, ...]:
    return (_HIDDEN,) * len(gaps)
