"""Checks of endpoints: every edge leads from and to an object that exists.

Links of objects that came back are read, endpoints of new edges are looked up, edges of deleted objects are dropped.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime

import pyarrow as pa

from entra_pipeline.backup.point_builder import gone_table
from entra_pipeline.backup.read.child_tables import UnansweredOwners
from entra_pipeline.backup.reconcile.context import CheckContext, Finding, Subject
from entra_pipeline.backup.reconcile.links import links_of
from entra_pipeline.backup.reconcile.unread import left_by_parent
from entra_pipeline.backup.rows.page_parser import endpoint
from entra_pipeline.backup.rows.staging import UPSERT
from entra_pipeline.backup.states import readable
from entra_pipeline.catalogue import BY_GRAPH_TYPE, RELATIONS, ObjectType, Relation
from entra_pipeline.catalogue.sdk import has_navigation
from entra_pipeline.clock import parse_iso
from entra_pipeline.errors import GraphError

# --- Objects that came back ------------------------------------------------------------------------------------------


async def check_returned(context: CheckContext, subject: Subject) -> list[Finding]:
    """Reads the links of objects that came back: a delta query need not report the links of a restored object.

    So are those of objects that the parent's gaps name: it may be their links that were not answered.
    """
    entry, memory = subject.entry, context.memory
    named = await context.states.owners(entry, ids=sorted(left_by_parent(context, entry.name)))
    returned = sorted({*await _returned(context, entry), *named} - memory.linked[entry.name])
    if not returned:
        return []
    memory.linked[entry.name].update(returned)
    found: dict[str, list[tuple[object, ...]]] = defaultdict(list)
    for relation in entry.delta_relations():
        if context.was_read(relation.name):
            missing = UnansweredOwners()
            try:
                links = context.owners.links(entry, relation, returned, context.stats, missing, singly=relation.many)
                async for owner, items in links:
                    found[relation.name] += [(owner, n.id, n.target_type, UPSERT) for n in map(endpoint, items)]
            except GraphError as error:
                missing.refused |= dict.fromkeys(returned, error)
            left = await context.owners.unanswered(entry, missing, context.stats)
            memory.unanswered[relation.name].update(left)
    for segment, relations in _inverses(entry).items():
        wanted = {owner.graph_type: relation for owner, relation in relations if context.was_read(relation.name)}
        if not wanted:
            continue
        missing = UnansweredOwners()
        try:
            async for target, items in context.owners.collections(entry, segment, returned, context.stats, missing):
                for other in map(endpoint, items):
                    back = wanted.get(other.target_type)
                    if back is not None and _in_scope(context, other.target_type, other.id):
                        found[back.name].append((other.id, target, entry.graph_type, UPSERT))
        except GraphError as error:
            missing.refused |= dict.fromkeys(returned, error)
        left = await context.owners.unanswered(entry, missing, context.stats)
        memory.unanswered[entry.name].update(left)
    return [Finding(table, rows=tuple(rows)) for table, rows in found.items()]


async def _returned(context: CheckContext, entry: ObjectType) -> list[str]:
    """Returns ids that are new in this point and older than the parent, entered the selection, or were healed."""
    states, healed = context.states, context.memory.healed[entry.name]
    before, now = states.before(entry.name), states.entries[entry.name]
    if entry.shows or not (entry.delta_relations() or _inverses(entry)):
        return []
    # A whole round that has left out a known object has left out its links: it is not new when it is put back.
    if before is None or states.parent is None or not now.added:
        return sorted(healed)
    rows = await states.runner.query(
        f"SELECT id, raw->>'$.createdDateTime' FROM ({readable(states.sql_added(entry.name))})"
    )
    since = parse_iso(states.parent.started)
    entered = context.is_partial(entry)
    return sorted({*healed, *(str(one) for one, born in rows if entered or not _younger(born, since))})


def _in_scope(context: CheckContext, graph_type: str, identifier: str) -> bool:
    chosen = context.reader.chosen
    ids = chosen.ids(BY_GRAPH_TYPE[graph_type]) if chosen and graph_type in BY_GRAPH_TYPE else None
    return ids is None or identifier in ids


def _inverses(entry: ObjectType) -> dict[str, list[tuple[ObjectType, Relation]]]:
    """Returns relations that may lead to objects of a type, by the navigation property that leads back."""
    found: dict[str, list[tuple[ObjectType, Relation]]] = defaultdict(list)
    for owner, relation in RELATIONS.values():
        if relation.inverse and has_navigation(entry.model, relation.inverse):
            found[relation.inverse].append((owner, relation))
    return found


def _younger(born: object, since: datetime) -> bool:
    try:
        return parse_iso(str(born)) >= since
    except ValueError:
        return False


# --- Endpoints of new edges ------------------------------------------------------------------------------------------


async def check_endpoints(context: CheckContext, subject: Subject) -> list[Finding]:
    """Looks up endpoints of new edges that are not stored: deleted meanwhile, or missing in the delta response.

    Edges that the parent carried may be older or newer than the objects: all their endpoints are compared.
    """
    (owner, relation), states = links_of(subject), context.states
    table = relation.name
    known = {entry.graph_type: entry for entry in context.endpoint_types() if not context.is_partial(entry)}
    late = any(_was_carried(context, name) for name in (table, *(entry.name for entry in known.values())))
    if not states.entries[table].added and not late:
        return []
    fresh = f"({states.sql(table) if late else states.sql_changes(table)})"
    linked = {str(row[0]) for row in await states.runner.query(f"SELECT DISTINCT target_type FROM {fresh}")}
    findings = []
    for graph_type, entry in known.items():
        if graph_type not in linked and entry is not owner:
            continue
        ends = [f"SELECT target_id AS id FROM {fresh} WHERE target_type = '{graph_type}'"]
        if entry is owner:
            ends.append(f"SELECT source_id AS id FROM {fresh}")
        unknown = await states.missing_ids(" UNION ALL ".join(ends), entry.name)
        if not unknown:
            continue
        found = await context.fetch(entry, unknown)
        there: list[tuple[object, ...]] = [(i, None, UPSERT, raw) for i, raw in found.items() if raw is not None]
        if there:
            context.memory.healed[entry.name].update(str(identifier) for identifier, *_ in there)
            note = f"healed: {len(there)} objects that only {table} referred to"
            findings.append(Finding(entry.name, rows=tuple(there), note=note))
        findings += await edges_of_gone(context, table, gone_table(i for i, raw in found.items() if raw is None))
    return findings


def _was_carried(context: CheckContext, table: str) -> bool:
    before = context.states.before(table)
    return before is not None and before.read == "carried"


async def edges_of_gone(context: CheckContext, table: str, gone: pa.Table) -> list[Finding]:
    """Returns the deletion of all edges of a relation that start or end at objects that are gone (`gone_table`)."""
    if not gone.num_rows:
        return []
    rows = await context.states.runner.query(
        f"""
        SELECT source_id, target_id, target_type, 'delete' FROM ({context.states.sql(table)})
        WHERE source_id IN (SELECT id FROM gone) OR target_id IN (SELECT id FROM gone WHERE dead)
        """,
        gone=gone,
    )
    return [Finding(table, rows=tuple(rows), gone=gone)] if rows else []
