"""Reads back what a restore wrote, and says of every step what became of it.

What belongs here: comparing the tenant with the plan, with patience for replication. What does not: comparing recovery
points as a whole (`analysis`).
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import monotonic
from typing import Any

import msgspec

from entra_pipeline.catalogue import CATALOGUE, RELATIONS
from entra_pipeline.clock import Clock, iso, system_clock
from entra_pipeline.errors import GraphProtocolError
from entra_pipeline.graph import BatchRequest, RequestStats
from entra_pipeline.graph.client import query
from entra_pipeline.graph.pages import decoding
from entra_pipeline.restore.execute.apply import NullRestoreProgress, RestoreProgress, RestoreTarget, back_up_target
from entra_pipeline.restore.execute.patience import PATIENCE
from entra_pipeline.restore.objects import paths
from entra_pipeline.restore.objects.model import RestorePlan, RestoreStep, StepOutcome
from entra_pipeline.restore.objects.normalize import differing, differing_elsewhere, left_by, normalized
from entra_pipeline.restore.objects.references import rewrite
from entra_pipeline.restore.records import not_taken
from entra_pipeline.restore.records.journal import Journal
from entra_pipeline.restore.records.passwords import Passwords
from entra_pipeline.restore.records.report import RestoreReport, status_of, write_report
from entra_pipeline.store.manifest import Manifest, TakenFor
from entra_pipeline.store.recovery_points import ScopeStore
from entra_pipeline.store.state import connect

_decode_object = decoding(msgspec.json.Decoder(dict[str, Any]).decode)

_SENT = {"restored", "restored with differences"}
_POLL = 5.0
_EXPECTED = {"create", "undelete", "update", "enable"}


async def verify(
    plan: RestorePlan,
    report: RestoreReport,
    *,
    store: ScopeStore,
    target: RestoreTarget,
    passwords: Passwords,
    passwords_file: Path,
    patience: float = PATIENCE,
    clock: Clock = system_clock,
    progress: RestoreProgress | None = None,
) -> RestoreReport:
    """Reads back what was written, and replaces the report in the store by one with the outcomes found.

    Takes a recovery point of the types that were written, and asks for what differs there once more, one by one, until
    replication has had its time.

    Args:
        plan: The plan that was applied.
        report: What applying it reported.
        store: The store of the scope whose recovery point was restored.
        target: The tenant that was written to.
        passwords: First passwords of users that were made. They are handed over last, so that whoever goes on with a
            restore that was interrupted has them all.
        passwords_file: File that they are handed over to.
        patience: Seconds to wait for replication.
        clock: The one clock.
        progress: Told what happens.

    Raises:
        UsageError: The passwords cannot be handed over; the same call goes on.
    """
    reporter: RestoreProgress = progress or NullRestoreProgress()
    reporter.phase("reading back")
    journal = await asyncio.to_thread(Journal, store.files, plan.id, clock)
    names = dict(plan.identity)
    for made in journal.made.values():
        names |= {old.lower() if len(old) == 36 else old: new for old, new in made.items()}
    live = await back_up_target(target, plan, TakenFor.READ_BACK, clock, progress)
    outcomes = {outcome.number: outcome for outcome in report.outcomes}
    sent = [step for step in plan.steps if outcomes[step.number].result in _SENT]
    wanted = _final(sent, names)
    found = await asyncio.to_thread(_differences, sent, wanted, names, outcomes, target.store, live)
    reporter.phase("checking differences again")
    deadline = monotonic() + patience
    while found:
        found = await _again(found, sent, wanted, names, outcomes, target)
        if not found or monotonic() >= deadline:
            break
        await asyncio.sleep(min(_POLL, max(0.05, deadline - monotonic())))
    checked = tuple(_outcome(outcomes[step.number], found.get(step.number)) for step in plan.steps)
    handed = await asyncio.to_thread(passwords.hand_over, journal.made, passwords_file)
    verified = msgspec.structs.replace(
        report, outcomes=checked, status=status_of(checked, plan.refusals), finished=iso(clock()), verified=True
    )
    if handed:
        verified = msgspec.structs.replace(
            verified,
            passwords=handed,
            passwords_at=iso(clock()),
            passwords_to=f"{passwords_file} on {socket.gethostname()}",
        )
    await asyncio.to_thread(not_taken.remember, store, plan.id, plan.tenant_id, checked)
    await asyncio.to_thread(write_report, store, verified)
    await asyncio.to_thread(passwords.forget)
    return verified


def _final(sent: Sequence[RestoreStep], names: Mapping[str, str]) -> dict[int, dict[str, Any]]:
    """Returns the values each step's object should have now; a later step may have set a property again."""
    latest = left_by(sent, names)
    return {
        step.number: {name: latest[step.table, step.id][name] for name in rewrite(step.body, names)}
        for step in sent
        if step.action in _EXPECTED
    }


_Found = dict[int, dict[str, tuple[Any, Any]]]


def _differences(
    sent: Sequence[RestoreStep],
    wanted: Mapping[int, dict[str, Any]],
    names: Mapping[str, str],
    outcomes: Mapping[int, StepOutcome],
    store: ScopeStore,
    live: Manifest,
) -> _Found:
    """Compares steps with a recovery point: properties by step; links under the name of their segment."""
    found: _Found = {}
    with connect(store.files) as connection:
        for table in dict.fromkeys(step.table for step in sent):
            entry = live.tables.get(table)
            steps = [step for step in sent if step.table == table]
            if entry is None:
                continue
            if table in RELATIONS:
                owners = list({outcomes[step.number].live_id for step in steps})
                sql = store.intact_state(entry, "source_id, target_id")
                rows = connection.execute(f"FROM ({sql}) WHERE source_id IN (SELECT unnest(?))", [owners]).fetchall()
                pairs = set(rows)
                for step in steps:
                    _note_links(found, step, outcomes[step.number].live_id, names, pairs)
                continue
            ids = list({outcomes[step.number].live_id for step in steps})
            sql = store.intact_state(entry, "id, _raw")
            bodies = dict(connection.execute(f"FROM ({sql}) WHERE id IN (SELECT unnest(?))", [ids]).fetchall())
            for step in steps:
                raw = bodies.get(outcomes[step.number].live_id)
                _note(found, step, wanted.get(step.number), msgspec.json.decode(raw) if raw is not None else None)
    return found


def _note(found: _Found, step: RestoreStep, wanted: dict[str, Any] | None, body: dict[str, Any] | None) -> None:
    """Notes the properties of an object that differ."""
    found.pop(step.number, None)
    entry = CATALOGUE[step.table]
    if wanted is None:
        if step.action == "delete" and body is not None:
            found[step.number] = {entry.key: (None, step.live_id)}
    elif body is None:
        found[step.number] = {entry.key: (step.live_id or step.id, None)}
    else:
        shown = normalized(entry, body)
        now = {name: shown.get(name, body.get(name)) for name in wanted}
        # What others can write, too, was sent with a new object: identities of users.
        sent = differing_elsewhere(entry, wanted, now)
        if different := differing(entry, normalized(entry, wanted), normalized(entry, now)) | sent:
            found[step.number] = dict(different)


def _note_links(
    found: _Found, step: RestoreStep, owner: str, names: Mapping[str, str], pairs: set[tuple[str, str]]
) -> None:
    """Notes the links that are missing or left over."""
    found.pop(step.number, None)
    targets = [str(rewrite(target, names)) for target in step.targets]
    there = [target for target in targets if (owner, target) in pairs]
    segment = RELATIONS[step.table][1].segment
    if step.action == "link" and len(there) < len(targets):
        found[step.number] = {segment: ([one for one in targets if one not in there], None)}
    elif step.action == "unlink" and there:
        found[step.number] = {segment: (None, there)}


async def _again(
    found: _Found,
    sent: Sequence[RestoreStep],
    wanted: Mapping[int, dict[str, Any]],
    names: Mapping[str, str],
    outcomes: Mapping[int, StepOutcome],
    target: RestoreTarget,
) -> _Found:
    """Asks the tenant for the objects that differ, one by one, and compares again."""
    steps = {step.number: step for step in sent if step.number in found}
    still = dict(found)
    by_lane: dict[Any, list[BatchRequest]] = {}
    for number, step in steps.items():
        entry = RELATIONS[step.table][0] if step.table in RELATIONS else CATALOGUE[step.table]
        if entry.parent is not None and CATALOGUE[entry.parent.type].parent is not None:
            continue
        path = paths.item(entry, outcomes[number].live_id, rewrite(step.parent, names), {})
        if step.table in RELATIONS:
            url = query(f"{path}/{RELATIONS[step.table][1].segment}", select="id", top=entry.page_size)
        else:
            shown = [name for name in wanted.get(number, ()) if "@" not in name]
            expand = ",".join(entry.expand)
            url = query(path, select=",".join(dict.fromkeys(["id", *shown])) if entry.select else None, expand=expand)
        by_lane.setdefault(entry.lane, []).append(BatchRequest(url, number))
    stats = RequestStats()
    for lane, requests in by_lane.items():
        async for answer in target.reading.batch(requests, stats=stats, lane=lane):
            step = steps[answer.request.key]
            try:
                body = _decode_object(answer.body) if answer.status == 200 else None
            except (GraphProtocolError, msgspec.DecodeError):
                # No answer: it is neither there as wanted nor gone.
                continue
            if step.table in RELATIONS:
                _note_shown(still, step, outcomes[step.number].live_id, body)
            elif answer.status in {200, 404}:
                _note(still, step, wanted.get(step.number), body)
    return still


def _note_shown(still: _Found, step: RestoreStep, owner: str, body: dict[str, Any] | None) -> None:
    """Notes missing and extra links by an owner's list in the tenant; a list of several pages is not judged."""
    if body is None or "@odata.nextLink" in body:
        return
    listed = body.get("value", [body] if "id" in body else [])
    if not isinstance(listed, list) or any(not isinstance(one, dict) or "id" not in one for one in listed):
        return
    shown = {str(one["id"]) for one in listed}
    segment = RELATIONS[step.table][1].segment
    lacking, extra = still[step.number][segment]
    left = [one for one in lacking or () if one not in shown], [one for one in extra or () if one in shown]
    if any(left):
        still[step.number] = {segment: (left[0] or None, left[1] or None)}
    else:
        del still[step.number]


def _outcome(before: StepOutcome, different: dict[str, tuple[Any, Any]] | None) -> StepOutcome:
    if not different:
        return before
    return msgspec.structs.replace(
        before,
        result="restored with differences",
        differences=different,
        reason=before.reason or f"verification found differences in {', '.join(sorted(different))}",
    )
