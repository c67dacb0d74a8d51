"""Checks: what could not be read is requested singly, and so is what the parent's gaps name.

An object or an owner that Graph does not show stays as it was known, and is named in a gap; the next backup requests it
again, as delta need not report it a second time.
"""

from __future__ import annotations

from collections.abc import Collection

from entra_pipeline.backup.read.child_tables import children_of
from entra_pipeline.backup.reconcile.context import CheckContext, Finding, Subject
from entra_pipeline.backup.reconcile.links import compare_singly, links_of, lost_links
from entra_pipeline.backup.rows.merge import ids_table
from entra_pipeline.backup.rows.set_aside import READ_AGAIN
from entra_pipeline.backup.rows.staging import DELETE, UPSERT
from entra_pipeline.catalogue import CATALOGUE, RELATIONS, Read
from entra_pipeline.store.manifest import Gap


async def check_unread(context: CheckContext, subject: Subject) -> list[Finding]:
    """Requests objects that could not be read; those that Graph still does not show stay as they were known."""
    entry = subject.entry
    if not entry.collection:
        return []
    chosen = context.reader.chosen_ids(entry)
    wanted = {*context.reader.aside.objects(entry.name), *left_by_parent(context, entry.name)}
    ids = sorted(wanted if chosen is None else wanted & chosen)
    if not ids:
        return []
    found = {} if entry.shows else await context.fetch(entry, ids, singly=True)
    rows: list[tuple[object, ...]] = [(one, None, DELETE if raw is None else UPSERT, raw) for one, raw in found.items()]
    rows += await known_rows(context, entry.name, [one for one in ids if one not in found])
    context.memory.relink[entry.name].update(str(one) for one, _, change, _ in rows if change == UPSERT)
    return [Finding(entry.name, rows=tuple(rows), note=f"{len(found)} objects were requested singly")] if rows else []


async def check_children(context: CheckContext, subject: Subject) -> list[Finding]:
    """Reads the children of objects that came by other ways than their read: they lacked when the others were read."""
    memory, findings = context.memory, []
    ids = sorted(memory.healed[subject.entry.name] | memory.relink[subject.entry.name])
    for children in children_of(subject.entry) if ids else ():
        if children.read is Read.EACH and context.was_read(children.table):
            rows, gaps = await context.children.read_again(children, ids, context.stats)
            findings.append(Finding(children.table, rows=tuple(rows), gaps=tuple(gaps)))
    return findings


async def keep_unread_links(context: CheckContext, subject: Subject) -> list[Finding]:
    """Puts back known links of owners whose links could not be read."""
    _, relation = links_of(subject)
    rows = await lost_links(context, relation, await _owners(context, subject))
    return [Finding(relation.name, rows=tuple(rows))] if rows else []


async def check_unread_links(context: CheckContext, subject: Subject) -> list[Finding]:
    """Lists the links of owners whose links could not be read."""
    entry, relation = links_of(subject)
    return await compare_singly(context, entry, relation, await _owners(context, subject), anywhere=True)


CHECK_UNREAD_LINKS = (keep_unread_links, check_unread_links)
"""The checks of a relation of which something could not be read, in their order."""


async def _owners(context: CheckContext, subject: Subject) -> list[str]:
    """Returns live owners some of whose links could not be read, or may not have been."""
    (entry, relation), states = links_of(subject), context.states
    aside = context.reader.aside
    ids = {*aside.objects(relation.name), *left_by_parent(context, relation.name), *context.memory.relink[entry.name]}
    before = states.sql_before(relation.name)
    if aside.has_unknown(relation.name) and states.results[relation.name].complete and before is not None:
        # It may have been a part of any owner's links.
        rows = await states.runner.query(
            f"SELECT DISTINCT source_id FROM ({before}) ANTI JOIN ({states.sql(relation.name)}) now "
            "USING (source_id, target_id)"
        )
        ids.update(str(row[0]) for row in rows)
    return sorted(await states.owners(entry, ids=sorted(ids))) if ids else []


def left_by_parent(context: CheckContext, table: str) -> set[str]:
    """Returns the objects and owners that the parent's gaps name."""
    before = context.states.before(table)
    return {gap.object for gap in before.gaps if gap.object} if before else set()


async def known_rows(context: CheckContext, table: str, ids: Collection[str]) -> list[tuple[object, ...]]:
    """Returns the parent's rows of those objects that the new state has not, to be stored again."""
    before = context.states.sql_before(table)
    if before is None or not ids:
        return []
    return await context.states.runner.query(
        f"SELECT id, parent_id, '{UPSERT}', raw FROM ({before}) SEMI JOIN wanted USING (id) "
        f"ANTI JOIN (SELECT id FROM ({context.states.sql(table)})) now USING (id)",
        wanted=ids_table(sorted(ids)),
    )


def gaps_of_unanswered(context: CheckContext, table: str) -> list[Gap]:
    """Returns the gaps of objects and owners of a table for which Graph has given no answer."""
    entry = RELATIONS[table][0] if table in RELATIONS else CATALOGUE[table]
    named = {gap.object for gap in context.states.entries[table].gaps}
    return [
        Gap(
            what=f"{table} of {entry.title.lower()} {one}" if table in RELATIONS else f"{entry.title.lower()} {one}",
            reason=f"{error.message}; what was known is kept",
            remedy=READ_AGAIN,
            object=one,
        )
        for one, error in sorted(context.memory.unanswered[table].items())
        if one not in named
    ]
