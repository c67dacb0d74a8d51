"""Retention: which recovery points and days of logs are past their time, and what of the store goes with them.

What belongs here: the decision, and the order in which things go: the prune record, then the manifests, then the files
that no remaining manifest names. Killed anywhere, what is left is a point too many or files that nobody names, and the
next time takes them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import NamedTuple

from entra_pipeline.clock import iso
from entra_pipeline.errors import ScopeBusy
from entra_pipeline.settings.periods import Period
from entra_pipeline.store.backends import LockHandle
from entra_pipeline.store.logs import DayOfLog
from entra_pipeline.store.manifest import sha256
from entra_pipeline.store.parallel import in_turns
from entra_pipeline.store.points.keys import moment_of
from entra_pipeline.store.recovery_points import ScopeStore
from entra_pipeline.store.retention.holds import RetentionHold, holds_settled, retention_holds
from entra_pipeline.store.retention.prune_log import ForgottenPoint, PruneRecords
from entra_pipeline.store.retention.sweep import SweepResult, sweep
from entra_pipeline.store.running_jobs import recorded

GRACE = timedelta(hours=48)
"""Longer than any run: one that Dagster repeats goes on for a day with what the first try has written."""


class RetentionVerdict(NamedTuple):
    """What becomes of a recovery point.

    Attributes:
        recovery_point: Its key.
        expires: When its time is over, RFC 3339; empty when never.
        kept: Why it stays; empty when it is forgotten.
    """

    recovery_point: str
    expires: str
    kept: str


class DayVerdict(NamedTuple):
    """What becomes of a day of a log.

    Attributes:
        of: The day.
        kept: Why it stays; empty when it is forgotten.
    """

    of: DayOfLog
    kept: str


IN_TIME = "in its time"
NEWEST = "the newest point"
LAST_GOOD = "the last good point"


@dataclass(frozen=True, slots=True)
class PruneResult:
    """What was done for a scope; or, dry, would be.

    Attributes:
        scope: The scope.
        retention: How long its points are kept.
        verdicts: All of its points, oldest first.
        days: All days of its logs.
        deleted: ObjectStore that nobody names any more, and what runs left that never ended.
    """

    scope: str
    retention: str
    verdicts: tuple[RetentionVerdict, ...]
    days: tuple[DayVerdict, ...]
    deleted: SweepResult

    @property
    def forgotten(self) -> list[str]:
        """The points that went."""
        return [one.recovery_point for one in self.verdicts if not one.kept]

    @property
    def kept_beyond_their_time(self) -> list[RetentionVerdict]:
        """The points that are past their time and stay."""
        return [one for one in self.verdicts if one.kept not in ("", IN_TIME)]

    @property
    def days_forgotten(self) -> list[DayOfLog]:
        """The days of logs that went."""
        return [one.of for one in self.days if not one.kept]

    @property
    def days_kept_beyond_their_time(self) -> Counter[str]:
        """The reasons for which days of logs stay that are past their time, and for how many each."""
        return Counter(one.kept for one in self.days if one.kept not in ("", IN_TIME))


def evaluate_points(
    points: Sequence[str], retention: Period, now: datetime, *, last_good: str, holds: Mapping[str, RetentionHold]
) -> list[RetentionVerdict]:
    """Decides which points of a scope stay, and why.

    Args:
        points: Their keys, oldest first.
        retention: How long a point is kept.
        now: The present.
        last_good: The newest point that finished without exception; empty when there is none.
        holds: What is held, as `retention_holds` gives it.
    """
    verdicts = []
    for point in points:
        end = retention.after(moment_of(point))
        held = holds.get(point) or holds.get("")
        reasons = (
            (end > now, IN_TIME),
            (held is not None, f"held: {held.reason}" if held else ""),
            (point == last_good, LAST_GOOD),
            # The next backup builds on it.
            (point == points[-1], NEWEST),
        )
        kept = next((reason for applies, reason in reasons if applies), "")
        verdicts.append(RetentionVerdict(point, "" if retention.forever else iso(end), kept))
    return verdicts


def evaluate_days(
    days: Sequence[DayOfLog],
    retention: Period,
    now: datetime,
    *,
    holds: Mapping[str, RetentionHold],
    points: Sequence[str],
) -> list[DayVerdict]:
    """Decides which days of a scope's logs stay, and why.

    A hold on a recovery point keeps what was logged from its day to that of the point after it: what is held is mostly
    the last point before something happened.

    Args:
        days: The days.
        retention: How long a day is kept after its end.
        now: The present.
        holds: What is held, as `retention_holds` gives it.
        points: All recovery points that there are or were, oldest first.
    """
    spans = []
    for point, held in holds.items():
        if point:
            after = next((one for one in points if one > point), None)
            spans.append((moment_of(point).date(), moment_of(after).date() if after else now.date(), held.reason))
        else:
            spans.append((date.min, date.max, held.reason))

    def kept(one: DayOfLog) -> str:
        if retention.after(one.end) > now:
            return IN_TIME
        return next((f"held: {reason}" for first, last, reason in spans if first <= one.day <= last), "")

    return [DayVerdict(one, kept(one)) for one in days]


def prune(
    store: ScopeStore, retention: Period, *, by: str, grace: timedelta = GRACE, dry_run: bool = False
) -> PruneResult:
    """Forgets points and days of logs of a scope that are past their time, and deletes the files that nobody names.

    Never forgets the newest point, the last good one, or one that is held; of a scope that is held nothing goes.

    Args:
        store: The scope's store.
        retention: How long a point is kept.
        by: Who or what asks for it; the prune record says it.
        grace: How old a file must be that nobody names, as it may belong to a run that is under way.
        dry_run: Say what would be done, and do nothing.

    Raises:
        ScopeBusy: A backup of the scope is running, or somebody sets a hold.
        IntegrityError: A manifest or a hold cannot be read; no file is deleted.
    """
    if dry_run:
        verdicts, days = _verdicts(store, retention), _day_verdicts(store, retention)
        return _pruned(store, retention, verdicts, days, _sweep(store, grace, verdicts, days, dry_run=True))
    with store.lock() as lock:
        with holds_settled(store) as settled:
            verdicts = _verdicts(store, retention)
            going = list(in_turns(lambda one: _last_words(store, one), [one for one in verdicts if not one.kept]))
            if going:
                lock.confirm()
                settled.confirm()
                records = PruneRecords(store.files, store.scope)
                records.append(going, pruned=iso(store.clock()), by=by, retention=str(retention))
                store.files.delete([store.manifest_key(one.recovery_point) for one in going])
            lock.confirm()
            days = _forget_days(store, retention, settled)
        lock.confirm()
        return _pruned(store, retention, verdicts, days, _sweep(store, grace, verdicts, days, dry_run=False))


def points_past(store: ScopeStore, retention: Period) -> list[str]:
    """Returns the recovery points that a retention would delete now, oldest first; deletes nothing.

    Raises:
        StoreError: The store cannot be read.
    """
    return [one.recovery_point for one in _verdicts(store, retention) if not one.kept]


def _verdicts(store: ScopeStore, retention: Period) -> list[RetentionVerdict]:
    points, now = store.points(), store.clock()
    past = any(retention.after(moment_of(point)) <= now for point in points)
    good = store.last_good(points) if past else None
    verdicts = evaluate_points(
        points, retention, now, last_good=good.recovery_point if good else "", holds=retention_holds(store)
    )
    return list(in_turns(lambda one: _unless_locked(store, one), verdicts)) if store.files.object_lock else verdicts


def _unless_locked(store: ScopeStore, verdict: RetentionVerdict) -> RetentionVerdict:
    """Leaves for later what Object Lock still keeps: a retention that was longer once."""
    until = None if verdict.kept else store.files.retained_until(store.manifest_key(verdict.recovery_point))
    return verdict._replace(kept=f"locked until {iso(until)}") if until and until > store.clock() else verdict


def _day_verdicts(store: ScopeStore, retention: Period) -> list[DayVerdict]:
    days, now = store.logs.all_days(), store.clock()
    if not any(retention.after(one.end) <= now for one in days):
        return [DayVerdict(one, IN_TIME) for one in days]
    points = sorted({*store.points(), *PruneRecords(store.files, store.scope).points()})
    verdicts = evaluate_days(days, retention, now, holds=retention_holds(store), points=points)
    return list(in_turns(lambda one: _day_unless_locked(store, one), verdicts)) if store.files.object_lock else verdicts


def _day_unless_locked(store: ScopeStore, verdict: DayVerdict) -> DayVerdict:
    until = None if verdict.kept else store.files.retained_until(store.logs.manifest_key(*verdict.of))
    return verdict._replace(kept=f"locked until {iso(until)}") if until and until > store.clock() else verdict


def _forget_days(store: ScopeStore, retention: Period, settled: LockHandle) -> list[DayVerdict]:
    """Forgets the days of logs that are past their time; while somebody reads logs, all of them stay."""
    verdicts = _day_verdicts(store, retention)
    if all(one.kept for one in verdicts):
        return verdicts
    logs = store.logs
    try:
        with logs.lock():
            settled.confirm()
            logs.forget([one.of for one in verdicts if not one.kept])
    except ScopeBusy as error:
        return [one if one.kept else one._replace(kept=f"next time: {error.message}") for one in verdicts]
    return verdicts


def _last_words(store: ScopeStore, verdict: RetentionVerdict) -> ForgottenPoint:
    """Makes the prune record's entry of a point that goes."""
    data = store.manifest_bytes(verdict.recovery_point)
    manifest = store.decoded(verdict.recovery_point, data)
    return ForgottenPoint(
        recovery_point=manifest.recovery_point,
        sha256=sha256(data),
        parent=manifest.parent,
        parent_sha256=manifest.parent_sha256,
        kind=manifest.kind,
        status=manifest.status,
        expired=verdict.expires,
    )


def _sweep(
    store: ScopeStore,
    grace: timedelta,
    verdicts: Sequence[RetentionVerdict],
    days: Sequence[DayVerdict],
    *,
    dry_run: bool,
) -> SweepResult:
    if "" in retention_holds(store):
        return SweepResult([], 0, [])
    return sweep(
        store,
        grace=grace,
        without={one.recovery_point for one in verdicts if not one.kept},
        without_days={one.of for one in days if not one.kept},
        dry_run=dry_run,
    )


def _pruned(
    store: ScopeStore,
    retention: Period,
    verdicts: Sequence[RetentionVerdict],
    days: Sequence[DayVerdict],
    deleted: SweepResult,
) -> PruneResult:
    return PruneResult(
        scope=store.scope, retention=str(retention), verdicts=tuple(verdicts), days=tuple(days), deleted=deleted
    )


def prune_job(store: ScopeStore, retention: Period, *, by: str, trigger: str, run_id: str = "") -> PruneResult:
    """Prunes a scope and keeps the record of the job; arguments and errors as for `prune`.

    Args:
        store: The scope's store.
        retention: How long a point is kept.
        by: Who or what asks for it.
        trigger: What started it: `command`, `schedule` …
        run_id: Id of the Dagster run that it is part of; empty outside of Dagster.
    """
    with recorded(store, "prune", trigger=trigger, run_id=run_id, clock=store.clock) as job:
        pruned = prune(store, retention, by=by)
        job.status = "finished"
        job.details = {
            "retention": pruned.retention,
            "forgotten": pruned.forgotten,
            "points": len(pruned.verdicts) - len(pruned.forgotten),
            "kept": {one.recovery_point: one.kept for one in pruned.kept_beyond_their_time},
            "log_days_forgotten": len(pruned.days_forgotten),
            "log_days_kept": dict(pruned.days_kept_beyond_their_time),
            "files_deleted": len(pruned.deleted.keys),
            "bytes_deleted": pruned.deleted.bytes,
            "files_locked": len(pruned.deleted.locked),
        }
    return pruned
