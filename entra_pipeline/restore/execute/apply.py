"""Carries a plan out: a recovery point first, then stage by stage, each step once, whatever happens in between.

What belongs here: order, concurrency, resumption, and what live changes mean. What does not: which requests a step
takes (`requests`), what holds for every request (`step`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack, ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Protocol

import duckdb
import msgspec

from entra_pipeline.backup.run import BackupProgress, backup
from entra_pipeline.backup.scheduler import ended_by
from entra_pipeline.catalogue import CATALOGUE, RELATIONS
from entra_pipeline.catalogue.order import made_before, taken_before
from entra_pipeline.clock import Clock, iso, system_clock
from entra_pipeline.errors import EntraPipelineError, ScopeBusy, UsageError
from entra_pipeline.graph import Graph, GraphWriter, RequestStats
from entra_pipeline.graph.users import UserGraph
from entra_pipeline.project import Scope
from entra_pipeline.restore.execute.known_ids import app_ids, owners, there_before
from entra_pipeline.restore.execute.passing import PassingNames, give_back, not_sent
from entra_pipeline.restore.execute.patience import PATIENCE
from entra_pipeline.restore.execute.person import person_writer, signed_in
from entra_pipeline.restore.execute.reappearing import Reappearing
from entra_pipeline.restore.execute.reinstated import take_away
from entra_pipeline.restore.execute.requests import send_requests
from entra_pipeline.restore.execute.step import RestoreSession, RunningStep, StepRefused
from entra_pipeline.restore.execute.stopping import WritingSteps
from entra_pipeline.restore.objects.model import RestorePlan, RestoreStep, Result, StepOutcome
from entra_pipeline.restore.objects.normalize import fingerprint
from entra_pipeline.restore.objects.references import GUID_LENGTH
from entra_pipeline.restore.objects.selection import with_bins
from entra_pipeline.restore.records import id_map
from entra_pipeline.restore.records.journal import Journal, RestoreUnderWay, require_finished
from entra_pipeline.restore.records.passwords import Passwords
from entra_pipeline.restore.records.report import RestoreReport, by_plan, outcome_of, status_of, write_report
from entra_pipeline.store.manifest import Manifest, TakenFor
from entra_pipeline.store.recovery_points import ScopeStore
from entra_pipeline.store.state import connect
from entra_pipeline.text import pluralize

# Steps under way at once: enough to fill the batches that are.
_STEPS_AT_ONCE = 400
_MAKING = {"create", "undelete"}
_ORDERED = {*_MAKING, "delete"}
_LINKS = {"link", "unlink"}
_RESTORED = {"restored", "restored with differences"}


class LiveChanged(EntraPipelineError):
    """The tenant is not what the plan saw."""


class RestoreProgress(BackupProgress, Protocol):
    """What an apply tells while it works, besides what the backup before it tells."""

    def step(self, outcome: StepOutcome, done: int, steps: int) -> None:
        """Reports that a step has ended, with the number of steps done and of all steps."""


@dataclass(frozen=True, kw_only=True)
class RestoreTarget:
    """The tenant that is written to.

    Attributes:
        scope: The scope that protects it.
        store: Its recovery points.
        reading: The tenant, as the app registration that reads.
        writing: The tenant, as the app registration that may write.
        person: The tenant, as a person who signs in; None when nobody does.
    """

    scope: Scope
    store: ScopeStore
    reading: Graph
    writing: Graph
    person: UserGraph | None = None


class NullRestoreProgress:
    """A `RestoreProgress` that tells nobody."""

    def rows(self, table: str, rows: int) -> None:
        """Nothing."""

    def done(self, entry: object) -> None:
        """Nothing."""

    def phase(self, text: str) -> None:
        """Nothing."""

    def step(self, outcome: StepOutcome, done: int, steps: int) -> None:
        """Nothing."""


async def apply(
    plan: RestorePlan,
    *,
    store: ScopeStore,
    target: RestoreTarget,
    passwords: Passwords,
    go_on: bool = False,
    patience: float = PATIENCE,
    clock: Clock = system_clock,
    progress: RestoreProgress | None = None,
) -> RestoreReport:
    """Carries out a plan; one that was interrupted continues where it stopped.

    Args:
        plan: The plan.
        store: The store of the scope whose recovery point is restored: journal, identity map and report go there.
        target: The tenant that is written to.
        passwords: First passwords of users that are made; handed over when the restore is verified.
        go_on: Objects that changed since the plan are left as they are, the others restored; else nothing is written
            when one has changed.
        patience: Seconds to wait for replication.
        clock: The one clock.
        progress: Told what happens.

    Raises:
        UsageError: The plan is for another tenant, or has steps for which a person has to sign in.
        LiveChanged: Something changed since the plan, and `go_on` was not asked for.
        RestoreUnfinished: Another restore to the tenant has not come to its end.
        RestoreUnderWay: Somebody else restores to the tenant.
        ScopeBusy: Somebody else backs it up.
        GraphUnavailable, ConfigurationError, StoreError: It stopped; the same call goes on.
    """
    if target.writing.tenant.tenant_id != plan.tenant_id:
        raise UsageError(
            f"the plan {plan.id} is for tenant {plan.tenant_id}, not for {target.writing.tenant.tenant_id}",
            remedy="Plan again for this tenant.",
        )
    await signed_in(plan, target.person)
    started = iso(clock())
    reporter: RestoreProgress = progress or NullRestoreProgress()
    with _alone(store, plan, clock):
        await asyncio.to_thread(require_finished, store, plan.tenant_id, besides=plan.id)
        journal = await asyncio.to_thread(Journal, store.files, plan.id, clock)
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(journal)
            undo, changed = await _before(plan, store, target, journal, go_on, clock, reporter)
            await asyncio.to_thread(passwords.prepare, journal.made)
            stats = RequestStats()
            target.writing.pacer.share(target.reading.pacer)
            writer = await stack.enter_async_context(GraphWriter(target.writing, stats=stats))
            person = await stack.enter_async_context(person_writer(target.person, target.reading, stats))
            session = RestoreSession(
                graph=target.writing,
                writer=writer,
                person=person,
                user=target.person,
                stats=stats,
                journal=journal,
                options=plan.options,
                passwords=passwords,
                identity=dict(plan.identity),
                app_ids=await asyncio.to_thread(app_ids, plan, store),
                owners=await asyncio.to_thread(owners, plan, store),
                settled={},
                there_before=there_before(target.store, undo),
                reappearing=Reappearing(plan, target.writing, stats, patience),
                granted=await target.writing.sign_in(),
                patience=patience,
            )
            applying = _Applying(plan, session, reporter, changed)
            try:
                for number, stage in enumerate(plan.stages):
                    reporter.phase(stage)
                    await applying.stage(stage)
                    await journal.flush()
                    made = applying.made_in(stage)
                    await asyncio.to_thread(id_map.remember, store, f"{plan.id}-{number:02d}", plan.tenant_id, made)
            finally:
                applying.close()
            await take_away(
                plan,
                session,
                store=store,
                scope=target.scope,
                live_store=target.store,
                reading=target.reading,
                clock=clock,
                progress=reporter,
            )
            await journal.flush()
            writers = [writer, *([person] if person else [])]
            outcomes = by_plan(plan, journal.done.values())
            report = RestoreReport(
                job=plan.id,
                scope=plan.scope,
                point=plan.point,
                tenant=plan.tenant,
                status=status_of(outcomes, plan.refusals),
                started=started,
                finished=iso(clock()),
                undo_point=journal.undo_point,
                outcomes=outcomes,
                refusals=plan.refusals,
                writes=sum(one.sent for one in writers),
                reads=max(0, stats.requests - sum(one.requests for one in writers)),
                retries=stats.retries,
                throttled=stats.throttled,
                signed_in=target.person.user if target.person else "",
                passwords=len(passwords.of_made(journal.made)),
            )
            await asyncio.to_thread(write_report, store, report)
            return report


@contextmanager
def _alone(store: ScopeStore, plan: RestorePlan, clock: Clock) -> Iterator[None]:
    """Keeps others from restoring to the tenant meanwhile; raises RestoreUnderWay while somebody does."""
    with ExitStack() as stack:
        try:
            stack.enter_context(
                store.files.lock(f"_locks/restore-{plan.tenant_id}", f"restoring to tenant {plan.tenant}", clock)
            )
        except ScopeBusy as busy:
            raise RestoreUnderWay(busy.message, remedy=busy.remedy) from None
        yield


@dataclass
class _Applying:
    """The steps of a plan under way."""

    plan: RestorePlan
    session: RestoreSession
    progress: RestoreProgress
    changed: Collection[int]
    locks: dict[str, asyncio.Lock] = field(default_factory=dict)
    coming: dict[str, asyncio.Future[bool]] = field(default_factory=dict)
    freed: dict[int, asyncio.Future[bool]] = field(default_factory=dict)
    writing: WritingSteps = field(default_factory=WritingSteps)

    def __post_init__(self) -> None:
        journal, session = self.session.journal, self.session
        self.names = PassingNames(self.plan)
        self.again = self.names.to_repeat(journal.done)
        loop = asyncio.get_running_loop()
        for step in self.plan.steps:
            if step.number in journal.made:
                session.learn(journal.made[step.number])
            if _makes(step) and step.id not in self.coming:
                self.coming[step.id] = loop.create_future()
            for number in step.waits:
                self.freed.setdefault(number, loop.create_future())

    async def stage(self, name: str) -> None:
        """Carries out the steps of a stage.

        What is made waits for what has to be in place without being named: the resources of a package's catalog, which
        the package names by other ids.
        """
        making: dict[str, set[asyncio.Task[None]]] = {}
        slots = asyncio.Semaphore(_STEPS_AT_ONCE)

        async def run(step: RestoreStep) -> None:
            try:
                await self.writing.carry_out(step.number, self._step(step))
            finally:
                slots.release()

        try:
            async with asyncio.TaskGroup() as group:
                for step in self.plan.steps:
                    if step.stage != name:
                        continue
                    if step.action in _ORDERED:
                        first = taken_before(step.table) if step.action == "delete" else made_before(step.table)
                        if before := [making[one] for one in first if making.get(one)]:
                            await asyncio.wait(set().union(*before))
                    await slots.acquire()
                    task = group.create_task(run(step))
                    if step.action in _ORDERED:
                        held = making.setdefault(step.table, set())
                        held.add(task)
                        task.add_done_callback(held.discard)
        except ExceptionGroup as errors:
            raise ended_by(errors) from None

    def made_in(self, stage: str) -> dict[str, str]:
        """Maps ids at the recovery point to ids in the tenant, of objects that a stage created under a new id."""
        made = self.session.journal.made
        numbers = [step.number for step in self.plan.steps if step.stage == stage and step.number in made]
        pairs = ((old, new) for number in numbers for old, new in made[number].items())
        return {
            old.lower() if len(old) == GUID_LENGTH else old: new for old, new in pairs if old.lower() != new.lower()
        }

    def close(self) -> None:
        """Cancels pending futures so dependent steps do not hang."""
        for future in (*self.coming.values(), *self.freed.values()):
            future.cancel()
        self.session.reappearing.close()

    async def _step(self, step: RestoreStep) -> None:
        journal = self.session.journal
        outcome = journal.done.get(step.number)
        if outcome is None or outcome.result == "failed" or step.number in self.again:
            # What failed is tried again: the permission may be granted, the name be free by now.
            outcome = await self._outcome(step)
            journal.finish(outcome)
        back = outcome.result in _RESTORED
        if back:
            self.session.note(step, gives_up=step.number in self.freed)
        if _makes(step) and not back:
            await self._bring_back(step)
        if outcome.result != "restored":
            await self._give_back(step)
        futures = (self.coming.get(step.id) if _makes(step) else None, self.freed.get(step.number))
        for future in futures:
            if future is not None and not future.done():
                future.set_result(back)
        self.progress.step(outcome, len(journal.done), len(self.plan.steps))

    async def _outcome(self, step: RestoreStep) -> StepOutcome:
        if step.number in self.changed:
            return outcome_of(
                step,
                "refused",
                reason="it has changed in the tenant since the plan was made",
                remedy="Plan again to see what would be overwritten.",
            )
        if step.action == "delete" and self._is_vain(step):
            return self._not_sent(step, step.frees)
        if step.passing and (others := self.names.in_vain(step, self.changed)):
            return not_sent(step, others)
        for number in step.waits:
            await asyncio.shield(self.freed[number])
        if waits := self._unrestored(step):
            return outcome_of(
                step,
                "failed",
                reason=f"not sent: it is deleted only after {', '.join(sorted(waits))}, which was not restored",
                remedy="Fix what prevented that restore, or delete or rename this object to free its name; "
                "then plan again.",
            )
        if step.action == "delete" and (waits := self._still_there(step)):
            return outcome_of(
                step,
                "failed",
                reason=f"not sent: {', '.join(sorted(waits))}, which cannot be without it, could not be removed",
                remedy="Fix what prevented that removal, and start the restore again.",
            )
        missing = await self._missing(step)
        if missing and step.action in _LINKS:
            kept = [pair for pair in zip(step.targets, step.target_types, strict=True) if pair[0] not in missing]
            if kept and step.id not in missing:
                step = msgspec.structs.replace(
                    step, targets=tuple(one for one, _ in kept), target_types=tuple(kind for _, kind in kept)
                )
            else:
                return self._not_sent(step, missing)
        elif missing:
            return self._not_sent(step, missing)
        work = RunningStep(self.session, step)
        try:
            async with self._lock(work):
                self.writing.begin(step.number)
                await send_requests(work)
        except StepRefused as refused:
            return outcome_of(step, "failed", live_id=work.id, reason=refused.message, remedy=refused.remedy)
        problems = list(work.problems)
        if missing:
            problems.append(f"links to {', '.join(sorted(missing))} were not sent: those objects were not restored")
        result: Result = "restored with differences" if problems else "restored"
        return outcome_of(step, result, live_id=work.id, reason="; ".join(problems))

    @staticmethod
    def _not_sent(step: RestoreStep, missing: Iterable[str]) -> StepOutcome:
        return outcome_of(
            step,
            "failed",
            reason=f"not sent: it refers to {', '.join(sorted(missing))}, which was not restored",
            remedy="Fix what prevented that restore, and plan again.",
        )

    def _is_vain(self, step: RestoreStep) -> bool:
        """Tells whether nothing that needs the name of a deleted object will be written."""
        needing = [one for one in self.plan.steps if one.id in step.frees and step.number in one.waits]
        return bool(step.frees) and all(one.number in self.changed for one in needing)

    async def _bring_back(self, step: RestoreStep) -> None:
        """Takes out of the recycle bin what was deleted for the name of an object that did not come back."""
        done = self.session.journal.done
        for other in (self.plan.steps[number - 1] for number in step.waits):
            before = done.get(other.number)
            if other.action != "delete" or before is None or before.result not in _RESTORED:
                continue
            # With what was taken from it, so that it could be deleted.
            back = msgspec.structs.replace(
                other, action="undelete", id=other.live_id, frees=(), body=other.before, before={}
            )
            reason = f"{step.name or step.id}, which needs its name, was not restored"
            remedy = "Fix what prevented that restore, and plan again."
            try:
                await send_requests(RunningStep(self.session, back))
                reason = f"it was restored from the recycle bin again: {reason}"
            except StepRefused as refused:
                reason = f"it is in the recycle bin, though {reason}: {refused.message}"
                remedy = "Restore it from the recycle bin manually."
            self.session.journal.finish(outcome_of(other, "failed", reason=reason, remedy=remedy))

    async def _give_back(self, step: RestoreStep) -> None:
        """Gives an object that did not get its own name back what it had before its passing one."""
        journal, first = self.session.journal, self.names.first_of(step)
        given = journal.done.get(first.number) if first else None
        if first is None or given is None or given.result not in _RESTORED:
            return
        async with self._lock(RunningStep(self.session, first)):
            if (outcome := await give_back(self.session, first)) is not None:
                journal.finish(outcome)

    def _unrestored(self, step: RestoreStep) -> set[str]:
        """Returns the objects after which a step deletes, and that a step of an earlier stage has not restored."""
        if step.action != "delete" or not step.needs:
            return set()
        done = self.session.journal.done
        before = (one for one in self.plan.steps if one.number < step.number and one.stage != step.stage)
        taking = (one for one in before if one.id in step.needs and one.action in {*_MAKING, "update"})
        return {one.id for one in taking if one.number not in done or done[one.number].result not in _RESTORED}

    def _still_there(self, step: RestoreStep) -> set[str]:
        """Returns the objects that should have been removed before a step removes another one, and were not."""
        done = self.session.journal.done
        before = (self.plan.steps[number - 1] for number in step.waits)
        return {one.id for one in before if one.action == "delete" and done[one.number].result not in _RESTORED}

    async def _missing(self, step: RestoreStep) -> set[str]:
        """Waits for the objects that a step needs, and returns the ids of those that did not come back."""
        needed = {step.parent, *step.needs, *step.targets}
        if not _makes(step) and step.action != "delete":
            needed.add(step.id)
        missing: set[str] = set()
        for one in needed:
            future = self.coming.get(one)
            if future is not None and not await asyncio.shield(future):
                missing.add(one)
        return missing

    def _lock(self, work: RunningStep) -> asyncio.Lock:
        """Returns the lock of an object: Graph refuses concurrent writes to one (Directory_ConcurrencyViolation).

        What is made below an owner is a write to the owner, too, unless it only ties it to others.
        """
        step = work.step
        key = step.parent if step.parent and not work.rule.link else step.id
        return self.locks.setdefault(key, asyncio.Lock())


def _makes(step: RestoreStep) -> bool:
    """Tells whether a step brings its object into being; a view comes with the object that it shows."""
    return step.action in _MAKING and not CATALOGUE[step.table].shows


async def _before(
    plan: RestorePlan,
    store: ScopeStore,
    target: RestoreTarget,
    journal: Journal,
    go_on: bool,
    clock: Clock,
    progress: RestoreProgress,
) -> tuple[Manifest, Collection[int]]:
    """Takes the undo point and finds the steps whose objects changed since the plan."""
    if journal.undo_point:
        undo = await asyncio.to_thread(target.store.manifest, journal.undo_point)
    else:
        progress.phase("taking a recovery point to undo this")
        undo = await back_up_target(target, plan, TakenFor.UNDO, clock, progress)
    known = await asyncio.to_thread(id_map.lineage, store, plan.tenant_id)
    changed = await asyncio.to_thread(_changed, plan, target.store, undo, known, journal.made.keys())
    if changed and not go_on and not journal.undo_point:
        named = ", ".join(step.name or step.id for step in changed[:10])
        raise LiveChanged(
            f"{pluralize(len(changed), 'object')} changed in the tenant since the plan was made: {named}"
            f"{' …' if len(changed) > 10 else ''}; nothing was written",
            remedy="Plan again, or skip these objects.",
        )
    if not journal.undo_point:
        await journal.begin(undo.recovery_point, plan.tenant_id)
    return undo, {step.number for step in changed}


async def back_up_target(
    target: RestoreTarget, plan: RestorePlan, taken_for: TakenFor, clock: Clock, progress: BackupProgress | None
) -> Manifest:
    """Takes a recovery point of the types that a plan writes; raises what `backup` raises."""
    return await backup(
        with_bins(target.scope),
        target.store,
        target.reading,
        types=_concerned(plan),
        taken_for=taken_for,
        clock=clock,
        progress=progress,
    )


def _concerned(plan: RestorePlan) -> list[str]:
    """Lists the object types that a plan writes, in the order of the catalogue."""
    names = {RELATIONS[step.table][0].name if step.table in RELATIONS else step.table for step in plan.steps}
    bins = {entry.name for entry in CATALOGUE.values() if entry.shows in names and entry.name.startswith("deleted_")}
    return [name for name in CATALOGUE if name in names | bins]


def _changed(
    plan: RestorePlan, store: ScopeStore, live: Manifest, known: Mapping[str, str], made: Collection[int]
) -> list[RestoreStep]:
    """Finds steps whose object is not what the plan saw, or that another restore has created since.

    Args:
        plan: The plan.
        store: The store of the target's scope.
        live: A recovery point that shows the tenant.
        known: Id at the recovery point → id in the tenant, of what restores have made.
        made: Numbers of the steps that have made their object themselves.
    """
    by_table: dict[str, dict[str, list[RestoreStep]]] = {}
    for step in plan.steps:
        live_id = step.live_id if step.seen else ""
        if step.action == "create" and step.number not in made:
            id_ = step.id.lower() if len(step.id) == GUID_LENGTH else step.id
            live_id = known.get(id_, "") if plan.identity.get(id_) != known.get(id_) else ""
        if live_id:
            table = f"deleted_{step.table}" if step.action == "undelete" else step.table
            by_table.setdefault(table, {}).setdefault(live_id, []).append(step)
    changed: list[RestoreStep] = []
    with connect(store.files) as connection:
        for table, steps in by_table.items():
            entry = live.tables.get(table)
            found: dict[str, bytes] = {}
            if entry is not None:
                query = store.intact_state(entry, "id, _raw")
                rows = connection.execute(f"SELECT id, _raw FROM ({query}) WHERE id IN (SELECT unnest(?))", [[*steps]])
                found = dict(rows.fetchall())
            made_anew = [id_ for id_, some in steps.items() if id_ in found and not all(one.seen for one in some)]
            # What was there when the plan was made, under an id that it does not take for this object, is no news.
            then = _there_then(plan, store, connection, table, made_anew)
            for identifier, concerning in steps.items():
                raw = found.get(identifier)
                kind = CATALOGUE[concerning[0].table]
                seen = fingerprint(kind, msgspec.json.decode(raw)) if raw is not None else ""
                changed += [step for step in concerning if step.seen != seen and (step.seen or identifier not in then)]
    return sorted(changed, key=lambda step: step.number)


def _there_then(
    plan: RestorePlan, store: ScopeStore, connection: duckdb.DuckDBPyConnection, table: str, ids: list[str]
) -> set[str]:
    """Finds the objects that were in the tenant when the plan was made; none when that point is pruned."""
    then = store.manifest(plan.live_point).tables.get(table) if ids and plan.live_point in store.points() else None
    if then is None:
        return set()
    query = f"SELECT id FROM ({store.intact_state(then, 'id')}) WHERE id IN (SELECT unnest(?))"
    return {str(row[0]) for row in connection.execute(query, [ids]).fetchall()}


__all__ = ["LiveChanged", "NullRestoreProgress", "RestoreProgress", "RestoreTarget", "apply", "back_up_target"]
