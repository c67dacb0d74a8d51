"""The catalogue of object types that can be protected.

Adding a type is adding one entry to a module of `catalogue.types` (docs/catalogue.md shows how). From it follow:

1. its path, its delta and its relations, which `backup` reads;
2. its columns (`columns`), from the properties that msgraph-sdk's models declare (`sdk`, `models.json`);
3. its assets, SQL views, permissions and documentation;
4. how it comes back (`restoring`), and after which other types (`order`).

`model` defines an entry, `logs` has the entries of logs. What belongs here: facts about Graph. What does not: requests.
"""

from collections.abc import Iterable

from entra_pipeline.catalogue.model import Category, Lane, ObjectType, Parent, Read, Relation, Restore, Streams
from entra_pipeline.catalogue.sdk import Property, PropertyKind
from entra_pipeline.catalogue.types import TYPES

CATALOGUE: dict[str, ObjectType] = {entry.name: entry for entry in TYPES}
"""Every object type, by name, in the order in which a report lists them."""

EVERYTHING: tuple[str, ...] = tuple(entry.name for entry in TYPES if not entry.on_demand)
"""Names of the object types that a scope protects when it protects all."""

RELATIONS: dict[str, tuple[ObjectType, Relation]] = {
    relation.name: (entry, relation) for entry in TYPES for relation in entry.relations
}
"""Every relation, by table name, with the type that owns it."""

BY_GRAPH_TYPE: dict[str, ObjectType] = {entry.graph_type: entry for entry in TYPES if not entry.shows}
"""Every object type, by its name in `@odata.type` without the namespace."""


def table_names(types: Iterable[str] | None = None) -> list[str]:
    """Names of all tables, objects before the relations they own; restricted to the given object types if any."""
    chosen = [CATALOGUE[name] for name in types] if types is not None else list(CATALOGUE.values())
    return [name for entry in chosen for name in (entry.name, *(relation.name for relation in entry.relations))]


def with_children(types: list[str]) -> list[str]:
    """The object types, and those whose objects live in theirs at any depth, in the catalogue's order."""
    found = set(types)
    while more := {e.name for e in TYPES if e.parent and e.parent.type in found} - found:
        found |= more
    return [name for name in CATALOGUE if name in found]


def permissions_for(types: Iterable[str]) -> list[str]:
    """The application permissions that reading the given object types takes, least privileged, sorted.

    Directory.Read.All is among them because one request for the directory extensions of the whole tenant needs it.
    Member.Read.Hidden is among them because Graph shows no members of groups with hidden membership without it; an app
    registration of a tenant without such groups lacks nothing (`lacking`).
    """
    types = list(types)
    return sorted({*(one[0] for one in _reading(types)), *hiding(types, frozenset())})


def restore_permissions_for(types: Iterable[str]) -> list[str]:
    """The application permissions that restoring the given object types and their links takes, sorted.

    They belong to a second app registration: the one that backs up only reads.
    """
    return sorted({one[0] for one in _restoring(types)})


def delegated_permissions_for(types: Iterable[str]) -> list[str]:
    """The delegated permissions that restoring the given object types takes besides, with a person signed in, sorted.

    No application permission allows it. They belong to the same app registration as those of `restore_permissions_for`.
    """
    return sorted({rule.delegated[0] for rule in (CATALOGUE[name].restore for name in types) if rule.delegated})


def lacking(types: Iterable[str], granted: frozenset[str], *, restoring: bool = False) -> list[str]:
    """The permissions, least privileged, for which an app registration has neither them nor others that include them.

    Args:
        types: The object types.
        granted: What the app registration has.
        restoring: To restore them, not to read them.
    """
    needed = _restoring(types) if restoring else _reading(types)
    return sorted({one[0] for one in needed if granted.isdisjoint(one)})


def hiding(types: Iterable[str], granted: frozenset[str]) -> list[str]:
    """The permissions without which Graph shows no links of owners with hidden membership, and no error, sorted.

    Args:
        types: The object types.
        granted: What the app registration has.
    """
    wanted = {relation.hidden for name in types for relation in CATALOGUE[name].relations if relation.hidden}
    return sorted(wanted - granted)


def _reading(types: Iterable[str]) -> set[tuple[str, ...]]:
    """What reading takes: of each, one of several, least privileged first."""
    chosen = [CATALOGUE[name] for name in types]
    asked = [entry for entry in chosen if not entry.delegated and not entry.optional]
    needed = {tuple(entry.permissions) for entry in asked} | {(p,) for entry in asked for p in entry.gated.values()}
    if any(entry.extensible for entry in chosen):
        needed.add(("Directory.Read.All", "Directory.ReadWrite.All"))
    return needed


def _restoring(types: Iterable[str]) -> set[tuple[str, ...]]:
    """What restoring takes: of each, one of several, least privileged first."""
    chosen = [CATALOGUE[name] for name in types]
    rules = [entry.restore for entry in chosen if entry.restore.by_application]
    links = [relation.write for entry in chosen for relation in entry.relations if relation.write is not None]
    needed = {tuple(rule.permissions) for rule in rules} | {tuple(link.permissions) for link in links}
    alone = {name for rule in rules for name in (*rule.besides, *rule.gated.values())}
    return needed | {(name,) for name in alone | {name for link in links for name in link.besides}}


__all__ = [
    "BY_GRAPH_TYPE",
    "CATALOGUE",
    "EVERYTHING",
    "RELATIONS",
    "Category",
    "Lane",
    "ObjectType",
    "Parent",
    "Property",
    "PropertyKind",
    "Read",
    "Relation",
    "Restore",
    "Streams",
    "delegated_permissions_for",
    "hiding",
    "lacking",
    "permissions_for",
    "restore_permissions_for",
    "table_names",
    "with_children",
]
