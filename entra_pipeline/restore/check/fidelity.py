"""How true a restored tenant is to its recovery point: property by property, link by link.

What belongs here: comparing, counting, and saying why something differs. What does not: how the tenant came about
(`drill`).

Only what a restore can bring back is scored. What comes back otherwise or not at all (synced objects, devices, what
Graph computes, what is built in) is counted apart, by reason; and so is what leads to objects that the scope does not
protect, and that are not there in an empty tenant.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import duckdb
import msgspec

from entra_pipeline.analysis.changes import reading
from entra_pipeline.analysis.equality import normal, same
from entra_pipeline.analysis.names import title
from entra_pipeline.catalogue import BY_GRAPH_TYPE, CATALOGUE, EVERYTHING, RELATIONS, ObjectType, Relation
from entra_pipeline.restore.objects.normalize import at, normalized
from entra_pipeline.restore.objects.references import ids_in, rewrite
from entra_pipeline.restore.objects.selection import is_bin
from entra_pipeline.restore.plan.diff import Side, decoded, meeting
from entra_pipeline.restore.plan.id_index import IdIndex
from entra_pipeline.restore.plan.rules.drafts import SHOWN_ELSEWHERE

_BY_USER = "restored by a signed-in user only (--sign-in)"


class Score(msgspec.Struct, frozen=True, kw_only=True):
    """How much of a table came back.

    Attributes:
        table: Object type or relation.
        kind: What is counted: properties of objects, or links.
        objects: Objects, or owners of links, that were compared.
        compared: Properties with a value at the recovery point or in the restored tenant; or links in either.
        equal: Those that are the same in both.
        left_out: Objects or links that no restore brings back, by reason.
    """

    table: str
    kind: str
    objects: int
    compared: int
    equal: int
    left_out: dict[str, int] = {}


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """Something that did not come back as it was.

    Attributes:
        table: Object type or relation.
        id: Id of the object, or of the owner of the links, at the recovery point; of what is too much, in the tenant.
        name: What people call it.
        what: `missing`, `differs`, or `too much`.
        properties: Of an object that differs: wanted and found. Of links: those that are missing and too many.
        reason: Why.
    """

    table: str
    id: str
    name: str = ""
    what: str
    properties: dict[str, tuple[Any, Any]] = {}
    reason: str = ""


class Fidelity(msgspec.Struct, frozen=True, kw_only=True):
    """The scores of all tables, and what keeps them from being whole."""

    scores: tuple[Score, ...]
    differences: tuple[Difference, ...]


def fidelity(
    point: Side, before: Side, after: Side, names: Mapping[str, str], reasons: Mapping[tuple[str, str], str]
) -> Fidelity:
    """Compares a restored tenant with the recovery point.

    Args:
        point: The recovery point.
        before: The tenant before it was restored.
        after: The tenant now.
        names: Id at the recovery point → id in the tenant, where they differ.
        reasons: Why an object, or the links of an owner, did not come back as they were, by table and id.

    Raises:
        StoreError: A file cannot be read.
    """
    with reading(point.store, before.store, after.store) as connection:
        comparing = _Comparing(connection, point, before, after, names, reasons)
        for name in point.manifest.tables:
            if name in CATALOGUE and point.has(name) and not is_bin(CATALOGUE[name]):
                comparing.objects(CATALOGUE[name])
        for name in point.manifest.tables:
            if name in RELATIONS and point.has(name) and not is_bin(RELATIONS[name][0]):
                comparing.links(*RELATIONS[name])
    return Fidelity(scores=tuple(comparing.scores), differences=tuple(comparing.differences))


class _Comparing:
    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        point: Side,
        before: Side,
        after: Side,
        names: Mapping[str, str],
        reasons: Mapping[tuple[str, str], str],
    ) -> None:
        self.scores: list[Score] = []
        self.differences: list[Difference] = []
        self._connection = connection
        self._point, self._before, self._after = point, before, after
        self._names = names
        self._reasons = reasons
        self._index = IdIndex(connection, point, before)
        # Ids of what did not come back, because it leads to what the scope does not protect.
        self._beyond: set[str] = set()
        self._partial = bool(point.manifest.selection) or not point.manifest.tables.keys() >= set(EVERYTHING)

    def _moved(self, value: Any) -> Any:
        return rewrite(value, self._names)

    def _bodies(self, side: Side, table: str) -> dict[str, str]:
        if not side.has(table):
            return {}
        return dict(self._connection.execute(side.state(table, "id, _raw")).fetchall())

    # --- objects -----------------------------------------------------------------------------------------------------

    def objects(self, entry: ObjectType) -> None:
        """Scores an object type."""
        wanted, found = self._bodies(self._point, entry.name), self._bodies(self._after, entry.name)
        left_out = self._left_out(entry, wanted)
        known = self._known(entry, wanted)
        left_out |= self._leading_beyond(entry, {id_: text for id_, text in wanted.items() if known[id_] not in found})
        compared = equal = unscored = 0
        for id_, text in sorted(wanted.items()):
            if id_ in left_out:
                continue
            then = normalized(entry, self._moved(decoded(text)))
            there = found.get(known[id_])
            now = normalized(entry, decoded(there)) if there is not None else {}
            names = [n for n in then.keys() | now.keys() if normal(then.get(n), n) is not None or now.get(n)]
            elsewhere = {self._moved(name) for name in decoded(text) if self._defined_elsewhere(name)}.intersection(
                names
            )
            names = [name for name in names if name not in elsewhere]
            unscored += len(elsewhere)
            different = {n: (then.get(n), now.get(n)) for n in sorted(names) if not same(then.get(n), now.get(n), n)}
            compared += len(names)
            equal += len(names) - len(different)
            if different or there is None:
                what = "differs" if there is not None else "missing"
                self._differs(entry.name, id_, title(entry, decoded(text)), what, different if there else {})
        self._doubled(entry, known.values(), found)
        apart = Counter(left_out.values())
        if unscored:
            apart["values whose definitions the scope does not protect"] = unscored
        self.scores.append(
            Score(
                table=entry.name,
                kind="properties",
                objects=len(wanted) - len(left_out),
                compared=compared,
                equal=equal,
                left_out=dict(apart),
            )
        )

    def _defined_elsewhere(self, name: str) -> bool:
        """Tells whether a property is defined by an object that the scope does not protect."""
        if name == "customSecurityAttributes":
            return "custom_security_attribute_definitions" not in self._point.manifest.tables
        return self._partial and name.startswith("extension_") and not any(map(self._index.at_point, ids_in(name)))

    def _left_out(self, entry: ObjectType, bodies: Mapping[str, str]) -> dict[str, str]:
        rule = entry.restore
        if not rule.by_application:
            return dict.fromkeys(bodies, _BY_USER if rule.possible else rule.how)
        found: dict[str, str] = {}
        if entry.name in SHOWN_ELSEWHERE:
            return dict.fromkeys(bodies, "another view of what is restored elsewhere")
        for condition, reason in (
            (rule.mastered, "managed in another system (Active Directory, Exchange, Azure)"),
            (rule.fixed, "built in: the same in every tenant"),
            (rule.derived, "created and removed automatically"),
        ):
            if condition and bodies:
                found |= dict.fromkeys(meeting(self._connection, condition, bodies), reason)
        return found

    def _leading_beyond(self, entry: ObjectType, missing: Mapping[str, str]) -> dict[str, str]:
        """Finds missing objects that refer to objects outside the scope."""
        if not self._partial or not missing:
            return {}
        owners: dict[str, str] = {}
        if entry.parent is not None:
            owners = dict(self._connection.execute(self._point.state(entry.name, "id, _parent_id")).fetchall())
        needed = {
            id_: ids_in([at(decoded(text), path) for path in entry.restore.refers]) | {owners.get(id_, id_)} - {id_}
            for id_, text in missing.items()
            if (entry.name, id_) in self._reasons
        }
        self._index.look_up({one for ids in needed.values() for one in ids})
        beyond = {
            id_
            for id_, ids in needed.items()
            if any(one in self._beyond or not (self._index.at_point(one) or self._index.is_live(one)) for one in ids)
        }
        self._beyond |= beyond
        return dict.fromkeys(beyond, "leads to what the scope does not protect")

    def _known(self, entry: ObjectType, wanted: Iterable[str]) -> dict[str, str]:
        """Maps ids at the recovery point to ids in the tenant; a singleton child is found by its owner."""
        known = {id_: self._moved(id_) for id_ in wanted}
        if entry.singleton:
            return dict(zip(known, self._bodies(self._after, entry.name) or known.values(), strict=False))
        if entry.parent is not None and not entry.parent.many and self._after.has(entry.name):
            then, now = (
                dict(self._connection.execute(side.state(entry.name, "id, _parent_id")).fetchall())
                for side in (self._point, self._after)
            )
            by_owner = {owner: id_ for id_, owner in now.items()}
            known |= {id_: by_owner.get(self._moved(owner), known[id_]) for id_, owner in then.items()}
        return known

    def _doubled(self, entry: ObjectType, expected: Iterable[str], found: Mapping[str, str]) -> None:
        """Reports objects that the restore created and the recovery point does not have."""
        if not entry.restore.by_application or entry.shows or entry.name in SHOWN_ELSEWHERE:
            return
        known = {*expected, *self._bodies(self._before, entry.name)}
        extra = {id_: text for id_, text in found.items() if id_ not in known}
        came = self._left_out(entry, extra)
        for id_, text in sorted(extra.items()):
            if id_ not in came:
                self._differs(entry.name, id_, title(entry, decoded(text)), "too much", {})

    # --- links -------------------------------------------------------------------------------------------------------

    def links(self, owner: ObjectType, relation: Relation) -> None:
        """Scores a relation."""
        then, now = self._links(self._point, relation.name), self._links(self._after, relation.name)
        left_out = self._unwritten(owner, relation, then)
        wanted: dict[str, set[str]] = {}
        for source, target in then.keys() - left_out.keys():
            wanted.setdefault(source, set()).add(target)
        others = {self._moved(source) for source, _ in left_out}
        found: dict[str, set[str]] = {}
        for source, target in now:
            found.setdefault(source, set()).add(target)
        compared = equal = 0
        for source, targets in sorted(wanted.items()):
            expected = {self._moved(one): one for one in targets}
            there = found.get(self._moved(source), set())
            missing = sorted(old for new, old in expected.items() if new not in there)
            extra = [] if self._moved(source) in others else sorted(there - expected.keys())
            compared += len(targets) + len(extra)
            equal += len(targets) - len(missing)
            if missing or extra:
                what = "differs" if len(missing) < len(targets) else "missing"
                self._differs(relation.name, source, "", what, {relation.segment: (missing, extra)})
        self.scores.append(
            Score(
                table=relation.name,
                kind="links",
                objects=len(wanted),
                compared=compared,
                equal=equal,
                left_out=dict(Counter(left_out.values())),
            )
        )

    def _links(self, side: Side, relation: str) -> dict[tuple[str, str], str]:
        if not side.has(relation):
            return {}
        rows = self._connection.execute(side.state(relation, "source_id, target_id, target_type")).fetchall()
        return {(source, target): kind for source, target, kind in rows}

    def _unwritten(
        self, owner: ObjectType, relation: Relation, links: Mapping[tuple[str, str], str]
    ) -> dict[tuple[str, str], str]:
        write = relation.write
        if relation.name in SHOWN_ELSEWHERE:
            return dict.fromkeys(links, "another view of what is restored elsewhere")
        if write is None:
            return dict.fromkeys(links, "Graph cannot write its links")
        found: dict[tuple[str, str], str] = {}
        bodies = self._bodies(self._point, owner.name)
        for condition, reason in (
            (write.mastered, "managed in another system (Active Directory, Exchange, Azure)"),
            (write.derived, "computed by Graph"),
        ):
            if condition and bodies:
                ids = meeting(self._connection, condition, bodies)
                found |= {link: reason for link in links if link[0] in ids}
        if write.from_target:
            others = {link: kind for link, kind in links.items() if kind not in write.from_target}
            found |= {link: f"Graph does not let links to {kind} be written" for link, kind in others.items()}
        return self._links_beyond(links) | found

    def _links_beyond(self, links: Mapping[tuple[str, str], str]) -> dict[tuple[str, str], str]:
        """Finds links whose target the scope does not protect, by type or by selection."""
        found: dict[tuple[str, str], str] = {}
        for kind in sorted({kind for kind in links.values() if kind}):
            target = BY_GRAPH_TYPE.get(kind)
            if target is None or (target.name in self._point.manifest.tables and not self._point.manifest.selection):
                continue
            there = self._bodies(self._point, target.name)
            reason = f"leads to {target.name}, which the scope does not protect"
            found |= {link: reason for link, of in links.items() if of == kind and link[1] not in there}
        for source, _ in links:
            if source in self._beyond:
                found |= {link: "leads to what the scope does not protect" for link in links if link[0] == source}
        return found

    def _differs(self, table: str, id_: str, name: str, what: str, properties: dict[str, tuple[Any, Any]]) -> None:
        reason = self._reasons.get((table, id_), "the restored tenant shows it so, though everything was written")
        self.differences.append(
            Difference(table=table, id=id_, name=name or "", what=what, properties=properties, reason=reason)
        )
