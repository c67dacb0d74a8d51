"""Tables are read and written as soon as each can be, and compared as soon as they are written."""

import asyncio
from functools import partial

import pytest

from entra_pipeline.backup.rows.result import NotOffered, TableOutcome
from entra_pipeline.backup.scheduler import ReadStep, run_steps
from entra_pipeline.errors import StoreError
from entra_pipeline.graph import RequestStats

pytestmark = pytest.mark.pure


class Work:
    """Takes down what happens, in order."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.held = asyncio.Event()

    async def read(self, *tables: str, held: bool = False) -> list[TableOutcome]:
        if held:
            await self.held.wait()
        self.done += [f"read {table}" for table in tables]
        return [NotOffered(table, "", RequestStats()) for table in tables]

    async def write(self, outcome: TableOutcome) -> None:
        await asyncio.sleep(0)
        self.done.append(f"wrote {outcome.table}")

    async def compare(self) -> list[TableOutcome]:
        self.done.append("compared")
        self.held.set()
        return []


def test_links_are_compared_when_they_are_written_and_not_when_everything_is():
    async def run() -> list[str]:
        work = Work()
        groups = ("groups", "group_members", "group_owners")
        steps = [
            ReadStep(("users", "user_manager"), partial(work.read, "users", "user_manager", held=True)),
            ReadStep(groups, partial(work.read, *groups)),
            ReadStep((), work.compare, groups),
        ]
        await asyncio.wait_for(run_steps(steps, work.write, before_links=[]), 10)
        return work.done

    done = asyncio.run(run())
    compared = done.index("compared")
    assert {"wrote groups", "wrote group_members", "wrote group_owners"} <= set(done[:compared])
    assert "read users" in done[compared:]


def test_links_wait_for_objects_whose_going_may_be_the_reason_for_theirs():
    async def run() -> list[str]:
        work = Work()
        steps = [
            ReadStep(("users",), partial(work.read, "users", held=True)),
            ReadStep(("groups", "group_members"), partial(work.read, "groups", "group_members")),
            ReadStep(("app_role_assignments",), work.compare, ("groups",)),
        ]
        await asyncio.wait_for(run_steps(steps, work.write, before_links=["users", "groups"]), 10)
        return work.done

    done = asyncio.run(run())
    assert done.index("wrote groups") < done.index("compared") < done.index("wrote users")
    assert done.index("wrote users") < done.index("wrote group_members")


def test_what_ends_one_read_ends_the_others():
    async def run() -> None:
        work = Work()

        async def fails() -> list[TableOutcome]:
            raise StoreError("no room")

        steps = [ReadStep(("users",), partial(work.read, "users", held=True)), ReadStep(("groups",), fails)]
        await asyncio.wait_for(run_steps(steps, work.write, before_links=[]), 10)

    with pytest.raises(StoreError, match="no room"):
        asyncio.run(run())
