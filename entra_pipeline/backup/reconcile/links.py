"""Checks: links of delta relations against `$expand`, single lists and `$count`.

A whole delta round is compared with all of them (`PROVE_WHOLE`), an incremental round for the owners it reports
(`check_reported`).
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from entra_pipeline.backup.read.child_tables import UnansweredOwners
from entra_pipeline.backup.read.expansion import EXPAND_LIMIT
from entra_pipeline.backup.reconcile.context import COUNT_AGAIN, CheckContext, Finding, Subject, some
from entra_pipeline.backup.reconcile.evidence import ComparedViews, OwnerViews, Says, compare_views
from entra_pipeline.backup.rows.merge import ids_table
from entra_pipeline.backup.rows.page_parser import Expanded, endpoint
from entra_pipeline.backup.rows.staging import DELETE, EDGE_ROWS, UPSERT, Staging, read_staged
from entra_pipeline.catalogue import BY_GRAPH_TYPE, ObjectType, Relation
from entra_pipeline.catalogue.sdk import has_navigation
from entra_pipeline.errors import GraphError
from entra_pipeline.store.manifest import Gap

Links = Mapping[str, Mapping[str, str]]
"""Links by owner: the type of each target by its id."""


def read_whole(context: CheckContext, relation: Relation) -> bool:
    """Tells whether a whole delta round has read a relation of which an object can have many."""
    return relation.many and context.states.results[relation.name].complete


def links_of(subject: Subject) -> tuple[ObjectType, Relation]:
    """Returns the object type and the relation of a subject that has one."""
    if subject.relation is None:
        raise ValueError(f"{subject.entry.name} is no relation")
    return subject.entry, subject.relation


# --- Hidden membership -----------------------------------------------------------------------------------------------


async def check_concealed(context: CheckContext, subject: Subject) -> list[Finding]:
    """Keeps the known members of groups and units whose membership Graph hides from this application.

    With visibility HiddenMembership, Graph shows members only to an application with Member.Read.Hidden (Graph doc:
    resources/group, visibility). It shows no error: lists and counts are empty.
    """
    (entry, relation), states = links_of(subject), context.states
    if not relation.hidden or relation.hidden in context.reader.granted:
        return []
    hidden = await states.runner.query(
        states.state(states.entries[entry.name], "id") + " WHERE visibility = 'HiddenMembership'"
    )
    ids = sorted(str(row[0]) for row in hidden)
    counts = {one: n async for one, n in context.owners.link_counts(entry, relation.segment, ids, context.stats)}
    concealed = [one for one in ids if not counts.get(one) or isinstance(counts[one], GraphError)]
    if not concealed:
        return []
    context.memory.concealed[relation.name].update(concealed)
    rows = await lost_links(context, relation, concealed)
    gap = Gap(
        what=f"{relation.name} of {len(concealed)} {entry.name} with hidden membership",
        reason=f"Graph shows no members without the permission {relation.hidden}; known ones are kept "
        f"({some(concealed)})",
        remedy=f"Grant the application permission {relation.hidden} to the app registration and consent to it as an "
        "administrator.",
        permission=relation.hidden,
    )
    return [Finding(relation.name, rows=tuple(rows), gaps=(gap,))]


async def lost_links(context: CheckContext, relation: Relation, owners: list[str]) -> list[tuple[object, ...]]:
    """Returns links of owners that the parent has and the new state has not, though delta reports no removal."""
    states = context.states
    before = states.sql_before(relation.name)
    if before is None or not owners:
        return []
    return await states.runner.query(
        f"""
        SELECT source_id, target_id, target_type, 'upsert' FROM ({before}) SEMI JOIN owners ON source_id = owners.id
        ANTI JOIN ({states.sql(relation.name)}) now USING (source_id, target_id)
        ANTI JOIN (FROM reported WHERE change = 'delete') gone USING (source_id, target_id)
        """,
        owners=ids_table(owners),
        reported=read_staged(states.results[relation.name].staged),
    )


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
            cut = await context.owners.expansion.stage(entry, relation, context.stats, staging)
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
    return await compare_singly(context, entry, relation, [str(row[0]) for row in rows], expand=True)


async def check_counted(context: CheckContext, subject: Subject) -> list[Finding]:
    """Compares the number of links of owners with `$count`.

    Owners of many links come first, then others as far as the policy's number allows, in every point other ones.
    """
    (entry, relation), states = links_of(subject), context.states
    owners, large = await states.owners(entry), context.memory.large_owners[relation.name]
    order = [*_in_turn(states.point, large), *_in_turn(states.point, owners.keys() - large)]
    counted = sorted(order[: context.policy.owners_counted])
    findings = await compare_singly(context, entry, relation, await _miscounted(context, entry, relation, counted))
    notes = [f"links of {len(counted)} of the {len(order)} owners were counted by Graph as well"]
    return [
        *findings,
        Finding(relation.name, compared=len(counted), notes=tuple(notes) if len(counted) < len(order) else ()),
    ]


PROVE_WHOLE = (check_concealed, check_expanded, check_counted)
"""The checks of a relation that a whole round has read, in their order: each sees the corrections of the one before."""


# --- After an incremental round --------------------------------------------------------------------------------------


async def check_reported(context: CheckContext, subject: Subject) -> list[Finding]:
    """Compares the number of links of owners in a delta response with `$count`.

    Graph reports a restored object like a new one, with the links it has: links that it lost meanwhile are not
    reported. A response without a link of a relation may also leave out what is new. So both are counted; where the
    numbers differ, their links are listed. Of owners whose response has only new links, which have existed all the
    time, a few are counted.
    """
    (entry, relation), states = links_of(subject), context.states
    pages = relation.many and entry.page_size
    if relation.many:
        reported = await _reported_owners(context, entry)
        told = await _reported_changes_only(context, entry) if pages else set()
        owners, ordinary, number = list(reported - told), _in_turn(states.point, reported & told), len(reported & told)
    else:
        owners, ordinary, number = await _reported_with_one(context, entry, relation)
    some_ordinary = ordinary[: context.policy.ordinary_counted]
    compared = sorted({*owners, *some_ordinary})
    differing = await _miscounted(context, entry, relation, compared) if pages else compared
    findings = await compare_singly(context, entry, relation, differing)
    left = number - len(some_ordinary)
    notes = [f"links of {len(compared)} of the {len(compared) + left} reported owners were compared with another view"]
    return [*findings, Finding(relation.name, compared=len(compared), notes=tuple(notes) if left else ())]


CHECK_REPORTED = (check_concealed, check_reported)
"""The checks of a relation after an incremental round, in their order."""


async def _reported_owners(context: CheckContext, entry: ObjectType) -> set[str]:
    """Returns live objects in this run's delta response."""
    states = context.states
    gone = await states.runner.query(f"SELECT id FROM ({states.sql_changes(entry.name, DELETE)})")
    return set((await states.reported(states.results[entry.name]))[0]) - {str(row[0]) for row in gone}


async def _reported_with_one(
    context: CheckContext, entry: ObjectType, relation: Relation
) -> tuple[list[str], list[str], int]:
    """Returns live objects in this run's delta response without a link of a relation of which each can have one.

    A reported link replaces the one before: nothing is lost. Of objects without one, before and now, there may be as
    many as users: they are sorted and counted in SQL.

    Returns:
        Those that had a link; the first of the others, in this point's order; the number of the others.
    """
    states, result = context.states, context.states.results[entry.name]
    before = states.sql_reported_before(relation.name) or "SELECT '' AS source_id LIMIT 0"
    rows = await states.runner.query(
        f"""
        WITH told AS (SELECT id, arg_max(change, seq) AS change FROM objects GROUP BY id),
             there AS (SELECT id FROM told WHERE change = '{UPSERT}' UNION (FROM linked ANTI JOIN told USING (id))),
             owners AS (
                 SELECT id, id IN (SELECT source_id FROM ({before})) AS had FROM there
                 WHERE id NOT IN (SELECT source_id FROM links WHERE change = '{UPSERT}')
                 AND id NOT IN (SELECT id FROM ({states.sql_changes(entry.name, DELETE)}))
             )
        (SELECT id, had, 0 AS place, 0 AS number FROM owners WHERE had)
        UNION ALL (
            SELECT id, had, row_number() OVER (ORDER BY sha256('{states.point} ' || id)) AS place, count(*) OVER ()
            FROM owners WHERE NOT had QUALIFY place <= {max(1, context.policy.ordinary_counted)}
        )
        ORDER BY place, id
        """,
        objects=read_staged(result.staged),
        linked=ids_table(result.linked),
        links=read_staged(states.results[relation.name].staged),
    )
    linked, others = ([str(row[0]) for row in rows if row[1] is had] for had in (True, False))
    return linked, others, int(str(rows[-1][3])) if others else 0


async def _reported_changes_only(context: CheckContext, entry: ObjectType) -> set[str]:
    """Returns objects whose delta response has added or removed links and no known link: it lists changes only.

    The response of a restored object has all its links, the known ones among them.
    """
    states = context.states
    reported, staged = [], {}
    for number, relation in enumerate(entry.delta_relations()):
        before = states.sql_reported_before(relation.name) or "SELECT '' AS source_id, '' AS target_id LIMIT 0"
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


async def compare_singly(
    context: CheckContext,
    entry: ObjectType,
    relation: Relation,
    owners: list[str],
    *,
    expand: bool = False,
    anywhere: bool = False,
    lost: Links = MappingProxyType({}),
) -> list[Finding]:
    """Lists the links of some owners one by one and weighs what differs against all other views.

    Links that any view shows stay or are added. Owners of whom views disagree, or of whom Graph counts more links than
    it shows, are gaps.

    Args:
        context: What every check is given.
        entry: The type of the owners.
        relation: The relation.
        owners: Their ids.
        anywhere: They need not be in this run's delta response: what is stored of them is looked up in the whole table.
        expand: `$expand` has shown something else than what is stored: it is consulted for all of them.
        lost: Links that the parent has and the read of this run has not: they stay unless all views leave them out.
    """
    owners = sorted(set(owners) - context.memory.concealed[relation.name])
    if not owners:
        return []
    listed: dict[str, dict[str, str]] = {} if relation.many else {owner: {} for owner in owners}
    missing = UnansweredOwners()
    present = await _stored(context, relation, owners, anywhere=anywhere)

    async def add(some_owners: list[str], *, singly: bool) -> None:
        answers = context.owners.links(entry, relation, some_owners, context.stats, missing, singly=singly)
        async for owner, items in answers:
            listed.setdefault(owner, {}).update((n.id, n.target_type or relation.target) for n in map(endpoint, items))

    await add(owners, singly=relation.many)
    if not relation.many:
        # Where an object can have one link, `$expand` shows none and leaves one out in the same way.
        await add([one for one in owners if not listed[one] and (present.get(one) or lost.get(one))], singly=True)
    unanswered = await context.owners.unanswered(entry, missing, context.stats)
    context.memory.unanswered[relation.name].update(unanswered)
    # A list that was not read to its end says nothing.
    for owner in missing.names():
        listed.pop(owner, None)
    stored = {owner: {**lost.get(owner, {}), **present.get(owner, {})} for owner in listed}
    counts, uncountable = await _settled_counts(context, entry, relation, listed)
    views = await _other_views(context, entry, relation, stored, listed, expand=expand)
    rows: list[tuple[object, ...]] = [
        (owner, target, kind, UPSERT) for owner in unanswered for target, kind in lost.get(owner, {}).items()
    ]
    gaps = []
    for owner, targets in sorted(listed.items()):
        known = present.get(owner, {})
        seen = views.of(owner, stored[owner], targets, counts.get(owner), many=relation.many)
        compared = compare_views(replace(seen, countable=owner not in uncountable))
        rows += [
            (owner, target, kind, UPSERT)
            for target, kind in compared.kept.items()
            if target not in known or (kind and known[target] != kind)
        ]
        rows += [(owner, target, known[target], DELETE) for target in compared.gone if target in known]
        gaps += _gaps_of(entry, relation, owner, compared, counts.get(owner), len(targets))
    findings = [Finding(relation.name, gaps=tuple(gaps))]
    if rows:
        who = some({str(one[0]) for one in rows})
        note = f"healed: {len(rows)} links missing from the delta response ({entry.title.lower()} {who})"
        findings.insert(0, Finding(relation.name, rows=tuple(sorted(rows, key=str)), note=note))
    return findings


@dataclass(frozen=True, slots=True)
class _Views:
    """What views other than the owner's list say.

    Attributes:
        shown: Links that `$expand` shows, with their target's type, by owner.
        complete: Owners whose links `$expand` shows to the end.
        asked: Owners for whom `$expand` was asked, where Graph expands the relation.
        reported: Targets of links that delta reports in this run, by owner.
        removed: Targets of links whose removal delta reports after that, by owner.
        back: What the way back from the targets says, where it was consulted, by owner.
    """

    shown: Links = field(default_factory=dict)
    complete: Set[str] = frozenset()
    asked: Set[str] = frozenset()
    reported: Mapping[str, Set[str]] = field(default_factory=dict)
    removed: Mapping[str, Set[str]] = field(default_factory=dict)
    back: Mapping[str, Mapping[str, Says]] = field(default_factory=dict)

    def of(
        self, owner: str, stored: Mapping[str, str], listed: Mapping[str, str], count: int | None, *, many: bool
    ) -> OwnerViews:
        """Returns what all views say of one owner."""
        return OwnerViews(
            stored=stored,
            listed=listed,
            count=count,
            expanded=self.shown.get(owner),
            whole=owner in self.complete,
            asked=owner in self.asked,
            reported=self.reported.get(owner, frozenset()),
            removed=self.removed.get(owner, frozenset()),
            back=self.back.get(owner, {}),
            many=many,
        )


def _by_owner(links: Iterable[tuple[str, str]]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for owner, target in links:
        found[owner].add(target)
    return found


def _gaps_of(
    entry: ObjectType,
    relation: Relation,
    owner: str,
    compared: ComparedViews,
    count: int | None,
    listed: int,
) -> list[Gap]:
    what = f"{relation.name} of {entry.title.lower()} {owner}"
    if compared.disputed:
        reason = (
            f"Graph's list does not show {len(compared.disputed)} links that are stored or that another view of Graph "
            f"shows ({some(compared.disputed)}); they are kept"
        )
        return [Gap(what=what, reason=reason, remedy=COUNT_AGAIN, permission=entry.permissions[0], object=owner)]
    if compared.uncounted:
        reason = f"Graph counts {count} and shows {listed}"
        return [Gap(what=what, reason=reason, remedy=COUNT_AGAIN, object=owner)]
    return []


async def _stored(
    context: CheckContext, relation: Relation, owners: Iterable[str], *, anywhere: bool
) -> dict[str, dict[str, str]]:
    """Returns the stored links of some owners: by owner, the type of each target by its id."""
    states = context.states
    table = states.sql(relation.name) if anywhere else states.sql_reported_now(relation.name)
    rows = await states.runner.query(
        f"SELECT source_id, target_id, target_type FROM ({table}) SEMI JOIN owners ON source_id = owners.id",
        owners=ids_table(sorted(owners)),
    )
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for source, target, kind in rows:
        found[str(source)][str(target)] = str(kind)
    return found


def _missing(stored: Links, listed: Links) -> dict[str, set[str]]:
    """Returns the targets that are stored and not listed, by owner; owners without any are left out."""
    missing = {owner: stored.get(owner, {}).keys() - targets.keys() for owner, targets in listed.items()}
    return {owner: targets for owner, targets in missing.items() if targets}


async def _settled_counts(
    context: CheckContext, entry: ObjectType, relation: Relation, listed: Links
) -> tuple[dict[str, int], set[str]]:
    """Returns Graph's count of links by owner, requested again while it exceeds the list, and owners without a count.

    An object that can have one link has no count: its list is the count.
    """
    if not relation.many:
        return {owner: len(targets) for owner, targets in listed.items()}, set()
    counts: dict[str, int] = {}
    uncountable: set[str] = set()
    waiting = sorted(listed)
    for pause in context.policy.count_pauses:
        await asyncio.sleep(pause)
        async for owner, count in context.owners.link_counts(entry, relation.segment, waiting, context.stats):
            if count is None:
                uncountable.add(owner)
            elif isinstance(count, int):
                counts[owner] = count
        waiting = [owner for owner in waiting if counts.get(owner, 0) > len(listed[owner])]
        if not waiting:
            break
    return counts, uncountable - counts.keys()


async def _other_views(
    context: CheckContext, entry: ObjectType, relation: Relation, stored: Links, listed: Links, *, expand: bool
) -> _Views:
    """Consults the other views about links that are stored and not listed; none when there are no such links."""
    missing = _missing(stored, listed)
    if not missing and not expand:
        return _Views()
    expanded: dict[str, Expanded] = {}
    asked = set(listed if expand else missing) if relation.many else set()
    if asked:
        try:
            expanded = await context.owners.expansion.expanded(entry, relation, sorted(asked), context.stats)
        except GraphError as error:
            # A view that fails says nothing; one that there is not need not agree.
            if error.status in {400, 501}:
                asked = set()
    shown = {
        one.id: {n.id: n.target_type or relation.target for n in map(endpoint, one.items)} for one in expanded.values()
    }
    complete = {one.id for one in expanded.values() if one.complete}
    links = {(owner, target) for owner, targets in missing.items() for target in targets}
    unseen = {(owner, target) for owner, target in links if target not in shown.get(owner, {})}
    back = await _way_back(context, relation, unseen, stored)
    unseen -= {link for link, says in back.items() if says is Says.SHOWS}
    reported = await _reported_links(context, relation, unseen)
    removed: set[tuple[str, str]] = set()
    if reported and (link := context.states.entries[entry.name].delta_link):
        removed = await context.reader.removed_since(entry, relation, link, context.stats)
    ways: dict[str, dict[str, Says]] = defaultdict(dict)
    for (owner, target), says in back.items():
        ways[owner][target] = says
    return _Views(shown, complete, asked, _by_owner(reported), _by_owner(removed), ways)


async def _way_back(
    context: CheckContext, relation: Relation, links: Set[tuple[str, str]], stored: Links
) -> dict[tuple[str, str], Says]:
    """Asks the targets of links for their owners, where the catalogue knows the way back."""
    found: dict[tuple[str, str], Says] = {}
    by_type: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for owner, target in links:
        by_type[stored[owner][target]].add((owner, target))
    for kind, some_links in by_type.items():
        target_type = BY_GRAPH_TYPE.get(kind)
        if target_type is None or not relation.inverse or not has_navigation(target_type.model, relation.inverse):
            continue
        targets = sorted({target for _, target in some_links})
        owners: dict[str, set[str]] = {}
        missing = UnansweredOwners()
        pages = context.owners.collections(target_type, relation.inverse, targets, context.stats, missing)
        async for target, items in pages:
            owners.setdefault(target, set()).update(endpoint(raw).id for raw in items)
        unanswered = await context.owners.unanswered(target_type, missing, context.stats)
        for owner, target in some_links:
            if target in unanswered:
                found[owner, target] = Says.NOTHING
            elif target in owners or target in missing.absent:
                # A target that is gone has no owners.
                found[owner, target] = Says.SHOWS if owner in owners.get(target, ()) else Says.HIDES
    return found


async def _reported_links(
    context: CheckContext, relation: Relation, links: Set[tuple[str, str]]
) -> set[tuple[str, str]]:
    """Returns those links that the delta response of this run has, and not as removed."""
    if not links:
        return set()
    rows = await context.states.runner.query(
        "SELECT source_id, target_id FROM reported SEMI JOIN owners ON source_id = owners.id "
        "GROUP BY ALL HAVING arg_max(change, seq) = 'upsert'",
        reported=read_staged(context.states.results[relation.name].staged),
        owners=ids_table(sorted({owner for owner, _ in links})),
    )
    return {(str(source), str(target)) for source, target in rows} & links


async def _miscounted(context: CheckContext, entry: ObjectType, relation: Relation, owners: list[str]) -> list[str]:
    """Returns those owners of whom Graph counts another number of links than is stored."""
    rows = await context.states.runner.query(
        f"SELECT source_id, count(*) FROM ({context.states.sql_reported_now(relation.name)}) "
        "SEMI JOIN owners ON source_id = owners.id GROUP BY source_id",
        owners=ids_table(owners),
    )
    stored = {str(row[0]): row[1] for row in rows}
    counts = context.owners.link_counts(entry, relation.segment, owners, context.stats)
    return sorted([owner async for owner, count in counts if isinstance(count, int) and count != stored.get(owner, 0)])


def _in_turn(point: str, owners: Iterable[str]) -> list[str]:
    """Sorts owners in an order that differs from point to point, so that in time each comes first."""
    return sorted(owners, key=lambda one: hashlib.sha256(f"{point} {one}".encode()).digest())
