"""Check: an object that a listing no longer has is requested by id before it counts as deleted."""

from __future__ import annotations

import msgspec

from entra_pipeline.backup.reconcile.context import CheckContext, Finding, Subject, some
from entra_pipeline.backup.reconcile.unread import known_rows
from entra_pipeline.backup.rows.staging import DELETE, UPSERT


async def check_deletions(context: CheckContext, subject: Subject) -> list[Finding]:
    """Restores objects that the listing left out and Graph still has."""
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
    there: list[tuple[object, ...]] = [(i, None, UPSERT, raw) for i, raw in found.items() if raw is not None]
    there += await known_rows(context, entry.name, [one for one in lost if one not in found])
    if not there:
        return []
    context.memory.relink[entry.name].update(str(one) for one, *_ in there)
    note = f"healed: {len(there)} objects that Graph's list left out, and has ({some(i for i, *_ in there)})"
    return [Finding(entry.name, rows=tuple(there), note=note)]
