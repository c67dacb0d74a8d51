"""Checks of what belongs to owners: no owner is passed over, and no child goes because one view does not show it.

A probe (`$expand`) shows owners and what they have. It may leave out an owner, or show an empty list where there is
more. A list of one owner may be empty for other reasons than that there is nothing. So an owner that the probe has left
out is asked by itself, and a child that is no longer shown is looked for in its owner's list and by its own id.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import msgspec

from entra_pipeline.backup.read.child_tables import ChildCollection, child_collections, children_of
from entra_pipeline.backup.reconcile.context import COUNT_AGAIN, CheckContext, Finding, Subject, some
from entra_pipeline.backup.rows.staging import DELETE, UPSERT, read_staged
from entra_pipeline.catalogue import CATALOGUE, RELATIONS, Read
from entra_pipeline.errors import GraphError, GraphPermissionDenied
from entra_pipeline.store.manifest import Gap


def child_subjects(context: CheckContext) -> list[Subject]:
    """Returns the child types that this point has read; a type comes after that of its owners."""
    found = [
        (CATALOGUE[entry.parent.type].parent is not None, entry)
        for entry in CATALOGUE.values()
        if entry.parent is not None and context.was_read(entry.name)
    ]
    return [Subject(entry) for _, entry in sorted(found, key=lambda one: one[0])]


def probed_subjects(context: CheckContext) -> list[Subject]:
    """Returns what this point has read by one probe of all owners."""
    tables = sorted(context.children.shown)
    return [Subject(*RELATIONS[one]) if one in RELATIONS else Subject(CATALOGUE[one]) for one in tables]


def _collection_of(subject: Subject) -> ChildCollection:
    return next(one for one in child_collections(subject.entry) if one.table == subject.table)


async def check_passed_over(context: CheckContext, subject: Subject) -> list[Finding]:
    """Reads what belongs to owners that the probe of all owners has not shown, and that exist."""
    children, states = _collection_of(subject), context.states
    shown = context.children.shown.get(children.table)
    if shown is None or not context.has_state(children.owner.name):
        return []
    rows = await states.runner.query(
        f"SELECT id FROM ({states.sql(children.owner.name)}) ANTI JOIN shown USING (id) ORDER BY id",
        shown=read_staged(shown),
    )
    if not rows:
        return []
    owners = [str(row[0]) for row in rows]
    found, gaps = await context.children.read_again(children, owners, context.stats, singly=True)
    return [Finding(children.table, rows=tuple(found), gaps=tuple(gaps), compared=len(owners))]


async def check_children(context: CheckContext, subject: Subject) -> list[Finding]:
    """Reads the children of objects that came by other ways than their read: they lacked when the others were read."""
    memory, findings = context.memory, []
    ids = sorted(memory.healed[subject.entry.name] | memory.relink[subject.entry.name])
    for children in children_of(subject.entry) if ids else ():
        if children.read is Read.EACH and context.was_read(children.table):
            rows, gaps = await context.children.read_again(children, ids, context.stats)
            if children.relation is None:
                # What belongs to these children lacked with them.
                memory.relink[children.table].update(str(row[0]) for row in rows)
            findings.append(Finding(children.table, rows=tuple(rows), gaps=tuple(gaps)))
    return findings


async def check_lost_children(context: CheckContext, subject: Subject) -> list[Finding]:
    """Looks for children that are no longer shown, though their owner exists.

    A child is gone when its owner's list, read once more, does not show it and Graph does not find it by its id either.
    Where the two disagree, or Graph refuses to say it, the child stays as it was known and a gap names its owner.
    """
    children = _collection_of(subject)
    lost = await _lost(context, children)
    if not lost:
        return []
    owners = sorted({str(row[1]) for row in lost.values()})
    try:
        listed, gaps = await context.children.read_again(children, owners, context.stats, singly=True)
    except GraphError as error:
        return [_kept(children, lost, dict.fromkeys(lost, error))]
    shown = {str(row[0]) for row in listed}
    left = {one: row for one, row in lost.items() if one not in shown}
    answered = {gap.object for gap in gaps}
    findings = [Finding(children.table, rows=tuple(listed), gaps=tuple(gaps), compared=len(owners))]
    if healed := sorted(one for one in lost.keys() & shown if str(lost[one][1]) not in answered):
        note = f"healed: {len(healed)} {children.table} that one view of Graph left out, and another shows"
        findings[0] = Finding(children.table, tuple(listed), note, gaps=tuple(gaps), compared=len(owners))
    if left and children.many:
        items = [(str(row[1]), one) for one, row in left.items()]
        says: dict[str, GraphError | None] = {}
        try:
            async for identifier, there in context.owners.singly(children, items, context.stats):
                if there is not False:
                    says[identifier] = there if isinstance(there, GraphError) else None
        except GraphError as error:
            says = dict.fromkeys(left, error)
        if says:
            findings.append(_kept(children, left, says))
    return findings


async def _lost(context: CheckContext, children: ChildCollection) -> dict[str, tuple[object, ...]]:
    """Returns children that the parent has and the new state has not, of owners that can have some, as staging rows."""
    states, table = context.states, children.table
    before = states.sql_before(table)
    if before is None or not states.entries[table].deleted:
        return {}
    rows = await states.runner.query(
        f"SELECT id, parent_id, '{UPSERT}', raw FROM ({before}) "
        f"SEMI JOIN (SELECT id FROM ({states.sql_changes(table, DELETE)})) USING (id) ORDER BY id"
    )
    owners = set(await context.owners.able(children, sorted({str(row[1]) for row in rows})))
    keep = context.reader.keep(children.entry)
    return {
        str(row[0]): row
        for row in rows
        if str(row[1]) in owners and (keep is None or keep(msgspec.Raw(str(row[3]).encode())))
    }


def _kept(
    children: ChildCollection, lost: Mapping[str, tuple[object, ...]], says: Mapping[str, GraphError | None]
) -> Finding:
    """Puts back children of which views disagree, or of which Graph does not say whether they exist.

    Args:
        children: Whose table it is.
        lost: Children that lists do not show, as staging rows, by id.
        says: Why Graph does not say whether one exists; None where it says that it does.
    """
    by_owner: dict[str, list[str]] = defaultdict(list)
    for one in says:
        by_owner[str(lost[one][1])].append(one)
    gaps = []
    for owner, ids in sorted(by_owner.items()):
        error = next((says[one] for one in ids if says[one] is not None), None)
        why = f"refuses to show them by themselves: {error.message}" if error else "shows them by themselves"
        gaps.append(
            Gap(
                what=f"{children.table} of {children.owner.title.lower()} {owner}",
                reason=f"Graph's list does not show {len(ids)} that are stored ({some(ids)}), and {why}; they are kept",
                remedy=(error.remedy if error else "") or COUNT_AGAIN,
                permission=children.entry.permissions[0]
                if error is None or isinstance(error, GraphPermissionDenied)
                else "",
                object=owner,
            )
        )
    return Finding(children.table, rows=tuple(lost[one] for one in says), gaps=tuple(gaps))
