"""Retention holds: scopes and recovery points that retention leaves alone until somebody releases them.

What belongs here: holds, who set them and why. What does not: what retention does with what is not held (`retention`).
A hold is a file of its own, since a manifest never changes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from entra_pipeline.clock import iso
from entra_pipeline.errors import IntegrityError, NotInStore, UsageError
from entra_pipeline.store.backends import LockHandle
from entra_pipeline.store.manifest import canonical
from entra_pipeline.store.recovery_points import ScopeStore

# No recovery point has this key.
_SCOPE = "_scope"


class RetentionHold(msgspec.Struct, frozen=True, kw_only=True):
    """A hold.

    Attributes:
        recovery_point: What is held; empty for the whole scope.
        reason: Why.
        by: Who or what set it.
        since: When, RFC 3339.
    """

    recovery_point: str
    reason: str
    by: str
    since: str


_RETENTION_HOLD_DECODER = msgspec.json.Decoder(RetentionHold)


def retention_holds(store: ScopeStore) -> dict[str, RetentionHold]:
    """Reads the holds of a scope, by recovery point; that of the whole scope has an empty name.

    Raises:
        IntegrityError: One cannot be read, so that nobody knows what is held.
    """
    held = {}
    for file in store.files.list(f"_holds/{store.scope}/"):
        try:
            one = _RETENTION_HOLD_DECODER.decode(store.files.read(file.key))
        except msgspec.DecodeError as error:
            raise IntegrityError(f"{file.key} cannot be read: {error}", remedy="Set the hold again.") from None
        held[one.recovery_point] = one
    return held


def hold(store: ScopeStore, point: str = "", *, reason: str, by: str) -> RetentionHold:
    """Keeps a recovery point, or the whole scope when none is named, from retention; replaces a hold that is there.

    Raises:
        NotInStore: There is no such point.
        UsageError: The reason is empty.
        ScopeBusy: Retention is forgetting points of the scope at this moment.
    """
    if not reason.strip():
        raise UsageError("a hold needs a reason", remedy="State the reason, so that others know when to release it.")
    one = RetentionHold(recovery_point=point, reason=reason.strip(), by=by, since=iso(store.clock()))
    with holds_settled(store):
        if point:
            store.manifest_bytes(point)
        store.files.replace(_key(store, point), canonical(one))
    return one


def release(store: ScopeStore, point: str = "") -> RetentionHold:
    """Removes a hold, and returns it.

    Raises:
        NotInStore: There is none.
        ScopeBusy: Retention is forgetting points of the scope at this moment.
    """
    with holds_settled(store):
        held = retention_holds(store)
        if point not in held:
            what = f"recovery point {point} of scope" if point else "scope"
            raise NotInStore(f"{what} {store.scope!r} is not held", remedy=f"Run: entra-pipeline hold {store.scope}")
        store.files.delete([_key(store, point)])
    return held[point]


@contextmanager
def holds_settled(store: ScopeStore) -> Iterator[LockHandle]:
    """Keeps holds from being set or released while the block lasts."""
    # No scope has a dot in its name.
    with store.files.lock(f"_locks/{store.scope}.holds", f"the holds of scope {store.scope!r}", store.clock) as lock:
        yield lock


def _key(store: ScopeStore, point: str) -> str:
    return f"_holds/{store.scope}/{point or _SCOPE}.json"
