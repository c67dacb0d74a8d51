"""The planner: what a restore would write, in which order, and what it would not; nothing is written.

What belongs here: references between steps, their order, the whole. What does not: what differs (`diff`), what is
done about it (`drafts`), how it is sent (`executor`).
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Mapping
from typing import NamedTuple

import duckdb

from entra_pipeline.analysis.changes import reading
from entra_pipeline.analysis.names import names
from entra_pipeline.catalogue import CATALOGUE, RELATIONS
from entra_pipeline.errors import UsageError
from entra_pipeline.restore.objects.model import PlanRefusal, RestoreOptions, RestorePlan, RestoreSelection, RestoreStep
from entra_pipeline.restore.objects.selection import RestoreSet, choose
from entra_pipeline.restore.plan.diff import Side, TenantDiff, compare, own_aliases
from entra_pipeline.restore.plan.drafts import ALL_STAGES, REMOVALS, Draft, Drafting, place_of
from entra_pipeline.restore.plan.estimate import requests_for_links, seconds
from entra_pipeline.restore.plan.extensions import leave_out
from entra_pipeline.restore.plan.id_index import IdIndex
from entra_pipeline.restore.plan.pim import without_more_access
from entra_pipeline.restore.plan.tenant_mapping import Unsupported
from entra_pipeline.restore.plan.undo import RestoreWrites
from entra_pipeline.store.manifest import seal

_RANK = {"delete": 0, "update": 1, "undelete": 2, "create": 3, "link": 4, "unlink": 5, "enable": 6}


class LiveTenant(NamedTuple):
    """The tenant to write to, as it is.

    Attributes:
        live: A recovery point that shows it as it is.
        tenant: Its name in the configuration.
        own: Ids and appIds of the app registrations (and their service principals) that the restore works with: what
            was added for them since is left alone.
        extensions: Names of the directory extensions that it takes; None when that is not known, and nothing is left
            out for it.
    """

    live: Side
    tenant: str
    own: frozenset[str] = frozenset()
    extensions: frozenset[str] | None = None


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
    """What has to be written so that what is selected is again as it was.

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
    chosen = undoing.chosen() if undoing else choose(point.store, point.manifest, selection)
    with reading(point.store, target.live.store) as connection:
        index = IdIndex(connection, point, target.live)
        moved = index.still(undoing.known_before(identity or {}) if undoing else identity or {})
        comparison = compare(connection, point, target.live, chosen, moved)
        changed: list[PlanRefusal] = []
        if undoing:
            others = _Unwritten(connection, target.live)
            changed = undoing.narrow(comparison, connection, point, target.live, own=target.own, unwritten=others)
        # What an undo takes back, the restore is known to have written.
        older = {} if undoing else point.manifest.older()
        drafting = Drafting(
            comparison, options, target.own, cross_tenant=cross_tenant, unsupported=unsupported or {}, older=older
        )
        drafting.objects()
        drafting.links(_Names(connection, point, target.live), _Unwritten(connection, point))
        resolved = _Resolving(drafting, comparison, index, chosen)
        resolved.resolve()
        drafts, left_out = without_more_access(connection, point, resolved.drafts)
        if target.extensions is not None:
            coming = _coming_apps(comparison, drafts)
            drafts, unregistered = leave_out(drafts, target.extensions, coming, comparison.forward)
            left_out += unregistered
    refusals = [*changed, *resolved.refusals, *left_out, *_unknown(comparison, target.live.store.scope)]
    steps = tuple(_step(number, draft) for number, draft in enumerate(_ordered(drafts), 1))
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
    """Raises UsageError for what another tenant is not asked for."""
    if options.delete_added:
        raise UsageError(
            "what only another tenant has is its own, and is not deleted", remedy="Leave out --delete-added."
        )


def _unknown(comparison: TenantDiff, scope: str) -> list[PlanRefusal]:
    """Tables of which nothing is planned, because nothing is known of them in the tenant."""
    return [
        PlanRefusal(
            table=table,
            id="",
            kind="unresolved",
            reason=f"nothing of it is restored, because it could not be compared: {why}",
            remedy=f"Mend what keeps it from being read (entra-pipeline backup {scope} tells), and plan again.",
        )
        for table, why in comparison.incomparable.items()
        if (CATALOGUE[table].restore.possible if table in CATALOGUE else RELATIONS[table][1].write is not None)
    ]


def _coming_apps(comparison: TenantDiff, drafts: list[Draft]) -> set[str]:
    """AppIds of the applications that come out of the recycle bin."""
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
            (rule.write.mastered, "its links are mastered elsewhere"),
            (rule.write.derived, ""),
        ):
            if condition:
                query = (
                    f"SELECT id FROM ({state}) SEMI JOIN (SELECT unnest(?::VARCHAR[]) AS id) USING (id) "
                    f"WHERE ({condition})"
                )
                found |= {row[0]: reason for row in self._connection.execute(query, [sorted(ids)]).fetchall()}
        return found


class _Resolving:
    """Finds out what each step needs, and refuses those whose references lead nowhere."""

    def __init__(self, drafting: Drafting, comparison: TenantDiff, index: IdIndex, chosen: RestoreSet) -> None:
        self.drafts = drafting.drafts
        self.refusals = drafting.refusals
        self._index = index
        self._chosen = chosen
        self._forward = comparison.forward
        self._makers = {draft.id for draft in self.drafts if draft.action in {"create", "undelete"}}
        self._lost: dict[tuple[str, str, str], set[str]] = {}
        self._made = {draft.id for draft in self.drafts if draft.action == "create"}
        self._ties = _ties(self.drafts)
        self._refused = {refusal.id for refusal in self.refusals if refusal.table in CATALOGUE}

    def resolve(self) -> None:
        """Refuses until all that is left leads somewhere; what leads to each other in a circle is refused, too."""
        self._index.look_up({one for draft in self.drafts for one in self._leads_to(draft)})
        while True:
            left = [draft for draft in self.drafts if self._holds(draft)]
            done = len(left) == len(self.drafts)
            self.drafts = left
            if not done:
                continue
            for draft in self.drafts:
                draft.needs = self._needs(draft)
                if draft.action in {"link", "unlink"} and draft.id not in self._made:
                    draft.live_id = self._forward.get(draft.id, draft.id)
            circle = _circular(self.drafts)
            if not circle:
                break
            for draft in circle:
                self._refuse(
                    draft, "it waits for objects that wait for it", "Restore them one by one, with --types and --ids."
                )
                self._makers.discard(draft.id)
                self._refused.add(draft.id)
            self.drafts = [draft for draft in self.drafts if draft not in circle]
        for (table, id_, name), lost in sorted(self._lost.items()):
            reason, remedy = self._nowhere(sorted(lost), "it had links to")
            self.refusals.append(
                PlanRefusal(table=table, id=id_, name=name, kind="unresolved", reason=reason, remedy=remedy)
            )

    def _leads_to(self, draft: Draft) -> set[str]:
        links = {one.target_id for one in draft.links} if draft.action == "link" else set()
        return {*draft.refs, *draft.strict, *links, *([draft.owner] if draft.owner else [])}

    def _holds(self, draft: Draft) -> bool:
        """Whether the step stays; what of it leads nowhere is refused."""
        if draft.owner and not self._available(draft.owner, draft):
            if draft.owner not in self._refused:
                self._refuse(draft, *self._nowhere([draft.owner], "it belongs to"))
            return False
        if draft.replaced:
            return draft.id in self._makers
        if draft.action == "unlink":
            return bool(self._index.at_point(draft.id))
        if draft.action == "link":
            return self._links_hold(draft)
        lost = [one for one in sorted(draft.strict) if not self._available(one, draft)]
        lost += [
            one
            for one in sorted(draft.refs - draft.strict)
            if self._index.at_point(one) and not self._available(one, draft)
        ]
        if lost:
            if not (draft.parent in lost and draft.parent in self._refused):
                self._refuse(draft, *self._nowhere(lost, "it leads to"))
            self._refused.add(draft.id)
            if draft.action in {"create", "undelete"}:
                self._makers.discard(draft.id)
        return not lost

    def _links_hold(self, draft: Draft) -> bool:
        lost = [link for link in draft.links if not self._available(link.target_id, draft)]
        if lost:
            self._lost.setdefault((draft.table, draft.id, draft.name), set()).update(link.target_id for link in lost)
            draft.links = [link for link in draft.links if link not in lost]
            draft.requests = requests_for_links(draft.table, len(draft.links), added=True)
        return bool(draft.links)

    def _available(self, id_: str, draft: Draft) -> bool:
        """Whether an id leads, or will lead, to something in the tenant."""
        if id_ in self._makers or id_ in self._forward or self._index.is_live(id_):
            return True
        origins = self._origins(id_)
        own = draft.action == "create" and draft.id in origins
        return own or any(one in self._makers or one in self._forward for one in origins)

    def _needs(self, draft: Draft) -> set[str]:
        found = {one for id_ in self._leads_to(draft) for one in self._origins(id_)}
        if draft.table in CATALOGUE:
            for table in CATALOGUE[draft.table].restore.after:
                found |= {tie for id_ in draft.refs for tie in self._ties.get((table, id_), ())}
        own = set() if draft.action in {"update", "enable", "link", "delete"} else {draft.id}
        return (found & self._makers) - own

    def _origins(self, id_: str) -> set[str]:
        """The objects that an id comes from: of an appId the application, else its enterprise application."""
        places = [place for place in self._index.at_point(id_) if place.id != id_]
        origins = {place.id for place in places if own_aliases(CATALOGUE[place.table])}
        return {id_} if not places else origins or {place.id for place in places}

    def _nowhere(self, ids: list[str], how: str) -> tuple[str, str]:
        """Why, and what to do: references that lead nowhere."""
        named: list[str] = []
        wanted: dict[str, list[str]] = {}
        dead: list[str] = []
        for id_ in ids:
            places = self._index.at_point(id_)
            if not places:
                named.append(id_)
                dead.append(id_)
                continue
            named.append(f"{places[0].table} {id_}")
            for place in places:
                (dead if place.id in self._refused else wanted.setdefault(place.table, [])).append(place.id)
        reason = f"{how} {', '.join(named)}, which {'is' if len(named) == 1 else 'are'} not in the tenant"
        if wanted:
            types = " ".join(f"--types {table}" for table in sorted(wanted))
            listed = " ".join(f"--ids {id_}" for group in sorted(wanted.values()) for id_ in group)
            return reason, f"Add to the selection: {types} {listed}."
        if any(self._index.at_point(id_) for id_ in ids):
            return reason, "The plan says of these objects why they do not come back: that has to be mended first."
        return (
            reason,
            "They were not there at the recovery point either: mend the object by hand, or restore an earlier one.",
        )

    def _refuse(self, draft: Draft, reason: str, remedy: str) -> None:
        self.refusals.append(
            PlanRefusal(
                table=draft.table, id=draft.id, name=draft.name, kind="unresolved", reason=reason, remedy=remedy
            )
        )


def _ties(drafts: list[Draft]) -> dict[tuple[str, str], set[str]]:
    """Objects to be made that bring what they lead to into their owner: by their type, and what they lead to.

    A package can only give roles of what is a resource of its catalog, though it does not name the resource.
    """
    found: dict[tuple[str, str], set[str]] = {}
    for draft in drafts:
        if draft.action == "create" and draft.parent and draft.table in CATALOGUE:
            for id_ in draft.strict - {draft.parent}:
                found.setdefault((draft.table, id_), set()).add(draft.id)
    return found


def _circular(drafts: list[Draft]) -> list[Draft]:
    """Steps that make objects and wait for each other, and those that wait for them."""
    makers = {draft.id: draft for draft in drafts if draft.action in {"create", "undelete"}}
    waiting = {id_: {need for need in draft.needs if need in makers} for id_, draft in makers.items()}
    ready = [id_ for id_, needs in waiting.items() if not needs]
    leads: dict[str, list[str]] = {}
    for id_, needs in waiting.items():
        for need in needs:
            leads.setdefault(need, []).append(id_)
    while ready:
        done = ready.pop()
        for id_ in leads.get(done, ()):
            waiting[id_].discard(done)
            if not waiting[id_]:
                ready.append(id_)
    return [draft for id_, draft in makers.items() if waiting[id_]]


def _ordered(drafts: list[Draft]) -> list[Draft]:
    """The steps in an order in which what they need comes before; stages one after the other.

    A step that needs something of a later stage is done in that one.
    """
    makers = {draft.id: number for number, draft in enumerate(drafts) if draft.action in {"create", "undelete"}}
    stages = [ALL_STAGES.index(draft.stage) for draft in drafts]
    waiting = [{makers[need] for need in draft.needs} - {number} for number, draft in enumerate(drafts)]
    leads: dict[int, list[int]] = {}
    for number, needs in enumerate(waiting):
        for need in needs:
            leads.setdefault(need, []).append(number)
    placed: list[Draft] = []
    heap = [(_place(drafts[n], stages[n]), n) for n, needs in enumerate(waiting) if not needs]
    heapq.heapify(heap)
    while heap:
        _, number = heapq.heappop(heap)
        draft = drafts[number]
        draft.stage = ALL_STAGES[stages[number]]
        placed.append(draft)
        for other in leads.get(number, ()):
            stages[other] = max(stages[other], stages[number])
            waiting[other].discard(number)
            if not waiting[other]:
                heapq.heappush(heap, (_place(drafts[other], stages[other]), other))
    return placed


def _place(draft: Draft, stage: int) -> tuple[int, int, int, str, str]:
    place = place_of(draft.table)
    return stage, -place if ALL_STAGES[stage] == REMOVALS else place, _RANK[draft.action], draft.id, draft.live_id


def _step(number: int, draft: Draft) -> RestoreStep:
    links = sorted(draft.links)
    return RestoreStep(
        number=number,
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
        whole=draft.action == "link" and draft.whole,
        notes=tuple(draft.notes),
    )
