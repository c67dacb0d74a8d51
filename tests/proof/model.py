"""What has to be true: the tenant at every moment, and what each point therefore has to hold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from entra_pipeline.catalogue import BY_GRAPH_TYPE, RELATIONS
from entra_pipeline.demo import Picture
from entra_pipeline.store.manifest import Gap, Manifest
from entra_pipeline.store.recovery_points import ScopeStore
from entra_pipeline.store.state import connect, state_query

State = dict[Any, Any]
"""A table: objects by id, or links by (source, target) with the target's type."""
_TABLE_WIDE = ("not read", "not read to its end", "properties", "objects", "owners", "proof", "directory extensions")


@dataclass
class History:
    """The tenant as it was, after each change."""

    pictures: list[dict[str, State]] = field(default_factory=list)

    def add(self, picture: Picture) -> None:
        """Notes what the tenant is now."""
        now: dict[str, State] = {name: dict(found) for name, found in picture.objects.items()}
        now |= {name: {edge[:2]: edge[2] for edge in found} for name, found in picture.links.items()}
        self.pictures.append(now)

    @property
    def now(self) -> int:
        """The number of the newest picture."""
        return len(self.pictures) - 1

    def between(self, table: str, first: int, last: int) -> list[State]:
        """Returns what a table was at each moment from one to another."""
        return [picture[table] for picture in self.pictures[first : last + 1]]


@dataclass(frozen=True)
class Recorded:
    """A point that was committed: its manifest, and what its tables held then."""

    manifest: Manifest
    states: dict[str, State]


def stored(store: ScopeStore, manifest: Manifest) -> dict[str, State]:
    """Reads what the tables of a point hold."""
    states: dict[str, State] = {}
    with connect(store.files) as connection:
        for table, entry in manifest.tables.items():
            columns = "id, _raw" if entry.kind == "objects" else "source_id, target_id, target_type"
            rows = connection.execute(state_query(store.files, entry, columns)).fetchall()
            if entry.kind == "objects":
                states[table] = {key: _without_nulls(msgspec.json.decode(raw)) for key, raw in rows}
            else:
                states[table] = {(source, target): kind for source, target, kind in rows}
            if len(states[table]) != len(rows):
                raise AssertionError(f"{table} has {len(rows) - len(states[table])} keys twice")
    return states


def _without_nulls(body: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in body.items() if value is not None}


def differences(table: str, held: State, seen: Sequence[State]) -> Iterator[tuple[Any, str]]:
    """Yields the keys of a table that are as no moment of its window had them, and how they differ."""
    every = set(held).union(*seen)
    for key in sorted(every):
        was = [state.get(key) for state in seen]
        if key not in held:
            if all(one is not None for one in was):
                yield key, "is missing"
        elif held[key] not in was:
            if all(one is None for one in was):
                yield key, "is no longer there"
            else:
                yield key, _how(held[key], next(one for one in was if one is not None))


def _how(held: Any, true: Any) -> str:
    if not isinstance(held, dict):
        return f"is {held!r} and should be {true!r}"
    names = sorted(name for name in held.keys() | true.keys() if held.get(name) != true.get(name))
    return "differs in " + ", ".join(f"{name}: {held.get(name)!r} for {true.get(name)!r}" for name in names[:3])


def as_shown(key: Any, held: State, seen: Sequence[State], said: Mapping[str, Sequence[Any]]) -> bool:
    """Tells whether an object differs only in what Graph has said of its properties, in the one view that there is.

    A value of another kind than the metadata says is stored as it came, and delta does not tell the object again when
    Graph says it rightly.

    Args:
        key: The object.
        held: What is stored.
        seen: What the table was at each moment.
        said: Values that Graph has shown in the place of true ones, by property.
    """
    body = held.get(key)
    if not isinstance(body, dict):
        return False
    for was in filter(None, (state.get(key) for state in seen)):
        odd = [name for name in body.keys() | was.keys() if body.get(name) != was.get(name)]
        if all(body.get(name) in said.get(name, ()) for name in odd):
            return True
    return False


def excused(key: Any, gaps: Sequence[Gap]) -> bool:
    """Tells whether a gap of the table names what differs: the whole table, the object, or the owner of the link."""
    names = {key} if isinstance(key, str) else set(key)
    for gap in gaps:
        if gap.object:
            if gap.object in names:
                return True
        elif covers_table(gap) or any(name in f"{gap.what} {gap.reason}" for name in names):
            return True
    return False


def covers_table(gap: Gap) -> bool:
    """Tells whether a gap is about a whole table: nobody can say which of its objects."""
    return gap.what in _TABLE_WIDE or gap.what.endswith(": an element without an id")


def dangling(states: dict[str, State]) -> Iterator[str]:
    """Yields links of which an end is not stored, although all objects of its type are."""
    for table, held in states.items():
        if table not in RELATIONS:
            continue
        owner = RELATIONS[table][0].name
        for (source, target), kind in held.items():
            target_table = BY_GRAPH_TYPE[kind].name if kind in BY_GRAPH_TYPE else ""
            if source not in states[owner]:
                yield f"{table} {source} -> {target}: the source is not stored"
            if target_table in states and target not in states[target_table]:
                yield f"{table} {source} -> {target}: the target is not stored"
