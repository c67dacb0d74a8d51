"""Queries of a run: one DuckDB connection, worked with in a thread, one piece of work at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds

from entra_pipeline.backup.rows.hashes import missing_ids
from entra_pipeline.backup.rows.memory import retry_with_more_memory

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class QueryRunner:
    """Runs DuckDB work in a thread while the network goes on.

    Attributes:
        connection: DuckDB, prepared to read the store.
    """

    connection: duckdb.DuckDBPyConnection
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def run(self, work: Callable[[], _T]) -> _T:
        """Runs a function in a thread, when no other piece of work uses the connection."""
        async with self._turn:
            working = asyncio.ensure_future(asyncio.to_thread(work))
            try:
                return await asyncio.shield(working)
            except asyncio.CancelledError:
                # The thread cannot be stopped, and nobody may close the connection under it.
                await asyncio.wait([working])
                raise

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

        return await self.run(lambda: retry_with_more_memory(self.connection, execute))

    async def missing_ids(self, ids: str, known: str) -> list[str]:
        """Returns the ids of one query that another query does not have, sorted."""
        return await self.run(
            lambda: retry_with_more_memory(self.connection, lambda: missing_ids(self.connection, ids, known))
        )
