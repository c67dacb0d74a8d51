"""The chosen users and groups of a scope: who they are today, and what belongs to them.

A scope may protect a few users and groups only. Names are resolved at every run; a chosen group brings everybody who is
in it, directly or through other groups, so that people enter and leave the scope with their memberships.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import quote
from uuid import UUID

import msgspec

from entra_pipeline.backup.rows.ids import one_form
from entra_pipeline.backup.rows.page_parser import ReadItems, endpoint, object_id, read_items
from entra_pipeline.catalogue import BY_GRAPH_TYPE, CATALOGUE, ObjectType
from entra_pipeline.errors import GraphNotFound, GraphProtocolError
from entra_pipeline.graph import Graph, GraphPage, RequestStats
from entra_pipeline.graph.client import query
from entra_pipeline.graph.pages import decoding

# By which properties a user or a group may be named in the configuration.
_NAMES = {"users": ("userPrincipalName", "mail"), "groups": ("displayName", "mailNickname", "mail")}
_decode_id = decoding(object_id)
SELECTABLE = ("users", "groups")
"""The object types whose objects can be chosen one by one."""


@dataclass(frozen=True, slots=True)
class ResolvedSelection:
    """The chosen objects.

    Attributes:
        members: Ids by object type; only `users` and `groups` have an entry.
        missing: What was asked for and is not in the tenant, as (object type, name).
    """

    members: dict[str, frozenset[str]]
    missing: tuple[tuple[str, str], ...] = ()

    def ids(self, entry: ObjectType) -> frozenset[str] | None:
        """The chosen ids of a type; None for a type whose objects are not chosen one by one."""
        return self.members.get(entry.name)

    @property
    def everybody(self) -> frozenset[str]:
        """The ids of all chosen objects."""
        return frozenset().union(*self.members.values())

    def keeps(self, entry: ObjectType) -> Callable[[msgspec.Raw], bool] | None:
        """Tells whether an object belongs to the scope; None when every object of the type does."""
        ids = self.ids(entry)
        if ids is not None:
            return lambda raw: object_id(raw) in ids
        if entry.belongs_to:
            owners = self.everybody
            member = msgspec.json.Decoder(dict[str, msgspec.Raw])
            return lambda raw: _text(member.decode(raw).get(entry.belongs_to)) in owners
        return None


def selectable_types(types: Sequence[str]) -> list[str]:
    """Of the given types, those that a scope of chosen users and groups protects when it does not name types."""
    return [name for name in types if name in SELECTABLE or CATALOGUE[name].belongs_to or _owner(name) in SELECTABLE]


def _owner(name: str) -> str:
    parent = CATALOGUE[name].parent
    return parent.type if parent else ""


async def resolve_selection(
    graph: Graph, users: Sequence[str], groups: Sequence[str], stats: RequestStats
) -> ResolvedSelection:
    """Resolves names and memberships.

    Args:
        graph: The tenant.
        users: Ids, user principal names or mail addresses.
        groups: Ids, display names, mail nicknames or mail addresses.
        stats: Counts the requests.

    Raises:
        GraphError: Graph does not say who is chosen.
    """
    members: dict[str, set[str]] = {name: set() for name in SELECTABLE}
    missing: list[tuple[str, str]] = []
    for table, names in (("users", users), ("groups", groups)):
        for name in names:
            found = await _resolve(graph, CATALOGUE[table], name, stats)
            members[table] |= found
            if not found:
                missing.append((table, name))
    for group in sorted(members["groups"]):
        url = query(f"groups/{group}/transitiveMembers", select="id", top=999)
        async for page in graph.pages(url, stats=stats, anew=url):
            for raw in _all_of(page).items:
                other = endpoint(raw)
                entry = BY_GRAPH_TYPE.get(other.target_type)
                if entry and entry.name in members:
                    members[entry.name].add(other.id)
    return ResolvedSelection({name: frozenset(ids) for name, ids in members.items()}, tuple(missing))


async def missing_names(graph: Graph, users: Sequence[str], groups: Sequence[str]) -> list[tuple[str, str]]:
    """Returns which users and groups the tenant does not have, as (object type, name); arguments as above.

    Raises:
        GraphError: Graph does not say who there is.
    """
    stats = RequestStats()
    asked = [(table, name) for table, names in (("users", users), ("groups", groups)) for name in names]
    return [(table, name) for table, name in asked if not await _resolve(graph, CATALOGUE[table], name, stats)]


async def _resolve(graph: Graph, entry: ObjectType, name: str, stats: RequestStats) -> set[str]:
    if _is_id(name):
        try:
            return {await graph.fetch(query(f"{entry.path}/{name}", select="id"), _decode_id, stats=stats)}
        except GraphNotFound:
            return set()
    literal = quote(name.replace("'", "''"), safe="@")
    condition = " or ".join(f"{known} eq '{literal}'" for known in _NAMES[entry.name])
    url = f"{entry.path}?$select=id&$filter={condition.replace(' ', '%20')}"
    return {one async for page in graph.pages(url, stats=stats, anew=url) for one in _all_of(page).ids}


def _all_of(page: GraphPage) -> ReadItems:
    """Returns the objects of a page; raises GraphProtocolError when some cannot be read."""
    items = read_items(page.value)
    if unreadable := [*page.unreadable, *items.unreadable]:
        raise GraphProtocolError(f"Graph answered what cannot be read: {unreadable[0].reason}")
    return items


def _is_id(name: str) -> bool:
    try:
        UUID(name)
    except ValueError:
        return False
    return True


def _text(raw: msgspec.Raw | None) -> str | None:
    value = msgspec.json.decode(raw) if raw is not None else None
    return one_form(value) if isinstance(value, str) else None
