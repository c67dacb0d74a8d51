"""Checks: links of delta relations against `$expand`, single lists and `$count`.

A whole delta round is compared with all of them (`PROVE_WHOLE`), an incremental round for the owners it reports
(`check_reported`).
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping

from entra_pipeline.backup.read.children import EXPAND_LIMIT
from entra_pipeline.backup.reconcile.context import COUNT_AGAIN, CheckContext, Finding, Subject, some
from entra_pipeline.backup.rows.merge import ids_table
from entra_pipeline.backup.rows.page_parser import endpoint
from entra_pipeline.backup.rows.staging import DELETE, EDGE_ROWS, UPSERT, Staging, read_staged
from entra_pipeline.catalogue import ObjectType, Relation
from entra_pipeline.errors import GraphError
from entra_pipeline.store.manifest import Gap


def read_whole(context: CheckContext, relation: Relation) -> bool:
    """Tells whether a whole delta round has read a relation of which an object can have many."""
    return relation.many and context.states.results[relation.name].complete


def links_of(subject: Subject) -> tuple[ObjectType, Relation]:
    """Returns the object type and the relation of a subject that has one."""
    if subject.relation is None:
        raise ValueError(f"{subject.entry.name} is no relation")
    return subject.entry, subject.relation


# --- After a whole round ---------------------------------------------------------------------------------------------


async def check_expanded(context: CheckContext, subject: Subject) -> list[Finding]:
    """Compares the links of all owners that have few with what `$expand` shows; remembers the owners of many.

    Where most owners have more links than `$expand` shows, it proves too little for what it costs, and is left out.
    """
    (entry, relation), states = links_of(subject), context.states
    degrees = await states.runner.query(
        f"SELECT source_id, count(*) FROM ({states.sql(relation.name)}) GROUP BY source_id"
    )
    large = context.memory.large_owners[relation.name]
    large |= {str(owner) for owner, links in degrees if int(str(links)) >= EXPAND_LIMIT}
    owners = states.entries[entry.name].live
    if context.reader.chosen_ids(entry) is not None or entry.page_size is None or len(large) * 2 > owners:
        return []
    with Staging(context.reader.folder / f"{relation.name}.probe.arrow", EDGE_ROWS) as staging:
        try:
            cut = await context.children.probe(entry, relation, context.stats, staging)
        except GraphError as error:
            if error.status not in {400, 501}:
                raise
            return []
    large |= set(cut)
    rows = await states.runner.query(
        f"""
        WITH shown AS (SELECT DISTINCT source_id, target_id, target_type FROM shown),
             stored AS (FROM ({states.sql(relation.name)}) s ANTI JOIN cut ON s.source_id = cut.id)
        SELECT DISTINCT source_id FROM (
            (FROM shown ANTI JOIN stored USING (source_id, target_id))
            UNION ALL BY NAME (FROM stored ANTI JOIN shown USING (source_id, target_id))
        )
        """,
        shown=read_staged(staging.staged),
        cut=ids_table(cut),
    )
    return await _compare_singly(context, entry, relation, [str(row[0]) for row in rows])


async def check_counted(context: CheckContext, subject: Subject) -> list[Finding]:
    """Compares the number of links of owners with `$count`.

    Owners of many links come first, then others as far as the policy's number allows, in every point other ones.
    """
    (entry, relation), states = links_of(subject), context.states
    owners, large = await states.owners(entry), context.memory.large_owners[relation.name]
    order = [*_in_turn(states.point, large), *_in_turn(states.point, owners.keys() - large)]
    counted = sorted(order[: context.policy.owners_counted])
    findings = await _compare_singly(context, entry, relation, await _miscounted(context, entry, relation, counted))
    notes = [f"links of {len(counted)} of the {len(order)} owners were counted by Graph as well"]
    return [
        *findings,
        Finding(relation.name, compared=len(counted), notes=tuple(notes) if len(counted) < len(order) else ()),
    ]


PROVE_WHOLE = (check_expanded, check_counted)
"""The checks of a relation that a whole round has read, in their order: each sees the corrections of the one before."""


# --- After an incremental round --------------------------------------------------------------------------------------


async def check_reported(context: CheckContext, subject: Subject) -> list[Finding]:
    """Compares the number of links of owners in a delta response with `$count`.

    Graph reports a restored object like a new one, with the links it has: links that it lost meanwhile are not
    reported. So owners that had links before are counted; where the numbers differ, their links are listed. Of owners
    whose response has only new links, which have existed all the time, a few are counted.
    """
    entry, relation = links_of(subject)
    owners = await _reported_with_links(context, entry, relation)
    pages = relation.many and entry.page_size
    if pages:
        ordinary = await _reported_changes_only(context, entry)
        some_ordinary = _in_turn(context.states.point, ordinary.intersection(owners))
        owners = sorted(set(owners) - ordinary) + some_ordinary[: context.policy.ordinary_counted]
    differing = await _miscounted(context, entry, relation, owners) if pages else owners
    findings = await _compare_singly(context, entry, relation, differing)
    return [*findings, Finding(relation.name, compared=len(owners))]


async def _reported_with_links(context: CheckContext, entry: ObjectType, relation: Relation) -> list[str]:
    """Returns live objects in this run's delta response that had links in the parent.

    Where an object can have one link, a reported link replaces the one before: nothing is lost.
    """
    states = context.states
    before = states.sql_reported_before(relation.name)
    if before is None:
        return []
    replaced = "" if relation.many else "ANTI JOIN (FROM links WHERE change = 'upsert') USING (source_id)"
    rows = await states.runner.query(
        f"""
        SELECT DISTINCT source_id FROM ({before}) {replaced}
        ANTI JOIN ({states.sql_changes(entry.name, DELETE)}) gone ON source_id = gone.id
        SEMI JOIN (SELECT id FROM objects UNION ALL SELECT source_id FROM links) seen ON source_id = seen.id
        ORDER BY source_id
        """,
        objects=read_staged(states.results[entry.name].staged),
        links=read_staged(states.results[relation.name].staged),
    )
    return [str(row[0]) for row in rows]


async def _reported_changes_only(context: CheckContext, entry: ObjectType) -> set[str]:
    """Returns objects whose delta response has added or removed links and no known link: it lists changes only.

    The response of a restored object has all its links, the known ones among them.
    """
    states = context.states
    reported, staged = [], {}
    for number, relation in enumerate(entry.delta_relations()):
        before = states.sql_reported_before(relation.name)
        if before is not None:
            staged[f"links_{number}"] = read_staged(states.results[relation.name].staged)
            reported.append(
                f"SELECT source_id, change = 'upsert' AND b.target_id IS NOT NULL AS known FROM links_{number} "
                f"LEFT JOIN ({before}) b USING (source_id, target_id)"
            )
    rows = await states.runner.query(
        f"SELECT source_id FROM ({' UNION ALL '.join(reported)}) GROUP BY source_id HAVING NOT bool_or(known)", **staged
    )
    return {str(row[0]) for row in rows}


# --- What both share -------------------------------------------------------------------------------------------------


async def _compare_singly(
    context: CheckContext, entry: ObjectType, relation: Relation, owners: list[str]
) -> list[Finding]:
    """Lists the links of some owners one by one; returns what differs, and names what Graph counts but hides."""
    if not owners:
        return []
    listed: set[tuple[object, ...]] = set()
    answered = set() if relation.many else set(owners)
    async for owner, items in context.children.links(entry, relation, owners, context.stats):
        answered.add(owner)
        listed.update((owner, n.id, n.target_type) for n in map(endpoint, items))
    rows = await context.states.runner.query(
        f"SELECT source_id, target_id, target_type FROM ({context.states.sql_reported_now(relation.name)}) "
        "SEMI JOIN owners ON source_id = owners.id",
        owners=ids_table(sorted(answered)),
    )
    stored = set(rows)
    differing = [(*one, UPSERT) for one in listed - stored] + [(*one, DELETE) for one in stored - listed]
    findings = []
    if differing:
        who = some({str(one[0]) for one in differing})
        note = f"healed: {len(differing)} links that delta had not told ({entry.title.lower()} {who})"
        findings.append(Finding(relation.name, rows=tuple(sorted(differing, key=str)), note=note))
    if relation.many and entry.page_size:
        shown = Counter(str(one[0]) for one in listed)
        findings.append(Finding(relation.name, gaps=await _hidden(context, entry, relation, sorted(answered), shown)))
    return findings


async def _hidden(
    context: CheckContext, entry: ObjectType, relation: Relation, owners: list[str], shown: Mapping[str, int]
) -> tuple[Gap, ...]:
    """Returns a gap for each owner of whom Graph counts more links than it shows."""
    for pause in context.policy.count_pauses:
        await asyncio.sleep(pause)
        counts = context.children.link_counts(entry, relation.segment, owners, context.stats)
        hidden = {owner: count async for owner, count in counts if count is not None and count > shown[owner]}
        if not hidden:
            return ()
        owners = sorted(hidden)
    return tuple(
        Gap(
            what=f"{relation.name} of {entry.title.lower()} {owner}",
            reason=f"Graph counts {count} and shows {shown[owner]}",
            remedy=COUNT_AGAIN,
        )
        for owner, count in hidden.items()
    )


async def _miscounted(context: CheckContext, entry: ObjectType, relation: Relation, owners: list[str]) -> list[str]:
    """Returns those owners of whom Graph counts another number of links than is stored."""
    rows = await context.states.runner.query(
        f"SELECT source_id, count(*) FROM ({context.states.sql_reported_now(relation.name)}) "
        "SEMI JOIN owners ON source_id = owners.id GROUP BY source_id",
        owners=ids_table(owners),
    )
    stored = {str(row[0]): row[1] for row in rows}
    counts = context.children.link_counts(entry, relation.segment, owners, context.stats)
    return sorted([owner async for owner, count in counts if count not in {None, stored.get(owner, 0)}])


def _in_turn(point: str, owners: Iterable[str]) -> list[str]:
    """Sorts owners in an order that differs from point to point, so that in time each comes first."""
    return sorted(owners, key=lambda one: hashlib.sha256(f"{point} {one}".encode()).digest())
