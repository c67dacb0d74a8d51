"""The order of steps: stages one after the other, and within them what is needed before what needs it."""

from __future__ import annotations

import heapq

from entra_pipeline.restore.plan.rules.drafts import ALL_STAGES, REMOVALS, Draft, place_of
from entra_pipeline.restore.plan.rules.names import needs_names

_RANK = {"delete": 0, "update": 1, "undelete": 2, "create": 3, "link": 4, "unlink": 5, "enable": 6}


def ordered(drafts: list[Draft]) -> list[Draft]:
    """Sorts drafts topologically within their stages.

    A step that needs something of a later stage is done in that one. Steps that wait for each other, such as those of
    two objects that exchanged a name, are done in turn: Graph may refuse the first, which then names what it lacks.
    """
    makers = {draft.id: number for number, draft in enumerate(drafts) if draft.action in {"create", "undelete"}}
    stages = [ALL_STAGES.index(draft.stage) for draft in drafts]
    waiting = [
        {makers[need] for need in draft.needs if need in makers} - {number} for number, draft in enumerate(drafts)
    ]
    freeing = {one: number for number, draft in enumerate(drafts) for one in draft.frees}
    for number, draft in enumerate(drafts):
        if draft.id in freeing and freeing[draft.id] != number and needs_names(draft.action, draft.table):
            waiting[number] |= {other for other, one in enumerate(drafts) if draft.id in one.frees}
    leads: dict[int, list[int]] = {}
    for number, needs in enumerate(waiting):
        for need in needs:
            leads.setdefault(need, []).append(number)
    placed: list[Draft] = []
    heap = [(_place(drafts[n], stages[n]), n) for n, needs in enumerate(waiting) if not needs]
    heapq.heapify(heap)
    while len(placed) < len(drafts):
        if not heap:
            number = min((n for n, needs in enumerate(waiting) if needs), key=lambda n: _place(drafts[n], stages[n]))
            drafts[number].notes.append("waits for a step that waits for it: Graph may refuse it")
            # The executor waits for the same: a step that waits for itself, over others, would never be sent.
            for need in waiting[number]:
                drafts[need].frees.discard(drafts[number].id)
                drafts[number].needs.discard(drafts[need].id)
            waiting[number].clear()
            heapq.heappush(heap, (_place(drafts[number], stages[number]), number))
        _, number = heapq.heappop(heap)
        draft = drafts[number]
        draft.stage = ALL_STAGES[stages[number]]
        placed.append(draft)
        for other in leads.get(number, ()):
            stages[other] = max(stages[other], stages[number])
            if number not in waiting[other]:
                continue
            waiting[other].discard(number)
            if not waiting[other]:
                heapq.heappush(heap, (_place(drafts[other], stages[other]), other))
    return placed


def _place(draft: Draft, stage: int) -> tuple[int, int, int, str, str]:
    place = place_of(draft.table)
    return stage, -place if ALL_STAGES[stage] == REMOVALS else place, _RANK[draft.action], draft.id, draft.live_id
