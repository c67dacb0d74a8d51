"""States of the tables of a run: the parent's, the new one, and what differs, as SQL and as answers to questions.

What belongs here: reading. What does not: writing rows and entries (`point_builder`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from entra_pipeline.backup.rows.entries import is_objects, known
from entra_pipeline.backup.rows.merge import ids_table
from entra_pipeline.backup.rows.queries import QueryRunner
from entra_pipeline.backup.rows.result import ReadResult
from entra_pipeline.backup.rows.staging import DELETE, UPSERT, read_staged
from entra_pipeline.catalogue import CATALOGUE, ObjectType
from entra_pipeline.store.backends.duckdb_names import literal
from entra_pipeline.store.manifest import Manifest, TableEntry
from entra_pipeline.store.recovery_points import ScopeStore
from entra_pipeline.store.state import KEYS, latest_query, state_query
from entra_pipeline.surrogates import replaced_sql


@dataclass(frozen=True, slots=True)
class TableStates:
    """The tables of a recovery point in the making.

    SQL of objects has the columns `id, parent_id, raw`; SQL of edges `source_id, target_id, target_type`.

    Attributes:
        store: The scope's store.
        point: Key of the recovery point.
        parent: The manifest it builds on; None for the first.
        runner: Runs queries.
        entries: The entry of each table so far.
        results: What the read of each table brought.
        kept: Tables of which a temporary table `kept_in(table)` holds a part of the parent's state: of objects the ids
            that this point adds, of edges those of the reported sources.
    """

    store: ScopeStore
    point: str
    parent: Manifest | None
    runner: QueryRunner
    entries: dict[str, TableEntry] = field(default_factory=dict)
    results: dict[str, ReadResult] = field(default_factory=dict)
    kept: set[str] = field(default_factory=set)

    # --- SQL ---------------------------------------------------------------------------------------------------------

    def before(self, table: str) -> TableEntry | None:
        """Returns the parent's entry; None unless it has rows to build on."""
        return known(self.parent, table)

    def live_before(self, table: str) -> int:
        """Counts the rows of the parent's state."""
        entry = self.before(table)
        return entry.live if entry else 0

    def sql_before(self, table: str) -> str | None:
        """Returns SQL of the parent's state; None when there is none."""
        entry = self.before(table)
        return self.sql_of(entry) if entry else None

    def sql(self, table: str) -> str:
        """Returns SQL of the new state."""
        return self.sql_of(self.entries[table])

    def sql_of(self, entry: TableEntry) -> str:
        """Returns SQL of the state that an entry names."""
        return self.state(entry, _columns(entry.table), exact=True)

    def state(self, entry: TableEntry, columns: str, *, exact: bool = False) -> str:
        """Returns SQL as `state_query`; what earlier points have written of it is hashed before it is read."""
        older = [part for part in entry.parts if part.recovery_point != self.point]
        self.runner.know({literal(self.store.files.url(part.key)): part for part in older})
        return state_query(self.store.files, entry, columns, exact=exact)

    def sql_changes(self, table: str, change: str = UPSERT) -> str:
        """Returns SQL of the rows that this point has written, the last one of each key.

        Where the point has written the whole table, upserts are all rows, and deletions what the parent had and the
        table has not. What differs from the parent is among them; so a point with few changes never scans whole tables.

        Args:
            table: The table.
            change: `UPSERT` for rows that exist now, `DELETE` for rows that no longer do.
        """
        entry, before = self.entries[table], self.sql_before(table)
        own = [part for part in entry.parts if part.recovery_point == self.point]
        columns, nothing = _columns(table), self.sql_of(msgspec.structs.replace(entry, parts=()))
        # A whole table without rows has no file.
        if any(part.role == "base" for part in own) or not entry.parts:
            gone = f"{before} ANTI JOIN ({self.sql(table)}) USING ({', '.join(KEYS[entry.kind])})" if before else ""
            return self.sql(table) if change == UPSERT else gone or nothing
        if not own:
            return nothing
        latest = latest_query(self.store.files, own, entry.kind)
        return f"SELECT {columns} FROM ({latest}) WHERE _change = '{change}'"

    def sql_reported_before(self, table: str) -> str | None:
        """Returns SQL of the parent's edges; covers at least every source object in this run's delta response."""
        return f"FROM {kept_in(table)}" if table in self.kept else self.sql_before(table)

    def sql_reported_now(self, table: str) -> str:
        """Returns SQL of the new edges; covers at least every source object in this run's delta response."""
        if table not in self.kept:
            return self.sql(table)
        changed = f"{self.sql_changes(table)} UNION ALL {self.sql_changes(table, DELETE)}"
        return (
            f"SELECT * FROM {kept_in(table)} ANTI JOIN ({changed}) USING (source_id, target_id) "
            f"UNION ALL {self.sql_changes(table)}"
        )

    def sql_added(self, table: str) -> str:
        """Returns SQL of the objects that the new state has and the parent has not."""
        changes, before = self.sql_changes(table), self.sql_before(table)
        if table in self.kept:
            return f"SELECT * FROM ({changes}) SEMI JOIN {kept_in(table)} USING (id)"
        return f"SELECT * FROM ({changes}) ANTI JOIN (SELECT id FROM ({before})) USING (id)" if before else changes

    # --- Questions ---------------------------------------------------------------------------------------------------

    async def ids(self, table: str) -> set[str]:
        """Returns the ids of all objects of the new state."""
        return {str(row[0]) for row in await self.runner.query(f"SELECT id FROM ({self.sql(table)})")}

    async def raws_before(self, table: str) -> dict[str, str]:
        """Returns the JSON of all objects of the parent's state by id; for types with few of them."""
        before = self.sql_before(table)
        rows = await self.runner.query(f"SELECT id, raw FROM ({before}) ORDER BY id") if before else []
        return {str(one): str(raw) for one, raw in rows}

    async def missing_ids(self, ids: str, table: str) -> list[str]:
        """Returns the ids of a query that are not in the new state of a table, sorted."""
        return await self.runner.missing_ids(ids, self.sql(table))

    async def owners(self, entry: ObjectType, where: str = "", ids: Sequence[str] | None = None) -> dict[str, str]:
        """Returns objects of the new state that can own others: by id, the id of their parent (empty without one).

        Args:
            entry: Their type.
            where: SQL condition over `raw` that they have to meet.
            ids: Only these.
        """
        if ids is not None and not ids:
            return {}
        condition = where or "true"
        only = "SEMI JOIN wanted USING (id)" if ids is not None else ""
        rows = await self.runner.query(
            f"SELECT id, parent_id FROM ({readable(self.sql(entry.name))}) {only} WHERE {condition} ORDER BY id",
            wanted=ids_table(ids or ()),
        )
        return {str(one): str(parent or "") for one, parent in rows}

    async def reported(self, result: ReadResult) -> tuple[list[str], list[str]]:
        """Returns the ids of the objects in a delta response, sorted: those that exist, and those that are gone."""
        # As two lists: a row each of a whole tenant would take longer than to find them.
        there, gone = await self.runner.lists(
            f"""
            SELECT list(id ORDER BY id) FILTER (change = '{UPSERT}'), list(id ORDER BY id) FILTER (change = '{DELETE}')
            FROM (SELECT id, arg_max(change, seq) AS change FROM reported GROUP BY id)
            """,
            reported=read_staged(result.staged),
        )
        more = result.linked.difference(there, gone)
        return sorted([*there, *more]) if more else there, gone

    async def known_of(self, table: str, owners: Sequence[str], change: str = UPSERT) -> list[tuple[object, ...]]:
        """Returns everything that the parent's state knows of some owners, as staging rows.

        Args:
            table: The table.
            owners: Ids of the owners.
            change: `UPSERT` for rows that keep it, `DELETE` for rows that delete it.
        """
        before = self.sql_before(table)
        if before is None or not owners:
            return []
        columns, owner = (
            (f"id, parent_id, '{change}', {'raw' if change == UPSERT else 'NULL'}", "parent_id")
            if is_objects(table)
            else (f"source_id, target_id, target_type, '{change}'", "source_id")
        )
        return await self.runner.query(
            f"SELECT {columns} FROM ({before}) rows SEMI JOIN owners ON rows.{owner} = owners.id",
            owners=ids_table(owners),
        )


def readable(objects: str) -> str:
    """Returns SQL of objects whose `raw` is JSON to DuckDB, which takes no half of a surrogate pair."""
    return f"SELECT * REPLACE ({replaced_sql('raw')} AS raw) FROM ({objects})"


def kept_in(table: str) -> str:
    """Names the temporary table that keeps a part of the parent's state; see `TableStates.kept`."""
    return f"kept_{table}"


def _columns(table: str) -> str:
    if not is_objects(table):
        return "source_id, target_id, target_type"
    owner = "_parent_id" if CATALOGUE[table].parent else "NULL::VARCHAR"
    return f"id, {owner} AS parent_id, _raw AS raw"
