"""How rows look in Parquet: the columns of a table, derived from the catalogue, and the file itself.

Objects: `id`, `_parent_id` for child types, one column per property under Graph's own name, `_raw`, `_change`. Scalars
are typed, lists of scalars are lists, everything complex is JSON text. A value that does not fit its column becomes
null there, is counted, and is never lost: `_raw` has it. Text with half a surrogate pair is counted, too: its column
has U+FFFD, and `_raw` the escape.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import duckdb
import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from entra_pipeline.backup.persons import sealing
from entra_pipeline.backup.rows.entries import total
from entra_pipeline.backup.rows.memory import retry_with_more_memory
from entra_pipeline.catalogue import CATALOGUE, RELATIONS, ObjectType
from entra_pipeline.catalogue.columns import column_types, json_shape
from entra_pipeline.catalogue.logs import LogType
from entra_pipeline.store.backends.duckdb_names import literal
from entra_pipeline.store.backends.encryption.person_keys import ScopeKeys
from entra_pipeline.store.backends.encryption.vault import Vault, reading_option
from entra_pipeline.store.state import sql_text
from entra_pipeline.surrogates import hide_text, is_hidden, replaced_sql

# Version 2 keeps the lengths of texts apart from the texts, which leaves less of columns of ids. Of texts that hardly
# repeat, zstd makes less than a dictionary does. Level 6 takes an eighth off objects; the levels above it take a
# twentieth more, and as much time again. Small row groups let a reader skip, and bound what the writer holds in memory;
# two make up a segment.
_OBJECTS = (
    "(FORMAT parquet, PARQUET_VERSION V2, COMPRESSION zstd, COMPRESSION_LEVEL 6, DICTIONARY_SIZE_LIMIT 256, "
    "ROW_GROUP_SIZE 13312"
)
# Ids are chance, which nothing compresses. So each is written once, in the dictionary of a row group, and an edge is
# two numbers: row groups are large, and dictionaries may be.
_EDGE_GROUP = 2**20
_EDGE_DICTIONARY = 2**26
_EDGE_COLUMNS = pa.schema(
    [(name, pa.string()) for name in ("source_id", "target_id", "target_type", "_change", "_reason")]
)
_JSON = replaced_sql("raw")
_OPENS = "IN ('[', '{')"
_MAY_HAVE_HALVES = "(contains(raw, '\\ud') OR contains(raw, '\\uD'))"
_members = msgspec.json.Decoder(dict[str, msgspec.Raw])


_NONE: Mapping[str, str] = MappingProxyType({})


def write_objects(
    connection: duckdb.DuckDBPyConnection,
    source: str,
    table: str,
    path: Path,
    vault: Vault | None = None,
    keys: ScopeKeys | None = None,
) -> dict[str, int]:
    """Writes rows as objects, in the order in which they are.

    Args:
        connection: Where the rows are.
        source: Name of a table with the columns `id, parent_id, change, raw`.
        table: The object type.
        path: The file.
        vault: Encrypts the file; None: nothing does.
        keys: Encrypt the values of persons; None: nothing does.

    Returns:
        Values that do not fit their column, by column; columns without any are left out.
    """
    entry = CATALOGUE[table]
    if vault is not None and keys is not None and entry.personal is not None:
        return _write_by_person(connection, source, entry, path, vault, keys)
    extra = {"parent_id": "_parent_id"} if entry.parent else {}
    return _write_typed(connection, source, column_types(entry), path, vault, before=extra, after={"change": "_change"})


def _write_by_person(
    connection: duckdb.DuckDBPyConnection,
    source: str,
    entry: ObjectType,
    path: Path,
    vault: Vault,
    keys: ScopeKeys,
) -> dict[str, int]:
    """As `write_objects`, of a type with values of persons: they are in `_sealed`, and the file has no columns of them.

    What a column could have is taken out of `_raw` by whoever reads it: columns of nulls would say that there is
    nothing.
    """
    types, parent = column_types(entry), "parent_id AS _parent_id, " if entry.parent else ""
    vault.prepare(connection, write=True)

    def write() -> dict[str, int]:
        with sealing(connection, entry, keys) as sealed:
            connection.execute(
                f"""
                COPY (
                    SELECT id, {parent} sealed.raw AS _raw, sealed.envelope AS _sealed, change AS _change
                    FROM (SELECT *, {sealed} AS sealed FROM {source})
                ) TO {sql_text(str(path))} {_OBJECTS}{vault.copy_option()})
                """
            )
        keys.save()
        typed = f"(SELECT t.* FROM (SELECT json_transform({_JSON}, '{json_shape(types)}') AS t FROM {source}))"
        stored, _ = _read_back(connection, typed, types)
        return total([_misfits(connection, source, _JSON, stored), _halves(connection, source, types)])

    return retry_with_more_memory(connection, write)


def write_entries(connection: duckdb.DuckDBPyConnection, source: str, entry: LogType, path: Path) -> dict[str, int]:
    """Writes the rows of a table with the columns `id, raw` as entries of a log, by time; as `write_objects`."""
    return _write_typed(connection, source, column_types(entry), path, order=f'ORDER BY t."{entry.time}", id')


def _write_typed(
    connection: duckdb.DuckDBPyConnection,
    source: str,
    types: Mapping[str, str],
    path: Path,
    vault: Vault | None = None,
    *,
    before: Mapping[str, str] = _NONE,
    after: Mapping[str, str] = _NONE,
    order: str = "",
) -> dict[str, int]:
    """Writes `id`, `before`, a column per property, `_raw` and `after`; the two by name in the source → in the file."""
    first = "".join(f"{name} AS {column}, " for name, column in before.items())
    last = "".join(f", {name} AS {column}" for name, column in after.items())

    if vault is not None:
        vault.prepare(connection, write=True)
    file = f"read_parquet({sql_text(literal(str(path)))}{reading_option(vault.newest.name) if vault else ''})"

    def copy(json: str, untexted: Mapping[str, str]) -> None:
        """Writes the file; `untexted` has conditions under which text columns are null."""
        replaced = "".join(
            f', CASE WHEN {condition} THEN NULL ELSE t."{name}" END AS "{name}"' for name, condition in untexted.items()
        )
        columns = "".join(f'"{name}", ' if name in untexted else f't."{name}", ' for name in types)
        connection.execute(
            f"""
            COPY (
                SELECT id, {first} {columns} raw AS _raw {last}
                FROM (SELECT *{replaced} FROM
                    (SELECT *, json_transform({json}, '{json_shape(types)}') AS t FROM {source})) {order}
            ) TO {sql_text(str(path))} {_OBJECTS}{vault.copy_option() if vault else ""})
            """
        )

    def write() -> dict[str, int]:
        has_surrogates = _has_surrogates(connection, source)
        json = _JSON if has_surrogates else "raw"
        copy(json, {})
        stored, bracketed = _read_back(connection, file, types)
        untexted = _no_texts(connection, source, json, bracketed)
        if untexted:
            copy(json, {name: condition for name, (condition, _) in untexted.items()})
            stored, _ = _read_back(connection, file, types)
        return total(
            [
                _misfits(connection, source, json, stored),
                # Lists that are null are counted with the other types.
                {name: number for name, (_, number) in untexted.items() if types[name] == "VARCHAR"},
                _halves(connection, source, types) if has_surrogates else {},
            ]
        )

    return retry_with_more_memory(connection, write)


def write_edges(connection: duckdb.DuckDBPyConnection, source: str, table: str, path: Path) -> None:
    """Writes rows `source_id, target_id, target_type, change, reason` of a table or query as edges of a relation."""
    rows = connection.execute(
        f"SELECT source_id, target_id, target_type, change AS _change, reason AS _reason FROM {source}"
    ).fetch_record_batch(_EDGE_GROUP)
    # Where a source has one target at most, a dictionary of sources would only make them longer.
    single = not RELATIONS[table][1].many
    with pq.ParquetWriter(
        path,
        _EDGE_COLUMNS,
        compression="zstd",
        use_dictionary=[name for name in _EDGE_COLUMNS.names if not (single and name == "source_id")],
        column_encoding={"source_id": "DELTA_LENGTH_BYTE_ARRAY"} if single else None,
        dictionary_pagesize_limit=_EDGE_DICTIONARY,
        store_schema=False,
    ) as file:
        for group in rows:
            file.write_batch(group.cast(_EDGE_COLUMNS))


def _read_back(
    connection: duckdb.DuckDBPyConnection, file: str, types: Mapping[str, str]
) -> tuple[dict[str, int], dict[str, str]]:
    """Reads the columns of a file once.

    Returns:
        How many values each column has that is neither text nor JSON; and the text columns, with their types, in which
        a text begins like an object or array.
    """
    typed = [name for name, kind in types.items() if kind not in {"VARCHAR", "JSON"}]
    begins = {
        name: f"""count_if("{name}"[1] {_OPENS})"""
        if kind == "VARCHAR"
        else f"""count_if(len(list_filter("{name}", lambda text: text[1] {_OPENS})) > 0)"""
        for name, kind in types.items()
        if kind in {"VARCHAR", "VARCHAR[]"}
    }
    counts = ", ".join([*(f'count("{name}")' for name in typed), *begins.values()])
    if not counts:
        return {}, {}
    found = connection.execute(f"SELECT {counts} FROM {file}").fetchone() or ()
    bracketed = [name for name, number in zip(begins, found[len(typed) :], strict=True) if number]
    return dict(zip(typed, found[: len(typed)], strict=True)), {name: types[name] for name in bracketed}


def _no_texts(
    connection: duckdb.DuckDBPyConnection, source: str, json: str, columns: Mapping[str, str]
) -> dict[str, tuple[str, int]]:
    """Returns the text columns with objects or arrays for texts: SQL over `raw` that finds the rows, and their number.

    DuckDB makes text of anything. Of the columns in which a text begins like an object or array, a pattern finds out
    whether any row may have one, for a fraction of what writing the rows takes.
    """
    texts = [name for name, kind in columns.items() if kind == "VARCHAR"]
    lists = [name for name, kind in columns.items() if kind == "VARCHAR[]"]
    text = rf'"({"|".join(texts)})"\s*:\s*[\[{{]'
    element = rf'"({"|".join(lists)})"\s*:\s*\[[^\]]*[\[{{]'
    pattern = "|".join(one for one, names in ((text, texts), (element, lists)) if names)
    if not pattern:
        return {}
    likely = connection.execute(
        f"SELECT count(*) FROM {source} WHERE raw IS NOT NULL AND regexp_matches(raw, {sql_text(pattern)})"
    ).fetchone()
    if not likely or not likely[0]:
        return {}
    kinds = "IN ('OBJECT', 'ARRAY')"
    conditions = {name: f"""json_type({json}, '$."{name}"') {kinds}""" for name in texts} | {
        name: f"""len(list_filter(json_type({json}, '$."{name}"[*]'), lambda kind: kind {kinds})) > 0"""
        for name in lists
    }
    counts = ", ".join(f"count_if({condition})" for condition in conditions.values())
    found = connection.execute(f"SELECT {counts} FROM {source}").fetchone() or ()
    return {
        name: (condition, int(number))
        for (name, condition), number in zip(conditions.items(), found, strict=True)
        if number
    }


def _misfits(
    connection: duckdb.DuckDBPyConnection, source: str, json: str, stored: Mapping[str, int]
) -> dict[str, int]:
    if not stored:
        return {}
    untyped = json_shape(dict.fromkeys(stored, "JSON"))
    given = ", ".join(f'count(j."{name}")' for name in stored)
    present = connection.execute(
        f"SELECT {given} FROM (SELECT json_transform({json}, '{untyped}') j FROM {source})"
    ).fetchone()
    return {
        name: there - here for (name, here), there in zip(stored.items(), present or (), strict=True) if there > here
    }


def _has_surrogates(connection: duckdb.DuckDBPyConnection, source: str) -> bool:
    """Tells whether JSON has escapes of surrogates, whole pairs included: few collections have any."""
    return bool(connection.execute(f"SELECT 1 FROM {source} WHERE {_MAY_HAVE_HALVES} LIMIT 1").fetchone())


def _halves(connection: duckdb.DuckDBPyConnection, source: str, types: Mapping[str, str]) -> dict[str, int]:
    """Counts values with half a surrogate pair, by column; those of no column are counted as `_raw`."""
    rows = connection.execute(f"SELECT raw FROM {source} WHERE {_MAY_HAVE_HALVES} AND raw <> {_JSON}").fetchall()
    found: Counter[str] = Counter()
    for (raw,) in rows:
        for name, value in _members.decode(hide_text(raw)).items():
            if is_hidden(bytes(value)):
                found[name if name in types or name == "id" else "_raw"] += 1
            elif is_hidden(name.encode()):
                found["_raw"] += 1
    return dict(found)
