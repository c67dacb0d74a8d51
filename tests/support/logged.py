"""A scope with its logs on a simulated tenant, read over real HTTP, and held against what really happened."""

from __future__ import annotations

import asyncio
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from entra_pipeline.backup.logs import read_logs
from entra_pipeline.catalogue.logs import LOGS
from entra_pipeline.graph import Graph
from entra_pipeline.simulator import Simulator
from entra_pipeline.store.logs import LogDay, LogStore
from entra_pipeline.store.state import connect
from tests.support.protected import Protected


class Logged(Protected):
    """A simulated tenant, and the scope that protects its logs."""

    def __init__(self, simulator: Simulator, folder: Path, settings: str = "logs = true") -> None:
        super().__init__(simulator, folder, settings)
        self.control.knobs(throttle_lanes=False)

    @property
    def logs(self) -> LogStore:
        return LogStore(self.store.files, "contoso", self.clock)

    def read(self, *types: str, **options: Any) -> list[LogDay]:
        async def run() -> list[LogDay]:
            async with Graph(self.project.tenants["simulated"]) as graph:
                return await read_logs(self.scope, self.logs, graph, types=types or None, clock=self.clock, **options)

        return asyncio.run(run())

    def stored(self, log: str) -> dict[str, str]:
        """Id and JSON of all stored entries of a log."""
        days = [day for day in self.logs.held(log).values() if day.parts]
        if not days:
            return {}
        with connect(self.store.files) as connection:
            rows = connection.execute(self.logs.query(days, "id, _raw")).fetchall()
        assert len(rows) == len(dict(rows)) == sum(day.rows for day in days)
        return dict(rows)

    def happened(self, log: str, before: datetime | None = None) -> set[str]:
        """Ids of all entries that the tenant keeps, those that cannot be read yet included."""
        entry = LOGS[log]
        end = f"{before or self.clock():%Y-%m-%dT%H:%M:%S}"
        path = f"beta/{entry.path}" if entry.beta else entry.path
        return {one["id"] for one in self.control.log(path) if one[entry.time] < end}

    def today(self) -> date:
        return self.clock().date()

    def day(self, days_ago: int) -> date:
        return self.today() - timedelta(days=days_ago)
