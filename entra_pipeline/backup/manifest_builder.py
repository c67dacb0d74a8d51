"""Builds the manifest of a recovery point from the tables that are written, and commits it.

What belongs here: what a manifest says. What does not: reading the tables (`run`), and the commit on storage, which
makes the point visible (`store.commit.commit`).
"""

from __future__ import annotations

import platform
from collections.abc import Collection, Mapping
from datetime import datetime

import msgspec

import entra_pipeline
from entra_pipeline.backup.rows.entries import carried, known
from entra_pipeline.catalogue import table_names
from entra_pipeline.clock import Clock, iso, parse_iso, system_clock
from entra_pipeline.errors import GraphError, GraphPermissionDenied, NotInStore
from entra_pipeline.graph import RequestStats
from entra_pipeline.project import Scope
from entra_pipeline.store.commit import commit
from entra_pipeline.store.manifest import Gap, Manifest, TableEntry
from entra_pipeline.store.recovery_points import ScopeStore

_NOT_REQUESTED = "not requested in this run"
_CHANGED = (
    "files of the point before were changed or are missing in the store: read as for the first time, and not compared"
)


class CommitContext(msgspec.Struct, frozen=True, kw_only=True):
    """What a commit needs besides the tables; staged with them, so that another process can commit.

    Attributes:
        started: When the run started, RFC 3339.
        tenant_id: Id of the tenant that was read.
        parent: The recovery point that the run builds on; empty for the first.
        types: Object types of the scope.
        selection: Resolved ids of chosen users and groups.
        taken_for: What the recovery point is taken for.
        disbelieved: Tables that were read as if for the first time: the parent's files are not what it says of them.
    """

    started: str
    tenant_id: str
    parent: str
    types: list[str]
    selection: dict[str, list[str]]
    taken_for: str = ""
    disbelieved: list[str] = []


# What readies the type for `msgspec.convert`, too: see CONTRIBUTING.md.
_CONTEXT_DECODER = msgspec.json.Decoder(CommitContext)


def commit_point(
    scope: Scope, store: ScopeStore, point: str, context: CommitContext, entries: Mapping[str, TableEntry], clock: Clock
) -> Manifest:
    """Writes the manifest of a point whose tables are written; tables that were not requested are carried.

    A carried table keeps the gaps of the parent.

    Raises:
        RecoveryPointRefused: The point exists, or its parent is no longer the latest.
        IntegrityError: A file is absent or differs.
        ScopeBusy: The lock was lost to another backup.
    """
    parent = store.manifest(context.parent) if context.parent else None
    now = iso(clock())
    tables = {
        table: entries.get(table)
        or carried(known(parent, table), table, RequestStats(), now, gaps=_gaps(parent, table), notes=(_NOT_REQUESTED,))
        for table in table_names(context.types)
    }
    for table in set(context.disbelieved).intersection(tables):
        tables[table] = msgspec.structs.replace(tables[table], notes=(*tables[table].notes, _CHANGED))
    tables = {
        name: entry if known(parent, name) and name not in context.disbelieved else entry.as_baseline()
        for name, entry in tables.items()
    }
    full = parent is None or _is_full(tables.values())
    good = not any(entry.gaps for entry in tables.values())
    manifest = Manifest(
        tool=tool(),
        scope=scope.name,
        tenant_id=context.tenant_id,
        recovery_point=point,
        kind="full" if full else "incremental",
        taken_for=str(context.taken_for),
        status="finished" if good else "finished with exception",
        started=context.started,
        finished=now,
        parent=context.parent,
        last_full=point if full else parent.last_full if parent else "",
        last_good=point if good else parent.last_good if parent else "",
        tables=tables,
        selection=context.selection,
    )
    return commit(store, manifest)


def _gaps(manifest: Manifest | None, table: str) -> tuple[Gap, ...]:
    entry = manifest.tables.get(table) if manifest else None
    return entry.gaps if entry else ()


def _is_full(entries: Collection[TableEntry]) -> bool:
    """Whether everything was read in full, but for what Graph refused or does not offer."""
    refused = {"carried", "never"}
    return any(entry.read == "full" for entry in entries) and all(
        entry.read == "full" or (entry.read in refused and entry.notes != (_NOT_REQUESTED,)) for entry in entries
    )


def commit_staged(scope: Scope, store: ScopeStore, point: str, clock: Clock = system_clock) -> Manifest:
    """Commits what earlier steps staged for a point.

    Raises:
        NotInStore: Nothing is staged.
        And what `commit_point` raises.
    """
    staged = store.staging.run(point)
    if staged is None:
        raise NotInStore(
            f"nothing has been read for recovery point {point} of scope {scope.name!r}",
            remedy="Materialise the snapshots of the same partition first.",
        )
    return commit_point(scope, store, point, msgspec.convert(staged, CommitContext), store.staging.tables(point), clock)


def staged_since(store: ScopeStore, point: str) -> datetime | None:
    """Returns when the first read began of what is staged for a point, by whichever try; None without any."""
    run = store.staging.run(point)
    if run is None:
        return None
    entries = store.staging.tables(point).values()
    return min(map(parse_iso, [msgspec.convert(run, CommitContext).started, *(entry.started for entry in entries)]))


def tool() -> str:
    """What writes manifests, with its version."""
    return f"entra-pipeline {entra_pipeline.__version__} (Python {platform.python_version()})"


def permission_gap(what: str, error: GraphError, permission: str, since: str = "") -> Gap:
    """The gap that a refusal leaves: what is missing, Graph's words, the permission to grant, and what stands in."""
    return Gap(
        what=what,
        reason=error.message,
        remedy=f"Grant the application permission {permission} to the app registration and consent to it as an "
        "administrator; if it is granted, the tenant may lack the licence.",
        since=since,
        permission=permission if isinstance(error, GraphPermissionDenied) else "",
    )
