"""In which order objects and links come back: what others lead to comes first. Derived from the entries.

What belongs here: the order of tables, and the stages that a restore goes through. What does not: which objects wait
for which (`restore`).
"""

from __future__ import annotations

from enum import StrEnum
from functools import cache
from graphlib import TopologicalSorter

from entra_pipeline.catalogue import CATALOGUE, RELATIONS, Category, ObjectType
from entra_pipeline.catalogue.restoring import WriteStrategy


class Stage(StrEnum):
    """What a restore does one after the other; the order is that of the members."""

    DEFINITIONS = "attribute definitions"
    APPLICATIONS = "applications"
    """Before users, whose directory extensions are defined by applications."""
    USERS = "users"
    GROUPS = "groups"
    ADMINISTRATIVE_UNITS = "administrative units"
    DEVICES = "devices"
    ENTERPRISE_APPLICATIONS = "enterprise applications"
    LINKS = "owners, managers and members"
    ROLES = "roles"
    GRANTS = "grants and assignments"
    LICENCES = "licences"
    BUILDING_BLOCKS = "conditional access building blocks"
    CONDITIONAL_ACCESS = "conditional access"
    POLICIES = "policies"
    GOVERNANCE = "governance"
    EXTERNAL_IDENTITIES = "external identities"
    TENANT = "tenant"
    ENABLE = "enable"
    """No tables: guarded properties (`Restore.guard`) get their own values."""


STAGES: tuple[Stage, ...] = tuple(Stage)

_BY_CATEGORY = {
    Category.APPLICATIONS: Stage.APPLICATIONS,
    Category.USERS: Stage.USERS,
    Category.GROUPS: Stage.GROUPS,
    Category.ADMINISTRATIVE_UNITS: Stage.ADMINISTRATIVE_UNITS,
    Category.DEVICES: Stage.DEVICES,
    Category.ENTERPRISE_APPLICATIONS: Stage.ENTERPRISE_APPLICATIONS,
    Category.ROLES: Stage.ROLES,
    Category.CONDITIONAL_ACCESS: Stage.CONDITIONAL_ACCESS,
    Category.POLICIES: Stage.POLICIES,
    Category.GOVERNANCE: Stage.GOVERNANCE,
    Category.EXTERNAL_IDENTITIES: Stage.EXTERNAL_IDENTITIES,
    Category.TENANT: Stage.TENANT,
}
# What only ties objects together waits until all of them are there.
_TIES = {Category.ADMINISTRATIVE_UNITS: Stage.ROLES, Category.ENTERPRISE_APPLICATIONS: Stage.GRANTS}


def depends_on(table: str) -> frozenset[str]:
    """The object types that have to be in place before a table, as the entries say, without those that never come back.

    Links also wait for what they lead to, of whatever type that is: all of those come in earlier stages, or are objects
    of the types named here.
    """
    if table in RELATIONS:
        return frozenset({RELATIONS[table][0].name})
    entry = CATALOGUE[table]
    named = {*entry.restore.after, *([entry.parent.type] if entry.parent else [])}
    return frozenset(name for name in named if CATALOGUE[name].restore.possible)


def made_before(table: str) -> frozenset[str]:
    """Returns the object types of one stage whose objects are made before those of a type."""
    return frozenset(CATALOGUE[table].restore.after)


@cache
def taken_before(table: str) -> frozenset[str]:
    """Returns the object types whose objects are deleted before those of a type: what leads to it, and its parts."""
    return frozenset(name for name in CATALOGUE if name != table and table in depends_on(name))


def stage_of(table: str) -> Stage:
    """The stage in which the objects or links of a restorable table are written."""
    if table in RELATIONS:
        return max(Stage.LINKS, _stage(RELATIONS[table][0]), key=STAGES.index)
    return _stage(CATALOGUE[table])


def later_stage(table: str) -> Stage:
    """The stage in which an object type's `Restore.later` is sent, when what it leads to has come back."""
    return Stage.LICENCES if CATALOGUE[table].restore.strategy is WriteStrategy.GROUP else Stage.LINKS


def _stage(entry: ObjectType) -> Stage:
    usual = _BY_CATEGORY[entry.category]
    if entry.restore.strategy is WriteStrategy.LICENSES:
        return Stage.LICENCES
    if entry.restore.link:
        return _TIES.get(entry.category, usual)
    others = _dependants(entry.name)
    if usual is Stage.CONDITIONAL_ACCESS and others:
        return Stage.BUILDING_BLOCKS
    if usual is Stage.TENANT and any(CATALOGUE[name].category is not Category.TENANT for name in others):
        return Stage.DEFINITIONS
    return usual


def _dependants(name: str) -> set[str]:
    """The object types that have to wait for a type, directly or through others."""
    waiting: set[str] = set()
    found = {name}
    while found:
        found = {entry.name for entry in CATALOGUE.values() if found & depends_on(entry.name)} - waiting
        waiting |= found
    return waiting


def _ordered() -> tuple[str, ...]:
    tables = [name for name, entry in CATALOGUE.items() if entry.restore.possible]
    tables += [name for name, (_, relation) in RELATIONS.items() if relation.write is not None]
    places = {name: (STAGES.index(stage_of(name)), place) for place, name in enumerate(tables)}
    sorter = TopologicalSorter({name: depends_on(name) for name in tables})
    sorter.prepare()
    ordered: list[str] = []
    ready: list[str] = []
    while sorter.is_active():
        ready = sorted([*ready, *sorter.get_ready()], key=places.__getitem__)
        ordered.append(ready.pop(0))
        sorter.done(ordered[-1])
    return tuple(ordered)


ORDER: tuple[str, ...] = _ordered()
"""Every restorable object type and every relation whose links can be written, in the order in which they come back."""
