"""`doctor`: what is well is said, and what is not, with what to do."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import dagster as dg
import httpx
import pytest
from dagster._daemon.types import DaemonHeartbeat

from entra_pipeline.clock import system_clock
from entra_pipeline.doctor import Diagnosis, examine
from entra_pipeline.simulator import Simulator
from tests.support.command import Place, Result
from tests.support.post_office import PASSWORD, PostOffice


@pytest.fixture(scope="module")
def tenant() -> Iterator[Simulator]:
    with Simulator(users=5, groups=2, seed=5) as one:
        yield one


@pytest.fixture(autouse=True)
def _no_dagster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)


@pytest.fixture
def office(tmp_path: Path) -> Iterator[PostOffice]:
    one = PostOffice(tmp_path, implicit=False)
    (tmp_path / "password").write_text(PASSWORD)
    one.open()
    yield one
    one.shut()


def project(folder: Path, tenant: Simulator, more: str = "") -> Place:
    file = folder / "dagster_project.toml"
    file.write_text(
        f'[storage.disk]\nkind = "local"\npath = "backup"\n{tenant.tenant_table("contoso")}\n'
        f'[scopes.all]\ntenant = "contoso"\nstorage = "disk"\nschedule = "0 5 * * *"\n{more}'
    )
    return Place(file, tenant)


def unwell(found: Result) -> dict[str, str]:
    """What is not well, by what it is about and what was checked."""
    return {f"{one['subject']}, {one['check']}": one["told"] for one in found.json if one["outcome"] != "ok"}


def of(file: Path, subject: str) -> dict[str, Diagnosis]:
    return {one.check: one for one in examine(file) if one.subject == subject}


def test_an_installation_that_works(tmp_path: Path, tenant: Simulator, office: PostOffice) -> None:
    told = '[notifications.ops]\nto = ["ops@example.com"]\nbackup = ["failed"]\n'
    place = project(tmp_path, tenant, f"{office.table()}{told}")
    found = place.call("doctor", "--json")
    assert found.code == 0
    assert unwell(found) == {"dagster, instance": "DAGSTER_HOME is not set: nothing here runs the schedules of all"}
    assert office.mails == []
    said = place.call("doctor").out
    assert "✓ tenant contoso, permissions, app that restores: it has what the scopes require" in said
    assert "everything works" in said


def test_a_configuration_that_cannot_be_read_is_all_that_is_said(tmp_path: Path, tenant: Simulator) -> None:
    place = project(tmp_path, tenant, "retenshun = 1\n")
    found = place.call("doctor", "--json")
    assert found.code == 2
    (only,) = found.json
    assert (only["subject"], only["outcome"]) == ("configuration", "failed")
    assert "retenshun" in only["told"]
    assert "→" in place.call("doctor").out


def test_each_part_that_is_not_well_is_named_and_the_others_are_tried(tmp_path: Path, tenant: Simulator) -> None:
    place = project(
        tmp_path,
        tenant,
        '[tenants.other]\ntenant_id = "3f2504e0-4f89-11d3-9a0c-0305e82c3301"\n'
        'client_id = "7c9e6679-7425-40de-944b-e07fc1f90ae7"\nclient_secret = { env = "NOT_SET_ANYWHERE" }\n'
        '[storage.broken]\nkind = "local"\npath = "dagster_project.toml/x"\n'
        '[mail]\nhost = "localhost"\nport = 1\nfrom = "a@example.com"\ntls = "none"\n'
        '[notifications.ops]\nto = ["ops@example.com"]\nbackup = ["failed"]\n',
    )
    permissions = tenant.control.roles(tenant.client_id)
    tenant.control.roles(tenant.client_id, [one for one in permissions if one != "Policy.Read.All"])
    try:
        found = place.call("doctor", "--json")
    finally:
        tenant.control.roles(tenant.client_id, permissions)
    wrong = unwell(found)
    assert found.code == 2
    assert "NOT_SET_ANYWHERE is not set" in wrong.pop("tenant other, sign-in, app that backs up")
    assert "restores can be planned" in wrong.pop("tenant other, app that restores")
    assert wrong.pop("tenant contoso, permissions, app that backs up") == "it lacks Policy.Read.All"
    assert wrong.pop("storage broken, write and read")
    assert "localhost:1" in wrong.pop("notifications, mail")
    assert {name for name in wrong if not name.startswith("storage broken, ")} == {"dagster, instance"}
    assert {one["check"] for one in found.json if one["subject"] == "storage disk"} > {"list", "delete"}


def test_clocks_that_differ_are_told(tmp_path: Path, tenant: Simulator) -> None:
    file = project(tmp_path, tenant).file
    late = [one for one in examine(file, lambda: system_clock() - timedelta(seconds=400)) if one.check == "clocks"]
    assert [one.outcome for one in late] == ["warning"]
    assert "behind Graph" in late[0].told
    assert of(file, "tenant contoso")["clocks"].outcome == "ok"


def test_the_time_of_graph_is_asked_for_once(
    tmp_path: Path, tenant: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, asked = project(tmp_path, tenant), []
    get = httpx.AsyncClient.get

    async def counted(self: httpx.AsyncClient, url: str) -> httpx.Response:
        asked.append(url)
        return await get(self, url)

    monkeypatch.setattr(httpx.AsyncClient, "get", counted)
    assert {one.outcome for one in of(place.file, "tenant contoso").values()} == {"ok"}
    assert asked == [tenant.graph_url]


def test_a_storage_is_tried_with_what_its_scopes_need(tmp_path: Path, tenant: Simulator) -> None:
    place = project(tmp_path, tenant)
    assert "remove for good" not in of(place.file, "storage disk")
    (tmp_path / "key").write_text("the passphrase is long enough")
    text = place.file.read_text().replace(
        'path = "backup"\n', 'path = "backup"\nencryption = { passphrase = { file = "key" } }\n'
    )
    place.file.write_text(f'{text}erasure = "per-person"\nlogs = false\n')
    assert "remove for good" in of(place.file, "storage disk")


def test_dagster_is_examined_where_it_is(tmp_path: Path, tenant: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    place = project(tmp_path, tenant)
    home = tmp_path / "home"
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    assert of(place.file, "dagster")["instance"].outcome == "warning"
    home.mkdir()
    (home / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
    first = of(place.file, "dagster")
    assert (first["instance"].outcome, first["daemon"].outcome) == ("ok", "warning")
    assert "never run" in first["daemon"].told
    with dg.DagsterInstance.get() as instance:
        now = system_clock().timestamp()
        instance.add_daemon_heartbeat(DaemonHeartbeat(now, "SCHEDULER", str(uuid4()), []))
    assert of(place.file, "dagster")["daemon"].outcome == "ok"
    with dg.DagsterInstance.get() as instance:
        instance.add_daemon_heartbeat(DaemonHeartbeat(now - 3600, "SCHEDULER", str(uuid4()), []))
    assert "60 minutes ago" in of(place.file, "dagster")["daemon"].told
