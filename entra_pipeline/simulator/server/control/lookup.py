"""Finds what an order is about: a place, an object, a set."""

from __future__ import annotations

from collections.abc import Sequence

from entra_pipeline.simulator.graph.tenant import SimulatedGraph
from entra_pipeline.simulator.protocol.failures import not_found
from entra_pipeline.simulator.protocol.paths import ResourcePath, resolve
from entra_pipeline.simulator.schema import BY_NAME, EntitySet
from entra_pipeline.simulator.storage.database import State, StoredObject


class WrongOrder(Exception):
    """An order the control API does not know, or cannot carry out."""


class Lookup:
    """Finds objects and sets of one tenant by path."""

    def __init__(self, tenant: SimulatedGraph) -> None:
        self.tenant = tenant
        self.directory = tenant.directory

    def place(self, path: str) -> ResourcePath:
        """Returns the place of a path below `/v1.0`. Raises Failure (400)."""
        return resolve(path.strip("/"))

    def row(self, place: ResourcePath, states: Sequence[int] = (State.LIVE,)) -> StoredObject:
        """Returns the object at a place; of a recycle bin, the deleted one. Raises Failure (404)."""
        if place.deleted:
            states = (State.DELETED,)
        row = self.directory.find(place.key, place.entry.name if place.entry else "", states=states)
        if row is None:
            raise not_found(place.key)
        return row

    def target(self, path: str) -> StoredObject:
        """Returns the object or part at the path."""
        place = self.place(path)
        relation = place.relation
        if relation is None or not (place.item or (relation.part and not relation.many)):
            return self.row(place)
        found = self.directory.linked(relation.codes, self.row(place).seq)
        found = [part for part in found if part.id == place.item or not relation.many]
        if not found:
            raise not_found(place.item or relation.name)
        return found[0]

    def entry(self, path: str) -> EntitySet:
        """Returns the set at the path; parts go by their type, or by the path from any owner (`domains/-/…`)."""
        if path in BY_NAME:
            return BY_NAME[path]
        place = self.place(path)
        if place.relation is not None and place.relation.part:
            return BY_NAME[place.relation.part]
        if place.entry is None or (place.key and not place.entry.singleton):
            raise WrongOrder(f"{path} is not a set")
        return place.entry
