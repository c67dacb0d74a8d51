"""In which order the tables of a run are read and written: as soon as each can be.

What stands for itself is read at once, what belongs to owners when its owners are written. Objects are written when
they are read; links when the objects are written whose going may be the reason for theirs. What a whole round told is
compared with what Graph says elsewhere as soon as it is written, while others are still read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from entra_pipeline.backup.rows.entries import is_objects
from entra_pipeline.backup.rows.result import TableOutcome
from entra_pipeline.errors import EntraPipelineError


@dataclass(frozen=True, slots=True)
class ReadStep:
    """One read.

    Attributes:
        tables: The tables that it brings; none, if it only looks at what others have brought.
        read: Reads them.
        after: The tables that have to be written before; what no step brings is not waited for.
    """

    tables: tuple[str, ...]
    read: Callable[[], Coroutine[Any, Any, list[TableOutcome]]]
    after: tuple[str, ...] = ()


async def run_steps(
    steps: Sequence[ReadStep], write: Callable[[TableOutcome], Awaitable[None]], *, before_links: Iterable[str]
) -> None:
    """Reads and writes all tables.

    Args:
        steps: The reads; of those that can begin at once, the first begin first.
        write: Writes what a read has brought of a table, or notes why it brought nothing.
        before_links: Tables of objects that have to be written before any links.

    Raises:
        What ends one read, which ends the others.
    """
    written = {table: asyncio.Event() for step in steps for table in step.tables}
    objects = [written[table] for table in before_links if table in written]

    async def follow(step: ReadStep) -> None:
        for table in step.after:
            if table in written:
                await written[table].wait()
        outcomes = await step.read()
        for outcome in outcomes:
            if is_objects(outcome.table):
                await write(outcome)
        for table in filter(is_objects, step.tables):
            written[table].set()
        for outcome in outcomes:
            if not is_objects(outcome.table):
                for one in objects:
                    await one.wait()
                await write(outcome)
        for table in step.tables:
            written[table].set()

    await side_by_side(follow(step) for step in steps)


async def side_by_side(work: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Does all at once.

    Raises:
        What ends one of them, which ends the others.
    """
    try:
        async with asyncio.TaskGroup() as group:
            for one in work:
                group.create_task(one)
    except ExceptionGroup as errors:
        raise ended_by(errors) from None


def ended_by(errors: ExceptionGroup) -> BaseException:
    """What to tell of several things that ended a run: one is enough, and best one that is explained."""
    return _first(errors.subgroup(EntraPipelineError) or errors)


def _first(error: BaseException) -> BaseException:
    return _first(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error
