"""The state of a table at a recovery point, as SQL over its files.

What belongs here: the rule that makes a state of parts, and a DuckDB connection that can read them. What does not: what
the columns mean, and views for people (`analysis`).
"""

from __future__ import annotations

import resource
from collections.abc import Collection, Sequence
from pathlib import Path

import duckdb

from entra_pipeline.catalogue import CATALOGUE
from entra_pipeline.catalogue.columns import column_types, json_shape, stored_types
from entra_pipeline.store.backends import ObjectStore, Readable
from entra_pipeline.store.backends.duckdb_names import literal
from entra_pipeline.store.backends.encryption.names import is_by_person, key_name_in
from entra_pipeline.store.backends.encryption.sealing import key_id_of
from entra_pipeline.store.backends.encryption.vault import reading_option, whole_raw
from entra_pipeline.store.checksums import StoredPart
from entra_pipeline.store.manifest import TableEntry, TableKind
from entra_pipeline.store.points.confidential import require_vault
from entra_pipeline.surrogates import replaced_sql

KEYS: dict[TableKind, tuple[str, ...]] = {"objects": ("id",), "edges": ("source_id", "target_id")}
_UNITS = {"bytes": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
_FEW_THREADS = 2
_CONTENT = {"objects": "_raw", "edges": "target_type"}
# Columns that say how a row came to be; the state has none of them.
_CHANGE_COLUMNS = {"objects": ("_change",), "edges": ("_change", "_reason")}


def connect(*places: Readable, temp: Path | None = None, memory: str = "") -> duckdb.DuckDBPyConnection:
    """Opens a DuckDB in memory that reads the stores.

    It spills to disk what does not fit into its memory, thinks in UTC and downloads nothing.

    Args:
        places: Where the stores are.
        temp: Folder to spill to; DuckDB's own choice when None.
        memory: The most memory it takes, such as `512MB`; half of what DuckDB would take when empty. Where the address
            space of the process is bounded, it takes a quarter of that at the most, and few threads.
    """
    connection = duckdb.connect(config={"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"})
    space, _ = resource.getrlimit(resource.RLIMIT_AS)
    bounded = space != resource.RLIM_INFINITY
    if not memory:
        amount, unit = str(connection.execute("SELECT current_setting('memory_limit')").fetchall()[0][0]).split()
        usual = float(amount) * _UNITS[unit] / 2
        memory = f"{(min(usual, space / 4) if bounded else usual) / _UNITS['MiB']:.0f} MiB"
    if bounded:
        # Each thread reserves address space of its own.
        connection.execute(f"SET threads = {_FEW_THREADS}")
    connection.execute(f"SET memory_limit = {sql_text(memory)}")
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET enable_progress_bar = false")
    if temp is not None:
        connection.execute(f"SET temp_directory = {sql_text(str(temp))}")
    for files in places:
        files.prepare(connection)
    return connection


def state_query(files: ObjectStore, entry: TableEntry, columns: str = "*", *, exact: bool = False) -> str:
    """Makes the SQL of a state: the base, then the changes in order; a key's last row wins, deletes drop out.

    The base is read once and compared only with the keys that changed. An entry without parts gives no rows, with the
    columns that the catalogue names for its table.

    Args:
        files: The store's place.
        entry: The table's entry in a manifest.
        columns: What to select, in SQL, over the table's columns without `_change` and `_reason`.
        exact: `_raw` as it is stored. Otherwise half surrogate pairs in it are U+FFFD, so that it is JSON to everybody.
    """
    if entry.kind == "objects" and entry.parts and not exact:
        everything = state_query(files, entry, exact=True)
        return f"SELECT {columns} FROM (SELECT * REPLACE ({replaced_sql('_raw')} AS _raw) FROM ({everything}))"
    bases = [part for part in entry.parts if part.role == "base"]
    changes = [part for part in entry.parts if part.role == "changes"]
    without = ", ".join(_CHANGE_COLUMNS[entry.kind])
    keys = ", ".join(KEYS[entry.kind])
    if not entry.parts:
        return f"SELECT {columns} FROM ({_without_rows(entry)})"
    base = f"SELECT * EXCLUDE ({without}) FROM {parquet(files, bases)}"
    if not changes:
        return f"SELECT {columns} FROM ({base})"
    latest = latest_query(files, changes, entry.kind)
    changed = f"SELECT * EXCLUDE ({without}) FROM _latest WHERE _change = 'upsert'"
    both = f"{base} ANTI JOIN _latest USING ({keys}) UNION ALL BY NAME {changed}" if bases else changed
    # Of objects not materialized, or DuckDB (1.4) would read all columns of all files for whatever is asked. The few
    # columns of edges are read once rather than twice.
    once = "MATERIALIZED" if entry.kind == "edges" else "NOT MATERIALIZED"
    return f"WITH _latest AS {once} ({latest}) SELECT {columns} FROM ({both})"


def _without_rows(entry: TableEntry) -> str:
    known = CATALOGUE.get(entry.table)
    # Of a table that only another release knows, there are the columns that each of its kind has.
    types = stored_types(known) if known else dict.fromkeys((*KEYS[entry.kind], _CONTENT[entry.kind]), "VARCHAR")
    nulls = ", ".join(f'NULL::{kind} AS "{name}"' for name, kind in types.items())
    return f"SELECT {nulls} WHERE false"


def latest_query(files: ObjectStore, parts: Sequence[StoredPart], kind: TableKind) -> str:
    """Makes the SQL of the last row of every key in some files, deletes included, with all stored columns.

    Args:
        files: The store's place.
        parts: ObjectStore of a table, oldest first.
        kind: What the table holds.
    """
    # The order is that of the manifest, written into the query: names need not sort by time.
    urls = ", ".join(sql_text(files.url(part.key)) for part in parts)
    source = parquet(files, parts, ", filename = '_file'")
    order = f"coalesce(list_position([{urls}], _file), error('no part of the entry: ' || _file))"
    keys = ", ".join(KEYS[kind])
    last = f"row_number() OVER (PARTITION BY {keys} ORDER BY {order} DESC) = 1"
    return f"SELECT * EXCLUDE (_file) FROM {source} QUALIFY {last}"


def parquet(files: ObjectStore, parts: Sequence[StoredPart], options: str = "") -> str:
    """Makes the SQL that reads files as one table; the names in their path (`scope=…`) do not become columns.

    Raises:
        StoreError: They are encrypted, and this machine has no key.
    """
    by_key: dict[tuple[str, str], list[str]] = {}
    for part in parts:
        if name := key_name_in(part.key):
            require_vault(files, part.key).key(name)
        table = part.key.partition("/")[0] if is_by_person(part.key) else ""
        by_key.setdefault((name, table), []).append(sql_text(literal(files.url(part.key))))
    sources = []
    for (name, table), names in by_key.items():
        source = (
            f"read_parquet([{', '.join(names)}], union_by_name = true, hive_partitioning = false{options}"
            f"{reading_option(name)})"
        )
        sources.append(_with_persons(source, name, table) if table else source)
    if len(sources) == 1:
        return sources[0]
    # DuckDB takes one key for all files of a reader.
    return f"({' UNION ALL BY NAME '.join(f'SELECT * FROM {source}' for source in sources)})"


def sealed_keys(
    connection: duckdb.DuckDBPyConnection, files: ObjectStore, part: StoredPart, only: Collection[bytes] = ()
) -> dict[bytes, int]:
    """Counts the rows of a file with values of persons, by the id of the key that opens them.

    Args:
        connection: Reads the store.
        files: The store's place.
        part: The file; its name says that it is encrypted by person.
        only: Ids of the keys to look for; all when empty.
    """
    name = key_name_in(part.key)
    require_vault(files, part.key).key(name)
    digits = 2 * len(key_id_of(bytes(64)))
    wanted = f"AND id IN ({', '.join(sql_text(one.hex().upper()) for one in only)})" if only else ""
    source = f"{sql_text(literal(files.url(part.key)))}, hive_partitioning = false{reading_option(name)}"
    rows = connection.execute(
        f"SELECT id, count(*) FROM (SELECT left(hex(_sealed), {digits}) AS id FROM read_parquet({source})) "
        f"WHERE id IS NOT NULL {wanted} GROUP BY id"
    ).fetchall()
    return {bytes.fromhex(one): int(number) for one, number in rows}


def _with_persons(source: str, name: str, table: str) -> str:
    """Makes the SQL of rows of an object type with the values of persons, and with columns, out of files without."""
    known = CATALOGUE.get(table)
    whole = f"SELECT * EXCLUDE (_sealed) REPLACE ({whole_raw(name)} AS _raw) FROM {source}"
    if known is None:
        return f"({whole})"
    typed = f"json_transform({replaced_sql('_raw')}, {sql_text(json_shape(column_types(known)))})"
    return f"(SELECT * EXCLUDE (_values), _values.* FROM (SELECT *, {typed} AS _values FROM ({whole})))"


def sql_text(text: str) -> str:
    """Quotes a text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"
