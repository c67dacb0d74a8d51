"""Restores by an app registration that has a credential only while it writes."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from entra_pipeline.audit import AuditLog
from entra_pipeline.graph import RequestStats
from entra_pipeline.graph.credentials import trust
from entra_pipeline.graph.just_in_time import JustInTimeGraph, TemporaryPassword
from entra_pipeline.project import load_project
from entra_pipeline.simulator import Simulator
from tests.support.command import Place, write_project
from tests.support.just_in_time import make_just_in_time

_SCOPE = '[scopes.people]\ntenant = "contoso"\nstorage = "disk"\nprotect = ["users", "groups"]\n'


class Restorable(NamedTuple):
    """A tenant of which a group was deleted after the recovery point; its writing app has no credential."""

    place: Place
    group: str

    def restore(self, *arguments: object) -> Any:
        return self.place.call("restore", "people", *arguments)

    @property
    def wanted(self) -> tuple[str, ...]:
        return ("--at", "latest", "--types", "groups", "--ids", self.group)

    def credentials(self) -> list[dict[str, Any]]:
        """What the tenant shows of the writing app's secrets."""
        simulator = self.place.simulator
        path = f"applications(appId='{simulator.restore_client_id}')"
        answer = httpx.get(f"{simulator.graph_url}/{path}", headers=bearer(simulator), trust_env=False)
        found: list[dict[str, Any]] = answer.json()["passwordCredentials"]
        return found

    def job(self) -> Any:
        [job] = [job for job in self.place.store("people").jobs.all() if job.type == "restore"]
        return job

    def acts(self) -> list[str]:
        log, today = AuditLog(self.place.store("people").files), datetime.now(UTC).date()
        return [
            one.action for one in log.events(today - timedelta(days=1), today) if one.action.startswith("credential")
        ]

    def add(self, secret_name: str = "entra-pipeline just in time", end: str | None = None) -> str:
        """Adds a secret to the writing app, as a restore that was killed has left one; returns its value."""
        simulator = self.place.simulator
        path = f"applications(appId='{simulator.restore_client_id}')/addPassword"
        body = {"passwordCredential": {"displayName": secret_name, "endDateTime": end}}
        answer = httpx.post(f"{simulator.graph_url}/{path}", headers=bearer(simulator), json=body, trust_env=False)
        return str(answer.json()["secretText"])


def token(simulator: Simulator, client_id: str, secret: str) -> httpx.Response:
    form = {
        "grant_type": "client_credentials",
        "client_id": client_id,
        "client_secret": secret,
        "scope": "https://graph.microsoft.com/.default",
    }
    url = f"{simulator.authority}/{simulator.tenant_id}/oauth2/v2.0/token"
    return httpx.post(url, data=form, verify=trust(simulator.ca_bundle), trust_env=False)


def bearer(simulator: Simulator) -> dict[str, str]:
    answer = token(simulator, simulator.owner_client_id, simulator.owner_client_secret)
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


@pytest.fixture
def restorable(tmp_path: Path) -> Iterator[Restorable]:
    with Simulator(users=30, groups=8, seed=5) as simulator:
        file = write_project(tmp_path, simulator, _SCOPE)
        make_just_in_time(file, simulator)
        place = Place(file, simulator)
        done = place.call("backup", "people")
        assert done.code == 0, done.err
        members = simulator.control.edges("groups", "members")
        group = next(
            one["id"]
            for one in simulator.control.dump("groups")
            if not one.get("onPremisesSyncEnabled")
            and not one.get("membershipRule")
            and sum(source == one["id"] for source, _, _ in members) > 2
        )
        simulator.control.delete(f"groups/{group}")
        yield Restorable(place, group)


def test_a_restore_has_a_credential_made_and_removed(restorable: Restorable) -> None:
    simulator = restorable.place.simulator
    before = datetime.now(UTC)
    # Even when the token endpoint learns of it later than Graph.
    simulator.control.knobs(credential_lag=1.5)
    planned = restorable.restore(*restorable.wanted, "--dry-run")
    assert planned.code == 0, planned.err
    assert "is given a credential when this is applied" in planned.out
    assert restorable.acts() == []

    done = restorable.restore(*restorable.wanted, "--yes")
    assert done.code == 0, done.out + done.err
    assert restorable.group in {one["id"] for one in simulator.control.dump("groups")}
    assert restorable.credentials() == []
    [one] = restorable.job().details["credentials"]
    assert one["app_id"] == simulator.restore_client_id
    assert one["made"] < one["removed"] < one["expires"]
    assert (datetime.fromisoformat(one["expires"]) - before).total_seconds() <= 3600 + 60
    assert restorable.acts() == ["credential made", "credential removed"]


def test_the_value_of_the_credential_is_written_nowhere(
    restorable: Restorable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    from entra_pipeline.graph.just_in_time.credential import JustInTimeCredential

    prepare = JustInTimeCredential.prepare

    async def spied(self: JustInTimeCredential) -> None:
        await prepare(self)
        seen.append(self._secret)

    monkeypatch.setattr(JustInTimeCredential, "prepare", spied)
    done = restorable.restore(*restorable.wanted, "--yes")
    assert done.code == 0, done.err
    [secret] = set(seen)
    written = [file for file in tmp_path.rglob("*") if file.is_file() and secret.encode() in file.read_bytes()]
    assert (len(secret) > 20, written, secret in done.out + done.err) == (True, [], False)
    # It is worthless now.
    simulator = restorable.place.simulator
    refused = token(simulator, simulator.restore_client_id, secret)
    assert (refused.status_code, refused.json()["error_codes"]) == (401, [7000215])


def test_the_credential_is_removed_when_the_restore_fails(restorable: Restorable) -> None:
    simulator = restorable.place.simulator
    simulator.control.roles(simulator.restore_client_id, ["Directory.Read.All"])
    failed = restorable.restore(*restorable.wanted, "--yes")
    assert failed.code == 3, failed.out + failed.err
    assert restorable.credentials() == []
    [one] = restorable.job().details["credentials"]
    assert one["removed"]


def test_what_a_killed_restore_has_left_is_named_and_removed_by_the_next(restorable: Restorable) -> None:
    place, simulator = restorable.place, restorable.place.simulator
    planned = restorable.restore(*restorable.wanted, "--dry-run")
    plan = re.findall(r"--apply (\S+)", planned.out + planned.err)[-1]
    # Every request lasts, so that the restore is killed while it writes.
    simulator.control.knobs(latency=0.3)
    run = "import sys; from entra_pipeline.cli import run; sys.exit(run(sys.argv[1:]))"
    command = [sys.executable, "-c", run, "--project", str(place.file), "restore", "people"]
    process = subprocess.Popen(
        [*command, "--apply", plan, "--yes"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    deadline = time.monotonic() + 120
    while not (left := restorable.credentials()) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    simulator.control.knobs(latency=0)
    assert [one["keyId"] for one in restorable.credentials()] == [one["keyId"] for one in left]

    [told] = [one for one in place.call("doctor", "--json").json if one["check"] == "credentials, app that restores"]
    assert told["outcome"] == "warning"
    assert left[0]["keyId"] in told["told"]
    gone_on = restorable.restore("--apply", plan, "--yes")
    assert gone_on.code == 0, gone_on.out + gone_on.err
    assert restorable.credentials() == []
    removed = [one["key_id"] for one in restorable.job().details["credentials"] if one["removed"]]
    assert left[0]["keyId"] in removed and len(removed) == 2


def test_a_restore_needs_an_owner_that_may_give_the_credential(restorable: Restorable) -> None:
    simulator = restorable.place.simulator
    simulator.control.roles(simulator.owner_client_id, [])
    refused = restorable.restore(*restorable.wanted, "--yes")
    assert refused.code == 2
    assert "restore.owner.client_id" in refused.err and "Application.ReadWrite.OwnedBy" in refused.err
    assert restorable.acts() == []


def test_an_owner_may_do_so_to_what_it_owns_only(restorable: Restorable) -> None:
    simulator = restorable.place.simulator
    path = f"applications(appId='{simulator.client_id}')/addPassword"
    answer = httpx.post(f"{simulator.graph_url}/{path}", headers=bearer(simulator), json={}, trust_env=False)
    assert answer.status_code == 403


def test_the_token_endpoint_knows_a_secret_late_and_refuses_one_that_expired(restorable: Restorable) -> None:
    simulator = restorable.place.simulator
    client = simulator.restore_client_id
    simulator.control.knobs(credential_lag=60)
    secret = restorable.add(end=datetime.fromtimestamp(time.time() + 3600, UTC).isoformat())
    assert token(simulator, client, secret).json()["error_codes"] == [7000215]
    simulator.control.clock(61)
    assert token(simulator, client, secret).status_code == 200
    simulator.control.clock(3600)
    assert token(simulator, client, secret).json()["error_codes"] == [7000222]


@pytest.mark.parametrize("end", ["an hour has passed", "somebody removed it"])
def test_a_restore_that_outlasts_its_credential_has_another_made(restorable: Restorable, end: str) -> None:
    simulator, hours = restorable.place.simulator, [0]
    tenant = load_project(restorable.place.file).tenants["contoso"]

    def clock() -> datetime:
        return datetime.now(UTC) + timedelta(hours=hours[0])

    async def outlast() -> list[TemporaryPassword]:
        async with JustInTimeGraph.opened(tenant, clock=clock) as graph:
            await graph.sign_in()
            [first] = restorable.credentials()
            if end == "an hour has passed":
                hours[0] = 1
                simulator.control.clock(3600)
            else:
                path = f"applications(appId='{simulator.restore_client_id}')/removePassword"
                body = {"keyId": first["keyId"]}
                httpx.post(f"{simulator.graph_url}/{path}", headers=bearer(simulator), json=body, trust_env=False)
            simulator.control.expire_tokens()
            assert await graph.fetch("organization", bytes, stats=RequestStats())
            [second] = restorable.credentials()
            assert second["keyId"] != first["keyId"]
        return [*graph.passwords.made.values()]

    made = asyncio.run(outlast())
    assert len(made) == 2 and all(one.removed for one in made)
    assert restorable.credentials() == []


def test_a_credential_that_stands_is_named(restorable: Restorable) -> None:
    restorable.add("made by hand")
    told = {one["check"]: one for one in restorable.place.call("doctor", "--json").json}
    found = told["credentials, app that restores"]
    assert (found["outcome"], "1 credential that stands" in found["told"]) == ("warning", True)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("just_in_time = true\n", "owner is missing"),
        ('just_in_time = true\nclient_secret = { env = "S" }\n', "client_secret too"),
        ('client_secret = { env = "S" }\nowner.managed_identity = true\n', "is not just_in_time"),
        ('just_in_time = true\nowner.client_id = "11111111-1111-4111-8111-111111111111"\n', "needs one credential"),
    ],
)
def test_a_table_that_says_two_things_is_refused(tmp_path: Path, table: str, said: str) -> None:
    client = "11111111-1111-4111-8111-111111111111"
    file = tmp_path / "dagster_project.toml"
    file.write_text(
        f'[tenants.contoso]\ntenant_id = "{client}"\nclient_id = "{client}"\nmanaged_identity = true\n'
        f'[tenants.contoso.restore]\nclient_id = "{client}"\n{table}'
    )
    refused = Place(file, None).call("scope", "list")  # type: ignore[arg-type]
    assert refused.code == 2
    assert said in refused.err
    assert json.dumps(client) not in refused.err
