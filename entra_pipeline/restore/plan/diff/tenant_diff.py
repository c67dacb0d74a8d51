"""All that differs between a recovery point and the tenant, as the rules of a plan see it.

What belongs here: an object that differs, a link, and the whole. What does not: finding them (`compare`, `moved`,
`ties`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from entra_pipeline.analysis.names import title
from entra_pipeline.catalogue import CATALOGUE, ObjectType
from entra_pipeline.restore.objects.normalize import Body
from entra_pipeline.restore.plan.diff.sides import decoded
from entra_pipeline.restore.plan.matching import Namesake, own_aliases

_PENDING = "new:"
"""Stands before ids of objects that are still to be made: what names one of them differs from what is there."""


class ObjectState(StrEnum):
    """What became of an object since the recovery point."""

    THERE = "there"
    BINNED = "in the recycle bin"
    MISSING = "missing"
    ADDED = "added"


class Dependant(NamedTuple):
    """An object of the tenant that another one cannot be removed without.

    Attributes:
        table: Its type.
        id: Its id at the recovery point; of what was added since, in the tenant.
        live_id: Its id in the tenant.
    """

    table: str
    id: str
    live_id: str


@dataclass(slots=True)
class ObjectDiff:
    """An object that differs.

    Attributes:
        table: Its type.
        id: Its id at the recovery point; of what was added since, in the tenant.
        live_id: Its id in the tenant; empty when it is missing.
        parent: Id of its owner, as `id`.
        state: What became of it.
        then: The object at the recovery point, as JSON text; empty when it was added since.
        now: The object in the tenant, or its recycle bin; empty when it is missing.
        known_by: Why it is taken for the same object, where its id does not say so.
        twin: Id of another object that says what this one is to say: in the tenant when it is there, else at the
            recovery point; only of ties (`Restore.link`).
        unlike: Properties in which the two differ nevertheless.
        conditions: Which of `derived`, `fixed` and `mastered` (`Restore`) are true of it.
        requested: Whether it is among what was chosen; others only name something that has another id now.
        replaced: Another one is made in its place, though it is there: what it hangs from gets a new id, and it can
            not be changed to that.
        dependants: Of what is replaced, the objects of the tenant that hang from it, and that go before it does.
    """

    table: str
    id: str
    live_id: str
    parent: str
    state: ObjectState
    then: str
    now: str
    known_by: str = ""
    twin: str = ""
    unlike: tuple[str, ...] = ()
    conditions: frozenset[str] = frozenset()
    requested: bool = True
    replaced: bool = False
    dependants: tuple[Dependant, ...] = ()

    @property
    def entry(self) -> ObjectType:
        """Its type's entry in the catalogue."""
        return CATALOGUE[self.table]

    def wanted(self) -> Body:
        """The object at the recovery point."""
        return decoded(self.then)

    def found(self) -> Body:
        """The object in the tenant."""
        return decoded(self.now)

    @property
    def name(self) -> str:
        """What people call it."""
        return title(self.entry, decoded(self.then or self.now)) or self.id


class RestoreLink(NamedTuple):
    """A link: ids at the recovery point, where it has the ends."""

    source_id: str
    target_id: str
    target_type: str


@dataclass(slots=True)
class TenantDiff:
    """All that differs.

    Attributes:
        items: Object type → objects that differ, by id.
        missing: Relation → links that the tenant does not have, or will not when their ends have been replaced.
        extra: Relation → links that the recovery point does not have.
        forward: Id at the recovery point → id in the tenant, of objects that are there under another id.
        namesakes: Id at the recovery point → who else has the unique name of that missing object.
        incomparable: Tables about which nothing is known, and why.
    """

    items: dict[str, dict[str, ObjectDiff]] = field(default_factory=dict)
    missing: dict[str, list[RestoreLink]] = field(default_factory=dict)
    extra: dict[str, list[RestoreLink]] = field(default_factory=dict)
    forward: dict[str, str] = field(default_factory=dict)
    namesakes: dict[str, Namesake] = field(default_factory=dict)
    incomparable: dict[str, str] = field(default_factory=dict)

    def back(self) -> set[str]:
        """Returns ids of the objects that are to come back."""
        return {
            item.id
            for table, items in self.items.items()
            if CATALOGUE[table].restore.possible
            for item in items.values()
            if item.state in {ObjectState.MISSING, ObjectState.BINNED}
        }

    def replaced(self) -> dict[str, ObjectDiff]:
        """Returns the objects that are there, and in whose place others are made, by id."""
        return {item.id: item for items in self.items.values() for item in items.values() if item.replaced}

    def pending(self) -> dict[str, str]:
        """Maps ids of objects that will be created under a new id to placeholders; appIds of applications too."""
        found: dict[str, str] = {}
        for table, items in self.items.items():
            entry, rule = CATALOGUE[table], CATALOGUE[table].restore
            if rule.create != "POST" or entry.key in rule.required or not rule.possible:
                # Who makes it chooses what it is known by: the tenantId of a partner.
                continue
            for item in items.values():
                if item.state is ObjectState.MISSING or item.replaced:
                    found[item.id] = f"{_PENDING}{item.id}"
                    for alias in own_aliases(item.entry):
                        if value := item.wanted().get(alias):
                            found[value] = f"{_PENDING}{value}"
        return found
