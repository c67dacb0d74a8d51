"""Undoing a restore: what it has written goes back, and what others have written since stays.

What belongs here: what a restore wrote, by its plan, journal and report; and which of the differences between its undo
point and the tenant are its own. What does not: what is done about them (`rules`), in which order (`planner`) and how
(`apply`): an undo is a plan like any other.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import duckdb
import msgspec

from entra_pipeline.catalogue import CATALOGUE, RELATIONS, ObjectType, table_names, with_children
from entra_pipeline.catalogue.restoring import WriteStrategy
from entra_pipeline.clock import iso
from entra_pipeline.errors import NotInStore, UsageError
from entra_pipeline.restore.objects.model import PlanRefusal, RestorePlan
from entra_pipeline.restore.objects.normalize import Body, differing, left_by, moved, normalized
from entra_pipeline.restore.objects.references import GUID_LENGTH, ids_in, rewrite
from entra_pipeline.restore.objects.selection import RestoreSet, is_bin, is_view
from entra_pipeline.restore.plan.diff import (
    ObjectDiff,
    ObjectState,
    RestoreLink,
    Side,
    TenantDiff,
    decoded,
    meeting,
    naming,
)
from entra_pipeline.restore.plan.rules.links import Unwritten
from entra_pipeline.restore.records.journal import Journal, has_begun
from entra_pipeline.restore.records.plans import read_plan
from entra_pipeline.restore.records.report import RestoreReport, read_report
from entra_pipeline.store.manifest import TakenFor
from entra_pipeline.store.points.keys import moment_of
from entra_pipeline.store.recovery_points import ScopeStore

_SENT = {"restored", "restored with differences"}
_MAKING = {"create", "undelete"}
# Of what has been tied to an object since, so many are named.
_NAMED = 3


@dataclass(frozen=True, slots=True)
class RestoreWrites:
    """Holds what a restore has written, under the ids of the tenant.

    Attributes:
        job: Id of the restore.
        scope: The scope of its undo point.
        point: Its undo point.
        types: The object types that it wrote.
        after: The recovery point that it was read back by; empty when there is none.
        left: (Object type, id) → the properties that it set, as it left them.
        made: Object type → ids of what it made, or took out of the recycle bin.
        removed: Object type → ids of what it deleted.
        linked: Relation → links that it added.
        unlinked: Relation → links that it removed.
    """

    job: str
    scope: str
    point: str
    types: tuple[str, ...]
    after: str = ""
    left: dict[tuple[str, str], Body] = field(default_factory=dict)
    made: dict[str, set[str]] = field(default_factory=dict)
    removed: dict[str, set[str]] = field(default_factory=dict)
    linked: dict[str, set[tuple[str, str]]] = field(default_factory=dict)
    unlinked: dict[str, set[tuple[str, str]]] = field(default_factory=dict)

    def chosen(self) -> RestoreSet:
        """Returns the tables and objects of the undo point that the plan is about."""
        return RestoreSet(frozenset(table_names(with_children([*self.types]))), None, self.types)

    def known_before(self, identity: Mapping[str, str]) -> dict[str, str]:
        """Keeps the changed ids that were known before the restore, without objects that it created itself."""
        made = set().union(*self.made.values())
        return {old: new for old, new in identity.items() if new not in made}

    def narrow(
        self,
        comparison: TenantDiff,
        connection: duckdb.DuckDBPyConnection,
        point: Side,
        live: Side,
        *,
        own: Collection[str],
        unwritten: Unwritten,
    ) -> list[PlanRefusal]:
        """Reduces a comparison with the undo point to the restore's own writes that nobody has changed since.

        Args:
            comparison: What differs between the undo point and the tenant; it is changed.
            connection: Reads the store.
            point: The undo point.
            live: The recovery point that shows the tenant.
            own: Ids and appIds of the app registrations that restores work with.
            unwritten: Of a relation and owners, those whose links nobody writes by hand (dynamic groups).

        Returns:
            What the restore wrote and others have changed since.
        """
        return _Narrowing(self, comparison, connection, point, live, own, unwritten).narrow()


def read_writes(source: ScopeStore, job: str, store: ScopeStore) -> RestoreWrites:
    """Reads what a restore has written from the store of its plan; `store` is that of its undo point.

    Raises:
        UsageError: There is no such restore; it has not come to its end; or it wrote nothing.
        NotInStore: Its undo point is not there any more.
    """
    try:
        plan = read_plan(source, job)
    except NotInStore:
        raise UsageError(
            f"scope {source.scope!r} has no restore {job!r}",
            remedy="To list restores with their ids: entra-pipeline report jobs.",
        ) from None
    if (plan.live_scope or plan.scope) != store.scope:
        raise UsageError(
            f"restore {job} wrote to tenant {plan.tenant!r}, which scope {plan.live_scope!r} shows",
            remedy=f"Name that scope: {plan.live_scope}.",
        )
    report = read_report(source, job)
    if report is None:
        begun = has_begun(source.files, job)
        raise UsageError(
            f"restore {job} has {'not finished' if begun else 'not been applied: there is nothing to undo'}",
            remedy=f"Resume it first: entra-pipeline restore {plan.scope} --resume {job}" if begun else "",
        )
    found = writes_of(plan, report, Journal(source.files, job).made, store.scope, _read_back_by(store, report))
    if not found.types:
        raise UsageError(f"restore {job} has written nothing: there is nothing to undo")
    if found.point not in store.points():
        raise NotInStore(
            f"recovery point {found.point}, taken before restore {job}, no longer exists",
            remedy=f"Restore what you need from another one: entra-pipeline points {store.scope} lists them.",
        )
    return found


def writes_of(
    plan: RestorePlan, report: RestoreReport, made: Mapping[int, Mapping[str, str]], scope: str, after: str = ""
) -> RestoreWrites:
    """Collects what a finished restore has written.

    Args:
        plan: Its plan.
        report: What became of it.
        made: Number of a step → ids at the recovery point → ids in the tenant, of what it made (`Journal.made`).
        scope: The scope of its undo point.
        after: The recovery point that it was read back by; empty when there is none.
    """
    names = dict(plan.identity)
    for ids in made.values():
        names |= {old.lower() if len(old) == GUID_LENGTH else old: new for old, new in ids.items()}
    outcomes = {outcome.number: outcome for outcome in report.outcomes}
    sent = [step for step in plan.steps if outcomes[step.number].result in _SENT or step.number in made]
    tables = {RELATIONS[step.table][0].name if step.table in RELATIONS else step.table for step in sent}
    found = RestoreWrites(plan.id, scope, report.undo_point, tuple(name for name in CATALOGUE if name in tables), after)
    bodies = left_by(sent, names)
    for step in sent:
        outcome = outcomes[step.number]
        id_ = made.get(step.number, {}).get(step.id) or outcome.live_id or str(rewrite(step.id, names))
        if step.table in RELATIONS:
            links = found.linked if step.action == "link" else found.unlinked
            targets = {str(rewrite(target, names)) for target in step.targets}
            links.setdefault(step.table, set()).update((id_, target) for target in targets)
            continue
        if step.action == "delete":
            found.removed.setdefault(step.table, set()).add(id_)
        elif step.action in _MAKING:
            found.made.setdefault(step.table, set()).add(id_)
        if body := bodies.get((step.table, step.id)):
            # What was not as it should be when it was read back is what the restore has left.
            seen = {name: there for name, (_, there) in outcome.differences.items() if name in body}
            found.left[step.table, id_] = {**body, **found.left.get((step.table, id_), {}), **seen}
    return found


def _read_back_by(store: ScopeStore, report: RestoreReport) -> str:
    """Finds the recovery point by which a restore was verified; empty when there is none."""
    points = [one for one in store.points() if one > report.undo_point and iso(moment_of(one)) <= report.finished]
    for point in reversed(points if report.verified else []):
        if store.manifest(point).taken_for == TakenFor.READ_BACK:
            return point
    return ""


@dataclass
class _Narrowing:
    it: RestoreWrites
    comparison: TenantDiff
    connection: duckdb.DuckDBPyConnection
    point: Side
    live: Side
    own: Collection[str]
    unwritten: Unwritten
    refusals: list[PlanRefusal] = field(default_factory=list)
    _seen: dict[str, dict[str, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        after = self.it.after
        self.after = Side(self.point.store, self.point.store.manifest(after)) if after else None

    def narrow(self) -> list[PlanRefusal]:
        removed = set().union(*self.it.removed.values())
        for table, items in self.comparison.items.items():
            self.comparison.items[table] = {id_: item for id_, item in items.items() if self._stays(item, removed)}
        by_others = self._links(removed)
        self._leave_tied(by_others)
        return self.refusals

    # --- objects -----------------------------------------------------------------------------------------------------

    def _stays(self, item: ObjectDiff, removed: set[str]) -> bool:
        """Tells whether a difference is the restore's own and unchanged since."""
        key = item.table, item.live_id
        if item.state is ObjectState.ADDED:
            if item.live_id not in self.it.made.get(item.table, ()):
                return False
            changed = self._changed_since(item.entry, {}, self.it.left.get(key, {}), item.found())[1]
            if seen := self._read_back(item.table).get(item.live_id):
                then, now = (normalized(item.entry, decoded(text)) for text in (seen, item.now))
                changed += [name for name in differing(item.entry, then, now) if name not in changed]
            why = f"it was created by the restore, and changed by others since: {_listed(changed)}"
            return not changed or self._refuse(item, why)
        if item.state is not ObjectState.THERE:
            with_it = bool(item.entry.restore.link or item.entry.parent)
            return item.id in self.it.removed.get(item.table, ()) or (
                with_it and not removed.isdisjoint(ids_in(item.wanted()) | {item.parent})
            )
        if not item.requested:
            return True
        if key not in self.it.left:
            # It is as it was, but for the new id of something that it names: told, and not written.
            item.requested = item.replaced = False
            return not differing(
                item.entry, normalized(item.entry, item.wanted()), normalized(item.entry, item.found())
            )
        then = moved(item.entry, item.id, item.wanted(), self.comparison.forward)
        back, changed = self._changed_since(item.entry, then, self.it.left[key], item.found())
        if changed:
            return self._refuse(item, f"changed by others since the restore: {_listed(changed)}", item.id)
        if item.entry.restore.strategy is not WriteStrategy.LICENSES:
            # Of licences Graph shows one property in several; of others, those stay that the restore did not set.
            wanted = item.wanted()
            item.then = msgspec.json.encode(item.found() | {name: wanted.get(name) for name in back}).decode()
        return bool(back)

    def _read_back(self, table: str) -> dict[str, str]:
        """Reads the objects of a type that the restore created, as verified: id → JSON text."""
        if table not in self._seen:
            side = self.after if self.after is not None and self.after.has(table) else None
            ids = sorted(self.it.made.get(table, ()))
            self._seen[table] = {}
            if side is not None:
                query = f"SELECT id, _raw FROM ({side.state(table, 'id, _raw')}) WHERE id IN (SELECT unnest(?))"
                self._seen[table] = dict(self.connection.execute(query, [ids]).fetchall())
        return self._seen[table]

    @staticmethod
    def _changed_since(entry: ObjectType, then: Body, left: Body, now: Body) -> tuple[list[str], list[str]]:
        """Splits the properties that the restore set: to set back, and changed by others since."""
        names = [name for name in left if "@" not in name]

        def shown(body: Body) -> Body:
            counting = normalized(entry, body)
            return normalized(entry, {name: counting.get(name, body.get(name)) for name in names})

        wanted, before, after = normalized(entry, {name: left[name] for name in names}), shown(then), shown(now)
        done = differing(entry, before, wanted)
        since = differing(entry, wanted, after)
        again = differing(entry, before, after)
        return [name for name in done if name not in since], [name for name in done if name in since and name in again]

    # --- links -------------------------------------------------------------------------------------------------------

    def _links(self, removed: set[str]) -> Iterator[tuple[str, RestoreLink]]:
        """Keeps the restore's own links; returns those that others have added since."""
        by_others: list[tuple[str, RestoreLink]] = []
        for relation, (_, rule) in RELATIONS.items():
            linked, unlinked = self.it.linked.get(relation, set()), self.it.unlinked.get(relation, set())
            missing, extra = self.comparison.missing.get(relation, []), self.comparison.extra.get(relation, [])
            others = [link for link in extra if self._now(link) not in linked]
            by_others += [(relation, link) for link in others]
            kept = [
                link
                for link in missing
                if self._now(link) in unlinked or not removed.isdisjoint((link.source_id, link.target_id))
            ]
            mine = [link for link in extra if self._now(link) in linked]
            if not rule.many:
                kept = self._single(relation, missing, kept, mine, others)
            if relation in self.comparison.missing:
                self.comparison.missing[relation] = kept
            if relation in self.comparison.extra:
                self.comparison.extra[relation] = mine
        return iter(by_others)

    def _single(
        self,
        relation: str,
        missing: list[RestoreLink],
        kept: list[RestoreLink],
        mine: list[RestoreLink],
        others: list[RestoreLink],
    ) -> list[RestoreLink]:
        """Returns the links of a single-valued relation to bring back, which replace another link."""
        sources = {link.source_id for link in mine}
        taken = {link.source_id for link in others}
        written = {source for source, _ in self.it.linked.get(relation, ())} | {link.source_id for link in kept}
        found: list[RestoreLink] = []
        for link in missing:
            if link.source_id not in taken and (link in kept or link.source_id in sources):
                found.append(link)
            elif self._now(link)[0] in written or link.source_id in written:
                self.refusals.append(
                    PlanRefusal(
                        table=relation,
                        id=link.source_id,
                        kind="unresolved",
                        reason=f"changed by others since the restore {self.it.job}",
                        remedy=self._anyway(RELATIONS[relation][0].name, link.source_id),
                    )
                )
        return found

    def _now(self, link: RestoreLink) -> tuple[str, str]:
        source, target = (rewrite(one, self.comparison.forward) for one in link[:2])
        return str(source), str(target)

    # --- what others have tied to what the restore made --------------------------------------------------------------

    def _leave_tied(self, by_others: Iterator[tuple[str, RestoreLink]]) -> None:
        """Keeps created objects that others use by now, with everything the restore gave them."""
        made = {
            item.live_id: item
            for items in self.comparison.items.values()
            for item in items.values()
            if item.state is ObjectState.ADDED
        }
        if not made:
            return
        ties: dict[str, list[str]] = {}
        by_relation: dict[str, list[RestoreLink]] = {}
        for relation, link in chain(by_others, self._elsewhere(made.keys())):
            if not made.keys().isdisjoint(link[:2]) and set(link[:2]).isdisjoint(self.own):
                by_relation.setdefault(relation, []).append(link)
        for relation, links in by_relation.items():
            if RELATIONS[relation][1].write is None:
                continue
            computed = self.unwritten(relation, {link.source_id for link in links})
            there = self._linked_then(relation, links)
            for link in links:
                if link.source_id not in computed and link[:2] not in there:
                    other = {link.source_id: link.target_id, link.target_id: link.source_id}
                    for id_ in made.keys() & other.keys():
                        ties.setdefault(id_, []).append(f"{relation} {other[id_]}")
        for table, id_, named in self._naming(made.keys()):
            for one in named:
                ties.setdefault(one, []).append(f"{table} {id_}")
        for id_, used in ties.items():
            more = f" and {len(used) - _NAMED:,} more" if len(used) > _NAMED else ""
            self._refuse(
                made[id_],
                f"it was created by the restore, and is used by other objects: {', '.join(used[:_NAMED])}{more}",
            )
        if ties:
            self._leave(ties.keys())

    def _elsewhere(self, ids: Collection[str]) -> Iterator[tuple[str, RestoreLink]]:
        """Finds links to these objects in relations of types that the restore has not written: only others did."""
        compared = self.it.chosen().tables
        for relation, (_, rule) in RELATIONS.items():
            if rule.write is None or relation in compared or not self.live.has(relation):
                continue
            state = self.live.state(relation, "source_id, target_id, target_type")
            query = f"SELECT source_id, target_id, target_type FROM ({state}) WHERE target_id IN (SELECT unnest(?))"
            for row in self.connection.execute(query, [sorted(ids)]).fetchall():
                yield relation, RestoreLink(*row)

    def _linked_then(self, relation: str, links: Collection[RestoreLink]) -> set[tuple[str, str]]:
        """Finds links of others that were there when the restore was verified."""
        if self.after is None or not self.after.has(relation):
            return set()
        state = self.after.state(relation, "source_id, target_id")
        query = f"SELECT source_id, target_id FROM ({state}) WHERE source_id IN (SELECT unnest(?))"
        rows = self.connection.execute(query, [sorted({link.source_id for link in links})]).fetchall()
        return {(str(source), str(target)) for source, target in rows}

    def _naming(self, ids: Collection[str]) -> Iterator[tuple[str, str, set[str]]]:
        """Finds objects of the tenant that refer to one of the ids, also after the undo."""
        for table, entry in CATALOGUE.items():
            rule = entry.restore
            if not rule.possible or is_bin(entry) or is_view(entry) or not self.live.has(table):
                continue
            texts = naming(self.connection, self.live, table, ids)
            items = self.comparison.items.get(table, {}).values()
            back = {item.live_id: item.then for item in items if item.state is ObjectState.THERE and item.requested}
            texts = {id_: back.get(id_, text) for id_, text in texts.items() if id_ not in ids}
            # What named it when it was not there yet, or when the restore had ended, is not since.
            side = self.after or self.point
            before = naming(self.connection, side, table, ids) if texts and side.has(table) else {}
            computed = meeting(self.connection, rule.derived, texts) if rule.derived and texts else set()
            for id_, text in texts.items():
                named = ids_in(normalized(entry, decoded(text))) & set(ids)
                named -= ids_in(decoded(before[id_])) if id_ in before else set()
                if named and id_ not in computed and ids_in(decoded(text)).isdisjoint(self.own):
                    yield table, id_, named

    def _leave(self, ids: Collection[str]) -> None:
        """Excludes objects that stay, with their children and links, from the undo."""
        stay = set(ids)
        for table, items in self.comparison.items.items():
            self.comparison.items[table] = {
                id_: item
                for id_, item in items.items()
                if item.state is not ObjectState.ADDED
                or stay.isdisjoint({item.live_id, item.parent} | ids_in(item.found()))
            }
        for relation, links in self.comparison.extra.items():
            self.comparison.extra[relation] = [link for link in links if stay.isdisjoint(link[:2])]

    # --- what is not undone ------------------------------------------------------------------------------------------

    def _refuse(self, item: ObjectDiff, reason: str, at_point: str = "") -> bool:
        remedy = (
            self._anyway(item.table, at_point)
            if at_point
            else "Keep it; or revert the later changes manually, and undo again."
        )
        self.refusals.append(
            PlanRefusal(table=item.table, id=item.id, name=item.name, kind="unresolved", reason=reason, remedy=remedy)
        )
        return False

    def _anyway(self, table: str, id_: str) -> str:
        return (
            "Keep it; or, to also revert the changes by others: entra-pipeline restore "
            f"{self.it.scope} --at {self.it.point} --types {table} --ids {id_}"
        )


def _listed(names: Collection[Any]) -> str:
    return ", ".join(sorted(names))


def undo_command(plan: RestorePlan) -> str:
    """Returns the command that undoes a restore."""
    return f"entra-pipeline restore {plan.scope} --undo {plan.id}"
