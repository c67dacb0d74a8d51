"""Ids that the steps of a restore need besides their own, as recovery points tell them.

What belongs here: reading them once, before the first step. What does not: ids that steps learn (`step`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import suppress

from entra_pipeline.catalogue import CATALOGUE
from entra_pipeline.errors import NotInStore
from entra_pipeline.restore.objects.model import RestorePlan
from entra_pipeline.store.manifest import Manifest
from entra_pipeline.store.recovery_points import ScopeStore
from entra_pipeline.store.state import connect


def app_ids(plan: RestorePlan, store: ScopeStore) -> dict[str, str]:
    """Maps ids of the applications that the plan creates to their appIds at the recovery point."""
    made = [step.id for step in plan.steps if step.table == "applications" and step.action == "create"]
    return _column(plan, store, "applications", "_raw->>'$.appId'", made)


def owners(plan: RestorePlan, store: ScopeStore) -> dict[str, str]:
    """Maps ids of child objects that own further child objects of the plan to their owners."""
    found: dict[str, str] = {}
    for name, entry in CATALOGUE.items():
        if entry.parent is not None and CATALOGUE[entry.parent.type].parent is not None:
            below = [step.parent for step in plan.steps if step.table == name and step.parent]
            found |= _column(plan, store, entry.parent.type, "_parent_id", below)
    return found


def _column(plan: RestorePlan, store: ScopeStore, table: str, column: str, ids: Sequence[str]) -> dict[str, str]:
    """Reads a column of some objects of the recovery point, by id."""
    if not ids:
        return {}
    with suppress(NotInStore), connect(store.files) as connection:
        entry = store.manifest(plan.point).tables.get(table)
        if entry is not None:
            query = store.intact_state(entry, f"id, {column} AS wanted")
            rows = connection.execute(f"SELECT * FROM ({query}) WHERE id IN (SELECT unnest(?))", [[*ids]])
            return {identifier: value for identifier, value in rows.fetchall() if value}
    return {}


def there_before(store: ScopeStore, undo: Manifest) -> Callable[[str], Awaitable[Collection[str]]]:
    """Returns a function that tells which objects of a type were in the tenant before the first write."""
    known: dict[str, asyncio.Task[Collection[str]]] = {}

    def read(table: str) -> Collection[str]:
        entry = undo.tables.get(table)
        if entry is None:
            return set()
        with connect(store.files) as connection:
            return {str(one) for (one,) in connection.execute(store.intact_state(entry, "id")).fetchall()}

    async def ask(table: str) -> Collection[str]:
        if table not in known:
            known[table] = asyncio.create_task(asyncio.to_thread(read, table))
        return await known[table]

    return ask
