"""`storage check`, and storage whose name is a pattern elsewhere, through the command."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from entra_pipeline.analysis.sql import SqlSession
from entra_pipeline.project import load_project
from entra_pipeline.simulator import Simulator
from tests.support.command import Place
from tests.support.gateway import Call, Gateway, Reply, gateway, refusal
from tests.support.s3 import Bucket, Endpoint, new_bucket

ODD = "back[ups] *?#1 100% a+b=c&d 'x' {z} åäö"
TYPES = ["users", "groups", "domains"]


@pytest.fixture(scope="module")
def tenant() -> Iterator[Simulator]:
    with Simulator(users=20, groups=4, seed=5) as one:
        yield one


def project(folder: Path, simulator: Simulator, storage: str) -> Place:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "dagster_project.toml"
    file.write_text(
        f"[storage.here]\n{storage}\n{simulator.tenant_table('contoso')}\n"
        f'[scopes.all]\ntenant = "contoso"\nstorage = "here"\nprotect = {json.dumps(TYPES)}\nretention = "30 days"\n'
    )
    return Place(file, simulator)


def s3(bucket: Bucket, *, url: str = "", prefix: str = "", keys: bool = True) -> str:
    lines = [
        'kind = "s3"',
        f'bucket = "{bucket.name}"',
        f"prefix = {json.dumps(prefix, ensure_ascii=False)}",
        f'endpoint_url = "{url or bucket.endpoint.url}"',
    ]
    if keys:
        lines += ['access_key_id = { env = "CLI_S3_KEY" }', 'secret_access_key = { env = "CLI_S3_SECRET" }']
    return "\n".join(lines)


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLI_S3_KEY", "test")
    monkeypatch.setenv("CLI_S3_SECRET", "testtest")


def use_everything(place: Place) -> None:
    """Whatever reads a recovery point, by every way in which a file's name gets into a query."""
    assert place.call("backup", "all").code == 0
    [first] = place.call("objects", "all", "users", "--where", "accountEnabled", "--limit", "1", "--json").json
    place.simulator.control.patch(f"users/{first['id']}", {"jobTitle": f"Changed {time.monotonic()}"})
    assert place.call("backup", "all").code == 0
    found = place.call("objects", "all", "users", "--where", f"id = '{first['id']}'", "--json")
    assert [one["id"] for one in found.json] == [first["id"]]
    assert place.call("objects", "all", "users", "--search", first["displayName"]).code == 0
    count = place.call("sql", "SELECT count(*) AS n FROM users_history WHERE _change = 'changed'", "--format", "json")
    assert count.json == [{"n": 1}]
    assert place.call("verify", "all", "--all").code == 0
    points = [one["recovery_point"] for one in place.call("points", "all", "--json").json]
    changed = place.call("diff", "all", "--from", min(points), "--to", max(points), "--json")
    assert changed.code == 0 and first["id"] in changed.out
    plan = place.call(
        "restore", "all", "--at", min(points), "--types", "users", "--where", f"id = '{first['id']}'", "--dry-run"
    )
    assert plan.code == 0, plan.err


def test_a_folder_may_have_any_name(tmp_path: Path, tenant: Simulator) -> None:
    use_everything(project(tmp_path / ODD, tenant, f'kind = "local"\npath = "{ODD}/store"'))


def test_a_prefix_may_have_any_name(tmp_path: Path, tenant: Simulator, s3_bucket: Bucket) -> None:
    use_everything(project(tmp_path, tenant, s3(s3_bucket, prefix=f"{ODD}/store")))


@pytest.mark.parametrize(
    ("storage", "key"),
    [
        ('kind = "local"\npath = "back\\\\ups"', "storage.here.path"),
        ('kind = "s3"\nbucket = "backup"\nprefix = "a//b"', "storage.here.prefix"),
        ('kind = "s3"\nbucket = "backup"\nprefix = "a/./b"', "storage.here.prefix"),
        ('kind = "s3"\nbucket = "backup"\nprefix = "a\\tb"', "storage.here.prefix"),
        (f'kind = "s3"\nbucket = "backup"\nprefix = "{"long/" * 200}"', "storage.here.prefix"),
    ],
)
def test_a_name_that_cannot_work_is_refused_with_file_key_and_remedy(
    tmp_path: Path, tenant: Simulator, storage: str, key: str
) -> None:
    place = project(tmp_path, tenant, storage)
    said = place.call("backup", "all")
    assert said.code == 2
    assert f"{place.file}: {key}: " in said.err
    assert "→" in said.err


# --- storage check ---------------------------------------------------------------------------------------------------


def test_the_check_of_a_folder_passes(tmp_path: Path, tenant: Simulator) -> None:
    place = project(tmp_path, tenant, 'kind = "local"\npath = "backup"')
    found = place.call("storage", "check", "--json")
    assert found.code == 0
    assert {one["outcome"] for one in found.json} == {"passed"}
    assert [one["check"] for one in found.json] == [
        "list",
        "write and read",
        "create only when absent",
        "large files and speed",
        "delete",
    ]
    assert "MB/s" in place.call("storage", "check", "here").out


def test_the_check_of_a_bucket_passes(tmp_path: Path, tenant: Simulator, s3_bucket: Bucket) -> None:
    found = project(tmp_path, tenant, s3(s3_bucket)).call("storage", "check", "here", "--json")
    broken = {one["check"] for one in found.json if one["outcome"] == "failed"}
    # moto's server takes every checksum for right.
    assert (found.code, broken) in [(0, set()), (3, {"checksums"})]


def test_an_unknown_storage_is_a_mistake_of_usage(tmp_path: Path, tenant: Simulator) -> None:
    said = project(tmp_path, tenant, 'kind = "local"\npath = "backup"').call("storage", "check", "hear")
    assert said.code == 2
    assert "here" in said.err


@pytest.mark.parametrize(
    ("refused", "code", "check"),
    [
        (lambda call: call.headers.get("if-none-match") and (501, "NotImplemented"), 1, "create only when absent"),
        (lambda call: (call.deletes_many or call.method == "DELETE") and (403, "AccessDenied"), 3, "delete"),
        (lambda call: call.lists and (403, "AccessDenied"), 2, "list"),
    ],
    ids=["conditional writes", "delete", "everything"],
)
def test_the_check_ends_as_what_is_missing_matters(
    tmp_path: Path, tenant: Simulator, moto_endpoint: Endpoint, refused: object, code: int, check: str
) -> None:
    def habit(call: Call, _: Gateway) -> Reply | None:
        said = refused(call)  # type: ignore[operator]
        return refusal(*said) if said else None

    with gateway(moto_endpoint) as proxy:
        proxy.habit = habit
        place = project(tmp_path, tenant, s3(new_bucket(moto_endpoint), url=proxy.endpoint.url))
        found = place.call("storage", "check", "--json")
    assert found.code == code
    broken = [one for one in found.json if one["outcome"] == "failed" and one["check"] != "checksums"]
    assert [one["check"] for one in broken] == [check]
    assert broken[0]["remedy"]


# --- Credentials that change -----------------------------------------------------------------------------------------

_PROCESS = """#!/bin/sh
now=$(date +%s)
until=$(date -u -d "@$((now + {told}))" +%Y-%m-%dT%H:%M:%SZ)
printf '{{"Version": 1, "AccessKeyId": "test", "SecretAccessKey": "testtest", '
printf '"SessionToken": "%s", "Expiration": "%s"}}' "$((now + {lives}))" "$until"
"""


def _tokens_expire(call: Call, state: Gateway) -> Reply | None:
    token = call.headers.get("x-amz-security-token", "0")
    state.seen[token] += 1
    if int(token) < time.time():
        state.seen["expired"] += 1
        return refusal(400, "ExpiredToken")
    return None


@pytest.mark.parametrize(("lives", "told"), [(2, 2), (2, 3600)], ids=["as told", "ended early"])
def test_work_outlives_any_number_of_tokens(
    tmp_path: Path,
    tenant: Simulator,
    moto_endpoint: Endpoint,
    monkeypatch: pytest.MonkeyPatch,
    lives: int,
    told: int,
) -> None:
    process = tmp_path / "credentials"
    process.write_text(_PROCESS.format(lives=lives, told=told))
    process.chmod(0o755)
    config = tmp_path / "aws"
    config.write_text(f"[default]\ncredential_process = {process}\n")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    with gateway(moto_endpoint) as proxy:
        proxy.habit = _tokens_expire
        place = project(tmp_path, tenant, s3(new_bucket(moto_endpoint), url=proxy.endpoint.url, keys=False))
        assert place.call("backup", "all").code == 0
        # Each command signs in anew; a session of SQL and the server of the console do not.
        with SqlSession.of(load_project(place.file)) as session:
            for _ in range(2):
                assert session.ask("SELECT count(*) > 0 FROM users").fetchall() == [(True,)]
                time.sleep(lives + 1)
            assert session.ask("SELECT count(*) > 0 FROM groups").fetchall() == [(True,)]
        assert place.call("objects", "all", "users", "--where", "accountEnabled", "--json").code == 0
        tokens = [token for token in proxy.seen if token != "expired"]
    assert len(tokens) >= 3
    assert "0" not in tokens


def test_a_key_in_a_file_may_be_replaced_while_it_is_used(tmp_path: Path, moto_endpoint: Endpoint) -> None:
    from entra_pipeline.store.backends import S3Storage

    (tmp_path / "key").write_text("old")
    (tmp_path / "secret").write_text("testtest")
    with gateway(moto_endpoint) as proxy:
        storage = S3Storage.model_validate(
            {
                "kind": "s3",
                "bucket": new_bucket(moto_endpoint).name,
                "endpoint_url": proxy.endpoint.url,
                "access_key_id": {"file": str(tmp_path / "key")},
                "secret_access_key": {"file": str(tmp_path / "secret")},
            }
        )
        files = storage.open()
        files.replace("a", b"x")
        proxy.habit = lambda call, _: (
            refusal(403, "InvalidAccessKeyId") if "Credential=old/" in call.headers["authorization"] else None
        )
        (tmp_path / "key").write_text("new")
        assert files.read("a") == b"x"
