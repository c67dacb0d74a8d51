"""What a recovery point says about itself.

What belongs here: the shape of a manifest, its canonical bytes, its seal. What does not: where manifests are kept and
when they become visible (`recovery_points`). The format is public: docs/storage-format.md.
"""

from __future__ import annotations

import hashlib
from enum import StrEnum
from typing import Literal, TypeVar

import msgspec

from entra_pipeline.errors import IntegrityError

FORMAT = "entra-pipeline/recovery-point"
VERSION = 2
NOT_IN_TENANT = "not in this tenant"
"""How the note of a table begins that the tenant has nothing of, because it lacks the licence."""

TableKind = Literal["objects", "edges"]
ReadMode = Literal["full", "incremental", "unchanged", "synthetic full", "carried", "never"]


class TakenFor(StrEnum):
    """What a recovery point was taken for. Later releases may know more: a reader takes any text."""

    SCHEDULE = "schedule"
    BY_HAND = "by hand"
    REPAIR = "repair"
    COMPARISON = "comparison"
    """Of the live tenant with another point."""
    PLAN = "restore plan"
    """The tenant as a restore's plan sees it, a dry run's too."""
    UNDO = "undo point"
    """The tenant before a restore's first write."""
    READ_BACK = "read-back"
    """The tenant after a restore."""
    DRILL = "drill"


IN_PASSING = frozenset({TakenFor.COMPARISON, TakenFor.PLAN, TakenFor.UNDO, TakenFor.READ_BACK})
"""What comparisons and restores take for themselves: often of a tenant that somebody has just damaged."""


class Gap(msgspec.Struct, frozen=True, kw_only=True):
    """Something that the recovery point does not have.

    Attributes:
        what: What is missing, for example `group_members of Sales`.
        reason: Why.
        remedy: What to do about it; may be empty.
        since: The recovery point whose data is shown instead; empty when nothing is.
        permission: The application permission that Graph refused for want of, or of its licence; reading again is of
            no use until somebody grants it. Empty for any other reason.
        object: Id of the object, or of the owner of edges or child objects, that it is about: the next backup reads it
            again by itself. Empty when it is about more than one, or about one that nobody can name.
    """

    what: str
    reason: str
    remedy: str = ""
    since: str = ""
    permission: str = ""
    object: str = ""

    @property
    def transient(self) -> bool:
        """Whether reading again may close it without anybody's help."""
        return not self.permission


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """A Parquet file.

    Attributes:
        key: Where it is, from the root of the store.
        rows: Rows in it.
        bytes: Its size.
        sha256: SHA-256 of its bytes, in hexadecimal.
        recovery_point: The point that wrote it.
        role: `base` holds the whole state of its moment, `changes` what differs from the parts before it.
    """

    key: str
    rows: int
    bytes: int
    sha256: str
    recovery_point: str
    role: Literal["base", "changes"]


class TableEntry(msgspec.Struct, frozen=True, kw_only=True):
    """An object type or relation at a recovery point.

    Attributes:
        table: Its name.
        kind: `objects` are keyed by `id`, `edges` by `source_id` and `target_id`.
        read: How it came about.
        parts: Its files; the state is the base, then the changes in this order, the last row of a key winning.
        live: Rows of the state.
        baseline: Rows of a table that the parent does not have, or never read: they were there before, nobody knows
            since when. None of them is added, changed or deleted.
        added: Rows that the parent's state does not have.
        changed: Rows that differ from the parent's state.
        deleted: Rows that only the parent's state has.
        reported: What Graph's `$count` said; None when it was not asked.
        delta_link: Where the next incremental read starts; empty when the next read is full.
        delta_minted: When Graph gave the delta link, RFC 3339.
        signature: Hash of the query and the selection; when it changes, the delta link is worth nothing.
        started: First request, RFC 3339.
        finished: Last request, RFC 3339.
        listed: When the last read began that read everything, RFC 3339; later ones read what had changed.
        owners: Owners whose rows were read to the end, where the table is read owner by owner.
        compared: Owners whose rows were compared with what Graph shows or counts of them elsewhere.
        pages: Pages of collections read, each to the next until Graph named none.
        requests: HTTP requests sent to Graph; a `$batch` counts as one.
        items: Requests inside batches.
        resource_units: What they cost (Graph doc: throttling-limits, identity and access).
        retries: Requests that had to be repeated.
        throttled: Requests answered with 429.
        bytes_read: Bytes of response bodies.
        misfits: Values that did not fit their column and are only in `_raw`, by column.
        gaps: What is missing.
        notes: What a person should know.
        follows: The base was made of stored files: the changes behind it say all that differs from the parent's state.
    """

    table: str
    kind: TableKind
    read: ReadMode
    parts: tuple[Part, ...]
    live: int
    baseline: int = 0
    added: int
    changed: int
    deleted: int
    reported: int | None
    delta_link: str = ""
    delta_minted: str = ""
    signature: str = ""
    started: str
    finished: str
    listed: str = ""
    owners: int = 0
    compared: int = 0
    pages: int = 0
    requests: int
    items: int = 0
    resource_units: int
    retries: int
    throttled: int
    bytes_read: int
    misfits: dict[str, int]
    gaps: tuple[Gap, ...]
    notes: tuple[str, ...]
    follows: bool = False

    def as_baseline(self) -> TableEntry:
        """Returns the entry of a table that is read for the first time: all of its rows are its baseline."""
        return msgspec.structs.replace(self, baseline=self.live, added=0, changed=0, deleted=0)


TABLE_ENTRY_DECODER = msgspec.json.Decoder(TableEntry)


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """A recovery point.

    Attributes:
        format: Says what the file is.
        version: Version of the format; a reader refuses one that it does not know.
        tool: What wrote it, with its version.
        scope: Name of the scope.
        tenant_id: Id of the tenant.
        recovery_point: Its key.
        kind: How it came about.
        taken_for: What it was taken for (`TakenFor`); empty when an older release took it.
        status: `finished` is complete and proven; `finished with exception` has gaps.
        started: When the run started, RFC 3339.
        finished: When it was done reading, RFC 3339.
        parent: The recovery point before it; empty for the first.
        parent_sha256: SHA-256 of the bytes of the parent's manifest; empty for the first.
        last_full: The newest full recovery point up to this one, itself included.
        last_good: The newest one up to this one, itself included, that finished without exception; empty when none did.
            None where an earlier release wrote the manifest, and did not tell.
        tables: Every object type and relation of the scope.
        selection: Resolved ids of chosen users and groups; empty when everything is protected.
        locked_until: Until when Object Lock keeps all of its files at the least, RFC 3339; empty when it does not.
        seal: SHA-256 of the manifest's own bytes with an empty seal.
        encrypted: Where the store is encrypted: what of it may name people (`confidential`).
    """

    format: str = FORMAT
    version: int = VERSION
    tool: str
    scope: str
    tenant_id: str
    recovery_point: str
    kind: Literal["full", "incremental", "synthetic full"]
    taken_for: str = ""
    status: Literal["finished", "finished with exception"]
    started: str
    finished: str
    parent: str = ""
    parent_sha256: str = ""
    last_full: str = ""
    last_good: str | None = None
    tables: dict[str, TableEntry]
    selection: dict[str, list[str]]
    locked_until: str = ""
    seal: str = ""
    encrypted: str | msgspec.UnsetType = msgspec.UNSET

    def older(self) -> dict[str, str]:
        """Returns the tables that were carried over from an earlier point, with when they were read.

        RFC 3339; a point that is named by this moment is the one that read them.
        """
        return {name: entry.finished for name, entry in self.tables.items() if entry.read == "carried"}

    def named(self) -> set[str]:
        """Returns the keys of the files that make up its tables."""
        return {part.key for entry in self.tables.values() for part in entry.parts}


MANIFEST_DECODER = msgspec.json.Decoder(Manifest)


_S = TypeVar("_S", bound=msgspec.Struct)


def canonical(value: msgspec.Struct | dict[str, object]) -> bytes:
    """Encodes as canonical JSON: members sorted by name, no white space, UTF-8, a newline at the end."""
    return msgspec.json.encode(value, order="sorted") + b"\n"


def sha256(data: bytes) -> str:
    """Returns the SHA-256 in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def seal(value: _S) -> _S:
    """Returns a manifest of any kind, with its seal (the member `seal`)."""
    return msgspec.structs.replace(value, seal=sha256(canonical(msgspec.structs.replace(value, seal=""))))


def decode(data: bytes, source: str) -> Manifest:
    """Returns the manifest in the bytes of a file.

    Args:
        data: The file.
        source: Its name, for messages.

    Raises:
        IntegrityError: Not a manifest, one of a later version, or not the bytes that were sealed.
    """
    manifest = decode_sealed(data, source, MANIFEST_DECODER, format=FORMAT, version=VERSION)
    if manifest.version == 1 and not manifest.parent:
        # Version 1 counted the rows of the first point as added.
        first = {name: entry.as_baseline() for name, entry in manifest.tables.items()}
        return msgspec.structs.replace(manifest, tables=first)
    return manifest


def decode_record(data: bytes, source: str, decoder: msgspec.json.Decoder[_S], *, remedy: str) -> _S:
    """Decodes a record without a seal. Where its kind has a format and a version, they are checked.

    Args:
        data: The file.
        source: Its name, for messages.
        decoder: Of its kind.
        remedy: What to do when it is damaged.

    Raises:
        IntegrityError: It is none of its kind, or of a later version.
    """
    own = {field.name: field.default for field in msgspec.structs.fields(decoder.type)}
    try:
        if "format" in own:
            head = _FORMAT_DECODER.decode(data)
            _require_format(head, source, own["format"], own["version"], what="what belongs there", damaged=remedy)
        return decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise IntegrityError(f"{source} cannot be read: {error}", remedy=remedy) from error


def decode_sealed(data: bytes, source: str, decoder: msgspec.json.Decoder[_S], *, format: str, version: int) -> _S:  # noqa: A002
    """Decodes a sealed file of any kind that says its format and version; see `decode`."""
    damaged = "Restore the file from a copy of the storage; what is beside it can still be read."
    try:
        head = _HEAD_DECODER.decode(data)
        _require_format(head, source, format, version, what="a manifest", damaged=damaged)
        # The seal is checked on the bytes, not on what was understood of them: a later minor release may add members.
        unsealed = data.replace(f'"seal":"{head.seal}"'.encode(), b'"seal":""', 1)
        if sha256(unsealed) != head.seal and b',"signature":"' in data[-_SIGNATURE:]:
            raise IntegrityError(
                f"{source} is signed, and this machine has no key for it",
                remedy="Set signing of the storage in the configuration: public_keys to read, private_key to back up.",
            )
        if sha256(unsealed) != head.seal:
            raise IntegrityError(f"{source} was changed after it was written", remedy=damaged)
        return decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise IntegrityError(f"{source} cannot be read: {error}", remedy=damaged) from error


class _Format(msgspec.Struct, frozen=True):
    """The members that are read before the others are understood."""

    format: str
    version: int


class _Head(_Format, frozen=True):
    """The members that are read before the others are believed."""

    seal: str


def _require_format(head: _Format, source: str, name: str, version: int, *, what: str, damaged: str) -> None:
    """Checks that a file is of a kind (`what`), and not of a later version; raises IntegrityError."""
    if head.format != name:
        raise IntegrityError(f"{source} is not {what}: its format is {head.format!r}", remedy=damaged)
    if head.version > version:
        raise IntegrityError(
            f"{source} is in version {head.version} of the format; this release reads up to {version}",
            remedy="Use the release that wrote it, or a later one.",
        )


_FORMAT_DECODER = msgspec.json.Decoder(_Format)
_HEAD_DECODER = msgspec.json.Decoder(_Head)
# Longer than the signature of a record is (`backends.signing`).
_SIGNATURE = 160
