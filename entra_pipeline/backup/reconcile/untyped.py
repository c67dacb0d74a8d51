"""Checks: targets of links whose type Graph has not named.

An answer that names no type takes none away (`rows.merge`). What is new and has no type gets that of the object that is
stored under the id, or the one that the owner's own list names.
"""

from __future__ import annotations

from entra_pipeline.backup.reconcile.context import COUNT_AGAIN, CheckContext, Finding, Subject, some
from entra_pipeline.backup.reconcile.links import compare_singly, links_of
from entra_pipeline.backup.rows.staging import UPSERT
from entra_pipeline.catalogue import Read
from entra_pipeline.store.manifest import Gap
from entra_pipeline.text import pluralize


async def type_by_objects(context: CheckContext, subject: Subject) -> list[Finding]:
    """Gives new links the type of the object that is stored under the target's id."""
    (_, relation), states = links_of(subject), context.states
    if not await _untyped(context, relation.name):
        return []
    untyped = _sql_untyped(context, relation.name)
    rows: list[tuple[object, ...]] = []
    for entry in context.endpoint_types():
        rows += await states.runner.query(
            f"SELECT source_id, target_id, '{entry.graph_type}', '{UPSERT}' FROM ({untyped}) "
            f"SEMI JOIN ({states.sql(entry.name)}) objects ON target_id = objects.id"
        )
    return [Finding(relation.name, rows=tuple(rows))] if rows else []


async def type_by_lists(context: CheckContext, subject: Subject) -> list[Finding]:
    """Lists the links of owners of whom one still has no type, as far as the policy's number allows."""
    entry, relation = links_of(subject)
    owners = sorted({owner for owner, _ in await _untyped(context, relation.name)})
    if relation.read is not Read.DELTA or not owners:
        return []
    return await compare_singly(context, entry, relation, owners[: context.policy.owners_counted], anywhere=True)


async def name_untyped(context: CheckContext, subject: Subject) -> list[Finding]:
    """Names the links that have no type still."""
    entry, relation = links_of(subject)
    left = await _untyped(context, relation.name)
    if not left:
        return []
    gap = Gap(
        what=f"types in {relation.name}",
        reason=f"Graph does not say of what type the targets of {pluralize(len(left), 'link')} are "
        f"({entry.title.lower()} {some({owner for owner, _ in left})}); the links are kept",
        remedy=COUNT_AGAIN,
    )
    return [Finding(relation.name, gaps=(gap,))]


CHECK_UNTYPED = (type_by_objects, type_by_lists, name_untyped)
"""The checks of a relation, in their order: each sees the corrections of the one before."""


def _sql_untyped(context: CheckContext, table: str) -> str:
    """Returns SQL of the links without a type among those that this point has written."""
    return f"SELECT source_id, target_id FROM ({context.states.sql_changes(table)}) WHERE target_type = ''"


async def _untyped(context: CheckContext, table: str) -> list[tuple[str, str]]:
    rows = await context.states.runner.query(_sql_untyped(context, table))
    return [(str(source), str(target)) for source, target in rows]
