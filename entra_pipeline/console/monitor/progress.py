"""How far a running job is, as the lines of its log say (`orchestration.progress`)."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from threading import Lock
from time import monotonic

from entra_pipeline.clock import Clock
from entra_pipeline.console.dagster.client import Dagster, DagsterUnavailable, Line, Run
from entra_pipeline.store.parallel import in_parallel

_BACKUP = re.compile(r"([\d,]+) of ([\d,]+) tables? read, ([\d,]+ rows?), ([\d,]+ requests?)")
_RESTORE = re.compile(r"stage .*; ([\d,]+) of all ([\d,]+) steps")
_DRILL = re.compile(r"restored: ([\d,]+) of ([\d,]+) steps?")
# What is known of less than this share says little about the rest; nor does what came in less than so many seconds.
_TOO_LITTLE, _TOO_SHORT = 0.05, 5.0
# Seconds for which pages believe how far a run was; runs that are remembered, and asked about for one page.
_MOMENT = 2.0
_REMEMBERED, _AT_ONCE = 100, 20


@dataclass(frozen=True, slots=True)
class JobProgress:
    """How far a job is.

    Attributes:
        done, total: Of its tables or steps.
        unit: What they are.
        told: What else has been counted.
        left: Seconds that the rest takes at the pace so far; None when nothing can be said.
    """

    done: int
    total: int
    unit: str
    told: tuple[str, ...]
    left: float | None


class RunningProgress:
    """How far the runs are that lists show: what one page has found, others show for a moment.

    Args:
        dagster: Where jobs run.
        clock: Tells the present moment.
    """

    def __init__(self, dagster: Dagster, clock: Clock) -> None:
        self._dagster = dagster
        self._clock = clock
        self._lock = Lock()
        self._known: OrderedDict[str, tuple[float, JobProgress | None]] = OrderedDict()

    def of(self, runs: Iterable[Run | None]) -> dict[str, JobProgress]:
        """Returns how far runs are, by their ids; of runs that are not running, or whose logs do not say, nothing.

        Args:
            runs: The runs of a page; None for a job without one.
        """
        running = {run.id: run for run in runs if run and run.under_way and run.started is not None}
        wanted: list[Run] = []
        with self._lock:
            for run in running.values():
                asked, found = self._known.get(run.id, (float("-inf"), None))
                if monotonic() - asked > _MOMENT and len(wanted) < _AT_ONCE:
                    # Whoever asks meanwhile is told what was known before.
                    self._known[run.id] = (monotonic(), found)
                    self._known.move_to_end(run.id)
                    wanted.append(run)
            while len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        told = dict(zip((run.id for run in wanted), in_parallel(self._look, wanted) if wanted else (), strict=True))
        with self._lock:
            for one, found in told.items():
                self._known[one] = (monotonic(), found)
            known = {one: self._known[one][1] for one in running if one in self._known}
        return {one: found for one, found in known.items() if found is not None}

    def _look(self, run: Run) -> JobProgress | None:
        try:
            return progress_of(self._dagster.log(run), self._clock().timestamp())
        except DagsterUnavailable:
            # The page says so beside its jobs.
            return None


def progress_of(log: Sequence[Line], now: float) -> JobProgress | None:
    """Returns how far a job is; None when its log does not say.

    Args:
        log: Its lines, oldest first.
        now: Seconds since 1970.
    """
    found = [(line, match, unit) for line in log for match, unit in [_match(line.text)] if match is not None]
    if not found:
        return None
    line, match, unit = found[-1]
    done, total = _number(match[1]), _number(match[2])
    told = tuple(match.groups()[2:])
    # The pace is that since the work of this kind began: planning and signing in come before.
    same = [one for one in found if one[2] == unit and _number(one[1][2]) == total]
    (first, start, _), left = same[0], None
    began, before = (first.at, _number(start[1])) if len(same) > 1 else (log[0].at, 0)
    if done > before and done >= total * _TOO_LITTLE and line.at - began >= _TOO_SHORT:
        left = max((line.at - began) / (done - before) * (total - done) - (now - line.at), 0.0)
    return JobProgress(done, total, unit, told, left)


def _match(text: str) -> tuple[re.Match[str] | None, str]:
    for pattern, unit in ((_BACKUP, "tables"), (_RESTORE, "steps"), (_DRILL, "steps")):
        if match := pattern.fullmatch(text):
            return match, unit
    return None, ""


def _number(text: str) -> int:
    return int(text.replace(",", ""))
