"""A signed store through the command: everything works as before, and what nobody signed is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from entra_pipeline.simulator import Simulator
from tests.support.command import Place
from tests.support.signing import OURS, STRANGER, private_pem, signing_key

_SCOPES = """
[scopes.all]
tenant = "contoso"
storage = "disk"
protect = ["users", "groups"]
retention = "30 days"
"""


def _project(folder: Path, tenant: Simulator, signing: str) -> Place:
    file = folder / "dagster_project.toml"
    file.write_text(
        f'[storage.disk]\nkind = "local"\npath = "backup"\n{signing}\n{tenant.tenant_table("contoso")}\n{_SCOPES}'
    )
    return Place(file, tenant)


@pytest.fixture
def tenant() -> Simulator:
    with Simulator(users=6, groups=2, seed=5) as one:
        yield one


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    for name in ("ours", "new"):
        (tmp_path / f"{name}.pem").write_text(private_pem(name))
    return tmp_path


def test_a_store_begins_to_be_signed_and_goes_on(tenant: Simulator, keys: Path) -> None:
    place = _project(keys, tenant, "")
    assert place.call("backup", "all").code == 0
    refused = place.call("storage", "sign", "disk")
    assert refused.code == 2 and "openssl genpkey" in refused.err

    ours = 'signing = { private_key = { file = "ours.pem" } }'
    place = _project(keys, tenant, ours)
    assert place.call("backup", "all").code == 1
    assert "storage sign" in place.call("points", "all").err
    counted = place.call("storage", "sign", "disk", "--json")
    assert counted.code == 3 and counted.json["public_key"] == OURS.public.text
    assert counted.json["records"]["_recovery_points"] == 1
    adopted = place.call("storage", "sign", "disk", "--adopt")
    assert adopted.code == 0 and OURS.public.id in adopted.out
    assert place.call("storage", "sign", "disk").code == 0
    assert place.call("backup", "all").code == 0
    assert place.call("verify", "all").code == 0, place.call("verify", "all").out

    # DuckDB reads records as they are stored, with their signatures.
    told = place.call(
        "sql", "SELECT count(*) AS n FROM jobs WHERE record->>'$.signature' IS NOT NULL", "--format", "json"
    )
    assert told.json == [{"n": 2}]
    actions = place.call("sql", "SELECT action, number FROM audit_events ORDER BY number", "--format", "json").json
    assert actions[0]["action"] == "backup" and {one["action"] for one in actions} >= {"storage sign"}
    assert place.call("sql", "SELECT count(*) AS n FROM users", "--format", "json").json == [{"n": 6}]
    for report in ("jobs", "audit", "readiness"):
        assert place.call("report", report, "--format", "json").code == 0
    assert place.call("points", "all", "--json").json[1]["status"] == "finished"

    # A head that is kept elsewhere finds what signatures cannot: that everything was put back.
    head = place.call("points", "all", "--head").out.strip()
    assert place.call("points", "all", "--head", "--json").json["scope"] == "all"
    assert place.call("verify", "all", "--expect", head).code == 0
    shutil.copytree(keys / "backup", keys / "copy")
    assert place.call("backup", "all").code == 0
    later = place.call("points", "all", "--head").out.strip()
    assert place.call("verify", "all", "--expect", head).code == 0
    shutil.rmtree(keys / "backup")
    (keys / "copy").rename(keys / "backup")
    assert place.call("verify", "all").code == 0
    back = place.call("verify", "all", "--expect", later, "--json")
    assert back.code == 1
    assert len([one for one in back.json if one["table"] == later and not one["ok"]]) == 2
    assert place.call("verify", "all", "--expect", "nonsense").code == 2

    # A new key goes on; who trusts the old one only, trusts it too.
    place = _project(keys, tenant, 'signing = { private_key = { file = "new.pem" } }')
    assert place.call("backup", "all").code == 1
    assert place.call("storage", "sign", "disk", "--previous", keys / "ours.pem").code == 0
    assert place.call("backup", "all").code == 0
    assert place.call("verify", "all").code == 0
    trusted = json.dumps([OURS.public.text])
    assert _project(keys, tenant, f"signing = {{ public_keys = {trusted} }}").call("points", "all").code == 0
    trusted = json.dumps([STRANGER.public.text])
    assert _project(keys, tenant, f"signing = {{ public_keys = {trusted} }}").call("points", "all").code == 1
    assert signing_key("new").public.id in "".join(path.name for path in (keys / "backup/_keys").iterdir())
