"""A catalog: a DuckDB database file with nothing but views and macros, for stock DuckDB, DBeaver or a notebook.

It holds no data and no secrets. Whoever opens it needs the access to the stores that the command tells.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import duckdb

from entra_pipeline.analysis.sql.relations import Relations
from entra_pipeline.catalogue.columns import column_types
from entra_pipeline.catalogue.logs import LOGS, LogType
from entra_pipeline.errors import StoreError
from entra_pipeline.store.backends import ObjectStore
from entra_pipeline.store.backends.duckdb_errors import storage_error
from entra_pipeline.store.backends.duckdb_filesystem import remembered_listings
from entra_pipeline.store.points.confidential import encrypted_part
from entra_pipeline.store.state import connect, sql_text

_NOBODY = "__HIVE_DEFAULT_PARTITION__"


def _write_empty(connection: duckdb.DuckDBPyConnection, files: ObjectStore, log: LogType, folder: Path) -> None:
    """Writes a file without rows for a log of which nothing is stored, so that the catalog sees what is read later.

    DuckDB refuses a pattern that no Parquet file matches. In its folders' names, hive partitions have no value.
    """
    if next(iter(files.list(f"{log.name}/")), None) is not None:
        return
    types = {"id": "VARCHAR", **column_types(log), "_raw": "VARCHAR"}
    nulls = ", ".join(f'NULL::{kind} AS "{name}"' for name, kind in types.items())
    path = folder / f"{log.name}.parquet"
    connection.execute(f"COPY (SELECT {nulls} WHERE false) TO {sql_text(str(path))} (FORMAT parquet)")
    # Who may only read the store gets a catalog that says so itself when the log's first file has come.
    with suppress(StoreError):
        key = f"{log.name}/backup-scope={_NOBODY}/log-day={_NOBODY}/empty.parquet"
        files.upload(encrypted_part(files, key, path), path)


def write_catalog(
    relations: Relations,
    path: Path,
    names: Sequence[str] | None = None,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> None:
    """Writes the catalog of some stores, over whatever file is there.

    Args:
        relations: What can be asked for.
        path: The file; it appears when it is whole.
        names: Only these views and macros; all when None.
        progress: Told how many views and macros of how many are written.

    Raises:
        StoreError: A store cannot be read, or the file not written.
    """
    names = Relations.with_needs(Relations.names() if names is None else names)
    try:
        with tempfile.TemporaryDirectory(prefix=f".{path.name}-", dir=path.parent) as folder:
            unfinished = Path(folder, "catalog.duckdb")
            with connect(*relations.places.values()) as connection, remembered_listings(connection):
                for files in relations.places.values():
                    for log in LOGS.values():
                        if isinstance(files, ObjectStore) and log.name in names:
                            _write_empty(connection, files, log, Path(folder))
                connection.execute(f"ATTACH {sql_text(str(unfinished))} AS catalog")
                connection.execute("USE catalog")
                for done, definition in enumerate(relations.definitions(connection, names, stock=True)):
                    for statement in (definition.sql, *definition.comments):
                        connection.execute(statement)
                    progress(done, len(names))
                connection.execute("USE memory")
                connection.execute("DETACH catalog")
            unfinished.replace(path)
    except (duckdb.Error, OSError) as error:
        if isinstance(error, duckdb.Error) and (failed := storage_error(error)):
            raise failed from None
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error).splitlines()[0]
        raise StoreError(f"{path} cannot be written: {reason}", remedy="Choose a file in a writable folder.") from None
