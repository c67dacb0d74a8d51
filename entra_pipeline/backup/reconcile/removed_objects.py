"""Check: an object that a listing leaves out is requested by its id before it counts as deleted.

`RemovedObjects` finds what the parent had and the new state has not, of all types that edges lead to: edges of these
are dropped.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec
import pyarrow as pa

from entra_pipeline.backup.point_builder import gone_table
from entra_pipeline.backup.reconcile.context import CheckContext, Finding, Subject, some
from entra_pipeline.backup.reconcile.unread import absent_ids, disbelieve, known_rows
from entra_pipeline.backup.rows.merge import ids_table
from entra_pipeline.backup.rows.staging import DELETE, UPSERT
from entra_pipeline.catalogue import RELATIONS, ObjectType
from entra_pipeline.errors import GraphError


async def check_removed_objects(context: CheckContext, subject: Subject) -> list[Finding]:
    """Puts back objects that the listing left out and Graph still has."""
    entry, states = subject.entry, context.states
    before, now = states.sql_before(entry.name), states.entries[entry.name]
    if not entry.collection or before is None or not now.deleted:
        return []
    aside = context.reader.aside.has_unknown(entry.name)
    if (entry.delta or entry.shows) and not (aside and states.results[entry.name].complete):
        return []
    rows = await states.runner.query(
        f"SELECT id, raw FROM ({before}) SEMI JOIN (SELECT id FROM ({states.sql_changes(entry.name, DELETE)})) "
        "USING (id) ORDER BY id"
    )
    keep = context.reader.keep(entry)
    lost = [str(one) for one, raw in rows if keep is None or keep(msgspec.Raw(str(raw).encode()))]
    # Of types that show others from another side, nobody can request one: whichever the unreadable one was, all stay.
    found = {} if entry.shows else await context.fetch(entry, lost, singly=True)
    if aside:
        # Any of them may be the element of the list that has no id.
        disbelieve(context, entry, found, absent_ids(found))
    there: list[tuple[object, ...]] = [(i, None, UPSERT, raw) for i, raw in found.items() if raw is not None]
    there += await known_rows(context, entry.name, [one for one in lost if one not in found])
    if not there:
        return []
    context.memory.relink[entry.name].update(str(one) for one, *_ in there)
    note = f"healed: {len(there)} objects that Graph's list left out, and has ({some(i for i, *_ in there)})"
    return [Finding(entry.name, rows=tuple(there), note=note)]


@dataclass(frozen=True, slots=True)
class RemovedObjects:
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
