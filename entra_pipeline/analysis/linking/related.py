"""What one object is linked with at a recovery point, from both ends.

An object is linked with others in three ways: by a relation (`members`), by belonging to it (the federated credentials
of an application), and by naming its id in a property (`principalId`, `conditions.users.excludeGroups`). All are shown
from both ends.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec

from entra_pipeline.analysis.linking.called import names_of_ties, real_objects
from entra_pipeline.analysis.linking.mentions import is_guid, mentioned
from entra_pipeline.analysis.linking.point_copy import PointCopy
from entra_pipeline.analysis.objects import one
from entra_pipeline.catalogue import BY_GRAPH_TYPE, CATALOGUE, RELATIONS
from entra_pipeline.store.manifest import Manifest
from entra_pipeline.store.recovery_points import ScopeStore
from entra_pipeline.store.state import sql_text

_OBJECT = msgspec.json.Decoder(dict[str, Any])


@dataclass(frozen=True, slots=True)
class Related:
    """What an object is linked with.

    Attributes:
        counts: (relation, direction, type) → how many.
        rows: A page of them: `relation`, `direction` (`to` what the object leads to or owns, `from` what leads to it),
            `type`, `id`, `name`. An object that only ties others together (an assignment, a grant) is called after what
            it ties this one to.
    """

    counts: dict[tuple[str, str, str], int]
    rows: list[dict[str, str]]

    @property
    def total(self) -> int:
        """All of them."""
        return sum(self.counts.values())


def related(
    store: ScopeStore,
    manifest: Manifest,
    table: str,
    identifier: str,
    *,
    limit: int | None = None,
    offset: int = 0,
) -> Related:
    """Everything that an object is linked with at a recovery point, in both directions.

    Args:
        store: The scope's store.
        manifest: The recovery point.
        table: Its object type.
        identifier: Its id.
        limit: Rows at the most.
        offset: Rows to leave out at the beginning.

    Raises:
        UsageError: Unknown object type, or a relation.
        NotAtPoint: The recovery point does not have the type, or the object.
        StoreError: A file cannot be read.
    """
    raw = one(store, manifest, table, identifier)
    with closing(PointCopy(store, manifest)) as copy:
        return related_in(copy, table, identifier, raw, limit=limit, offset=offset)


def related_in(
    copy: PointCopy, table: str, identifier: str, raw: str, *, limit: int | None = None, offset: int = 0
) -> Related:
    """As `related`, of a recovery point that is open, and an object of which the JSON text is at hand."""
    relatives = _Relatives(copy, table, identifier, _OBJECT.decode(raw))
    links = relatives.links()
    some = links[offset : None if limit is None else offset + limit]
    names = relatives.names(some)
    rows = [{**link._asdict(), "name": names.get((link.type, link.id), link.id)} for link in some]
    return Related(Counter(link[:3] for link in links), rows)


class _Link(NamedTuple):
    relation: str
    direction: str
    type: str
    id: str


class _Relatives:
    """The search for what one object is linked with."""

    def __init__(self, copy: PointCopy, table: str, identifier: str, body: dict[str, Any]) -> None:
        self._copy = copy
        self._table = table
        self._id = identifier
        self._body = body
        aliases = (self._body.get(name) for name in CATALOGUE[table].aliases)
        self._known_as = [identifier, *(str(value) for value in aliases if value)]

    def links(self) -> list[_Link]:
        """Finds what it is linked with, each once."""
        links = list(dict.fromkeys([*self._edges(), *self._owned(), *self._named()]))
        told = {(link.type, link.id) for link in links if link.direction == "to"}
        # An object that names the one it belongs to, or that both name alike, says nothing new.
        return links + [link for link in dict.fromkeys(self._naming()) if (link.type, link.id) not in told]

    def names(self, links: Sequence[_Link]) -> dict[tuple[str, str], str]:
        """Finds what the objects at the other ends are called."""
        wanted: dict[str, set[str]] = {}
        for link in links:
            wanted.setdefault(link.type, set()).add(link.id)
        ids = {link.id for link in links}
        called = {(found.kind, found.id): found.name for found in self._copy.select_known(ids, wanted)}
        return called | names_of_ties(self._copy, wanted, self._known_as)

    def _edges(self) -> Iterator[_Link]:
        """The links of relations: of each, first those that lead away."""
        identifier = sql_text(self._id)
        found = self._copy.select_links(f"source_id = {identifier} OR target_id = {identifier}")
        for name in dict.fromkeys(link.relation for link in found):
            owner, relation = RELATIONS[name]
            some = [link for link in found if link.relation == name]
            if owner.name == self._table:
                for link in sorted(some, key=lambda link: (link.target_type, link.target)):
                    if link.source == self._id:
                        kind = BY_GRAPH_TYPE.get(link.target_type)
                        yield _Link(relation.segment, "to", kind.name if kind else link.target_type, link.target)
            back = relation.inverse or relation.segment
            yield from (_Link(back, "from", owner.name, link.source) for link in some if link.target == self._id)

    def _owned(self) -> Iterator[_Link]:
        """The objects that belong to it, and the one that it belongs to."""
        identifier = sql_text(self._id)
        parents = {name: parent for name in self._copy.objects if (parent := CATALOGUE[name].parent) is not None}
        children = [name for name, parent in parents.items() if parent.type == self._table]
        for child in self._copy.select_objects(f"_parent_id = {identifier}", children) if children else ():
            yield _Link(parents[child.kind].segment, "to", child.kind, child.id)
        if parent := parents.get(self._table):
            for own in self._copy.select_objects(f"id = {identifier}", [self._table]):
                yield _Link(parent.segment, "from", parent.type, own.parent)

    def _named(self) -> Iterator[_Link]:
        """The objects that its properties name; those of the same object seen from another side are its own."""
        bodies = {self._table: self._body}
        sides = [name for name in self._copy.objects if CATALOGUE[name].shows == self._table]
        for side in self._copy.select_objects(f"id = {sql_text(self._id)}", sides) if sides else ():
            bodies[side.kind] = _OBJECT.decode(side.raw)
        places: dict[str, str] = {}
        for name, body in bodies.items():
            for path, text in mentioned(CATALOGUE[name], body):
                places.setdefault(text, path)
        for text in self._known_as[:1]:
            places.pop(text, None)
        for found in real_objects(self._copy, places):
            if (found.kind, found.id) != (self._table, self._id):
                yield _Link(places[found.text], "to", found.kind, found.id)

    def _naming(self) -> Iterator[_Link]:
        """The objects whose properties name it."""
        needles = [text if is_guid(text) else f'"{text}"' for text in self._known_as]
        holds = " OR ".join(f"contains(_raw, {sql_text(needle)})" for needle in needles)
        guids = self._known_as if all(map(is_guid, self._known_as)) else ()
        seen = set()
        for other in self._copy.select_objects(holds, mentioned=guids):
            entry = CATALOGUE[other.kind]
            if other.id == self._id and self._table in {other.kind, entry.shows}:
                continue
            found = mentioned(entry, _OBJECT.decode(other.raw))
            for path in dict.fromkeys(path for path, text in found if text in self._known_as):
                # What shows an object from another side says the same once more.
                if (path, other.id) not in seen:
                    seen.add((path, other.id))
                    yield _Link(path, "from", other.kind, other.id)
