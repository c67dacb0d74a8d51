"""What people call the objects of a recovery point."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Any

import duckdb
import msgspec

from entra_pipeline.analysis.linking.mentions import guids_in
from entra_pipeline.catalogue import CATALOGUE, ObjectType
from entra_pipeline.store.manifest import Manifest
from entra_pipeline.store.recovery_points import ScopeStore
from entra_pipeline.store.state import sql_text

_LONGEST = 60
# Of what two long texts have in common, so much is shown before they differ.
_LEAD = 20
_NO_NAMES: Mapping[str, str] = MappingProxyType({})


def short(value: Any) -> str:
    """A value in a few words, for a table."""
    return _cut(_text(value))


def short_pair(before: Any, after: Any, names: Mapping[str, str] = _NO_NAMES) -> tuple[str, str]:
    """What a value was and what it is, in a few words; of long texts, from shortly before they differ.

    Args:
        before: What it was.
        after: What it is.
        names: What people call the objects whose ids are in them, by id.
    """
    was, now = named_text(_text(before), names), named_text(_text(after), names)
    unlike = (number for number, (one, other) in enumerate(zip(was, now, strict=False)) if one != other)
    same = next(unlike, min(len(was), len(now)))
    if same >= _LONGEST - _LEAD and max(len(was), len(now)) > _LONGEST:
        was, now = (f"…{text[same - _LEAD :]}" for text in (was, now))
    return _cut(was), _cut(now)


def named_text(text: str, names: Mapping[str, str]) -> str:
    """Puts names in the place of ids within a text, which may be JSON."""
    for one in dict.fromkeys(guids_in(text)):
        text = text.replace(one, names.get(one, one))
    return text


def guids_of(*values: Any) -> set[str]:
    """Finds the GUIDs in values, which may be ids of objects."""
    return {one for value in values for one in guids_in(_text(value))}


def _text(value: Any) -> str:
    return "nothing" if value is None else value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def title(entry: ObjectType, body: Mapping[str, Any]) -> str:
    """What people call an object: its display name, else what else it is known by, else its id."""
    return str(next((body[key] for key in _usual(entry) if body.get(key)), ""))


def title_sql(entry: ObjectType) -> str:
    """The same as SQL over the columns `_raw` and `id`."""
    values = (f"nullif(json_extract_string(_raw, {sql_text(f'$.{key}')}), '')" for key in _usual(entry)[:-1])
    return f"coalesce({', '.join([*values, 'id'])})"


def _usual(entry: ObjectType) -> tuple[str, ...]:
    return tuple(dict.fromkeys(("displayName", *entry.identity, "id")))


def names(
    connection: duckdb.DuckDBPyConnection,
    store: ScopeStore,
    manifest: Manifest,
    wanted: Mapping[str, Collection[str]],
) -> dict[str, str]:
    """What people call objects, by id; those that the recovery point does not have are left out.

    Args:
        connection: Reads the store.
        store: The scope's store.
        manifest: The recovery point.
        wanted: Object type → ids.
    """
    found: dict[str, str] = {}
    for table, ids in wanted.items():
        entry = manifest.tables.get(table)
        if entry is None or table not in CATALOGUE or not ids:
            continue
        state = store.intact_state(entry, "id, _raw")
        query = f"SELECT id, {title_sql(CATALOGUE[table])} FROM ({state}) SEMI JOIN (SELECT unnest(?) AS id) USING (id)"
        found.update(connection.execute(query, [sorted(ids)]).fetchall())
    return found
