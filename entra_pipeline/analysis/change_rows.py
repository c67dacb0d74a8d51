"""The differences between two recovery points as rows for people and programs: with names, counted by table."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import chain, islice
from typing import Any

import duckdb

from entra_pipeline.analysis.changes import Basis, Change, changes, reading
from entra_pipeline.analysis.equality import Values
from entra_pipeline.analysis.manifest_rows import category
from entra_pipeline.analysis.names import names, title
from entra_pipeline.catalogue import BY_GRAPH_TYPE, CATALOGUE, RELATIONS
from entra_pipeline.store.manifest import Manifest
from entra_pipeline.store.recovery_points import ScopeStore

# Names are looked up for so many links at a time.
_TOGETHER = 10_000


def change_rows(
    store: ScopeStore,
    before: Manifest,
    after: Manifest,
    tables: Collection[str] | None = None,
    ids: Collection[str] | None = None,
) -> Iterator[dict[str, Any]]:
    """What differs between two points of a scope, as rows.

    Of every row `table`, `change` (`added`, `removed`, `modified`, `volatile`), `id`, `name`. Of objects also `parent`
    where they belong to another one, `object` (when added or removed), `properties` and `volatile` (name → `before`,
    `after`). Of links, whose `id` is their source's, also `target_id`, `target_type` and `target_name`.

    Args:
        store: The scope's store.
        before: A recovery point.
        after: The other one.
        tables: Only these object types and relations.
        ids: Only these objects, what belongs to them, and links from and to them.

    Raises:
        StoreError: A file cannot be read.
    """
    with reading(store) as connection:
        found = changes(store, before, store, after, tables, ids, connection=connection)
        while first := next(found, None):
            some = [first, *islice(found, _TOGETHER - 1)]
            called = _names_of_ends(connection, store, (before, after), some)
            yield from (_link_row(one, called) if one.table in RELATIONS else _object_row(one) for one in some)


def _object_row(change: Change) -> dict[str, Any]:
    body = change.after or change.before or {}
    entry = CATALOGUE.get(change.table)
    return {
        "table": change.table,
        "change": change.kind,
        "id": change.key[0],
        "name": title(entry, body) if entry else change.key[0],
        **({"parent": change.parent} if change.parent else {}),
        **({"object": body} if change.kind in {"added", "removed"} else {}),
        "properties": _values(change.properties),
        "volatile": _values(change.volatile),
    }


def _values(values: Values) -> dict[str, dict[str, Any]]:
    return {name: {"before": was, "after": now} for name, (was, now) in values.items()}


def _link_row(change: Change, called: Mapping[str, str]) -> dict[str, Any]:
    source, target = change.key
    return {
        "table": change.table,
        "change": change.kind,
        "id": source,
        "name": called.get(source, source),
        "target_id": target,
        "target_type": (change.after or change.before or {}).get("target_type"),
        "target_name": called.get(target, target),
    }


def _names_of_ends(
    connection: duckdb.DuckDBPyConnection, store: ScopeStore, points: Iterable[Manifest], some: list[Change]
) -> dict[str, str]:
    """What the ends of links are called; the last point that has an object names it."""
    wanted: dict[str, set[str]] = {}
    for change in some:
        if change.table in RELATIONS:
            target = BY_GRAPH_TYPE.get((change.after or change.before or {}).get("target_type") or "")
            wanted.setdefault(RELATIONS[change.table][0].name, set()).add(change.key[0])
            if target is not None:
                wanted.setdefault(target.name, set()).add(change.key[1])
    called: dict[str, str] = {}
    for point in points:
        called |= names(connection, store, point, wanted)
    return called


def summary_rows(bases: Mapping[str, Basis], counted: Mapping[tuple[str, str], int]) -> list[dict[str, Any]]:
    """Each table that was to be compared: `table`, `category`, `comparable`, how many rows of each change, `notes`.

    Args:
        bases: What the comparison of each table rests on.
        counted: (table, change) → rows.
    """
    kinds = ("added", "removed", "modified", "volatile")
    return [
        {
            "table": table,
            "category": category(table),
            "comparable": basis.comparable,
            **{kind: counted.get((table, kind), 0) if basis.comparable else None for kind in kinds},
            "notes": list(basis.notes),
        }
        for table, basis in bases.items()
    ]


def flat_rows(row: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """A row of `change_rows` as lines of a flat table: one for each property that differs, else one."""
    common = {key: row.get(key) for key in ("table", "change", "id", "name", "target_id", "target_name")}
    properties = chain(
        ((common["change"], name, values) for name, values in row.get("properties", {}).items()),
        (("volatile", name, values) for name, values in row.get("volatile", {}).items()),
    )
    lines = [{**common, "change": kind, "property": name, **values} for kind, name, values in properties]
    yield from lines or [{**common, "property": None, "before": None, "after": None}]
