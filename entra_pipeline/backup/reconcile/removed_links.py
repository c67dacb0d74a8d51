"""Check: a link that a whole read no longer has is looked for in the other views before it counts as removed.

A list, `$expand` and the first round of a delta query leave out what is gone, and what they do not show for other
reasons. Only a later delta round says itself what was removed.
"""

from __future__ import annotations

from collections import defaultdict

from entra_pipeline.backup.reconcile.context import COUNT_AGAIN, CheckContext, Finding, Subject, some
from entra_pipeline.backup.reconcile.links import Links, compare_singly, links_of
from entra_pipeline.backup.rows.staging import DELETE, UPSERT
from entra_pipeline.catalogue import ObjectType, Read, Relation
from entra_pipeline.errors import GraphError, GraphPermissionDenied
from entra_pipeline.store.manifest import Gap


def silent_relations(context: CheckContext, entry: ObjectType) -> list[Relation]:
    """Returns the relations of a type that this point has read by something that does not tell removals."""
    results = context.states.results
    return [
        one
        for one in entry.relations
        if context.was_read(one.name)
        and (one.read is not Read.DELTA or (one.name in results and results[one.name].complete))
    ]


async def check_removed_links(context: CheckContext, subject: Subject) -> list[Finding]:
    """Weighs all views of the owners that have lost a link, though both of its ends exist."""
    entry, relation = links_of(subject)
    states = context.states
    if states.before(relation.name) is None or not states.entries[relation.name].deleted:
        return []
    removed = states.sql_changes(relation.name, DELETE)
    rows = await states.runner.query(
        f"SELECT source_id, target_id, target_type FROM ({removed}) "
        f"SEMI JOIN ({states.sql(entry.name)}) owner ON source_id = owner.id"
    )
    dead = {
        target
        for one in context.endpoint_types()
        if not context.is_partial(one)
        for target in await states.missing_ids(
            f"SELECT target_id AS id FROM ({removed}) WHERE target_type = '{one.graph_type}'", one.name
        )
    }
    lost: dict[str, dict[str, str]] = defaultdict(dict)
    for source, target, kind in rows:
        if str(target) not in dead:
            lost[str(source)][str(target)] = str(kind)
    try:
        findings = await compare_singly(context, entry, relation, sorted(lost), lost=lost)
    except GraphError as error:
        return [_kept(entry, relation, lost, error)]
    return [*findings, Finding(relation.name, compared=len(lost))]


def _kept(entry: ObjectType, relation: Relation, lost: Links, error: GraphError) -> Finding:
    """Puts back links of which Graph's other views say nothing."""
    rows = tuple((owner, target, kind, UPSERT) for owner, links in lost.items() for target, kind in links.items())
    gaps = tuple(
        Gap(
            what=f"{relation.name} of {entry.title.lower()} {owner}",
            reason=f"Graph no longer shows {len(links)} links ({some(links)}), which are kept, and refuses the "
            f"request: {error.message}",
            remedy=error.remedy or COUNT_AGAIN,
            permission=entry.permissions[0] if isinstance(error, GraphPermissionDenied) else "",
            # The next backup lists this owner's links again, whatever delta tells by then.
            object=owner,
        )
        for owner, links in lost.items()
    )
    return Finding(relation.name, rows=rows, gaps=gaps)
