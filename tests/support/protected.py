"""A scope on a simulated tenant of its own, backed up over real HTTP, and held against what the tenant truly is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, TypeVar

import msgspec
import pyarrow.parquet as pq
import pytest

from entra_pipeline.backup.run import backup
from entra_pipeline.catalogue import CATALOGUE
from entra_pipeline.clock import system_clock
from entra_pipeline.demo import Picture, compare, look
from entra_pipeline.graph import Graph
from entra_pipeline.graph.retry import use_policy
from entra_pipeline.project import load_project
from entra_pipeline.project.stores import open_store
from entra_pipeline.simulator import Simulator
from entra_pipeline.store.manifest import Manifest, Part, TableEntry
from entra_pipeline.store.state import connect, state_query
from entra_pipeline.store.verify import verify
from tests.support.patience import IMPATIENT

_PROJECT = """\
[storage.disk]
kind = "local"
path = "backup"

{tenant}
[scopes.contoso]
tenant = "simulated"
storage = "disk"
retention = "2 years"
{scope}
"""


_Kind = TypeVar("_Kind")

MAIN_TYPES = ["users", "groups", "administrative_units", "directory_roles"]
"""The types whose relations delta tracks: what most tests need, without the slow lane of conditional access."""


class Protected:
    """A simulated tenant, and the scope that protects it.

    Attributes:
        simulator: The tenant.
        control: Changes the tenant and tells the truth about it.
        store: The scope's store, in a local folder.
        ahead: How far the product's clock is ahead of this machine's.
    """

    def __init__(self, simulator: Simulator, folder: Path, settings: str = "") -> None:
        self.simulator = simulator
        self.control = simulator.control
        self.ahead = timedelta()
        self._folder = folder
        self.configure(settings)
        # The limit of one request per second is Graph's; how it is kept is a matter of the client's own tests.
        self.control.knobs(throttle_conditional_access=False)

    def configure(self, settings: str) -> None:
        """Writes the scope's settings, as TOML."""
        file = self._folder / "dagster_project.toml"
        file.write_text(_PROJECT.format(tenant=self.simulator.tenant_table(), scope=settings))
        self.project = load_project(file)
        self.scope = self.project.scope("contoso")
        self.store = open_store(self.project, self.scope, self.clock)

    def clock(self) -> datetime:
        return system_clock() + self.ahead

    def advance(self, **time: float) -> None:
        """Lets time pass for the product and for the tenant."""
        self.ahead += timedelta(**time)
        self.control.clock(timedelta(**time).total_seconds())

    def backup(self, **options: Any) -> Manifest:
        async def run() -> Manifest:
            async with Graph(self.project.tenants["simulated"]) as graph:
                return await backup(self.scope, self.store, graph, clock=self.clock, **options)

        return asyncio.run(run())

    def picture(self) -> Picture:
        """The tenant as it is now, of the types that the scope protects."""
        return look(self.control, self.scope.types())

    def assert_same(self, manifest: Manifest, picture: Picture | None = None) -> None:
        """The recovery point is whole, proven, and what the tenant was when the picture was taken (or is now)."""
        found = compare(self.store, manifest, picture or self.picture())
        assert found.differing == []
        assert found.objects
        gaps = {name: entry.gaps for name, entry in manifest.tables.items() if entry.gaps}
        assert (manifest.status, gaps) == ("finished", {})
        findings = verify(self.store, [manifest.recovery_point])
        assert [f"{one.table}: {one.problem}" for one in findings if not one.ok] == []

    def objects(self, manifest: Manifest, table: str) -> dict[str, dict[str, Any]]:
        """The stored objects of a type, by id."""
        return {id_: msgspec.json.decode(raw) for id_, raw in self.rows(manifest, table, "id, _raw")}

    def edges(self, manifest: Manifest, table: str) -> set[tuple[str, str, str]]:
        """The stored edges of a relation."""
        return set(self.rows(manifest, table, "source_id, target_id, target_type"))

    def rows(self, manifest: Manifest, table: str, columns: str) -> list[Any]:
        """Columns of the stored state of a table."""
        with connect(self.store.files) as connection:
            return connection.execute(state_query(self.store.files, manifest.tables[table], columns)).fetchall()

    def written(self, manifest: Manifest, table: str) -> list[dict[str, Any]]:
        """The rows that a point itself has written for a table, the columns that say what changed included."""
        return [
            row
            for part in parts_of(manifest, manifest.tables[table])
            for row in pq.ParquetFile(self.store.files.url(part.key)).read().to_pylist()
        ]


def parts_of(manifest: Manifest, entry: TableEntry) -> list[Part]:
    """The files that a point itself has written for a table."""
    return [part for part in entry.parts if part.recovery_point == manifest.recovery_point]


def protect(*types: str) -> str:
    """The setting that protects the types."""
    unknown = set(types) - CATALOGUE.keys()
    assert not unknown
    return f"protect = {msgspec.json.encode(types).decode()}"


def totals(manifest: Manifest) -> tuple[int, int]:
    """Requests sent for a point, and rows it has written."""
    entries = manifest.tables.values()
    return sum(e.requests for e in entries), sum(p.rows for e in entries for p in parts_of(manifest, e))


@pytest.fixture(autouse=True)
def _impatience() -> Iterator[None]:
    """Retries come at once: how long they wait is not what these tests are about."""
    with use_policy(IMPATIENT):
        yield


@contextmanager
def starting(folder: Path, kind: Callable[[Simulator, Path, str], _Kind]) -> Iterator[Callable[..., _Kind]]:
    """Gives `start(settings, users=…, groups=…, seed=…)`, which starts a tenant with a scope on it; stops all."""
    with ExitStack() as running:

        def start(settings: str = "", *, users: int = 40, groups: int = 8, seed: int = 5, **options: Any) -> _Kind:
            simulator = running.enter_context(Simulator(users, groups, seed, **options))
            return kind(simulator, Path(mkdtemp(dir=folder)), settings)

        yield start


@pytest.fixture
def tenant(tmp_path: Path) -> Iterator[Callable[..., Protected]]:
    """Starts a tenant with a scope on it: `tenant(settings, users=…, groups=…, seed=…)`."""
    with starting(tmp_path, Protected) as start:
        yield start
