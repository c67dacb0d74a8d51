"""Progress: live lines on a terminal, plain lines otherwise, always on standard error."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

from entra_pipeline.cli.context import console, echo
from entra_pipeline.restore.objects.model import StepOutcome
from entra_pipeline.store.manifest import TableEntry
from entra_pipeline.text import pluralize


class Lines:
    """Plain lines, for logs."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing to tidy."""

    def rows(self, table: str, rows: int) -> None:
        """Not told: a log wants results."""

    def done(self, entry: TableEntry) -> None:
        """A line for a table that is written."""
        changes = f" (+{entry.added} ~{entry.changed} -{entry.deleted})" if entry.read != "full" else ""
        echo(f"{entry.table}: {entry.read}, {pluralize(entry.live, 'row')}{changes}", err=True)

    def phase(self, text: str) -> None:
        """A line for a part of the work."""
        echo(f"{text} …", err=True)


class Bars:
    """A live line for each table that is being read."""

    def __init__(self) -> None:
        from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        self._progress = Progress(
            SpinnerColumn(finished_text="[green]✓"),
            TextColumn("{task.description:<34}"),
            TextColumn("{task.fields[count]:>12}"),
            TimeElapsedColumn(),
            console=console(err=True),
            transient=True,
        )
        self._tasks: dict[str, Any] = {}
        self._phase = self._progress.add_task("starting", total=None, count="")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def rows(self, table: str, rows: int) -> None:
        """Moves a table's line."""
        if table not in self._tasks:
            self._tasks[table] = self._progress.add_task(table, total=None, count="")
        self._progress.update(self._tasks[table], count=f"{rows:,}")

    def done(self, entry: TableEntry) -> None:
        """Ends a table's line."""
        self.rows(entry.table, entry.live)
        self._progress.update(self._tasks[entry.table], total=1, completed=1)

    def phase(self, text: str) -> None:
        """Says what is being done."""
        self._progress.update(self._phase, description=f"[bold]{text}")


def progress() -> Lines | Bars:
    """What suits the place where standard error goes."""
    return Bars() if sys.stderr.isatty() else Lines()


class RestoreLines(Lines):
    """Plain lines of a restore: tables that its recovery points read are not told."""

    _EVERY = 200

    def done(self, entry: TableEntry) -> None:
        """Not told: a restore reads to compare."""

    def step(self, outcome: StepOutcome, done: int, steps: int) -> None:
        """A line now and then, and for each step that went wrong."""
        if outcome.result != "restored":
            name = outcome.name or outcome.id
            echo(f"{outcome.result}: {outcome.table} {name}: {outcome.reason}", err=True)
        if done % self._EVERY == 0 or done == steps:
            echo(f"{done:,} of {pluralize(steps, 'step')}", err=True)


class RestoreBars(Bars):
    """Live lines of a restore."""

    def __init__(self) -> None:
        super().__init__()
        self._steps: Any = None

    def done(self, entry: TableEntry) -> None:
        """Takes a table's line away."""
        if entry.table in self._tasks:
            self._progress.remove_task(self._tasks.pop(entry.table))

    def step(self, outcome: StepOutcome, done: int, steps: int) -> None:
        """Moves the line of the steps."""
        if self._steps is None:
            self._steps = self._progress.add_task("steps", total=steps, count="")
        self._progress.update(self._steps, completed=done, count=f"{done:,} of {steps:,}")


def restoring() -> RestoreLines | RestoreBars:
    """What suits the place where standard error goes, for a restore."""
    return RestoreBars() if sys.stderr.isatty() else RestoreLines()


@contextmanager
def checking() -> Iterator[Callable[[str, str], None]]:
    """What to call with the recovery point and the table at hand: a terminal shows both, a log a line per point."""
    if sys.stderr.isatty():
        with console(err=True).status("checking …") as status:
            yield lambda point, table: status.update(f"checking {point} {table}")
        return
    told = ""

    def tell(point: str, table: str) -> None:
        nonlocal told
        if point != told:
            echo(f"checking {point} …", err=True)
            told = point

    yield tell
