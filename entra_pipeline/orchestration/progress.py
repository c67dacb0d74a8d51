"""Shows in the log of a Dagster run how far a backup, a read of logs, a drill or a restore is."""

from collections import Counter
from time import monotonic

import dagster as dg

from entra_pipeline.restore.objects.model import RestorePlan, StepOutcome
from entra_pipeline.store.logs import LogDay
from entra_pipeline.store.manifest import TableEntry
from entra_pipeline.text import pluralize

# Lines in the log: of a drill, one after so many steps; of a restore, one after so many seconds.
_STEPS_PER_LINE = 500
_SECONDS_PER_LINE = 10.0
# Seconds between two lines that say how far a backup is.
_SECONDS_BETWEEN = 5.0


class RunProgress:
    """Logs the progress of a backup: a line per changed table and per phase, and now and then how far it is.

    The console reads the latter (`console.monitor.progress`).

    Args:
        context: Of the run.
        tables: How many tables are read; 0 when nobody knows.
    """

    def __init__(
        self,
        context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext | dg.OpExecutionContext,
        tables: int = 0,
    ) -> None:
        self._log = context.log
        self._unchanged = 0
        self._tables = tables
        self._read = 0
        self._requests = 0
        self._rows: dict[str, int] = {}
        self._said = monotonic()

    def rows(self, table: str, rows: int) -> None:
        """Not told row by row, but counted."""
        self._rows[table] = rows
        self._how_far()

    def _how_far(self) -> None:
        if self._tables and monotonic() - self._said >= _SECONDS_BETWEEN:
            self._said = monotonic()
            self._log.info(
                f"{self._read:,} of {pluralize(self._tables, 'table')} read, "
                f"{pluralize(sum(self._rows.values()), 'row')}, {pluralize(self._requests, 'request')}"
            )

    def done(self, entry: TableEntry) -> None:
        """One line per table that has changed or lacks something; the others are counted."""
        self._read += 1
        self._requests += entry.requests
        self._rows.setdefault(entry.table, entry.live if entry.read == "full" else 0)
        self._how_far()
        if not (entry.added or entry.changed or entry.deleted or entry.gaps):
            self._unchanged += 1
            return
        # Of a table that is read for the first time, all rows would be told as added.
        changes = f" (+{entry.added} ~{entry.changed} -{entry.deleted})" if entry.read != "full" else ""
        self._log.info(
            f"{entry.table}: {entry.read}, {pluralize(entry.live, 'row')}{changes}, "
            f"{pluralize(entry.requests, 'request')}"
        )

    def phase(self, text: str) -> None:
        """One line per part of the work, and before it how many tables of the last part have not changed."""
        if self._unchanged:
            self._log.info(f"{pluralize(self._unchanged, 'table')} without changes")
            self._unchanged = 0
        self._log.info(text)


class RunLogsProgress:
    """Logs the progress of a read of logs: a line per day."""

    def __init__(self, context: dg.AssetExecutionContext) -> None:
        self._log = context.log

    def rows(self, log: str, rows: int) -> None:
        """Not told row by row."""

    def day(self, day: LogDay) -> None:
        """One line per day."""
        added = day.reads[-1].added if day.reads else 0
        self._log.info(f"{day.log} {day.day}: {day.rows} entries (+{added})")


class RunDrillProgress(RunProgress):
    """Logs the progress of a drill: a line per 500 steps."""

    def step(self, outcome: StepOutcome, done: int, steps: int) -> None:
        """A line now and then."""
        if done % _STEPS_PER_LINE == 0 or done == steps:
            self._log.info(f"restored: {done:,} of {pluralize(steps, 'step')}")


class RunRestoreProgress(RunProgress):
    """Logs the progress of a restore: stages, how far they are, and every step that does not succeed."""

    def __init__(self, context: dg.OpExecutionContext, plan: RestorePlan) -> None:
        super().__init__(context)
        self._steps = Counter(step.stage for step in plan.steps)
        self._stages = {step.number: step.stage for step in plan.steps}
        self._done: Counter[str] = Counter()
        self._told = monotonic()

    def phase(self, text: str) -> None:
        """One line per stage."""
        steps = self._steps.get(text)
        super().phase(f"stage {text}: {pluralize(steps, 'step')}" if steps else text)

    def step(self, outcome: StepOutcome, done: int, steps: int) -> None:
        """A line when a step does not succeed, when a stage is done, and every few seconds between."""
        if outcome.result != "restored":
            remedy = f" → {outcome.remedy}" if outcome.remedy else ""
            self._log.warning(
                f"{outcome.table} {outcome.name or outcome.id}: {outcome.result}: {outcome.reason}{remedy}"
            )
        stage = self._stages[outcome.number]
        self._done[stage] += 1
        whole = self._done[stage] == self._steps[stage]
        if whole or monotonic() - self._told >= _SECONDS_PER_LINE:
            self._told = monotonic()
            self._log.info(f"stage {stage}: {self._done[stage]} of {self._steps[stage]}; {done} of all {steps} steps")
