"""Objects that the parent had and the new state has not, of all types that edges lead to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import pyarrow as pa

from entra_pipeline.backup.point_builder import gone_table
from entra_pipeline.backup.reconcile.context import CheckContext
from entra_pipeline.backup.rows.merge import ids_table
from entra_pipeline.backup.rows.staging import DELETE
from entra_pipeline.catalogue import RELATIONS, ObjectType
from entra_pipeline.errors import GraphError


@dataclass(frozen=True, slots=True)
class GoneObjects:
    """Finds them, and again only when objects have come or gone since.

    Attributes:
        context: The states, and what asks Graph.
        unproven: Called with a table and the error when Graph refuses to say whether objects are in the tenant; they
            count as existing.
    """

    context: CheckContext
    unproven: Callable[[str, GraphError], None]
    _found: dict[tuple[int, ...], pa.Table] = field(default_factory=dict)
    _in_tenant: dict[str, bool] = field(default_factory=dict)
    _finding: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def table(self) -> pa.Table:
        """Returns them as `gone_table`."""
        async with self._finding:
            movements = self.movements()
            if movements not in self._found:
                self._found[movements] = await self._find()
            return self._found[movements]

    def movements(self) -> tuple[int, ...]:
        """Returns how many objects of each type were added and deleted: unchanged counts mean the same deleted set."""
        entries = [self.context.states.entries[entry.name] for entry in self.context.endpoint_types()]
        return tuple(number for entry in entries for number in (entry.added, entry.deleted))

    async def _find(self) -> pa.Table:
        dead: set[str] = set()
        left: set[str] = set()
        states = self.context.states
        for entry in self.context.endpoint_types():
            if states.before(entry.name) is None or not states.entries[entry.name].deleted:
                continue
            rows = await states.runner.query(f"SELECT id FROM ({states.sql_changes(entry.name, DELETE)})")
            lost = {str(row[0]) for row in rows}
            died = await self._dead(entry, lost) if self.context.is_partial(entry) else lost
            dead |= died
            left |= lost - died
        return gone_table(dead, left)

    async def _dead(self, entry: ObjectType, lost: set[str]) -> set[str]:
        """Returns those objects, no longer selected, that are not in the tenant either.

        Requests only objects that an edge of the scope leads to.
        """
        linked: set[str] = set()
        states = self.context.states
        for table in RELATIONS:
            owner, before = RELATIONS[table][0].name, states.sql_before(table)
            if before is not None and owner in states.entries:
                rows = await states.runner.query(
                    f"SELECT DISTINCT target_id FROM ({before}) SEMI JOIN lost ON target_id = lost.id "
                    f"SEMI JOIN ({states.sql(owner)}) owner ON source_id = owner.id",
                    lost=ids_table(lost),
                )
                linked.update(str(row[0]) for row in rows)
        unknown = sorted(linked - self._in_tenant.keys())
        try:
            found = await self.context.fetch(entry, unknown)
        except GraphError as error:
            self.unproven(entry.name, error)
            found = dict.fromkeys(unknown, "")
        # Whom Graph does not answer for is not known to be gone.
        self._in_tenant.update((identifier, found.get(identifier, "") is not None) for identifier in unknown)
        return {identifier for identifier in linked if not self._in_tenant[identifier]}
