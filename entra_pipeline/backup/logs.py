"""Reading logs: which days are due, reading them in few requests, and laying them over what is stored.

What belongs here: what makes a day of a log complete, and what is told when it cannot be. What does not: how a day is
stored (`store.logs`).

Entries come late: some minutes as a rule, up to a day at times (Microsoft's figures for the latency of reports). So a
day is read from where the last read stopped, less `OVERLAP`; and once `LATENESS` has passed since its end, all of it is
read again. Only then it is complete. Graph does not count log entries: the proof of a read is that its pages were
followed to the last one, after the last entry could have come.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

import duckdb
import msgspec

from entra_pipeline.backup.log_lifetime import KEPT_WITH_LICENCE, KEPT_WITHOUT_LICENCE, LogLifetime, surely_kept
from entra_pipeline.backup.manifest_builder import permission_gap, tool
from entra_pipeline.backup.read.table_reader import licence_missing
from entra_pipeline.backup.rows.page_parser import stored
from entra_pipeline.backup.rows.parquet import write_entries
from entra_pipeline.backup.rows.staging import OBJECT_ROWS, UPSERT, Staged, Staging, read_staged
from entra_pipeline.catalogue import Lane
from entra_pipeline.catalogue.logs import LOGS, LogType
from entra_pipeline.clock import Clock, iso, parse_iso, system_clock
from entra_pipeline.errors import EntraPipelineError, GraphError, GraphProtocolError, RoundExpired, StoreError
from entra_pipeline.graph import Graph, GraphPage, RequestStats
from entra_pipeline.graph.client import query
from entra_pipeline.graph.factory import open_beta
from entra_pipeline.graph.pages import UNREADABLE, checked
from entra_pipeline.graph.retry import Attempts, FailureKind
from entra_pipeline.project import Scope
from entra_pipeline.store.backends.duckdb_names import literal
from entra_pipeline.store.logs import LogDay, LogPart, LogRead, LogStore
from entra_pipeline.store.manifest import Gap
from entra_pipeline.store.points.unreadable import UnreadableElement, keep_unreadable
from entra_pipeline.store.state import connect, sql_text
from entra_pipeline.surrogates import as_text

LATENESS = timedelta(hours=48)
"""After the end of a day no entry of it comes any more, once this has passed."""
OVERLAP = timedelta(hours=6)
"""How far behind the last read the next one of an open day starts."""
_DAY = timedelta(days=1)
# As many entries as a query over several days may bring before any of them is stored.
_ROWS_AT_ONCE = 20_000
_FEW_DAYS = 3
# Queries that a list is read with at the most, when Graph breaks it off again and again.
_MOST_PIECES = 64
_ALL = "the log"
_ENTRIES = "entries that cannot be read"
# How a service refuses what it does not have at all.
_NOT_OFFERED = {400, 404, 405, 501}


class LogReadProgress(Protocol):
    """What the reading of logs tells while it works."""

    def rows(self, log: str, rows: int) -> None:
        """`rows` entries of a log have been read so far."""

    def day(self, day: LogDay) -> None:
        """A day is stored as it is now."""


class NullLogReadProgress:
    """A `LogReadProgress` that tells nobody."""

    def rows(self, log: str, rows: int) -> None:
        """Nothing."""

    def day(self, day: LogDay) -> None:
        """Nothing."""


@dataclass(frozen=True, slots=True)
class Window:
    """A part of a day that is to be read, from `first` to before `end`."""

    day: date
    first: datetime
    end: datetime

    @property
    def whole(self) -> bool:
        """Whether it is all of the day."""
        return (self.first, self.end) == (start_of(self.day), start_of(self.day) + _DAY)


async def read_logs(
    scope: Scope,
    store: LogStore,
    graph: Graph,
    *,
    types: Sequence[str] | None = None,
    days: Iterable[date] | None = None,
    whole: bool = False,
    apps: Iterable[str] = (),
    clock: Clock = system_clock,
    progress: LogReadProgress | None = None,
) -> list[LogDay]:
    """Reads what is due of a scope's logs, and stores each day as soon as it is read.

    Args:
        scope: What to protect.
        store: Where it goes.
        graph: The tenant.
        types: Names of logs; all that the scope protects when None.
        days: Days in UTC; all that Entra still keeps, and those that it has dropped unread since, when None.
        whole: Read all of these days anew, whatever is stored of them.
        apps: AppIds of our app registrations besides the one that reads.
        clock: The one clock.
        progress: Told what happens.

    Returns:
        The days that were read, or that turned out to be lost, by log and day. A log that Graph refuses gives days
        with a gap, or with a note where the tenant lacks the licence.

    Raises:
        GraphUnavailable, GraphProtocolError, GraphError: A log could not be read; the others were.
        ConfigurationError: Entra refuses the credential.
        ScopeBusy: The logs of the scope are being read already.
        StoreError: The storage fails; or it holds logs of another tenant.
    """
    now = clock()
    names = [name for name in LOGS if name in (scope.log_types() if types is None else types)]
    asked = _setting(scope) or KEPT_WITH_LICENCE
    chosen = sorted(set(days)) if days is not None else None
    with store.lock(), tempfile.TemporaryDirectory(prefix="entra-logs-") as folder:
        await graph.sign_in()
        own = tuple(sorted({graph.credential.app_id, *apps} - {""}))
        plans = {name: plan(store, name, chosen, now, asked, whole=whole) for name in names}
        oldest = min((one.first for each in plans.values() for one in each.windows), default=now)
        sure = _setting(scope) or (await surely_kept(graph) if oldest < now - KEPT_WITHOUT_LICENCE else asked)
        async with open_beta(graph) if any(LOGS[name].beta for name in names) else nullcontext(graph) as beta:
            readers = [
                _LogReader(
                    LOGS[name],
                    store,
                    beta if LOGS[name].beta else graph,
                    LogLifetime(asked, sure),
                    plans[name],
                    Path(folder),
                    clock,
                    progress or NullLogReadProgress(),
                    own if LOGS[name].own_apps else (),
                )
                for name in names
            ]
            results = await asyncio.gather(*(reader.read() for reader in readers), return_exceptions=True)
    errors = [one for one in results if isinstance(one, BaseException)]
    if errors:
        raise next((one for one in errors if isinstance(one, EntraPipelineError)), errors[0])
    return [day for reader in readers for _, day in sorted(reader.done.items())]


# --- What is due -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LogPlan:
    """What there is to do for a log.

    Attributes:
        held: What is stored of the days in question.
        windows: What to read, oldest first.
        gone: Days that can no longer be read, and of which nobody was told yet.
        asked: The days were asked for by name.
        since: The first day that is stored at all; None when there is none.
    """

    held: Mapping[date, LogDay]
    windows: tuple[Window, ...]
    gone: tuple[date, ...]
    asked: bool
    since: date | None


def plan(
    store: LogStore, log: str, days: Sequence[date] | None, now: datetime, asked: timedelta, *, whole: bool
) -> LogPlan:
    """What is due of a log.

    Args:
        store: Where it is stored.
        log: Name of the log.
        days: Only these days, if any.
        now: The present.
        asked: How old days may be to be asked for.
        whole: All of the days, whatever is stored of them.
    """
    stored = store.days(log)
    horizon = now - asked
    if days is None:
        # Whoever reads now and then has closed all days but the last ones; after a pause there may be a hole.
        last = [stored[-1] - LATENESS - _DAY] if stored else []
        first = min([horizon.date(), *last])
        candidates = [first + number * _DAY for number in range((now.date() - first).days + 1)]
    else:
        candidates = [day for day in days if day <= now.date()]
    if not whole:
        # What retention would take again at once is not read.
        candidates = [day for day in candidates if store.retention.after(start_of(day) + _DAY) > now]
    held = store.held(log, candidates)
    windows, gone = [], []
    for day in candidates:
        found = held.get(day)
        if start_of(day) + _DAY <= horizon:
            if found is None or not (found.complete or found.gaps or _absent(found)):
                gone.append(day)
        elif window := due(day, found, now, whole=whole):
            windows.append(window)
    return LogPlan(held, tuple(windows), tuple(gone), days is not None, stored[0] if stored else None)


def due(day: date, held: LogDay | None, now: datetime, *, whole: bool = False) -> Window | None:
    """The part of a day that is to be read now; None when there is nothing to do.

    Args:
        day: A day that has begun.
        held: What is stored of it.
        now: The present.
        whole: Read all of it, whatever is stored.
    """
    start = start_of(day)
    end = start + _DAY
    if whole or held is None or not held.read_to or any(gap.what.startswith(_ENTRIES) for gap in held.gaps):
        return Window(day, start, end)
    if held.complete:
        return None
    if now >= end + LATENESS:
        return Window(day, start, end)
    first = max(start, parse_iso(held.read_to) - OVERLAP)
    return Window(day, first, end) if parse_iso(held.read_to) < end else None


def start_of(day: date) -> datetime:
    """The moment when a day begins in UTC."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _setting(scope: Scope) -> timedelta | None:
    kept = scope.entra_log_retention
    return timedelta(days=kept.count) if kept else None


# --- Reading ---------------------------------------------------------------------------------------------------------


@dataclass
class _LogReader:
    """Reads one log.

    Attributes:
        apps: AppIds whose entries are read; of all when there are none.
        done: The days that were read or found lost, as they are stored now.
    """

    entry: LogType
    store: LogStore
    graph: Graph
    kept: LogLifetime
    plan: LogPlan
    folder: Path
    clock: Clock
    progress: LogReadProgress
    apps: tuple[str, ...] = ()
    done: dict[date, LogDay] = field(default_factory=dict)
    rows: int = 0
    unreadable: list[UnreadableElement] = field(default_factory=list)

    async def read(self) -> None:
        """Reads what is due; a refusal is told by the days."""
        self._check_tenant()
        for day in self.plan.gone:
            await asyncio.to_thread(self._tell_lost, day)
        pending = list(self.plan.windows)
        try:
            while pending:
                chunk = _chunk(pending, self.rows, len(self.done) - len(self.plan.gone))
                pending = [window for window in pending if window not in chunk]
                await self._read(chunk)
        except GraphError as error:
            # What only beta has may be missing where v1.0 is whole: in another cloud, behind a gateway.
            if not (self.entry.beta or error.status in {400, 403} or isinstance(error, RoundExpired)):
                raise
            await asyncio.to_thread(self._tell_refused, [*chunk, *pending], error)

    async def _read(self, chunk: Sequence[Window]) -> None:
        """Reads windows that lie side by side, and stores their days; begins anew when Graph breaks the list off.

        With one query; with one for each half, quarter and so on of the time when that has been broken off again.
        """
        broken_off, rows = Attempts(self.graph.retry), self.rows
        while True:
            try:
                await self._read_in(chunk, min(_MOST_PIECES, 2 ** max(0, broken_off.count - 1)))
                return
            except RoundExpired as error:
                pause = broken_off.failed(FailureKind.BAD_RESPONSE, error.message)
                if pause is None:
                    raise
                self.rows = rows
                await asyncio.sleep(pause)

    async def _read_in(self, chunk: Sequence[Window], pieces: int) -> None:
        """Reads windows that lie side by side with so many queries, and stores their days."""
        stats = RequestStats()
        started = self.clock()
        self.unreadable.clear()
        first, end = chunk[0].first, chunk[-1].end
        step = (end - first) / pieces
        # Graph's times of logs go to the second and beyond; `iso` writes whole seconds.
        bounds = [first, *((first + number * step).replace(microsecond=0) for number in range(1, pieces)), end]
        with ExitStack() as stack:
            staged = {
                window.day: stack.enter_context(
                    Staging(self.folder / f"{self.entry.name}-{window.day}.arrow", OBJECT_ROWS)
                )
                for window in chunk
            }
            for since, until in pairwise(bounds):
                url = query(self.entry.path, filter=self._condition(since, until), top=self.entry.page_size)
                async for page in self.graph.pages(url, stats=stats, lane=Lane.REPORTS):
                    self._stage(page, staged)
        finished = self.clock()
        reads = [
            LogRead(
                first=iso(window.first),
                end=iso(min(window.end, started)),
                started=iso(started),
                finished=iso(finished),
                rows=staged[window.day].rows,
                added=0,
                changed=0,
                pages=stats.pages,
                requests=0 if number else stats.requests,
            )
            for number, window in enumerate(chunk)
        ]

        def settle() -> None:
            with connect(self.store.files, temp=self.folder) as connection:
                for window, read in zip(chunk, reads, strict=True):
                    self._settle(connection, window, staged[window.day].staged, read)

        await asyncio.to_thread(settle)
        if self.unreadable:
            key = f"{self.entry.name}~{iso(started)}"
            await asyncio.to_thread(keep_unreadable, self.store.files, self.store.scope, key, self.unreadable)

    def _condition(self, since: datetime, until: datetime) -> str:
        conditions = [f"{self.entry.time} ge {iso(since)} and {self.entry.time} lt {iso(until)}", self.entry.condition]
        if self.apps:
            apps = " or ".join(f"appId eq '{app}'" for app in self.apps)
            conditions.append(f"({apps})")
        return " and ".join(filter(None, conditions))

    def _stage(self, page: GraphPage, staged: Mapping[date, Staging]) -> None:
        decode = _decoder(self.entry.time)
        for raw in page.value:
            try:
                found = decode(raw)
                # Graph writes UTC; anything else is worth the slow way.
                moment: str = found.moment
                day = date.fromisoformat(moment[:10]) if moment.endswith("Z") else parse_iso(moment).date()
                body = stored(raw)
            except (*UNREADABLE, ValueError):
                self._set_aside(bytes(raw), "an entry that has no id, or no time")
                continue
            if day not in staged:
                raise GraphProtocolError(f"{self.entry.path} gave an entry that has no time in the requested window")
            staged[day].append(as_text(found.id), None, UPSERT, body)
        for one in page.unreadable:
            self._set_aside(one.raw, one.reason)
        self.rows += len(page.value)
        self.progress.rows(self.entry.name, self.rows)

    def _set_aside(self, raw: bytes, reason: str) -> None:
        self.unreadable.append(UnreadableElement.of(self.entry.name, "", reason, raw))

    # --- Storing -----------------------------------------------------------------------------------------------------

    def _settle(self, connection: duckdb.DuckDBPyConnection, window: Window, staged: Staged, read: LogRead) -> None:
        """Lays the entries of a window over what is stored of its day, and commits the day."""
        held = self._held(window.day)
        connection.register("staged", read_staged(staged))
        added, changed = self._find_news(connection, held, window)
        part, first, last, misfits = None, held.first, held.last, dict(held.misfits)
        if added or changed:
            path = self.folder / f"{self.entry.name}-{window.day}.parquet"
            for column, number in write_entries(connection, "news", self.entry, path).items():
                misfits[column] = misfits.get(column, 0) + number
            first, last = self._times(connection, path, held)
            part = self.store.write_part(self.entry.name, window.day, path, rows=added + changed)
            path.unlink()
        for segment in staged.segments:
            segment.unlink()
        end = start_of(window.day) + _DAY
        lost = self._lost(held)
        reads = (*held.reads, msgspec.structs.replace(read, added=added, changed=changed))
        fresh: list[LogPart] = [part] if part else []
        self._commit(
            msgspec.structs.replace(
                held,
                tool=tool(),
                rows=held.rows + added,
                first=first,
                last=last,
                complete=held.complete
                or (window.whole and not self.unreadable and parse_iso(read.started) >= end + LATENESS),
                read_to=max(held.read_to, read.end),
                parts=(*held.parts, *fresh),
                reads=reads,
                misfits=misfits,
                gaps=(*self._kept_gaps(held, window), *self._unread(), *(lost if self._begun(window.day) else ())),
                notes=_notes(held, () if self._begun(window.day) else lost),
            ),
            fresh,
        )

    def _unread(self) -> list[Gap]:
        """What of the read is no entry of any day that can be told."""
        if not self.unreadable:
            return []
        first = self.unreadable[0]
        reason = f"Graph answered what cannot be read: {first.reason}: {first.text[:80]}"
        remedy = "The day is read again as long as Entra keeps it."
        return [Gap(what=f"{_ENTRIES} ({len(self.unreadable)})", reason=reason, remedy=remedy)]

    @staticmethod
    def _kept_gaps(held: LogDay, window: Window) -> list[Gap]:
        return [gap for gap in held.gaps if gap.what != _ALL and not (window.whole and gap.what.startswith(_ENTRIES))]

    def _find_news(self, connection: duckdb.DuckDBPyConnection, held: LogDay, window: Window) -> tuple[int, int]:
        """Makes the table `news` of what is new or changed; how many of each."""
        known = "SELECT NULL::VARCHAR AS id, NULL::VARCHAR AS _raw WHERE false"
        if held.parts:
            # The time of an entry never changes, so that older ones need not be compared.
            where = f'"{self.entry.time}" >= \'{iso(window.first)}\'::TIMESTAMPTZ OR "{self.entry.time}" IS NULL'
            known = self.store.query([held], "id, _raw", where=where)
        connection.execute(
            f"""
            CREATE OR REPLACE TABLE news AS
            SELECT fresh.id, fresh.raw, known.id IS NOT NULL AS again
            FROM (SELECT id, max_by(raw, seq) AS raw FROM staged GROUP BY id) fresh LEFT JOIN ({known}) known USING (id)
            WHERE known.id IS NULL OR known._raw IS DISTINCT FROM fresh.raw
            """
        )
        found = connection.execute("SELECT count(*) FILTER (NOT again), count(*) FILTER (again) FROM news").fetchall()
        return int(found[0][0]), int(found[0][1])

    def _times(self, connection: duckdb.DuckDBPyConnection, path: Path, held: LogDay) -> tuple[str, str]:
        """Times of the day's first and last entry, those of a new file included."""
        bounds = f'min("{self.entry.time}"), max("{self.entry.time}")'
        times = [
            f"{moment:%Y-%m-%dT%H:%M:%SZ}"
            for moment in connection.execute(
                f"SELECT {bounds} FROM read_parquet({sql_text(literal(str(path)))})"
            ).fetchall()[0]
            if moment is not None
        ]
        known = [time for time in (held.first, held.last) if time]
        return min([*known, *times], default=""), max([*known, *times], default="")

    def _commit(self, day: LogDay, fresh: Sequence[LogPart] = ()) -> None:
        closed = self.clock() >= start_of(day.date) + _DAY + LATENESS
        self.done[day.date] = self.store.commit(day, fresh, closed=closed)
        self.progress.day(self.done[day.date])

    def _held(self, day: date) -> LogDay:
        """What is stored of a day; an empty one when there is nothing."""
        found = self.done.get(day) or self.plan.held.get(day)
        return found or LogDay(
            tool=tool(), scope=self.store.scope, tenant_id=self._tenant, log=self.entry.name, day=day.isoformat()
        )

    @property
    def _tenant(self) -> str:
        return self.graph.tenant.tenant_id or ""

    def _check_tenant(self) -> None:
        for day in self.plan.held.values():
            if day.tenant_id != self._tenant:
                raise StoreError(
                    f"scope {self.store.scope!r} holds logs of tenant {day.tenant_id}, this one is {self._tenant}",
                    remedy="Give every tenant a scope of its own.",
                )

    # --- What cannot be had ------------------------------------------------------------------------------------------

    def _begun(self, day: date) -> bool:
        """Whether the day was to be protected: it was asked for, or a day before it is stored."""
        return self.plan.asked or (self.plan.since is not None and self.plan.since < day)

    def _lost(self, held: LogDay) -> list[Gap]:
        """What of a day Entra may have dropped before it was read for the first time."""
        start = start_of(held.date)
        dropped = min(start + _DAY, (self.clock() - self.kept.sure).replace(microsecond=0))
        first = max(start, parse_iso(held.read_to)) if held.read_to else start
        if first >= dropped:
            return []
        return [
            Gap(
                what=f"entries from {iso(first)} to {iso(dropped)}",
                reason=f"Entra is only sure to keep logs for {self.kept.sure.days} days, and they were not read before",
                remedy="Read logs at least once a week (a tenant without a premium licence) or a month; set "
                "entra_log_retention when Entra keeps them longer.",
            )
        ]

    def _tell_lost(self, day: date) -> None:
        """Stores that a day can no longer be read."""
        held = self._held(day)
        lost = self._lost(held)
        if not lost and not held.complete:
            reason = f"the day was last read on {held.read_to}, and Entra no longer keeps it"
            lost = [Gap(what=f"entries that came late, after {held.reads[-1].started}", reason=reason)]
        self._commit(msgspec.structs.replace(held, tool=tool(), gaps=(*held.gaps, *lost)))

    def _tell_refused(self, windows: Sequence[Window], error: GraphError) -> None:
        """Stores that days could not be read; they stay due."""
        gap = permission_gap(_ALL, error, self.entry.permission)
        unlicensed = bool(self.entry.licence) and licence_missing(error)
        not_offered = self.entry.beta and error.status in _NOT_OFFERED
        why = "Graph's beta does not offer it here" if not_offered else f"it requires {self.entry.licence}"
        note = f"not in this tenant: {why} ({error.message})"
        for window in windows:
            held = self._held(window.day)
            # A tenant that never had the log misses nothing.
            absent = (unlicensed or not_offered) and not held.reads
            kept = tuple(one for one in held.gaps if one.what != _ALL)
            told = msgspec.structs.replace(
                held, gaps=kept if absent else (*kept, gap), notes=(note,) if absent else held.notes
            )
            if (told.gaps, told.notes) == (held.gaps, held.notes) and window.day in self.plan.held:
                self.done[window.day] = held
            else:
                self._commit(msgspec.structs.replace(told, tool=tool()))


def _absent(day: LogDay) -> bool:
    """Whether the tenant did not have the log on that day."""
    return bool(day.notes) and not day.reads


def _notes(held: LogDay, lost: Sequence[Gap]) -> tuple[str, ...]:
    """The notes of a day that was read: what it misses though nobody protected it then."""
    kept = () if _absent(held) else held.notes
    return (*kept, *(f"before the log was protected: {gap.what} may be missing ({gap.reason})" for gap in lost))


def _chunk(pending: Sequence[Window], rows: int, days: int) -> list[Window]:
    """The windows to read with the next query: a run of days without a hole.

    Few requests may be sent, and a day that is not stored yet is lost when the process dies: as many days as bring
    about `_ROWS_AT_ONCE` entries. How many a day brings is seen from the newest two, which are read first.

    Args:
        pending: What is left to read, oldest first.
        rows: Entries that were read so far.
        days: Days that they belong to.
    """
    if not days and len(pending) > _FEW_DAYS:
        last = list(pending[-2:])
        return last if last[0].end == last[1].first else last[1:]
    most = max(1, _ROWS_AT_ONCE * days // max(1, rows)) if days else _FEW_DAYS
    chunk = [pending[0]]
    for window in pending[1:most]:
        if window.first != chunk[-1].end:
            break
        chunk.append(window)
    return chunk


def _decoder(time: str) -> Callable[[msgspec.Raw], Any]:
    fields = [("id", str), ("moment", str)]
    return checked(msgspec.json.Decoder(msgspec.defstruct("Entry", fields, rename={"moment": time})).decode)


__all__ = [
    "KEPT_WITHOUT_LICENCE",
    "KEPT_WITH_LICENCE",
    "LATENESS",
    "OVERLAP",
    "LogReadProgress",
    "due",
    "plan",
    "read_logs",
]
