"""What a scope should have, in two signed records: its newest recovery point and prune record, and its holds.

A chain does not tell that its last links were taken off, and nothing tells of a hold that was removed. Where records
are signed, these two do: the head is replaced after each commit and prune record, and so may be one behind; the list of
holds before a hold is set and after it was released.

What belongs here: their shape, reading and writing them. What does not: what differs from them (`store.verify`,
`retention.holds`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from typing import Any

import msgspec

from entra_pipeline.errors import AlreadyExists, IntegrityError, NotInStore, StoreError
from entra_pipeline.store.backends import ObjectStore
from entra_pipeline.store.manifest import canonical, decode_record

HEADS = "_heads/"
_POINTS = "/points.json"
_AUDIT_HEAD = "_audit/head.json"


class ScopeHead(msgspec.Struct, frozen=True, kw_only=True):
    """How far a scope was when its head was written.

    Attributes:
        scope: Name of the scope.
        recovery_point: The newest recovery point; empty before the first.
        sha256: SHA-256 of its manifest.
        pruned: Number of the newest prune record; 0 before the first.
        pruned_sha256: SHA-256 of that record.
        audit: Number of an event at the end of the storage's audit log; 0 before the first.
        audit_sha256: SHA-256 of that event.
        lost: Recovery points that the head named before and that were gone when it was written anew, with the SHA-256
            of their manifests; an empty name when the head itself was gone.
        format, version: Of this file.
    """

    scope: str
    recovery_point: str = ""
    sha256: str = ""
    pruned: int = 0
    pruned_sha256: str = ""
    audit: int = 0
    audit_sha256: str = ""
    lost: dict[str, str] = {}
    format: str = "entra-pipeline/scope-head"
    version: int = 1


class HoldList(msgspec.Struct, frozen=True, kw_only=True):
    """The holds of a scope.

    Attributes:
        scope: Name of the scope.
        holds: Name of the hold's file without its ending → SHA-256 of the hold.
        format, version: Of this file.
    """

    scope: str
    holds: dict[str, str] = {}
    format: str = "entra-pipeline/hold-list"
    version: int = 1


_SCOPE_HEAD_DECODER = msgspec.json.Decoder(ScopeHead)
_HOLD_LIST_DECODER = msgspec.json.Decoder(HoldList)
_OBJECT = msgspec.json.Decoder(dict[str, Any])


def head_key(scope: str) -> str:
    """Returns where the head of a scope is."""
    return f"{HEADS}{scope}{_POINTS}"


def holds_key(scope: str) -> str:
    """Returns where the list of a scope's holds is."""
    return f"{HEADS}{scope}/holds.json"


def read_head(files: ObjectStore, scope: str) -> ScopeHead | None:
    """Reads the head of a scope; None when there is none. Raises IntegrityError for one that nobody signed."""
    try:
        return decode_record(files.read(head_key(scope)), head_key(scope), _SCOPE_HEAD_DECODER, remedy=NEW_HEAD)
    except NotInStore:
        return None


def all_heads(files: ObjectStore) -> list[ScopeHead]:
    """Reads the heads of all scopes that can be read."""
    scopes = [file.key.split("/")[1] for file in files.list(HEADS) if file.key.endswith(_POINTS)]
    found = []
    for scope in scopes:
        with suppress(IntegrityError):
            found.append(read_head(files, scope))
    return [head for head in found if head is not None]


def read_hold_list(files: ObjectStore, scope: str) -> HoldList | None:
    """Reads the list of a scope's holds; None when there is none. Raises IntegrityError as `read_head`."""
    try:
        return decode_record(files.read(holds_key(scope)), holds_key(scope), _HOLD_LIST_DECODER, remedy=NEW_HEAD)
    except NotInStore:
        return None


def write_hold_list(files: ObjectStore, scope: str, holds: Mapping[str, str]) -> None:
    """Replaces the list of a scope's holds; the caller keeps others from setting one."""
    files.replace(holds_key(scope), canonical(HoldList(scope=scope, holds=dict(holds))))


def start_head(files: ObjectStore, scope: str) -> None:
    """Writes the head and the list of holds of a scope before its first recovery point, where records are signed."""
    if files.signed:
        for key, value in ((head_key(scope), ScopeHead(scope=scope)), (holds_key(scope), HoldList(scope=scope))):
            with suppress(AlreadyExists):
                files.create(key, canonical(value))


def write_head(files: ObjectStore, head: ScopeHead) -> None:
    """Replaces a head; the caller holds the scope."""
    files.replace(head_key(head.scope), canonical(msgspec.structs.replace(head, **_audit(files))))


def move_head(
    files: ObjectStore,
    scope: str,
    point: str,
    sha256: str,
    *,
    present: Collection[str],
    pruned: Callable[[], Collection[str]],
) -> None:
    """Moves the head of a scope to a new recovery point, where records are signed.

    What the head named and is gone is remembered: after this commit nothing else would tell of it.

    Args:
        files: The place.
        scope: Name of the scope, which the caller holds.
        point: The new point.
        sha256: SHA-256 of its manifest.
        present: All points that there are.
        pruned: Gives the points that prune records tell of.
    """
    if not files.signed:
        return
    try:
        before = read_head(files, scope)
    except IntegrityError:
        before = None
    head = before or ScopeHead(scope=scope, lost={"": ""})
    lost = dict(head.lost)
    if head.recovery_point and head.recovery_point not in present and head.recovery_point not in pruned():
        lost[head.recovery_point] = head.sha256
    write_head(files, msgspec.structs.replace(head, recovery_point=point, sha256=sha256, lost=lost))


def note_pruned(files: ObjectStore, scope: str, number: int, sha256: str) -> None:
    """Tells the head of a scope of a new prune record, where records are signed; the caller holds the scope."""
    head = read_head(files, scope) if files.signed else None
    if head is not None:
        write_head(files, msgspec.structs.replace(head, pruned=number, pruned_sha256=sha256))


def _audit(files: ObjectStore) -> dict[str, Any]:
    """Returns how far the audit log of the storage is, as members of the head; nothing when it cannot be told."""
    try:
        told = _OBJECT.decode(files.read(_AUDIT_HEAD))
        return {"audit": int(told["number"]), "audit_sha256": str(told["sha256"])}
    except (StoreError, msgspec.DecodeError, KeyError, ValueError):
        return {}


NEW_HEAD = "Find out what is missing; entra-pipeline storage sign NAME --adopt writes it anew, of what is there then."
