"""Checks: what could not be read, or only in part, is requested singly, and so is what the parent's gaps name.

An object or an owner that Graph does not show stays as it was known, and is named in a gap; the next backup requests it
again, as delta need not report it a second time. So does a property that an object had and that is absent from the
answer: one that has lost its value is null.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from entra_pipeline.backup.read.child_tables import ChildCollection, child_collections, children_of
from entra_pipeline.backup.read.owners import SHOWS_IT
from entra_pipeline.backup.read.singles import not_whole
from entra_pipeline.backup.reconcile.context import CheckContext, Finding, Subject
from entra_pipeline.backup.reconcile.links import compare_singly, links_of, lost_links
from entra_pipeline.backup.rows.merge import ids_table
from entra_pipeline.backup.rows.result import ENDED_EARLY
from entra_pipeline.backup.rows.set_aside import MOST_OBJECTS, PROPERTIES, READ_AGAIN, READ_ALL_AGAIN, is_unknown
from entra_pipeline.backup.rows.staging import DELETE, UPSERT
from entra_pipeline.catalogue import CATALOGUE, RELATIONS, ObjectType, Read
from entra_pipeline.errors import GraphError, GraphNotFound
from entra_pipeline.store.manifest import Gap
from entra_pipeline.surrogates import replaced_sql

OWNERS = "owners"
"""What the gap of a table is about whose owners could not all be read."""
_OF_OWNERS = {"not read", ENDED_EARLY, "objects", OWNERS}


def unread_ids(context: CheckContext, entry: ObjectType) -> list[str]:
    """Returns the objects of a type that could not be read, or only in part, and those that the parent's gaps name."""
    if not entry.collection:
        return []
    chosen = context.reader.chosen_ids(entry)
    aside = context.reader.aside
    wanted = {*aside.objects(entry.name), *aside.listed_only.get(entry.name, ()), *left_by_parent(context, entry.name)}
    return sorted(wanted if chosen is None else wanted & chosen)


async def check_unread_objects(context: CheckContext, subject: Subject) -> list[Finding]:
    """Requests objects that could not be read; those that Graph still does not show stay as they were known."""
    entry = subject.entry
    ids = unread_ids(context, entry)
    if not ids:
        return []
    found: dict[str, str | None] = {}
    try:
        found = {} if entry.shows else await context.fetch(entry, ids, singly=True)
    except GraphError as error:
        _unanswered(context, entry.name, ids, error)
    disbelieve(context, entry, found, await context.still_listed(entry, absent_ids(found)))
    gaps = await _keep_known_properties(context, entry, found)
    rows: list[tuple[object, ...]] = [(one, None, DELETE if raw is None else UPSERT, raw) for one, raw in found.items()]
    rows += await known_rows(context, entry.name, [one for one in ids if one not in found])
    context.memory.relink[entry.name].update(str(one) for one, _, change, _ in rows if change == UPSERT)
    note = f"{len(found)} objects were requested singly"
    return [Finding(entry.name, rows=tuple(rows), note=note, gaps=tuple(gaps))] if rows else []


def _unanswered(context: CheckContext, table: str, ids: Sequence[str], error: GraphError) -> None:
    """Remembers that Graph has said nothing of some objects or owners: delta need not tell the next backup of them."""
    context.memory.unanswered[table].update(dict.fromkeys(ids, error))


async def _keep_known_properties(context: CheckContext, entry: ObjectType, found: dict[str, str | None]) -> list[Gap]:
    """Lays objects over what was known of them; returns the gaps of those that Graph has shown in part."""
    before, gaps = context.states.sql_before(entry.name), []
    if before is None or not found or context.reader.is_accepted(entry):
        return []
    known = await context.states.runner.query(
        f"SELECT id, raw FROM ({before}) SEMI JOIN wanted USING (id) ORDER BY id", wanted=ids_table(sorted(found))
    )
    for one, raw in ((str(one), str(raw)) for one, raw in known):
        if (shown := found[one]) is not None:
            found[one], lacking = context.laid_over(entry, shown, raw)
            gaps += not_whole(entry, one, lacking)
    return gaps


def absent_ids(found: Mapping[str, str | None]) -> list[str]:
    """Returns the objects of an answer that Graph says are not there."""
    return [one for one, raw in found.items() if raw is None]


def disbelieve(context: CheckContext, entry: ObjectType, found: dict[str, str | None], ids: Sequence[str]) -> None:
    """Takes objects that answered 404 by themselves, and that another view shows, for unanswered."""
    for one in ids:
        del found[one]
        context.memory.unanswered[entry.name][one] = GraphNotFound(SHOWS_IT, status=404)


class _Lessened(NamedTuple):
    """An object that has lost properties: the row that is stored of it, the known one, and the names."""

    id: str
    parent: str | None
    known: str
    whole: str
    lacking: list[str]


async def check_vanished_properties(context: CheckContext, subject: Subject) -> list[Finding]:
    """Asks for objects that a read has shown without properties that they had."""
    entry = subject.entry
    if entry.singleton or context.reader.is_accepted(entry) or not _may_lose(context, entry):
        return []
    lessened = await _lessened(context, entry)
    if not lessened:
        return []
    if len(lessened) > MOST_OBJECTS:
        names = ", ".join(sorted({name for one in lessened for name in one.lacking}))
        gap = Gap(
            what=PROPERTIES,
            reason=f"Graph answered {len(lessened)} {entry.name} without properties that they had ({names}); the known "
            "values are kept",
            remedy=READ_ALL_AGAIN,
        )
        return [Finding(entry.name, tuple((one.id, one.parent, UPSERT, one.whole) for one in lessened), gaps=(gap,))]
    shown, gaps = await _asked_again(context, entry, lessened)
    rows = []
    for one in lessened:
        whole, lacking = one.whole, one.lacking
        if one.id in shown:
            singly, left = context.laid_over(entry, shown[one.id], one.known)
            whole, lacking = (singly, left) if left != lacking else (whole, lacking)
        rows.append((one.id, one.parent, UPSERT, whole))
        gaps += not_whole(entry, one.id, lacking, one.parent or "")
    return [Finding(entry.name, rows=tuple(rows), gaps=tuple(gaps), compared=len(lessened))]


def _may_lose(context: CheckContext, entry: ObjectType) -> bool:
    """Tells whether the read of a type replaces what was known; an ordinary delta round is laid over it."""
    result, before = context.states.results.get(entry.name), context.states.before(entry.name)
    if result is None or before is None or not context.states.entries[entry.name].changed:
        return False
    return result.complete or entry.parent is not None


async def _lessened(context: CheckContext, entry: ObjectType) -> list[_Lessened]:
    """Returns the objects that lack properties of the parent's state, with these laid over."""
    states = context.states
    before, now = states.sql_before(entry.name), states.sql_changes(entry.name)
    expanded = [name.partition("(")[0] for name in entry.expand]
    nulls = "".join(f" OR json_type({replaced_sql('n.raw')}, '$.{name}') = 'NULL'" for name in expanded)
    # Hashes first: of a large table, few rows differ, and whole objects fit no memory.
    rows = await states.runner.query(
        f"""
        WITH differing AS MATERIALIZED (
            SELECT k FROM (SELECT hash(id) AS k, hash(raw) AS c FROM ({before})) b
            JOIN (SELECT hash(id) AS k, hash(raw) AS c FROM ({now})) n USING (k) WHERE b.c <> n.c
        )
        SELECT id, n.parent_id, n.raw, b.raw
        FROM (SELECT * FROM ({now}) SEMI JOIN differing ON hash(id) = k) n
        JOIN (SELECT * FROM ({before}) SEMI JOIN differing ON hash(id) = k) b USING (id)
        WHERE NOT list_has_all(json_keys({replaced_sql("n.raw")}), json_keys({replaced_sql("b.raw")})) {nulls}
        ORDER BY id
        """
    )
    found = []
    for identifier, parent, raw, known in rows:
        whole, lacking = context.laid_over(entry, str(raw), str(known))
        if lacking:
            found.append(
                _Lessened(str(identifier), None if parent is None else str(parent), str(known), whole, lacking)
            )
    return found


async def _asked_again(
    context: CheckContext, entry: ObjectType, lessened: Sequence[_Lessened]
) -> tuple[dict[str, str], list[Gap]]:
    """Returns what Graph shows of the objects singly, of child objects in their owners' own lists; and the gaps."""
    if entry.shows:
        return {}, []
    if entry.parent is None:
        found = await context.fetch(entry, [one.id for one in lessened], singly=True)
        return {one: raw for one, raw in found.items() if raw is not None}, []
    children = next(one for one in child_collections(entry) if one.table == entry.name)
    owners = sorted({str(one.parent) for one in lessened})
    rows, gaps = await context.children.read_again(children, owners, context.stats, singly=True)
    return {str(row[0]): str(row[3]) for row in rows}, gaps


async def check_owners(context: CheckContext, subject: Subject) -> list[Finding]:
    """Names the owners that the tables of their children lack, because the owners themselves could not be read."""
    findings = []
    for children in children_of(subject.entry):
        if context.was_read(children.table) and _asks_stored_owners(context, children):
            gaps = await _gaps_of_owners(context, children)
            findings.append(Finding(children.table, gaps=tuple(gaps)))
    return findings


def _asks_stored_owners(context: CheckContext, children: ChildCollection) -> bool:
    """Tells whether the owners that were asked are those that are stored; a whole `$expand` shows them itself."""
    expanded = children.read is Read.EXPAND and children.owner.parent is None
    result = context.states.results.get(children.table)
    return result is not None and not (expanded and result.complete)


async def _gaps_of_owners(context: CheckContext, children: ChildCollection) -> list[Gap]:
    owner, entries = children.owner, context.states.entries
    gaps = [
        Gap(
            what=OWNERS,
            reason=f"{name} are incomplete ({gap.what}: {gap.reason}): what belongs to those that are missing was not "
            "read",
            remedy=gap.remedy,
            since=gap.since,
            permission=gap.permission,
        )
        for name in (owner.name, *children.among)
        if name in entries
        for gap in entries[name].gaps
        if gap.what in {"not read", ENDED_EARLY, "objects", OWNERS}
        or is_unknown(gap)
        or (gap.object and name in children.among)
    ]
    named = {gap.object: gap for gap in entries[owner.name].gaps if gap.object} if owner.name in entries else {}
    stored = await context.states.owners(owner, ids=sorted(named)) if named else {}
    known = {gap.object for gap in entries[children.table].gaps}
    # Of owners that belong to others, the gap names whose they are.
    whose = owner if owner.parent is None else CATALOGUE[owner.parent.type]
    return gaps + [
        Gap(
            what=f"{children.table} of {whose.title.lower()} {one}",
            reason=f"{owner.name} could not be read: {gap.reason}",
            remedy=gap.remedy,
            permission=gap.permission,
            object=one,
        )
        for one, gap in sorted(named.items())
        if one not in stored and one not in known
    ]


async def keep_unread_links(context: CheckContext, subject: Subject) -> list[Finding]:
    """Puts back known links of owners whose links could not be read."""
    _, relation = links_of(subject)
    owners = context.memory.unread[relation.name] = await _owners(context, subject)
    rows = await lost_links(context, relation, owners)
    return [Finding(relation.name, rows=tuple(rows))] if rows else []


async def check_unread_links(context: CheckContext, subject: Subject) -> list[Finding]:
    """Lists the links of owners whose links could not be read.

    These are the owners that `keep_unread_links` has found: once their links are back, nothing shows that they were
    missing.
    """
    entry, relation = links_of(subject)
    owners = context.memory.unread[relation.name]
    try:
        return await compare_singly(context, entry, relation, owners, anywhere=True)
    except GraphError as error:
        _unanswered(context, relation.name, owners, error)
        return []


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
