"""The planner: what a restore would write, in which order, and what it would not; nothing is written.

What belongs here: the plan as a whole. What does not: what differs (`diff`), what is done about it (`rules`), what the
steps refer to (`resolver`), their order (`ordering`), how they are sent (`apply`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

import duckdb

from entra_pipeline.analysis.changes import reading
from entra_pipeline.analysis.names import names
from entra_pipeline.catalogue import CATALOGUE, RELATIONS
from entra_pipeline.errors import UsageError
from entra_pipeline.restore.objects.model import PlanRefusal, RestoreOptions, RestorePlan, RestoreSelection, RestoreStep
from entra_pipeline.restore.objects.selection import choose
from entra_pipeline.restore.plan.diff import Side, TenantDiff, compare
from entra_pipeline.restore.plan.estimate import seconds
from entra_pipeline.restore.plan.id_index import IdIndex
from entra_pipeline.restore.plan.ordering import ordered, wait_for_dependants
from entra_pipeline.restore.plan.protected_actions import mark_protected
from entra_pipeline.restore.plan.resolver import ReferenceResolver
from entra_pipeline.restore.plan.rules.drafts import ALL_STAGES, Draft, PlanDraft, place_of
from entra_pipeline.restore.plan.rules.extensions import leave_out
from entra_pipeline.restore.plan.rules.links import LinkRules
from entra_pipeline.restore.plan.rules.names import in_turn, wait_for_names
from entra_pipeline.restore.plan.rules.objects import ObjectRules
from entra_pipeline.restore.plan.rules.pim import with_links_that_go, without_more_access
from entra_pipeline.restore.plan.rules.preconditions import PreconditionRules
from entra_pipeline.restore.plan.rules.seats import SeatRules, gives_seats, without_seats
from entra_pipeline.restore.plan.rules.taken import TakenNameRules
from entra_pipeline.restore.plan.tenant_mapping import Unsupported
from entra_pipeline.restore.plan.undo import RestoreWrites
from entra_pipeline.restore.records.not_taken import NotTaken
from entra_pipeline.store.manifest import seal


class LiveTenant(NamedTuple):
    """The tenant to write to, as it is.

    Attributes:
        live: A recovery point that shows it as it is.
        tenant: Its name in the configuration.
        own: Ids and appIds of the app registrations (and their service principals) that the restore works with: what
            was added for them since is left alone.
        extensions: Names of the directory extensions that it takes; None when that is not known, and nothing is left
            out for it.
        untaken: What earlier restores could not set in it.
        protected: Its protected actions: name → id of the authentication context (`read_protected_actions`).
    """

    live: Side
    tenant: str
    own: frozenset[str] = frozenset()
    extensions: frozenset[str] | None = None
    untaken: NotTaken = {}
    protected: Mapping[str, str] = {}


def make_plan(
    job: str,
    created: str,
    point: Side,
    target: LiveTenant,
    *,
    selection: RestoreSelection | None = None,
    options: RestoreOptions | None = None,
    identity: Mapping[str, str] | None = None,
    unsupported: Mapping[str, Unsupported] | None = None,
    domains: Mapping[str, str] | None = None,
    undoing: RestoreWrites | None = None,
) -> RestorePlan:
    """Makes the plan that restores the selected part of a recovery point.

    The same recovery points, selection, options and identity give the same plan, apart from `id` and `created`.

    Args:
        job: Id of the plan.
        created: The time, RFC 3339.
        point: The recovery point to restore.
        target: The tenant to write to, as it is.
        selection: What to restore.
        options: How.
        identity: Id once → id now, of objects that came back under another id before (`id_map.lineage`).
        unsupported: Objects of the recovery point that the tenant cannot hold, by id (`map_to_tenant`).
        domains: Domains that have taken the place of others in the recovery point (`map_to_tenant`).
        undoing: What a restore has written: of its undo point, `point`, only that goes back. It is what is selected.

    Raises:
        UsageError: The selection cannot be understood.
        NotInStore: The recovery point has nothing of what is selected.
        StoreError: A file cannot be read.
    """
    selection, options = selection or RestoreSelection(), options or RestoreOptions()
    cross_tenant = point.manifest.tenant_id != target.live.manifest.tenant_id
    if cross_tenant:
        check_cross_tenant(options)
    chosen = (
        undoing.chosen()
        if undoing
        else choose(
            point.store,
            point.manifest,
            selection,
            live=(target.live.store, target.live.manifest) if options.delete_added else None,
        )
    )
    with reading(point.store, target.live.store) as connection:
        index = IdIndex(connection, point, target.live)
        known = undoing.known_before(identity or {}) if undoing else identity or {}
        moved = index.still(known)
        ended = {old: new for old, new in known.items() if old not in moved and not index.is_live(old)}
        by_name = options.taken == "match"
        comparison = compare(
            connection,
            point,
            target.live,
            chosen,
            moved,
            ended=ended,
            by_name=by_name,
            replacing=options.conflict == "overwrite",
        )
        changed: list[PlanRefusal] = []
        if undoing:
            others = _Unwritten(connection, target.live)
            changed = undoing.narrow(comparison, connection, point, target.live, own=target.own, unwritten=others)
        # What an undo takes back, the restore is known to have written.
        older = {} if undoing else point.manifest.older()
        plan = PlanDraft(
            comparison,
            options,
            target.own,
            cross_tenant=cross_tenant,
            unsupported=unsupported or {},
            now=created,
            older=older,
            untaken=_unasked(target.untaken, selection, comparison),
        )
        ObjectRules(plan).apply()
        LinkRules(plan).apply(_Names(connection, point, target.live), _Unwritten(connection, point))
        names = TakenNameRules(plan, connection, target.live)
        PreconditionRules(plan, names).apply()
        names.settle()
        while True:
            resolved = ReferenceResolver(plan, index)
            resolved.resolve()
            plan.drafts, more = without_more_access(connection, point, resolved.drafts)
            plan.refusals += more
            if target.extensions is not None:
                coming = _coming_apps(comparison, plan.drafts)
                plan.drafts, more = leave_out(plan.drafts, target.extensions, coming, comparison.forward)
                plan.refusals += more
            # What relied on a draft that is not there any more needs another answer, and what leads to that, too.
            if not names.settle():
                break
        plan.drafts = with_links_that_go(connection, point, plan.drafts, comparison)
        wait_for_dependants(plan.drafts, comparison)
        SeatRules(plan, connection, target.live).apply()
        drafts = in_turn(plan.drafts, lambda one: without_seats(one) if gives_seats(one) else names.passing(one))
        wait_for_names(drafts, comparison)
        plan.refusals += mark_protected(drafts, target.protected, sign_in=options.sign_in)
    refusals = [*changed, *plan.refusals, *_unknown(comparison, target.live.store.scope)]
    placed = ordered(drafts)
    numbers = {draft: number for number, draft in enumerate(placed, 1)}
    steps = tuple(_step(numbers, draft) for draft in placed)
    used = {step.stage for step in steps}
    written = {step.table for step in steps}
    return seal(
        RestorePlan(
            id=job,
            scope=point.store.scope,
            point=point.manifest.recovery_point,
            tenant=target.tenant,
            tenant_id=target.live.manifest.tenant_id,
            live_point=target.live.manifest.recovery_point,
            live_scope=target.live.store.scope,
            created=created,
            selection=selection,
            options=options,
            stages=tuple(stage for stage in ALL_STAGES if stage in used),
            steps=steps,
            refusals=tuple(sorted(refusals, key=lambda one: (place_of(one.table), one.table, one.id, one.kind))),
            identity=dict(sorted(comparison.forward.items())),
            domains=dict(sorted((domains or {}).items())),
            undoes=undoing.job if undoing else "",
            older={table: when for table, when in sorted(older.items()) if table in written},
            requests=sum(step.requests for step in steps),
            seconds=seconds(steps),
        )
    )


def check_cross_tenant(options: RestoreOptions) -> None:
    """Raises UsageError for options that another tenant does not allow."""
    if options.delete_added:
        raise UsageError("objects that only the other tenant has are never deleted", remedy="Leave out --delete-added.")


def _unknown(comparison: TenantDiff, scope: str) -> list[PlanRefusal]:
    """Refuses the tables that could not be compared."""
    return [
        PlanRefusal(
            table=table,
            id="",
            kind="unresolved",
            reason=f"not restored, because it could not be compared: {why}",
            remedy=f"Fix what prevents it from being read (entra-pipeline backup {scope} shows it), and plan again.",
        )
        for table, why in comparison.incomparable.items()
        if (CATALOGUE[table].restore.possible if table in CATALOGUE else RELATIONS[table][1].write is not None)
    ]


def _unasked(untaken: NotTaken, selection: RestoreSelection, comparison: TenantDiff) -> NotTaken:
    """Leaves out what is to be sent once more, because the object is selected by its id."""
    asked = {comparison.forward.get(one, one) for one in selection.ids}
    return {key: values for key, values in untaken.items() if key[1] not in asked}


def _coming_apps(comparison: TenantDiff, drafts: list[Draft]) -> set[str]:
    """Returns appIds of the applications that come out of the recycle bin."""
    items = comparison.items.get("applications", {})
    back = {draft.id for draft in drafts if draft.table == "applications" and draft.action == "undelete"}
    return {str(items[id_].wanted().get("appId")).lower() for id_ in back if id_ in items}


class _Names:
    """What people call owners of links: as at the recovery point, else as in the tenant."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, point: Side, live: Side) -> None:
        self._connection = connection
        self._sides = (live, point)

    def __call__(self, table: str, ids: Collection[str]) -> Mapping[str, str]:
        found: dict[str, str] = {}
        for side in self._sides:
            found |= names(self._connection, *side, {table: ids})
        return found


class _Unwritten:
    """Owners whose links nobody writes: computed ones have no reason to be told."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, point: Side) -> None:
        self._connection = connection
        self._point = point

    def __call__(self, relation: str, ids: Collection[str]) -> Mapping[str, str]:
        owner, rule = RELATIONS[relation]
        found: dict[str, str] = {}
        if rule.write is None or not self._point.has(owner.name):
            return found
        state = self._point.state(owner.name, "id, _raw AS raw")
        for condition, reason in (
            (rule.write.mastered, "its links are managed in another system"),
            (rule.write.derived, ""),
        ):
            if condition:
                query = (
                    f"SELECT id FROM ({state}) SEMI JOIN (SELECT unnest(?::VARCHAR[]) AS id) USING (id) "
                    f"WHERE ({condition})"
                )
                found |= {row[0]: reason for row in self._connection.execute(query, [sorted(ids)]).fetchall()}
        return found


def _step(numbers: Mapping[Draft, int], draft: Draft) -> RestoreStep:
    links = sorted(draft.links)
    return RestoreStep(
        number=numbers[draft],
        stage=draft.stage,
        action=draft.action,
        table=draft.table,
        id=draft.id,
        parent=draft.parent,
        live_id=draft.live_id,
        name=draft.name,
        body=dict(sorted(draft.body.items())),
        before=dict(sorted(draft.before.items())),
        targets=tuple(link.target_id for link in links),
        target_types=tuple(link.target_type for link in links),
        needs=tuple(sorted(draft.needs)),
        seen=draft.seen,
        requests=0 if draft.returning else draft.requests,
        returning=draft.returning,
        parameters=draft.parameters,
        frees=tuple(sorted(draft.frees)),
        waits=tuple(sorted(numbers[one] for one in draft.after)),
        passing=draft.passing,
        delegated=draft.delegated or bool(draft.table in CATALOGUE and CATALOGUE[draft.table].restore.delegated),
        whole=draft.action == "link" and draft.whole,
        notes=tuple(draft.notes),
    )
