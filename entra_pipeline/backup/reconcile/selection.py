"""Check: chosen objects enter and leave the scope."""

from __future__ import annotations

from entra_pipeline.backup.reconcile.context import CheckContext, Finding, Subject
from entra_pipeline.backup.rows.staging import DELETE, UPSERT
from entra_pipeline.store.manifest import Gap


async def check_selection(context: CheckContext, subject: Subject) -> list[Finding]:
    """Fetches objects that were chosen since the parent, and drops those that no longer are."""
    entry, chosen = subject.entry, context.reader.chosen
    ids = chosen.ids(entry) if chosen else None
    if chosen is None or ids is None:
        return []
    gaps = [
        Gap(
            what="chosen object",
            reason=f"{name!r} is selected but not in the tenant",
            remedy="Correct the scope's `select`, or restore the object.",
        )
        for table, name in chosen.missing
        if table == entry.name
    ]
    live = await context.states.ids(entry.name)
    rows: list[tuple[object, ...]] = [(identifier, None, DELETE, None) for identifier in sorted(live - ids)]
    found = await context.fetch(entry, sorted(ids - live))
    rows += [(identifier, None, UPSERT, raw) for identifier, raw in found.items() if raw is not None]
    return [Finding(entry.name, rows=tuple(rows), gaps=tuple(gaps))]
