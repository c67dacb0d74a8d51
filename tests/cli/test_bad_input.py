"""Wrong arguments and configurations: exit code, file, key and remedy; never a stack trace, never a point."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from entra_pipeline.simulator import Simulator
from tests.support.command import Place, Result, call, write_project
from tests.support.s3 import Bucket, Endpoint


def _explained(result: Result, *, code: int = 2) -> str:
    """What was said on standard error, if it was said as it should be."""
    assert result.code == code, result.err
    assert "Traceback" not in result.err + result.out
    assert "unexpected error" not in result.err
    assert result.out == ""
    return result.err


# --- Arguments -------------------------------------------------------------------------------------------------------


class Wrong(NamedTuple):
    arguments: str
    says: str
    advises: str


ARGUMENTS = [
    Wrong("points al", "there is no scope 'al'", "did you mean 'all'?"),
    Wrong("points all --json --csv", "--json and --csv exclude each other", "Choose one"),
    Wrong("backup al", "there is no scope 'al'", "scope list"),
    Wrong("backup all --types user", "there is no object type 'user'", "did you mean 'users'?"),
    Wrong("backup all --types users,wizards", "there is no object type 'wizards'", " catalogue"),
    Wrong("backup all --types group_members", "read with its object type", "--types groups"),
    Wrong("backup few --types devices", "scope 'few' does not protect devices", "`protect`"),
    Wrong("objects all user", "no object type or relation 'user'", "did you mean 'users'?"),
    Wrong("objects all users --at yesterday", "neither a recovery point nor a time", "2026-11-23T05:00:00Z"),
    Wrong("objects all users --at 2001-01-01T00:00:00Z", "no recovery point at that time", "later"),
    Wrong("objects all users --at 2026-11-23T05-00-00Z-mffff", "2026-11-23T05-00-00Z-mffff", "toml points all"),
    Wrong("objects all users --at 2026-11-23T05:00", "in which time zone", "2026-11-23T05:00:00Z"),
    Wrong("objects all users --id nobody", "has no object nobody in users", "objects all users --search TEXT"),
    Wrong("diff all --ids nobody", "neither recovery point has an object nobody", "objects all TYPE --search TEXT"),
    Wrong("drill all --at 2001-01-01T00:00:00Z", "no recovery point at that time", "later"),
    Wrong("hold all --at latest", "a hold needs a reason", "toml hold all --at latest --reason TEXT"),
    Wrong("objects all users --limit 0", "Invalid value for '--limit'", "--help"),
    Wrong("verify all --at 2001-01-01T00:00:00Z", "no recovery point at that time", "later"),
    Wrong("verify all --at latest --all", "--at and --all exclude each other", "Choose one"),
    Wrong("scope show al", "there is no scope 'al'", "did you mean 'all'?"),
    Wrong("scope edit al --description x", "there is no scope 'al'", "did you mean 'all'?"),
    Wrong("scope edit all", "nothing to change", "scope edit --help"),
    Wrong("scope edit all --unset colour", "no setting 'colour'", "docs/configuration.md"),
    Wrong("scope edit all --timezone Mars/Base", "scopes.all.timezone", "Europe/Stockholm"),
    Wrong("scope edit all --schedule hourly", "scopes.all.schedule", "five fields"),
    Wrong("scope edit all --protect wizards", "'wizards' is neither", " catalogue"),
    Wrong("scope edit all --retention eternal", "scopes.all.retention", "2 years"),
    Wrong("scope edit all --unset tenant", "scopes.all.tenant", "Add it"),
    Wrong("scope edit all --tenant contso", "there is no [tenants.contso]", "did you mean 'contoso'?"),
    Wrong("scope create all --tenant contoso --storage disk", "there is a scope 'all'", "scope edit all"),
    Wrong("scope create new --tenant contoso", "--storage is missing", "[storage.NAME]"),
    Wrong("scope create ../new --tenant contoso --storage disk", "../new: is not a name", "letters, digits"),
    Wrong("scope delete al --yes", "there is no scope 'al'", "did you mean 'all'?"),
    Wrong("pionts all", "no such command: pionts", "did you mean 'points'?"),
    Wrong("points", "Missing argument 'SCOPE'", "--help"),
    Wrong("points all --colour", "No such option", "--help"),
    Wrong("catalogue --permissions --markdown", "exclude each other", "Choose one"),
    Wrong("simulate --port 80", "Invalid value for '--port'", "--help"),
    Wrong("demo --users 3 --directory made", "too few", "at least 20 users"),
    Wrong("demo", "no scope 'demo' on a simulated tenant", "Omit --project"),
]


@pytest.mark.parametrize("wrong", ARGUMENTS, ids=lambda wrong: wrong.arguments)
def test_a_wrong_argument_is_explained(
    backed_up: Place, wrong: Wrong, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = backed_up.file.read_bytes()
    said = _explained(backed_up.call(*wrong.arguments.split()))
    assert wrong.says in said
    assert wrong.advises in said
    assert backed_up.file.read_bytes() == before
    assert list(tmp_path.iterdir()) == []


# --- The configuration, found wrong when it is used ------------------------------------------------------------------


def _closed_port() -> int:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return int(unused.getsockname()[1])


class Broken(NamedTuple):
    """A change to the project's text that makes it wrong, and what has to be said about it."""

    change: Callable[[str, Simulator], str]
    key: str
    advises: str


def _setting(key: str, value: str) -> Callable[[str, Simulator], str]:
    """Sets a key of [tenants.contoso] to another value."""

    def change(text: str, simulator: Simulator) -> str:
        lines = text.splitlines()
        place = next(number for number, line in enumerate(lines) if line.startswith(f"{key} ="))
        lines[place] = f"{key} = {value.replace('PORT', str(_closed_port()))}"
        return "\n".join(lines)

    return change


CONFIGURATIONS = {
    "wrong secret": Broken(
        _setting("client_secret", '{ env = "WRONG_SECRET" }'), "tenants.contoso.client_secret", "Create a client secret"
    ),
    "missing variable": Broken(
        _setting("client_secret", '{ env = "NOT_SET_ANYWHERE" }'), "tenants.contoso.client_secret", "NOT_SET_ANYWHERE"
    ),
    "missing secret file": Broken(
        _setting("client_secret", '{ file = "nowhere/secret" }'), "tenants.contoso.client_secret", "nowhere/secret"
    ),
    "unknown application": Broken(
        _setting("client_id", '"00000000-1111-2222-3333-444444444444"'),
        "tenants.contoso.client_id",
        "Application (client) ID",
    ),
    "unknown tenant": Broken(
        _setting("tenant_id", '"00000000-1111-2222-3333-444444444444"'),
        "tenants.contoso.tenant_id",
        "Directory (tenant) ID",
    ),
    "unreachable authority": Broken(
        _setting("authority", '"https://127.0.0.1:PORT"'), "tenants.contoso.authority", "Check the network"
    ),
    "authority that nobody vouches for": Broken(
        _setting("ca_bundle", '"/dev/null"'), "tenants.contoso.authority", "ca_bundle"
    ),
    "Graph of another cloud": Broken(
        _setting("graph_url", '"http://127.0.0.1:PORT"'), "tenants.contoso.graph_url", "Graph in the cloud"
    ),
    "unknown key": Broken(lambda text, _: text + '[scopes.more]\ncolour = "red"\n', "scopes.more", "Remove it"),
    "secret in the file": Broken(_setting("client_secret", '"hunter2"'), "tenants.contoso.client_secret", "env"),
    "bad TOML": Broken(lambda text, _: text + "[scopes\n", "line", "Correct the TOML"),
    "scope twice": Broken(lambda text, _: text + '[scopes.all]\ntenant = "contoso"\n', "line", "rename or remove one"),
    "storage in the way of a file": Broken(
        lambda text, _: text.replace('path = "backup"', 'path = "dagster_project.toml/backup"'), "storage.disk.path", ""
    ),
}


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_a_wrong_configuration_is_blamed_on_its_key(
    name: str, simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WRONG_SECRET", "not-the-secret-but-kept-secret")
    broken = CONFIGURATIONS[name]
    file = write_project(tmp_path, simulator)
    file.write_text(broken.change(file.read_text(), simulator))

    result = call("--project", file, "backup", "all")

    said = result.err
    assert result.code == 2, said
    assert "Traceback" not in said
    assert result.out == ""
    assert str(file) in said
    assert broken.key in said
    assert "→" in said
    assert broken.advises in said
    assert "hunter2" not in said
    assert "kept-secret" not in said
    assert not list(tmp_path.glob("backup/_recovery_points/**/*.json"))


def test_graph_that_cannot_be_reached_ends_the_backup(
    simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The tenant signs in over https; only Graph itself is asked for through a proxy that is not there.
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{_closed_port()}")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    place = Place(write_project(tmp_path, simulator), simulator)
    result = place.call("backup", "few")

    assert result.code == 2
    assert "Traceback" not in result.err
    assert f"{place.file}: tenants.contoso.graph_url: Microsoft Graph cannot be reached" in result.err
    assert "Check the network" in result.err
    assert place.call("points", "few", "--json").json == []


def test_a_project_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ENTRA_PIPELINE_PROJECT", raising=False)
    said = _explained(call("points", "all"))
    assert "dagster_project.toml: cannot be read" in said
    assert "--project FILE" in said
    assert "nowhere.toml" in _explained(call("--project", "nowhere.toml", "scope", "list"))


def test_a_failed_backup_leaves_a_job_record_and_no_point(
    simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WRONG_SECRET", "wrong")
    place = Place(write_project(tmp_path, simulator), simulator)
    good = place.file.read_text()
    place.file.write_text(_setting("client_secret", '{ env = "WRONG_SECRET" }')(good, simulator))
    assert place.call("backup", "few").code == 2
    place.file.write_text(good)

    [job] = place.store("few").jobs.all()
    assert job.status == "failed"
    assert "refused to sign in" in job.error
    assert job.details["recovery_point"] == ""
    assert place.call("points", "few", "--json").json == []


# --- S3 --------------------------------------------------------------------------------------------------------------


def _on_s3(folder: Path, simulator: Simulator, endpoint: Endpoint, bucket: str) -> Place:
    file = write_project(folder, simulator)
    table = (
        f'kind = "s3"\nbucket = "{bucket}"\nendpoint_url = "{endpoint.url}"\n'
        'access_key_id = { env = "S3_KEY" }\nsecret_access_key = { env = "S3_SECRET" }\n'
    )
    file.write_text(file.read_text().replace('kind = "local"\npath = "backup"\n', table))
    return Place(file, simulator)


def test_a_bucket_that_is_not_there_is_blamed_on_its_key(
    simulator: Simulator, tmp_path: Path, s3_endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("S3_KEY", s3_endpoint.access_key_id)
    monkeypatch.setenv("S3_SECRET", s3_endpoint.secret_access_key)
    place = _on_s3(tmp_path, simulator, s3_endpoint, "nobody-made-this")
    for arguments in (["backup", "few"], ["points", "few"]):
        said = _explained(place.call(*arguments))
        assert "storage.disk.bucket" in said
        assert "nobody-made-this" in said
        assert str(place.file) in said
        assert "→" in said


def test_a_store_that_does_not_answer_is_blamed_on_its_address(
    simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("S3_KEY", "a")
    monkeypatch.setenv("S3_SECRET", "b")
    place = _on_s3(tmp_path, simulator, Endpoint(f"http://127.0.0.1:{_closed_port()}"), "entra-backup")
    said = _explained(place.call("backup", "few"))
    assert "storage.disk.endpoint_url" in said
    assert "→" in said


def test_a_key_that_nobody_set_is_blamed_on_its_variable(
    simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("S3_KEY", raising=False)
    place = _on_s3(tmp_path, simulator, Endpoint("http://127.0.0.1:1"), "entra-backup")
    said = _explained(place.call("backup", "few"))
    assert "storage.disk.access_key_id" in said
    assert "S3_KEY" in said


def test_objects_on_s3_are_filtered_like_those_on_disk(
    simulator: Simulator, tmp_path: Path, s3_bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("S3_KEY", s3_bucket.endpoint.access_key_id)
    monkeypatch.setenv("S3_SECRET", s3_bucket.endpoint.secret_access_key)
    place = _on_s3(tmp_path, simulator, s3_bucket.endpoint, s3_bucket.name)
    assert place.call("backup", "few").code == 0
    found = place.call("objects", "few", "users", "--where", "department = 'Finance'", "--json").json
    assert {user["department"] for user in found} == {"Finance"}
    stranger = f"(SELECT count(*) FROM read_text('{os.devnull}')) > 0"
    assert "the condition" in _explained(place.call("objects", "few", "users", "--where", stranger))
