"""Who holds names: objects of the tenant, live or in the recycle bin, that keep others from having them.

What belongs here: finding the holders of names. What does not: what a plan does about them (`preconditions`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from functools import cache
from typing import Any, NamedTuple

import duckdb

from entra_pipeline.analysis.names import title
from entra_pipeline.catalogue import CATALOGUE, ObjectType
from entra_pipeline.restore.objects.normalize import Body
from entra_pipeline.restore.objects.selection import bin_of, is_bin
from entra_pipeline.restore.plan.diff import Side, decoded
from entra_pipeline.store.state import sql_text

# The mail property itself may be anything; what is sent for it becomes an address, which nobody else may have (Graph
# doc: user, proxyAddresses).
_BECOMES = {"mail": "proxyAddresses"}
_NICKNAME = "mailNickname"
_MAILBOX = {"mailEnabled": True}
# The same id may be given by several issuers (Graph doc: objectIdentity).
_ISSUER = "issuer"
_OF_SIGN_IN_NAME = "userPrincipalName"


class UniqueName(NamedTuple):
    """A name that only one object may have, or a seat that only one has.

    Attributes:
        space: The property that makes it so, with the type where others may have the same.
        name: The name, as it is compared.
        within: What it counts in, where the same name may stand for others elsewhere: the issuer of an identity.
    """

    space: str
    name: str
    within: str = ""


class NameHolder(NamedTuple):
    """An object that has a name."""

    table: str
    id: str
    title: str
    deleted: bool


def names_sent(entry: ObjectType, body: Body) -> Iterator[tuple[str, UniqueName]]:
    """Yields the names that an object would have with some properties, each with the property that says so."""
    for path in _paths(entry):
        if path == _NICKNAME and not _has_mailbox(entry, body):
            continue
        name, _, member = path.partition(".")
        value = body.get(name)
        for item in value if isinstance(value, list) else [value]:
            if one := _name_of(item, member):
                yield name, UniqueName(_space(entry, path), *one)


@cache
def name_properties(table: str) -> frozenset[str]:
    """Returns the properties of a type that hold names which only one object may have."""
    return frozenset(path.partition(".")[0] for path in _paths(CATALOGUE[table]))


def without_name(entry: ObjectType, name: str, value: Any, taken: Collection[UniqueName]) -> Any:
    """Returns a property without the items that are, or hold, some names; None where it is such a name itself."""
    if not isinstance(value, list):
        return None
    kept = []
    for item in value:
        names = {found for prop, found in names_sent(entry, {name: [item], **_MAILBOX}) if prop == name}
        if names.isdisjoint(taken):
            kept.append(item)
    return kept


def is_kept_in_bin(table: str, name: UniqueName) -> bool:
    """Tells whether an object that is deleted into the recycle bin holds a name as before (`Restore.reserved`)."""
    entry = CATALOGUE[table]
    return name.space in {_space(entry, path) for path in entry.restore.reserved}


def plain(name: str) -> str:
    """Returns a name as it is compared: in small letters, without the kind of an address."""
    return name.lower().removeprefix("smtp:")


class NameHolders:
    """Looks up who has names.

    Args:
        connection: Reads the store.
        live: The recovery point that shows the tenant.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, live: Side) -> None:
        self._connection = connection
        self._live = live
        self._found: dict[UniqueName, list[NameHolder]] = {}
        self._looked_up: set[UniqueName] = set()

    def look_up(self, wanted: Iterable[UniqueName]) -> None:
        """Finds the holders of all these names."""
        fresh = set(wanted) - self._looked_up
        self._looked_up |= fresh
        by_space: dict[str, set[str]] = {}
        for one in fresh:
            by_space.setdefault(one.space, set()).add(one.name)
        for table, entry in CATALOGUE.items():
            if is_bin(entry):
                continue
            for path in _paths(entry):
                texts = by_space.get(_space(entry, path))
                if not texts or path in _BECOMES:
                    continue
                self._read(table, entry, path, texts, deleted=False)
                if path in entry.restore.reserved and bin_of(table):
                    self._read(bin_of(table), entry, path, texts, deleted=True)

    def of(self, name: UniqueName, but: Collection[str]) -> list[NameHolder]:
        """Returns who has a name, other than the objects with some ids."""
        return [one for one in self._found.get(name, ()) if one.id not in but]

    def _read(self, table: str, entry: ObjectType, path: str, texts: Collection[str], *, deleted: bool) -> None:
        if not self._live.has(table):
            return
        inner, _, member = path.partition(".")
        many = bool(member) or (inner in entry.properties and entry.properties[inner].many)
        place = f"$.{inner}[*].{member}" if member else f"$.{inner}[*]" if many else f"$.{inner}"
        values = f"json_extract_string(_raw, {sql_text(place)})"
        compared = f"[regexp_replace(lower(x), '^smtp:', '') FOR x IN {values if many else f'[{values}]'}]"
        state = self._live.state(table, "id, _raw")
        query = f"SELECT id, _raw FROM ({state}) WHERE list_has_any({compared}, ?::VARCHAR[]) ORDER BY id"
        for id_, raw in self._connection.execute(query, [sorted(texts)]).fetchall():
            body = decoded(raw)
            holder = NameHolder(entry.name, id_, title(entry, body), deleted)
            for _, name in names_sent(entry, {inner: body.get(inner), "mailEnabled": body.get("mailEnabled")}):
                if name.name in texts and holder not in self._found.setdefault(name, []):
                    self._found[name].append(holder)


def verified_domains(connection: duckdb.DuckDBPyConnection, live: Side) -> dict[str, bool] | None:
    """Maps the verified domains of the tenant to whether they are its initial one; None when domains are not known."""
    if not live.has("domains"):
        return None
    rows = connection.execute(live.state("domains", "id, _raw")).fetchall()
    found = {id_.casefold(): decoded(raw) for id_, raw in rows}
    return {name: bool(one.get("isInitial")) for name, one in found.items() if one.get("isVerified")} or None


def _paths(entry: ObjectType) -> list[str]:
    """The properties that hold such names; of objects that belong to others none counts in the tenant."""
    if entry.parent is not None or entry.restore.link:
        return []
    return list(dict.fromkeys((*entry.restore.names, *(name for name in entry.restore.unique if entry.restore.bin))))


def _space(entry: ObjectType, path: str) -> str:
    """The space in which a name counts: addresses are one's alone over all types, other names within their type."""
    path = _BECOMES.get(path, path)
    return path if path == "proxyAddresses" else f"{entry.name}.{path}"


def _name_of(item: Any, member: str) -> tuple[str, ...] | None:
    """Returns the name that an item of a property is or holds, and what it counts in; None where there is none."""
    if not member:
        return (plain(item),) if isinstance(item, str) and item else None
    # The sign-in name gives an identity by itself.
    if not isinstance(item, dict) or item.get("signInType") == _OF_SIGN_IN_NAME or not item.get(member):
        return None
    return plain(str(item[member])), str(item.get(_ISSUER) or "").casefold()


def _has_mailbox(entry: ObjectType, body: Body) -> bool:
    """Tells whether the alias is the name of a mailbox: those of security groups may be alike."""
    return entry.name == "groups" and bool(body.get("mailEnabled"))
