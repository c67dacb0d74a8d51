"""A project whose recovery points and jobs are written as backups would, on days of the test's choice."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from entra_pipeline.backup.jobs import backup_job
from entra_pipeline.project import Project, load_project
from entra_pipeline.project.stores import open_store
from entra_pipeline.reports import ReportRequest
from entra_pipeline.store.commit import commit
from entra_pipeline.store.manifest import Gap, Manifest
from entra_pipeline.store.points.keys import key_of
from entra_pipeline.store.recovery_points import ScopeStore
from tests.support.writing import Row, Time, entry, gone, manifest, put, upsert

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
GAP = Gap(what="not read", reason="Graph answered <b>403</b>", remedy="Grant Domain.Read.All.")


class Site:
    """The project.

    Attributes:
        folder: Where it is.
        names: Names of its scopes.
    """

    def __init__(self, folder: Path, *names: str, seats: int | None = 4) -> None:
        self.folder = folder
        self.file = folder / "dagster_project.toml"
        text = '[storage.disk]\nkind = "local"\npath = "backup"\n'
        for name in names:
            text += f"[tenants.{name}]\nsimulator = {{ users = 1 }}\n" + (f"seats = {seats}\n" if seats else "")
            text += f'[scopes.{name}]\ntenant = "{name}"\nstorage = "disk"\nschedule = "0 */6 * * *"\n'
        self.file.write_text(text)

    @property
    def project(self) -> Project:
        return load_project(self.file)

    def store(self, scope: str, now: datetime = NOW) -> ScopeStore:
        return open_store(self.project, scope, Time(now))

    def asked(self, first: date, **more: Any) -> ReportRequest:
        return ReportRequest(self.project, NOW, first, NOW.date(), **more)

    def take(
        self, scope: str, moment: datetime, *rows: Row, baseline: int = 0, added: int = 0, gaps: tuple[Gap, ...] = ()
    ) -> Manifest:
        """Takes a point: users of these rows over those before, three domains, and a job record."""
        store = self.store(scope, moment)
        clock = Time(moment)
        with store.lock(), backup_job(store, trigger="schedule", clock=clock) as job:
            point = key_of(moment)
            before = store.latest()
            parts, live = (before.tables["users"].parts, before.tables["users"].live) if before else ((), 0)
            if rows:
                role: Any = "changes" if parts else "base"
                parts = (*parts, put(store, self.folder, point, rows, role=role))
                live += sum(1 if row["_change"] == "upsert" else -1 for row in rows)
            deleted = sum(r["_change"] == "delete" for r in rows)
            users = msgspec.structs.replace(entry(parts, live), baseline=baseline, added=added, deleted=deleted)
            domains = [upsert(name, name) for name in ("a.example", "b.example", "c.example")]
            kept = [put(store, self.folder, point, domains, table="domains")]
            others = msgspec.structs.replace(entry(kept, 3, table="domains"), gaps=gaps)
            made = manifest(store, point, users, others)
            status: Any = "finished with exception" if gaps else "finished"
            job.manifest = commit(store, msgspec.structs.replace(made, status=status, started=point))
            clock.pass_(seconds=90)
        return job.manifest


def person(number: int, **more: object) -> Row:
    """A user who takes a seat, unless told otherwise."""
    return upsert(f"u{number}", f"Person {number}", **{"accountEnabled": "true", "userType": "Member", **more})


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path, "contoso")


__all__ = ["GAP", "NOW", "Site", "gone", "person"]
