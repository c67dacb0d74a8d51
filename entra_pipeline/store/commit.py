"""The commit of a recovery point: the moment when it becomes visible (docs/storage-format.md).

1. The point has to be the next of its scope: its parent is the newest one, of the same tenant.
2. Every Parquet file that its manifest names is there, and those that it wrote itself have the bytes they should have.
3. Where there is Object Lock, the files are locked until the point's retention is over.
4. The index of the point is written. It counts for nothing without the manifest.
5. The manifest is created, on condition that its key is free. From now on the point exists.
6. Where records are signed, the head of the scope is moved to the point. What was staged is removed, and indexes are
   joined. A failure of this is only logged: the point stands.

Killed before step 5, nothing is visible; killed after it, nothing is missing.
"""

from __future__ import annotations

import logging
from datetime import datetime

import msgspec

from entra_pipeline.clock import iso, parse_iso
from entra_pipeline.errors import AlreadyExists, IntegrityError, NotInStore, RecoveryPointRefused, StoreError
from entra_pipeline.store.backends.encryption.names import key_name_in, record_of
from entra_pipeline.store.checksums import part_problem, size_problem
from entra_pipeline.store.manifest import Manifest, Part, canonical, seal, sha256
from entra_pipeline.store.object_lock import lock_end
from entra_pipeline.store.parallel import in_parallel
from entra_pipeline.store.points.confidential import concealed
from entra_pipeline.store.points.head import ScopeHead, move_head, start_head, write_head, write_hold_list
from entra_pipeline.store.points.index import IndexFile, chosen_files, join_indexes, write_index
from entra_pipeline.store.points.keys import moment_of, part_folders, refused
from entra_pipeline.store.recovery_points import ScopeStore
from entra_pipeline.store.retention.holds import holds_settled, stored_holds
from entra_pipeline.store.retention.prune_log import PruneRecords

_log = logging.getLogger(__name__)


def commit(store: ScopeStore, manifest: Manifest) -> Manifest:
    """Makes a recovery point visible: checks everything that it names, then creates its manifest.

    Args:
        store: The scope's store.
        manifest: The point; `parent_sha256` and `seal` are filled in here.

    Returns:
        The manifest as it was stored.

    Raises:
        RecoveryPointRefused: It exists, its parent is no longer the newest point, or its tenant is another.
        IntegrityError: A file that it names is absent or differs.
        ScopeBusy: The lock was lost; or, when this store does not hold it, somebody else does.
    """
    with store.held() as hold:
        manifest = _chained(store, manifest)
        _check_parts(store, manifest)
        end = _lock_end(store, manifest.recovery_point)
        locking = store.files.object_lock and end > store.clock()
        if locking:
            manifest = msgspec.structs.replace(manifest, locked_until=_lock_parts(store, manifest))
        stored = seal(concealed(store.files, store.manifest_key(manifest.recovery_point), manifest))
        data = canonical(stored)
        manifest = msgspec.structs.replace(manifest, seal=stored.seal, encrypted=stored.encrypted)
        write_index(store.files, manifest)
        if not manifest.parent:
            start_head(store.files, store.scope)
        hold.confirm()
        try:
            store.files.create(store.manifest_key(manifest.recovery_point), data, until=end if locking else None)
        except AlreadyExists:
            raise refused(store.scope, manifest.recovery_point, "was committed meanwhile") from None
        try:
            _move_head(store, manifest.recovery_point, data)
        except StoreError as error:
            # One behind; the next commit moves it.
            _log.warning("the head of scope %s was not moved: %s", store.scope, error.message)
        try:
            store.staging.forget(manifest.recovery_point)
        except StoreError as error:
            # The point stands; the next sweep removes them.
            _log.warning("staged entries of %s remain: %s", manifest.recovery_point, error.message)
        try:
            join_indexes(store.files, store.scope, store.indexes(), store.points())
        except StoreError as error:
            # Questions take longer until the next commit joins them.
            _log.warning("the indexes of scope %s were not joined: %s", store.scope, error.message)
    return manifest


def settle_heads(store: ScopeStore) -> None:
    """Writes the head and the list of holds of a scope anew, of what is there: nothing is missing any more.

    Raises:
        IntegrityError: The newest manifest, a prune record or a hold cannot be verified.
        ScopeBusy: A backup of the scope is running, or somebody sets a hold.
    """
    with store.held(), holds_settled(store):
        points, records = store.points(), PruneRecords(store.files, store.scope)
        number, digest = records.newest()
        newest = sha256(store.manifest_bytes(points[-1])) if points else ""
        head = ScopeHead(
            scope=store.scope,
            recovery_point=points[-1] if points else "",
            sha256=newest,
            pruned=number,
            pruned_sha256=digest,
        )
        write_head(store.files, head)
        write_hold_list(store.files, store.scope, stored_holds(store))


def _move_head(store: ScopeStore, point: str, data: bytes) -> None:
    pruned = PruneRecords(store.files, store.scope).points
    move_head(store.files, store.scope, point, sha256(data), present=store.points(), pruned=pruned)


def complete_index(store: ScopeStore) -> list[str]:
    """Writes the index of those recovery points that have none, and returns their keys.

    An older release wrote none; and whoever doubts an index may remove it.

    Raises:
        IntegrityError: The manifest of such a point is not what was written.
        NotInStore: A file that such a point names is not there.
    """
    present, points = store.indexes(), store.points()
    known = chosen_files(present, points)
    missing = [point for point in points if point not in known]
    if missing:
        written = in_parallel(lambda point: write_index(store.files, store.manifest(point)), missing)
        join_indexes(store.files, store.scope, [*present, *map(IndexFile.of, written)], points)
    return missing


def _chained(store: ScopeStore, manifest: Manifest) -> Manifest:
    """Returns the manifest with its parent's hash, if it is the next in the chain."""
    point = manifest.recovery_point
    if manifest.scope != store.scope:
        raise refused(store.scope, point, f"is one of scope {manifest.scope!r}")
    store.require_open(point)
    points = store.points()
    parent = points[-1] if points else ""
    if manifest.parent != parent:
        raise refused(
            store.scope,
            point,
            f"was made on top of {manifest.parent or 'nothing'}, but the newest is {parent or 'none'}",
        )
    if not parent:
        return msgspec.structs.replace(manifest, parent_sha256="")
    data = store.manifest_bytes(parent)
    tenant = store.decoded(parent, data).tenant_id
    if tenant != manifest.tenant_id:
        raise RecoveryPointRefused(
            f"scope {store.scope!r} holds recovery points of tenant {tenant}, this one is of {manifest.tenant_id}",
            remedy="Give every tenant a scope of its own.",
        )
    return msgspec.structs.replace(manifest, parent_sha256=sha256(data))


def _check_parts(store: ScopeStore, manifest: Manifest) -> None:
    parts = []
    for name, entry in manifest.tables.items():
        for part in entry.parts:
            if name != entry.table or not part.key.startswith(part_folders(store.scope, name, part.recovery_point)):
                raise IntegrityError(f"{part.key} does not belong to {name!r} of scope {store.scope!r}")
            parts.append(part)
    in_parallel(lambda part: _check_part(store, part, fresh=part.recovery_point == manifest.recovery_point), parts)


def _check_part(store: ScopeStore, part: Part, *, fresh: bool) -> None:
    try:
        problem = part_problem(store.files, part) if fresh else size_problem(store.files, part)
    except NotInStore:
        problem = "is not in the store"
    if problem:
        raise IntegrityError(
            f"{part.key} {problem}", remedy=f"Build on nothing: entra-pipeline backup {store.scope} --full"
        )


def _lock_parts(store: ScopeStore, manifest: Manifest) -> str:
    """Puts a point's files under Object Lock until its retention is over; returns the manifest's `locked_until`.

    Files are locked a little longer than they have to be, and the manifest says how long all of them are at the
    least. So a later point locks what is new, and what it takes over only once in a twelfth of the retention.
    They are locked now and not when they are written: what a run leaves that never ends can be swept.
    """
    needed = _lock_end(store, manifest.recovery_point)
    ahead = needed + (needed - moment_of(manifest.recovery_point)) / 12
    parent = store.manifest(manifest.parent) if manifest.parent else None
    if parent and (end := _lock_end(store, parent.recovery_point)) > store.clock():
        # Whoever wrote it may have been killed before it was locked.
        store.files.retain(store.manifest_key(parent.recovery_point), end)
    before = parse_iso(parent.locked_until) if parent and parent.locked_until else None
    keys, until = manifest.named(), ahead
    if parent and before and needed <= before <= ahead:
        keys, until = keys - parent.named(), before
    in_parallel(lambda key: store.files.retain(key, until), keys)
    # Without its data keys nobody can read a point.
    names = {name for key in manifest.named() if (name := key_name_in(key))}
    in_parallel(lambda name: store.files.retain(record_of(name), ahead), names)
    return iso(until)


def _lock_end(store: ScopeStore, point: str) -> datetime:
    """Returns until when Object Lock should keep a point."""
    return lock_end(store.retention, moment_of(point))
