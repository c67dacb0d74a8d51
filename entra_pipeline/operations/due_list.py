"""The due list: which scopes are to be backed up now, decided by one look at all of them.

A look takes the moments at which schedules were due since the last one, how runs have ended meanwhile, and which are
under way. It answers with the runs to ask for, the longest due first, and with what the next look has to know: only the
scopes that wait, and those that fail. So what is kept does not grow with the number of scopes.

- Moments are spread: a schedule of a tenant is due a while after its tick, always the same while for a tenant.
- Tenants are equal: few runs of each are asked for at a time, and a tenant with many scopes stands behind one with few.
- A scope whose runs fail is tried again with growing pauses, a few times between two ticks, and in the slow lane: the
  scopes that fail have few places together, however many they are.

What belongs here: what is due, and in which order. What does not: how runs are launched and queued (Dagster's daemon).
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from hashlib import sha256
from heapq import heapify, heappop, heappush
from itertools import takewhile
from typing import NamedTuple

import msgspec

from entra_pipeline.project import Scope
from entra_pipeline.project.schedules import shortest_pause
from entra_pipeline.ticks import ticks_after

PAUSES = (timedelta(minutes=5), timedelta(minutes=20), timedelta(minutes=80))
"""How long to wait before each try to make up for a run, from its end."""
OF_A_TENANT = 2
"""Runs of a tenant that are under way or asked for at a time."""
OF_THE_SLOW = 2
"""Runs of scopes that fail, of all tenants together, that are under way or asked for at a time."""

# How much longer another scope has to have waited to come before the first one of a tenant.
_BEHIND = timedelta(minutes=10)


class Why(Enum):
    """Why a scope is due."""

    NEW = "new"
    """Nothing is known of it yet."""
    SCHEDULE = "schedule"
    REPAIR = "repair"
    """A run failed for a passing reason, or left gaps."""
    UNUSUAL = "unusual"
    """The last recovery point shows an unusual change."""


class Waiting(msgspec.Struct, frozen=True, omit_defaults=True):
    """A scope that waits for its run.

    Attributes:
        since: From when on it is due (UTC); of a repair, that may be later than now.
        why: Why it is.
        types: The object types to read; all when empty.
        logs: Only its logs are to be read.
        of: The run that is repaired; empty where none is.
    """

    since: datetime
    why: Why
    types: tuple[str, ...] = ()
    logs: bool = False
    of: str = ""


class Failing(msgspec.Struct, frozen=True):
    """A scope whose last run has failed, or left gaps.

    Attributes:
        run: That run.
        tries: Runs that ended so, one after the other.
    """

    run: str
    tries: int


class DueState(msgspec.Struct, omit_defaults=True):
    """What one look leaves to the next.

    Attributes:
        until: Moments up to this one have been looked at (UTC).
        waiting: Scopes that wait for their run, by name.
        failing: Scopes whose last run failed, by name.
    """

    until: datetime
    waiting: dict[str, Waiting] = {}
    failing: dict[str, Failing] = {}


class EndedRun(NamedTuple):
    """A run that has ended, and what it leaves to do.

    Attributes:
        id: Its id.
        scope: The scope.
        ended: When it ended (UTC).
        again: Why another run is to come; None where nothing is left, or trying cannot help.
        types: The object types that it could not read, where these alone are to be read again.
        logs: Only the logs are left to read.
    """

    id: str
    scope: str
    ended: datetime
    again: Why | None = None
    types: tuple[str, ...] = ()
    logs: bool = False


class DueRun(NamedTuple):
    """A run that is to be asked for.

    Attributes:
        scope: The scope.
        due: What it is for.
        slow: It has a place in the slow lane.
    """

    scope: Scope
    due: Waiting
    slow: bool

    @property
    def key(self) -> str:
        """The same for the same moment, however often it is looked at."""
        return f"{self.scope.name} {self.due.why.value} {self.due.since:%Y-%m-%dT%H:%M:%SZ}"


class Look(NamedTuple):
    """What a look has found.

    Attributes:
        state: For the next look.
        runs: The runs to ask for, the longest due first.
        overdue: Scopes that are due and have to wait for others.
    """

    state: DueState
    runs: list[DueRun]
    overdue: int


@dataclass(frozen=True, slots=True)
class DueList:
    """Decides which scopes are due.

    Attributes:
        scopes: All scopes, by name; those without a schedule are never due.
        spread: How long after their ticks schedules are due at most; never more than half of their shortest pause.
        most: Runs that are under way or asked for at a time.
    """

    scopes: Mapping[str, Scope]
    spread: timedelta
    most: int

    def look(
        self,
        state: DueState | None,
        now: datetime,
        *,
        known: AbstractSet[str],
        under_way: Collection[str],
        ended: Iterable[EndedRun] = (),
    ) -> Look:
        """Looks at all scopes.

        Args:
            state: What the last look left; None at the first.
            now: The present moment (UTC).
            known: Scopes that somebody has been told of; a scheduled one that is not among them is due at once.
            under_way: The scope of each run that is under way or queued.
            ended: Runs that have ended since the last look, the first one first; some may have been told before.
        """
        before = state or DueState(now)
        waiting = {name: one for name, one in before.waiting.items() if name in self.scopes}
        failing = {name: one for name, one in before.failing.items() if name in self.scopes}
        for run in ended:
            if run.scope in self.scopes:
                _settle(run, waiting, failing)
        for name, due in self.due(before.until, now):
            if name not in waiting or waiting[name].since > due:
                waiting[name] = Waiting(due, Why.SCHEDULE)
        for name, scope in self.scopes.items():
            if scope.schedule is not None and name not in known:
                waiting.setdefault(name, Waiting(now.replace(microsecond=0), Why.NEW))
        ready = {name: one for name, one in waiting.items() if one.since <= now}
        runs = self._chosen(ready, failing, Counter(under_way))
        for run_ in runs:
            del waiting[run_.scope.name]
        return Look(DueState(now, waiting, failing), runs, len(ready) - len(runs))

    def due(self, after: datetime, until: datetime) -> Iterable[tuple[str, datetime]]:
        """Yields the scopes that were due later than a moment and not later than another, with the last such moment."""
        groups: dict[tuple[str, str], list[Scope]] = defaultdict(list)
        for scope in self.scopes.values():
            if scope.schedule is not None:
                groups[scope.schedule, scope.timezone].append(scope)
        for (schedule, zone), scopes in groups.items():
            width = min(self.spread, shortest_pause(schedule, zone) / 2)
            ticks = [
                tick.astimezone(after.tzinfo)
                for tick in takewhile(lambda tick: tick <= until, ticks_after(schedule, zone, after - width))
            ]
            for scope in scopes:
                wait = offset(scope.tenant, width)
                if (number := bisect_right(ticks, until - wait)) and (due := ticks[number - 1] + wait) > after:
                    yield scope.name, due

    def _chosen(
        self, ready: Mapping[str, Waiting], failing: Mapping[str, Failing], under_way: Counter[str]
    ) -> list[DueRun]:
        """Chooses the runs to ask for: by how long they are due, tenants in turns, with places for all who fail."""
        busy = Counter(dict.fromkeys({self.scopes[name].tenant for name in ready}, 0))
        for name, number in under_way.items():
            if name in self.scopes:
                busy[self.scopes[name].tenant] += number
        room = self.most - under_way.total()
        slow = OF_THE_SLOW - sum(number for name, number in under_way.items() if name in failing)
        queues: dict[str, list[tuple[datetime, str]]] = defaultdict(list)
        for name, one in ready.items():
            if name not in under_way:
                queues[self.scopes[name].tenant].append((one.since, name))
        for queue in queues.values():
            heapify(queue)
        turns = [(queue[0][0] + busy[tenant] * _BEHIND, tenant) for tenant, queue in queues.items()]
        heapify(turns)
        chosen: list[DueRun] = []
        while turns and room > 0:
            _, tenant = heappop(turns)
            if busy[tenant] >= OF_A_TENANT:
                continue
            _, name = heappop(queues[tenant])
            if name not in failing or slow > 0:
                chosen.append(DueRun(self.scopes[name], ready[name], name in failing))
                busy[tenant] += 1
                room -= 1
                slow -= name in failing
            if queues[tenant]:
                heappush(turns, (queues[tenant][0][0] + busy[tenant] * _BEHIND, tenant))
        return chosen


def offset(tenant: str, width: timedelta) -> timedelta:
    """Returns how long after its ticks the schedules of a tenant are due: less than `width`, in full seconds."""
    share = int.from_bytes(sha256(tenant.encode()).digest()[:8]) / 2**64
    return timedelta(seconds=int(share * width.total_seconds()))


def _settle(run: EndedRun, waiting: dict[str, Waiting], failing: dict[str, Failing]) -> None:
    """Takes in how a run has ended."""
    if run.again is None:
        failing.pop(run.scope, None)
        # Somebody else has made up for what was to be repaired, or has stopped it.
        if run.scope in waiting and waiting[run.scope].why is Why.REPAIR:
            del waiting[run.scope]
        return
    if run.again is Why.UNUSUAL:
        failing.pop(run.scope, None)
        waiting.setdefault(run.scope, Waiting(run.ended, Why.UNUSUAL, of=run.id))
        return
    tried = failing.get(run.scope)
    if tried is not None and tried.run == run.id:
        return
    tries = tried.tries + 1 if tried else 1
    failing[run.scope] = Failing(run.id, tries)
    if tries <= len(PAUSES):
        since = run.ended + PAUSES[tries - 1]
        waiting.setdefault(run.scope, Waiting(since, Why.REPAIR, run.types, run.logs, run.id))
