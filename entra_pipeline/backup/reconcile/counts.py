"""Check: the number of objects of a type against Graph's count."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

from entra_pipeline.backup.reconcile.context import COUNT_AGAIN, CheckContext, Finding, Subject
from entra_pipeline.backup.rows.page_parser import read_items, stored
from entra_pipeline.backup.rows.staging import DELETE, UPSERT
from entra_pipeline.catalogue import Lane, ObjectType
from entra_pipeline.errors import GraphError, GraphProtocolError
from entra_pipeline.graph import BatchRequest
from entra_pipeline.graph.client import query
from entra_pipeline.graph.pages import decode_count
from entra_pipeline.graph.responses import explain
from entra_pipeline.store.manifest import Gap


def counted_types(context: CheckContext, entries: Sequence[ObjectType]) -> tuple[dict[str, int], list[ObjectType]]:
    """Returns the counts that listings brought with them, by type, and the types whose count has to be requested."""
    counts, requested = {}, []
    for entry in entries:
        if not entry.count or not entry.collection or context.is_partial(entry):
            continue
        result = context.states.results.get(entry.name)
        if result is not None and not result.complete and not entry.delta:
            # It was not read this time, and is counted when it is read again.
            continue
        if result is not None and result.counted is not None and entry.name not in context.memory.recounted:
            counts[entry.name] = result.counted
        elif entry.page_size is not None and entry.lane is Lane.DIRECTORY:
            requested.append(entry)
    context.memory.recounted.update(entry.name for entry in entries)
    return counts, requested


async def request_counts(
    context: CheckContext, entries: Sequence[ObjectType]
) -> AsyncIterator[tuple[str, int | GraphError | None]]:
    """Yields Graph's count of each type; None where Graph does not count (Graph doc: aad-advanced-queries).

    A count that fails is yielded as the error.

    Counts come from an index that lags behind the directory by seconds to minutes.
    """
    eventual = {"ConsistencyLevel": "eventual"}
    requests = [
        BatchRequest(query(entry.path, select="id", count="true", top=1, filter=entry.filter), entry.name, eventual)
        for entry in entries
    ]
    async for result in context.reader.graph.batch(requests, stats=context.stats):
        if result.status >= 300 and result.status not in {400, 404, 405, 501}:
            yield result.request.key, explain(result)
        else:
            yield result.request.key, decode_count(result.body) if result.status < 300 else None


async def check_count(context: CheckContext, subject: Subject) -> list[Finding]:
    """Compares live rows with Graph's count; traces a difference to its objects by listing all ids.

    Objects that Graph counts and shows nowhere are a gap.
    """
    entry, reported = subject.entry, subject.reported or 0
    live = reported_by_read = context.states.entries[entry.name].live
    stored: set[str] | None = None
    corrected: dict[str, str | None] = {}
    for pause in context.policy.count_pauses:
        if reported == live:
            break
        await asyncio.sleep(pause)
        stored = await context.states.ids(entry.name) if stored is None else stored
        wrong = {
            identifier: raw
            for identifier, raw in (await _differing(context, entry, stored, reported)).items()
            if (raw is not None) != (identifier in stored)
        }
        corrected |= wrong
        stored = {one for one in stored | wrong.keys() if wrong.get(one, "") is not None}
        live = len(stored)
        async for _, count in request_counts(context, [entry]):
            if isinstance(count, GraphError):
                raise count
            reported = reported if count is None else count
    context.memory.healed[entry.name].update(one for one, raw in corrected.items() if raw is not None)
    notes, gaps = [], []
    if corrected:
        notes.append(
            f"healed: {len(corrected)} objects missing from the delta response "
            f"(Graph counts {reported}, delta gave {reported_by_read})"
        )
    if reported > live:
        reason = f"Graph counts {reported} {entry.name} and lists {live}: {reported - live} cannot be read"
        gaps.append(Gap(what="objects", reason=reason, remedy=COUNT_AGAIN))
    elif reported < live:
        notes.append(f"Graph counts {reported}, and shows {live}: its count lags, every object was found")
    rows = tuple((one, None, DELETE if raw is None else UPSERT, raw) for one, raw in corrected.items())
    return [Finding(entry.name, rows=rows, gaps=tuple(gaps), notes=tuple(notes), reported=reported)]


async def _differing(context: CheckContext, entry: ObjectType, held: set[str], counted: int) -> dict[str, str | None]:
    """Returns what Graph says of objects that only its listing or only the stored state has; None for one that is gone.

    A type that is always listed as a whole, and shows all properties so, is listed again. Of other types the ids are
    listed, and objects requested.
    """
    reader = context.reader
    by_id = entry.delta or reader.reads_singly(entry)
    url = query(entry.path, select="id", top=entry.page_size) if entry.delta else reader.list_url(entry)
    listed: dict[str, str | None] = {}
    async for page in reader.graph.pages(url, stats=context.stats, lane=entry.lane, anew=url, counted=counted):
        items = read_items(page.value, entry.key)
        listed.update((one, "" if by_id else stored(raw)) for one, raw in zip(items.ids, items.items, strict=True))
        if entry.shows and (page.unreadable or items.unreadable):
            raise GraphProtocolError(f"Graph's list of {entry.name} has elements that cannot be read")
    differing = sorted(listed.keys() ^ held)
    if by_id:
        return await context.fetch(entry, differing)
    found = {one: listed.get(one) for one in differing}
    if entry.shows:
        return found
    return found | await context.fetch(entry, [one for one, raw in found.items() if raw is None])
