"""What differs between two recovery points, object by object and link by link."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from entra_pipeline.analysis.points import tables_in_order
from entra_pipeline.store.manifest import Manifest, TableEntry
from entra_pipeline.store.recovery_points import ScopeStore
from entra_pipeline.store.state import connect, state_query

Kind = Literal["added", "changed", "deleted"]


@dataclass(frozen=True, slots=True)
class Change:
    """A difference.

    Attributes:
        table: Object type or relation.
        kind: What happened from the older to the newer point.
        key: `(id,)` of an object, `(source id, target id)` of a link.
        before: The object in the older point; None when it was not there. Empty for links.
        after: The object in the newer point; None when it is not there. Empty for links.
    """

    table: str
    kind: Kind
    key: tuple[str, ...]
    before: dict[str, Any] | None
    after: dict[str, Any] | None

    def properties(self) -> dict[str, tuple[Any, Any]]:
        """The properties of a changed object that differ: before and after. Null and absent are the same."""
        before, after = self.before or {}, self.after or {}
        names = sorted(before.keys() | after.keys())
        return {name: (before.get(name), after.get(name)) for name in names if before.get(name) != after.get(name)}


def changes(store: ScopeStore, older: Manifest, newer: Manifest) -> Iterator[Change]:
    """The differences between two recovery points of a scope, table by table, in the order of their keys.

    A table whose files are the same in both is not read.
    """
    with connect(store.files) as connection:
        for table, now in tables_in_order(newer).items():
            then = older.tables.get(table)
            if then is None or then.parts == now.parts:
                continue
            columns = ("id",) if now.kind == "objects" else ("source_id", "target_id")
            for key, before, after in connection.execute(_difference(store, then, now, columns)).fetchall():
                change = Change(table, _kind(before, after), tuple(key.values()), _decoded(before), _decoded(after))
                if now.kind == "edges" or change.kind != "changed" or change.properties():
                    yield change


def _difference(store: ScopeStore, then: TableEntry, now: TableEntry, columns: tuple[str, ...]) -> str:
    raw = "_raw" if now.kind == "objects" else "'{}'"
    names = ", ".join(columns)
    old, new = (state_query(store.files, entry, f"{names}, {raw} AS body") for entry in (then, now))
    key = ", ".join(f"{name}: {name}" for name in columns)
    return (
        f"SELECT {{{key}}}, o.body, n.body FROM ({old}) o FULL JOIN ({new}) n USING ({names}) "
        f"WHERE o.body IS DISTINCT FROM n.body ORDER BY {names}"
    )


def _kind(before: str | None, after: str | None) -> Kind:
    if before is None:
        return "added"
    return "deleted" if after is None else "changed"


def _decoded(body: str | None) -> dict[str, Any] | None:
    return msgspec.json.decode(body, type=dict[str, Any]) if body is not None else None
