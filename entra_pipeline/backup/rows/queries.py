"""Queries of a run: one DuckDB connection, worked with in a thread, one piece of work at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar, cast

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds

from entra_pipeline.backup.rows.hashes import missing_ids
from entra_pipeline.backup.rows.memory import retry_with_more_memory
from entra_pipeline.errors import IntegrityError
from entra_pipeline.store.checksums import IntactParts, StoredPart

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class QueryRunner:
    """Runs DuckDB work in a thread while the network goes on.

    Attributes:
        connection: DuckDB, prepared to read the store.
        intact: Hashes the parts that are read, before the first piece of work that reads them.
    """

    connection: duckdb.DuckDBPyConnection
    intact: IntactParts
    _known: dict[str, StoredPart] = field(default_factory=dict)
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def run(self, work: Callable[[], _T], reads: str = "") -> _T:
        """Runs a function in a thread, when no other piece of work uses the connection.

        Args:
            work: The function.
            reads: The SQL of the states that it reads.

        Raises:
            IntegrityError: A part that is to be read is not what the manifest says.
        """
        async with self._turn:
            # Not in the thread: parts become known while it works.
            needed = {name: part for name, part in self._known.items() if name in reads}
            working = asyncio.ensure_future(asyncio.to_thread(self._worked, work, list(needed.values())))
            try:
                result = await asyncio.shield(working)
            except asyncio.CancelledError:
                # The thread cannot be stopped, and nobody may close the connection under it.
                await asyncio.wait([working])
                raise
            for name in needed:
                del self._known[name]
            return result

    def know(self, parts: Mapping[str, StoredPart]) -> None:
        """Makes parts known by how SQL names them: each is hashed before the first piece of work that reads it."""
        self._known.update(parts)

    def _worked(self, work: Callable[[], _T], needed: Sequence[StoredPart]) -> _T:
        try:
            self.intact.require(needed)
        except IntegrityError as error:
            raise IntegrityError(
                error.message,
                remedy="Nothing was committed. Find out who changed it: entra-pipeline verify shows what else differs. "
                "entra-pipeline backup SCOPE --full reads everything anew and does without it.",
            ) from None
        return work()

    async def query(self, sql: str, **tables: pa.Table | ds.Dataset) -> list[tuple[object, ...]]:
        """Returns the rows of a query; SQL can name each of `tables`."""

        def execute() -> list[tuple[object, ...]]:
            for name, table in tables.items():
                self.connection.register(name, table)
            try:
                return self.connection.execute(sql).fetchall()
            finally:
                for name in tables:
                    self.connection.unregister(name)

        return await self.run(lambda: retry_with_more_memory(self.connection, execute), sql)

    async def lists(self, sql: str, **tables: pa.Table | ds.Dataset) -> list[list[str]]:
        """Returns the lists of text that are the one row of a query; see `query`."""
        [row] = await self.query(sql, **tables)
        return [list(cast(list[str], one or ())) for one in row]

    async def missing_ids(self, ids: str, known: str) -> list[str]:
        """Returns the ids of one query that another query does not have, sorted."""
        return await self.run(
            lambda: retry_with_more_memory(self.connection, lambda: missing_ids(self.connection, ids, known)),
            f"{ids} {known}",
        )
