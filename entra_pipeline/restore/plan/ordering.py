"""The order of steps: stages one after the other, and within them what is needed before what needs it."""

from __future__ import annotations

import heapq
from collections.abc import Iterable

from entra_pipeline.restore.plan.diff import TenantDiff
from entra_pipeline.restore.plan.rules.drafts import ALL_STAGES, REMOVALS, Draft, place_of
from entra_pipeline.restore.plan.rules.names import before

_RANK = {"delete": 0, "update": 1, "undelete": 2, "create": 3, "link": 4, "unlink": 5, "enable": 6}


def ordered(drafts: list[Draft]) -> list[Draft]:
    """Sorts drafts topologically within their stages; none waits for itself (`names.in_turn`).

    A step that needs something of a later stage is done in that one.
    """
    makers = {draft.id: draft for draft in drafts if draft.action in {"create", "undelete"}}
    numbers = {draft: number for number, draft in enumerate(drafts)}
    stages = [ALL_STAGES.index(draft.stage) for draft in drafts]
    waiting = [{numbers[one] for one in before(draft, makers)} for draft in drafts]
    leads: dict[int, list[int]] = {}
    for number, needs in enumerate(waiting):
        for need in needs:
            leads.setdefault(need, []).append(number)
    placed: list[Draft] = []
    heap = [(_place(drafts[n], stages[n]), n) for n, needs in enumerate(waiting) if not needs]
    heapq.heapify(heap)
    while heap:
        _, number = heapq.heappop(heap)
        draft = drafts[number]
        draft.stage = ALL_STAGES[stages[number]]
        placed.append(draft)
        for other in leads.get(number, ()):
            stages[other] = max(stages[other], stages[number])
            waiting[other].discard(number)
            if not waiting[other]:
                heapq.heappush(heap, (_place(drafts[other], stages[other]), other))
    if len(placed) < len(drafts):
        raise AssertionError("steps wait for each other")
    return placed


def wait_for_dependants(drafts: Iterable[Draft], diff: TenantDiff) -> None:
    """Makes the removal of a replaced object wait for those of what hangs from it: adds to their `after`.

    Args:
        drafts: The resolved drafts; those of deletions are changed.
        diff: What differs between the recovery point and the tenant.
    """
    replaced = diff.replaced()
    going = {(draft.table, draft.live_id): draft for draft in drafts if draft.action == "delete"} if replaced else {}
    for draft in going.values():
        if draft.replaced and draft.id in replaced:
            draft.after |= {going[one[0], one[2]] for one in replaced[draft.id].dependants if (one[0], one[2]) in going}


def _place(draft: Draft, stage: int) -> tuple[int, int, int, str, str]:
    place = place_of(draft.table)
    return stage, -place if ALL_STAGES[stage] == REMOVALS else place, _RANK[draft.action], draft.id, draft.live_id
