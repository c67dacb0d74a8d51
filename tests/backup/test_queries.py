"""Parts become known while queries run: what a query reads is hashed first, whatever comes meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from itertools import count
from time import sleep
from typing import NamedTuple

import duckdb
import pytest

from entra_pipeline.backup.rows.queries import QueryRunner
from entra_pipeline.errors import IntegrityError
from entra_pipeline.store.checksums import StoredPart

pytestmark = pytest.mark.pure


class Known(NamedTuple):
    """What a manifest says of a file."""

    key: str
    bytes: int = 1
    sha256: str = ""


class Hashed:
    """Notes which parts had to be hashed; `refused` is not as it was written."""

    def __init__(self) -> None:
        self.keys: list[str] = []
        self.refused = ""

    def require(self, parts: Iterable[StoredPart]) -> None:
        for part in parts:
            if part.key == self.refused:
                raise IntegrityError(f"{part.key} differs")
            self.keys.append(part.key)


class Gradual(dict[str, StoredPart]):
    """Lets other threads work between two of its parts, as Python may at any time."""

    def items(self) -> Iterator[tuple[str, StoredPart]]:  # type: ignore[override]
        for pair in super().items():
            sleep(0.001)
            yield pair


def test_parts_become_known_while_a_query_is_prepared() -> None:
    async def run() -> None:
        with duckdb.connect() as connection:
            known = Gradual({f"'{number}'": Known(str(number)) for number in range(20)})
            runner = QueryRunner(connection, Hashed(), known)  # type: ignore[arg-type]
            query = asyncio.ensure_future(runner.query("SELECT 1"))
            for number in count():
                runner.know({f"'more {number}'": Known("x")})
                await asyncio.sleep(0)
                if query.done():
                    break
            assert await query == [(1,)]

    asyncio.run(run())


def test_a_part_is_hashed_before_the_first_query_that_reads_it_and_again_when_it_was_refused() -> None:
    async def run() -> None:
        with duckdb.connect() as connection:
            hashed = Hashed()
            runner = QueryRunner(connection, hashed)  # type: ignore[arg-type]
            runner.know({"'a'": Known("a"), "'b'": Known("b")})
            await runner.query("SELECT 'a'")
            await runner.query("SELECT 'a'")
            assert hashed.keys == ["a"]
            hashed.refused = "b"
            for _ in range(2):
                with pytest.raises(IntegrityError, match="b differs"):
                    await runner.query("SELECT 'b'")
            hashed.refused = ""
            await runner.query("SELECT 'a', 'b'")
            assert hashed.keys == ["a", "b"]

    asyncio.run(run())
