"""One list of jobs: what Dagster runs, and every job that a store has the record of, whatever started it.

1. Records and runs are read from the newest on, in batches, until a page is full. The list is complete down to the
   later of the two moments to which they have been read.
2. A record and the run that it names are one row. A run without a record is a row of its own: it is under way, it
   failed before it had anything to record, or it is a plan or maintenance, which leave none.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from threading import Lock
from time import monotonic
from typing import Any, NamedTuple

from entra_pipeline.clock import parse_iso
from entra_pipeline.console.dagster.client import SCOPE_TAGS, Dagster, DagsterUnavailable, Run
from entra_pipeline.console.monitor.jobs import MonitoredJob, dagsters_statuses
from entra_pipeline.console.monitor.runs import FEW
from entra_pipeline.errors import EntraPipelineError
from entra_pipeline.reports.jobs import job_row
from entra_pipeline.store.backends import StoredFile
from entra_pipeline.store.job_records import UNDONE, JobRecord
from entra_pipeline.store.parallel import in_parallel
from entra_pipeline.store.recovery_points import ScopeStore
from entra_pipeline.text import pluralize

OTHER = "Maintenance"
"""Every kind of job that is not named in the filter: reports, freshness checks, cleanups."""
KINDS = ("Backup", "Restore", "Restore plan", "Restore drill", "Retention", "Logs", OTHER)
"""What a job is, as the filter offers it."""
PERIODS = {"day": 1, "week": 7, "month": 30, "quarter": 91, "all": 0}
"""Names of periods, and how many days back each goes; 0 goes back to the first job."""

_OF_RECORDS = {
    "backup": "Backup",
    "restore": "Restore",
    "drill": "Restore drill",
    "prune": "Retention",
    "logs": "Logs",
}
_BATCH = 100
# Batches of records and of runs that are looked through for one page.
_BATCHES = 30
_REMEMBERED = 20_000
# Seconds for which pages believe which records a scope has: of a hundred scopes, looking takes half a second.
_MOMENT = 2.0
# Seconds that the clocks of a storage and of Dagster may be apart.
_SKEW = 120.0


class JobFilter(NamedTuple):
    """Which jobs are listed; what is empty chooses all.

    Attributes:
        kind: One of `KINDS`.
        status: One of `monitor.jobs.STATUSES`.
        scope: Name of the scope.
        since: Jobs that began since; None = all.
    """

    kind: str = ""
    status: str = ""
    scope: str = ""
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class JobRow:
    """A job in the list.

    Attributes:
        moment: When it began, or was asked for; seconds since 1970.
        kind: What it is, as people call it.
        scope: Name of the scope; empty for what concerns none, or several.
        status: One of `monitor.jobs.STATUSES`.
        seconds: How long it took; None until it has ended.
        by: Who or what started it.
        told: What came of it, or why it failed, in a line.
        run: Its run; None where there was none, or Dagster does not have it any more.
        record: Its record; None where there is none.
    """

    moment: float
    kind: str
    scope: str
    status: str
    seconds: float | None
    by: str
    told: str
    run: Run | None
    record: JobRecord | None

    @property
    def id(self) -> str:
        """The id of the record, or of the run."""
        return self.record.id if self.record else self.run.id if self.run else ""

    @property
    def is_run(self) -> bool:
        """Whether its page is that of its run, with the log; otherwise it is that of its record."""
        return self.run is not None and (self.record is None or _is_own(self.run, self.record))


class JobPage(NamedTuple):
    """A page of the list.

    Attributes:
        rows: The jobs, newest first.
        after: Where the next page begins; empty at the end.
        problems: What could not be asked, with the remedy.
    """

    rows: list[JobRow]
    after: str
    problems: list[tuple[str, str]]


def row_of(job: MonitoredJob) -> JobRow:
    """Makes the row of a run and the record that it left."""
    run = job.run
    seconds = run.finished - run.started if run.started and run.finished else None
    told = _what_came(job.record) if job.record else ""
    return JobRow(run.created, job.kind, run.scope, job.status, seconds, run.by, told, run, job.record)


def kind_of(record: JobRecord) -> str:
    """Says what a recorded job is, as people call it."""
    return _OF_RECORDS.get(record.type, record.type.capitalize())


class JobList:
    """Lists jobs; records that were read once are remembered, as they hardly ever change.

    Args:
        dagster: Where jobs run.
    """

    def __init__(self, dagster: Dagster) -> None:
        self._dagster = dagster
        self._lock = Lock()
        self._known: OrderedDict[tuple[str, str, datetime], JobRecord] = OrderedDict()
        self._files: dict[str, tuple[float, list[StoredFile]]] = {}

    def page(
        self,
        asked: JobFilter,
        scopes: Iterable[str],
        open_store: Callable[[str], ScopeStore],
        *,
        limit: int,
        after: str = "",
        only: bool = False,
    ) -> JobPage:
        """Returns a page of jobs.

        Args:
            asked: Which ones.
            scopes: Names of the scopes of the configuration.
            open_store: Opens the store of a scope.
            limit: Rows of a page.
            after: Where it begins: `after` of the page before.
            only: Whether jobs of other scopes, and those that concern none, are left out.
        """
        scopes = list(scopes)
        reading = _Reading(asked, _cursor(after), self._dagster, scopes if only else None)
        if asked.status not in ("running", "queued") and asked.kind not in ("Restore plan", OTHER):
            reading.list_records([name for name in scopes if asked.scope in ("", name)], open_store, self._listed)
        for _ in range(_BATCHES):
            if len(rows := reading.rows()) > limit or reading.horizon <= reading.first:
                break
            if reading.of_runs >= reading.of_records:
                reading.read_runs()
            else:
                reading.records += in_parallel(lambda one: self._record(*one), reading.next_files())
        rows = reading.rows()
        shown = rows[:limit]
        if len(rows) > limit:
            end = _text((shown[-1].moment, shown[-1].id))
        else:
            end = _text((reading.horizon, "")) if reading.horizon > reading.first else ""
        return JobPage(self._with_runs(shown), end, reading.problems)

    def records_since(self, store: ScopeStore, since: datetime) -> list[JobRecord]:
        """Returns the records of a scope's jobs that ended since a moment, in the order of their ids.

        Raises:
            StoreError: The storage cannot be read.
        """
        files = [file for file in self._listed(store) if file.modified >= since]
        found = in_parallel(lambda file: self._record(store, file), files)
        return [one for one in found if one is not None]

    def clear(self) -> None:
        """Forgets all records: the configuration has changed, and with it perhaps what a scope's name means."""
        with self._lock:
            self._known.clear()
            self._files.clear()

    def _listed(self, store: ScopeStore) -> list[StoredFile]:
        """The files of a scope's records, as they were a moment ago."""
        with self._lock:
            asked, files = self._files.get(store.scope, (0.0, []))
        if monotonic() - asked > _MOMENT:
            asked, files = monotonic(), store.jobs.files()
            with self._lock:
                self._files[store.scope] = (asked, files)
        return files

    def _record(self, store: ScopeStore, file: StoredFile) -> JobRecord | None:
        key = (store.scope, file.key, file.modified)
        with self._lock:
            if (known := self._known.get(key)) is not None:
                self._known.move_to_end(key)
                return known
        found = store.jobs.find(job_id_in(file.key))
        with self._lock:
            if found is not None:
                self._known[key] = found
            while len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        return found

    def _with_runs(self, rows: list[JobRow]) -> list[JobRow]:
        """Adds the runs of recorded jobs: they say who started them, and have logs."""
        wanted = [row.record.run_id for row in rows if row.record and row.record.run_id]
        if not wanted:
            return rows
        try:
            found = self._dagster.runs(limit=len(wanted), filters={"runIds": wanted})
        except DagsterUnavailable:
            return rows
        runs = {run.id: run for run in found}
        return [row_of_record(row.record, runs.get(row.record.run_id)) if row.record else row for row in rows]


@dataclass(slots=True)
class _Runs:
    """The runs with a tag of a scope, or all, as far as they have been read."""

    tag: str = ""
    scope: str = ""
    found: list[Run] = field(default_factory=list)
    more: bool = True

    @property
    def horizon(self) -> float:
        """The moment since which all have been read."""
        if not self.more:
            return 0.0
        return self.found[-1].created if self.found else float("inf")


class _Reading:
    """One look through runs and records, from the newest on."""

    def __init__(
        self, asked: JobFilter, before: tuple[float, str] | None, dagster: Dagster, only: Sequence[str] | None
    ) -> None:
        self._asked = asked
        self._only = only
        self._before = before
        self._dagster = dagster
        self.first = asked.since.timestamp() if asked.since else 0.0
        self.problems: list[tuple[str, str]] = []
        self.records: list[JobRecord | None] = []
        self._files: list[tuple[ScopeStore, StoredFile]] = []
        self._read = 0
        named = [asked.scope] if asked.scope else only if only is not None and len(only) <= FEW else None
        self._runs = [_Runs()] if named is None else [_Runs(tag, scope) for scope in named for tag in SCOPE_TAGS]

    def list_records(
        self,
        scopes: Sequence[str],
        open_store: Callable[[str], ScopeStore],
        listed: Callable[[ScopeStore], Sequence[StoredFile]],
    ) -> None:
        """Lists the records that may be on the page; reads none."""
        end = f"{datetime.fromtimestamp(self._before[0], UTC):%Y-%m-%dT%H-%M-%SZ}~" if self._before else "~"

        def look(scope: str) -> list[tuple[ScopeStore, StoredFile]] | EntraPipelineError:
            try:
                store = open_store(scope)
                # A record is written when its job has ended; its name starts with the moment at which it was named.
                return [
                    (store, file)
                    for file in listed(store)
                    if file.modified.timestamp() >= self.first - _SKEW and job_id_in(file.key) < end
                ]
            except EntraPipelineError as error:
                return error

        for scope, found in zip(scopes, in_parallel(look, scopes), strict=True):
            if isinstance(found, EntraPipelineError):
                self.problems.append((f"The jobs of scope {scope} cannot be read: {found.message}", found.remedy))
            else:
                self._files += found
        self._files.sort(key=lambda one: one[1].modified, reverse=True)

    @property
    def of_records(self) -> float:
        """The moment since which all records have been read."""
        if self._read >= len(self._files):
            return self.first
        return max(self._files[self._read][1].modified.timestamp() + _SKEW, self.first)

    @property
    def of_runs(self) -> float:
        """The moment since which all runs have been read."""
        return max(max((one.horizon for one in self._runs), default=0.0), self.first)

    @property
    def horizon(self) -> float:
        """The moment since which everything has been read."""
        return max(self.of_records, self.of_runs)

    def next_files(self) -> Sequence[tuple[ScopeStore, StoredFile]]:
        """Returns the next batch of records to read."""
        some = self._files[self._read : self._read + _BATCH]
        self._read += len(some)
        return some

    def read_runs(self) -> None:
        """Reads the next batch of runs, of those that have been read least far."""
        asked, some = self._asked, max(self._runs, key=lambda one: one.horizon)
        filters: dict[str, Any] = {}
        if asked.since:
            filters["createdAfter"] = self.first
        if self._before:
            filters["createdBefore"] = self._before[0] + 1
        if statuses := dagsters_statuses(asked.status):
            filters["statuses"] = statuses
        if some.tag:
            filters["tags"] = [{"key": some.tag, "value": some.scope}]
        if asked.kind in ("Restore", "Restore plan"):
            filters["pipelineName"] = "restore"
        try:
            after = some.found[-1].id if some.found else ""
            found = self._dagster.runs(limit=_BATCH + 1, after=after, filters=filters)
        except DagsterUnavailable as error:
            self.problems.append((error.message, error.remedy))
            for one in self._runs:
                one.more = False
            return
        some.more = len(found) > _BATCH
        some.found += found[:_BATCH]

    def rows(self) -> list[JobRow]:
        """Returns what is complete and was asked for, newest first."""
        records = [one for one in self.records if one is not None]
        recorded = {one.run_id for one in records if one.run_id}
        runs = {run.id: run for one in self._runs for run in one.found}
        rows = [row_of_record(one, runs.get(one.run_id)) for one in records]
        rows += [row_of(MonitoredJob(run)) for run in runs.values() if run.id not in recorded]
        wanted = [row for row in rows if self._wants(row)]
        return sorted(wanted, key=lambda row: (row.moment, row.id), reverse=True)

    def _wants(self, row: JobRow) -> bool:
        if not max(self.horizon, self.first) <= row.moment:
            return False
        if self._before is not None and not (row.moment, row.id) < self._before:
            return False
        if self._only is not None and row.scope not in self._only:
            return False
        kind = row.kind if row.kind in KINDS else OTHER
        return all(
            asked in ("", found)
            for asked, found in (
                (self._asked.kind, kind),
                (self._asked.status, row.status),
                (self._asked.scope, row.scope),
            )
        )


def job_id_in(key: str) -> str:
    """Returns the id of the job whose record has a key."""
    return key.rpartition("/")[2].removesuffix(".json")


def row_of_record(record: JobRecord, run: Run | None = None) -> JobRow:
    """Makes the row of a recorded job; its run, where Dagster has it, says who started it."""
    began = parse_iso(record.started)
    status = MonitoredJob(run, record).status if run is not None and _is_own(run, record) else record.status
    return JobRow(
        moment=began.timestamp(),
        kind=kind_of(record),
        scope=record.scope,
        status=status,
        seconds=(parse_iso(record.finished) - began) / timedelta(seconds=1),
        by=run.by if run else _by(record.trigger),
        told=_what_came(record),
        run=run,
        record=record,
    )


def _by(trigger: str) -> str:
    """What started a job whose run is not known any more, as `Run.by` calls it."""
    words = {"dagster": "Dagster", "schedule": "schedule"}
    return next((word for start, word in words.items() if trigger.startswith(start)), trigger)


def _is_own(run: Run, record: JobRecord) -> bool:
    """Tells whether a record is what its run was for; a run of retention leaves one of every scope."""
    return run.scope == record.scope and MonitoredJob(run).kind == kind_of(record)


def _what_came(record: JobRecord) -> str:
    """What came of a job, in a line."""
    if record.error:
        return record.error[:1].upper() + record.error[1:]
    row, details = job_row(record), record.details
    parts = []
    if record.type == "backup" and record.status not in UNDONE:
        parts = [f"{row['baseline']:,} read for the first time"] if row["baseline"] else []
        parts += [f"{row[name]:,} {name}" for name in ("added", "changed", "deleted") if row[name]]
        parts = parts or ["no changes"]
    elif record.type == "restore" and row["steps"] is not None:
        parts = [pluralize(row["steps"], "step")]
    elif record.type == "prune":
        parts = [f"{pluralize(len(details.get('forgotten', [])), 'recovery point')} deleted"]
    elif record.type == "drill" and row["steps"] is not None:
        parts = [pluralize(row["steps"], "step")]
    if row["exceptions"]:
        parts.append(pluralize(row["exceptions"], "exception"))
    return ", ".join(parts)


def _text(cursor: tuple[float, str]) -> str:
    # With all its digits: rounded up, the page after it begins with the row that it names.
    return f"{cursor[0]!r}~{cursor[1]}"


def _cursor(text: str) -> tuple[float, str] | None:
    moment, _, identifier = text.partition("~")
    try:
        return (min(max(float(moment), 0.0), 4e9), identifier) if text and moment.replace(".", "").isdecimal() else None
    except ValueError:
        return None
