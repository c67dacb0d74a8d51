"""Links, grants and assignments that come back from the recycle bin with an object, and that it did not have.

What belongs here: finding and removing them. What does not: what the plan knows of, which its steps compare.

Graph does not show what an object in the recycle bin holds, so no plan can name what was given to it between the
recovery point and its deletion. Whoever took an account over may have put it into a group, or given it a role: with the
account it is back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection

import msgspec

from entra_pipeline.backup.run import BackupProgress, backup
from entra_pipeline.catalogue import CATALOGUE, RELATIONS
from entra_pipeline.clock import Clock, iso
from entra_pipeline.graph import Graph
from entra_pipeline.project import Scope
from entra_pipeline.restore.execute.requests import send_requests
from entra_pipeline.restore.execute.step import RestoreSession, RunningStep, StepRefused
from entra_pipeline.restore.objects.model import RestorePlan, RestoreSelection, RestoreStep
from entra_pipeline.restore.objects.references import ids_in
from entra_pipeline.restore.plan.diff import Side, decoded
from entra_pipeline.restore.plan.planner import LiveTenant, make_plan
from entra_pipeline.store.manifest import TakenFor
from entra_pipeline.store.recovery_points import ScopeStore
from entra_pipeline.store.state import connect

_TIES = {name for name, entry in CATALOGUE.items() if entry.restore.link and entry.restore.possible}
"""Types whose objects only tie others together: grants and assignments."""
_LINKED = {owner.name for owner, relation in RELATIONS.values() if relation.write is not None}
"""Types with links; what comes out of the recycle bin can be the other end only if it is of one of them, too."""


async def take_away(
    plan: RestorePlan,
    session: RestoreSession,
    *,
    store: ScopeStore,
    scope: Scope,
    live_store: ScopeStore,
    reading: Graph,
    clock: Clock,
    progress: BackupProgress,
) -> None:
    """Removes links, grants and assignments that came back and are not at the recovery point.

    Reads the types of grants and assignments, and those with links, once more, if something came out of the recycle
    bin. What cannot be removed is told by the outcome of the undelete.

    Args:
        plan: The plan that was carried out.
        session: What its steps share.
        store: The store of the scope whose recovery point is restored.
        scope: The scope that shows the tenant.
        live_store: Its store.
        reading: The tenant, as the app registration that reads.
        clock: The one clock.
        progress: Told what happens.
    """
    done = session.journal.done
    back = {
        done[step.number].live_id or step.id: step.number
        for step in plan.steps
        if step.action == "undelete" and step.number in done and done[step.number].result.startswith("restored")
    }
    point = Side(store, await asyncio.to_thread(store.manifest, plan.point)) if back else None
    if point is None or plan.options.conflict != "overwrite" or point.manifest.tenant_id != plan.tenant_id:
        return
    linked = any(step.table in _LINKED for step in plan.steps if step.number in back.values())
    types = [name for name in scope.types() if point.has(name) and (name in _TIES or (linked and name in _LINKED))]
    if not types:
        return
    progress.phase("checking links and assignments that Entra restored")
    holders = {number for number in back.values() if plan.steps[number - 1].table in _LINKED}
    await session.reappearing.wait(live.lower() for live, number in back.items() if number in holders)
    manifest = await backup(
        scope, live_store, reading, types=types, taken_for=TakenFor.READ_BACK, clock=clock, progress=progress
    )
    live = Side(live_store, manifest)
    found = await asyncio.to_thread(_besides, plan, session, point, live, types, back.keys(), iso(clock()))

    async def remove(step: RestoreStep, owner: str) -> None:
        work, remedy = RunningStep(session, step), ""
        try:
            await send_requests(work)
        except StepRefused as refused:
            work.problems.append(refused.message)
            remedy = refused.remedy
        if work.problems:
            before = done[back[owner]]
            reported = f"Entra restored it with {step.table} {step.name or step.id}, which it did not have"
            session.journal.finish(
                msgspec.structs.replace(
                    before,
                    result="restored with differences",
                    reason="; ".join(one for one in (before.reason, f"{reported}: {'; '.join(work.problems)}") if one),
                    remedy=before.remedy or remedy,
                )
            )

    await asyncio.gather(*(remove(step, owner) for step, owner in found))


def _besides(
    plan: RestorePlan,
    session: RestoreSession,
    point: Side,
    live: Side,
    types: list[str],
    back: Collection[str],
    now: str,
) -> list[tuple[RestoreStep, str]]:
    """Finds what has to be removed, each with the object that brought it back."""
    more = make_plan(
        plan.id,
        now,
        point,
        LiveTenant(live, plan.tenant),
        selection=RestoreSelection(types=tuple(types)),
        options=plan.options,
        identity=session.identity,
    )
    replaced = {step.id for step in more.steps if step.action == "create"}
    # What this restore has made is no return, whatever it looks like.
    made = {outcome.live_id for outcome in session.journal.done.values()}
    removed = [
        step
        for step in more.steps
        if step.action == "delete" and step.table in _TIES and step.id not in replaced and step.live_id not in made
    ]
    found = [link for step in more.steps if step.action == "unlink" for link in _links(step, back)]
    with connect(live.store.files) as connection:
        for step in removed:
            query = f"SELECT _raw FROM ({live.state(step.table, 'id, _raw')}) WHERE id = ?"
            row = connection.execute(query, [step.live_id]).fetchone()
            named = {step.parent} | (ids_in(decoded(row[0])) if row else set())
            if owner := next((one for one in back if one in named), ""):
                found.append((step, owner))
    return found


def _links(step: RestoreStep, back: Collection[str]) -> list[tuple[RestoreStep, str]]:
    """Splits an unlink step by the objects that came back: links from them, and links to them."""
    if step.live_id in back:
        return [(step, step.live_id)]
    return [
        (msgspec.structs.replace(step, targets=(target,), target_types=(kind,)), target)
        for target, kind in zip(step.targets, step.target_types, strict=True)
        if target in back
    ]
