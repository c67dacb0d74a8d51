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
from entra_pipeline.store.backends.signing.envelope import BadSignature
from entra_pipeline.store.manifest import canonical, decode_record, sha256
from entra_pipeline.store.points.head import NEW_HEAD, holds_key, read_hold_list, write_hold_list
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

    Where records are signed, a hold that cannot be verified still holds what its file is named after, and so does one
    whose file is gone and that nobody has released.

    Raises:
        IntegrityError: One cannot be read, or the list of them is missing, so that nobody knows what is held.
    """
    held = {}
    for file in store.files.list(_folder(store)):
        try:
            one = decode_record(
                store.files.read(file.key), file.key, _RETENTION_HOLD_DECODER, remedy="Set the hold again."
            )
        except BadSignature as error:
            one = _doubtful(_name(file.key), error.message)
        held[one.recovery_point] = one
    for name in _listed(store):
        point = _point(name)
        if point not in held:
            held[point] = _doubtful(name, f"{_folder(store)}{name}.json was removed, and nobody has released the hold")
    return held


def hold_problems(store: ScopeStore) -> list[str]:
    """Verifies the holds and compares them with their list, where records are signed; returns what differs."""
    # Between the list and the hold itself somebody may be setting one: what differs is looked at again.
    return _hold_problems(store) and _hold_problems(store)


def _hold_problems(store: ScopeStore) -> list[str]:
    try:
        listed = _listed(store)
    except IntegrityError as error:
        return [error.message]
    found = []
    keys = {_name(file.key): file.key for file in store.files.list(_folder(store))}
    for name in sorted({*listed, *keys}):
        key = f"{_folder(store)}{name}.json"
        try:
            digest = sha256(store.files.read(key))
        except NotInStore:
            found.append(f"{key} was removed, and nobody has released the hold")
        except BadSignature as error:
            found.append(error.message)
        else:
            if name not in listed:
                found.append(f"{key} was released, or never set: somebody put it there")
            elif listed[name] != digest:
                found.append(f"{key} is not the hold that was set last")
    return found


def stored_holds(store: ScopeStore) -> dict[str, str]:
    """Returns the holds that are there, by the names of their files without ending, with their SHA-256.

    Raises:
        IntegrityError: One cannot be verified.
    """
    keys = [file.key for file in store.files.list(_folder(store))]
    return {_name(key): sha256(store.files.read(key)) for key in keys}


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
    data = canonical(one)
    with holds_settled(store):
        if point:
            store.manifest_bytes(point)
        if store.files.signed:
            write_hold_list(store.files, store.scope, {**_listed(store), point or _SCOPE: sha256(data)})
        store.files.replace(_key(store, point), data)
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
        if store.files.signed:
            listed = {name: digest for name, digest in _listed(store).items() if name != (point or _SCOPE)}
            write_hold_list(store.files, store.scope, listed)
    return held[point]


@contextmanager
def holds_settled(store: ScopeStore) -> Iterator[LockHandle]:
    """Keeps holds from being set or released while the block lasts."""
    # No scope has a dot in its name.
    with store.files.lock(f"_locks/{store.scope}.holds", f"the holds of scope {store.scope!r}", store.clock) as lock:
        yield lock


def _listed(store: ScopeStore) -> dict[str, str]:
    """Returns the holds that the signed list has; none where records are not signed."""
    if not store.files.signed:
        return {}
    found = read_hold_list(store.files, store.scope)
    if found is None and store.points():
        raise IntegrityError(
            f"{holds_key(store.scope)} is missing, so that nobody knows what is held in scope {store.scope!r}",
            remedy=NEW_HEAD,
        )
    return found.holds if found else {}


def _doubtful(name: str, why: str) -> RetentionHold:
    return RetentionHold(recovery_point=_point(name), reason=why, by="", since="")


def _point(name: str) -> str:
    return "" if name == _SCOPE else name


def _name(key: str) -> str:
    return key.rpartition("/")[2].removesuffix(".json")


def _folder(store: ScopeStore) -> str:
    return f"_holds/{store.scope}/"


def _key(store: ScopeStore, point: str) -> str:
    return f"{_folder(store)}{point or _SCOPE}.json"
