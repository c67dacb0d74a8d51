"""A signed store with something of everything in a month, and its evidence."""

from __future__ import annotations

import os
import shutil
from datetime import UTC, date, datetime
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest

from entra_pipeline.audit import Act, AuditLog, Origin
from entra_pipeline.operations.evidence import EvidenceFile, make_evidence
from entra_pipeline.project import load_project
from entra_pipeline.project.stores import open_store
from entra_pipeline.settings.periods import Period
from entra_pipeline.store.backends.signing.keys import introduce
from entra_pipeline.store.commit import commit
from entra_pipeline.store.job_records import JobRecord
from entra_pipeline.store.manifest import Gap, canonical
from entra_pipeline.store.recovery_points import ScopeStore
from entra_pipeline.store.retention.holds import hold
from entra_pipeline.store.retention.prune import prune
from tests.support.signing import OURS, private_pem
from tests.support.writing import Time, entry, manifest, put, take, upsert

FIRST, LAST, NOW = date(2026, 11, 23), date(2026, 12, 10), datetime(2026, 12, 10, 12, tzinfo=UTC)
PERSON = "Adele Vance"
LOCAL = 'kind = "local"\npath = "store"'
SIGNED = 'signing = { private_key = { file = "ours.pem" } }'
_PROJECT = """
[storage.main]
{place}
{signing}

[tenants.contoso]
simulator = {{}}

[scopes.contoso]
tenant = "contoso"
storage = "main"
protect = ["users", "groups"]
schedule = "0 5 * * *"
retention = "14 days"

[scopes.fabrikam]
tenant = "contoso"
storage = "main"
protect = ["users"]
"""


class World(NamedTuple):
    """A store, and the file of its project."""

    file: Path
    store: ScopeStore

    def evidence(self, *scopes: str, first: date = FIRST, last: date = LAST, now: datetime = NOW) -> EvidenceFile:
        return make_evidence(load_project(self.file), scopes or ("contoso",), first, last, now)


def build(folder: Path, signing: str, place: str = LOCAL) -> World:
    """Seventeen days with a point each but for two that were missed; the first four are pruned."""
    (folder / "ours.pem").write_text(private_pem("ours"))
    file = folder / "project.toml"
    file.write_text(_PROJECT.format(signing=signing, place=place))
    project, time = load_project(file), Time()
    if signing:
        introduce(project.storage["main"].place(), OURS, time())
    if encryption := project.storage["main"].encryption:
        encryption.keys(project.storage["main"].signing.above(project.storage["main"].place())).add(time())
    store, other = (open_store(project, name, time) for name in ("contoso", "fabrikam"))
    log = AuditLog(store.files, time)

    def record(action: str, scope: str, actor: str = "anna") -> None:
        act = Act(action=action, scope=scope, subject=PERSON, result="finished", details={"search": PERSON})
        log.write(act, Origin(actor=actor, channel="cli", host="here"))

    def job(name: str, kind: str) -> None:
        moment = f"{time():%Y-%m-%dT%H:%M:%SZ}"
        store.jobs.write(
            JobRecord(
                id=name, type=kind, scope="contoso", status="finished", started=moment, finished=moment, error=PERSON
            )
        )
        if place == LOCAL:
            # A bucket says itself when it was.
            os.utime(folder / "store" / f"_jobs/contoso/{name}.json", (NOW.timestamp(), NOW.timestamp()))

    for day in range(17):
        if day not in (7, 8):
            point = store.new_key()
            made = manifest(store, point, entry([put(store, folder, point, [upsert("0", PERSON)])], 1))
            if day == 5:
                gap = Gap(what=f"manager of {PERSON}", reason="403", permission="User.Read.All")
                made = msgspec.structs.replace(
                    made,
                    status="finished with exception",
                    tables={"users": msgspec.structs.replace(made.tables["users"], gaps=(gap,))},
                )
            commit(store, made)
            job(f"{point}-b", "backup")
            record("backup", "contoso")
        time.pass_(days=1)
    take(other, folder, other.new_key(), PERSON)
    record("backup", "fabrikam", "zoe")
    hold(store, store.points()[-2], reason=f"the case of {PERSON}", by="anna")
    prune(store, Period.parse("14 days"), by="anna")
    plan = "2026-12-10T05-30-00Z-r"
    job(plan, "restore")
    seal = {"plan": plan, "seal": "5ea1", "moment": "2026-12-10T05:20:00Z"}
    store.files.create(f"_restore/{plan}/plan.json", canonical({"id": plan, "steps": [PERSON]}))
    store.files.create(f"_restore/{plan}/made.json", canonical({**seal, "by": "anna"}))
    store.files.create(f"_restore/{plan}/approved.json", canonical({**seal, "by": "berta"}))
    report = {
        "point": store.points()[-1],
        "tenant": "contoso",
        "status": "finished",
        "undo_point": "",
        "verified": True,
    }
    store.files.create(f"_restore/{plan}/report.json", canonical({**report, "outcomes": [{"name": PERSON}]}))
    drill = {"id": "drill", "point": store.points()[-1], "status": "finished", "started": "2026-12-09T05:00:00Z"}
    drill |= {"finished": "2026-12-09T05:03:00Z", "differences": [PERSON]}
    scores = {"properties": 1000, "properties_equal": 998, "links": 50, "links_equal": 50}
    scores |= {"seconds": 96.0, "seconds_at_limits": 150.0}
    store.files.create("_drills/contoso/drill.json", canonical(drill | scores))
    record("restore", "contoso")
    return World(file, store)


@pytest.fixture(scope="package")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A signed one, which tests only read."""
    return build(tmp_path_factory.mktemp("signed"), SIGNED)


@pytest.fixture
def own(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A copy that the test may change; the command takes its moment for the present."""
    monkeypatch.setattr("entra_pipeline.cli.queries.evidence.system_clock", lambda: NOW)
    shutil.copytree(world.file.parent, tmp_path / "own")
    file = tmp_path / "own" / world.file.name
    return World(file, open_store(load_project(file), "contoso", Time(NOW)))


@pytest.fixture(scope="package")
def made(world: World) -> EvidenceFile:
    return world.evidence()
