"""An encrypted store through the command: everything works as before, and its files name nobody."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from entra_pipeline.analysis.sql import Relations, write_catalog
from entra_pipeline.analysis.sql.bounded import BoundedSession
from entra_pipeline.project import load_project
from entra_pipeline.simulator import Simulator
from resources.storage import StorageResource
from tests.support.command import Place

_SCOPES = """
[scopes.all]
tenant = "contoso"
storage = "disk"
protect = ["users", "groups"]
retention = "30 days"
logs = true
"""
_OWN = "onPremisesSyncEnabled IS NOT TRUE AND userType = 'Member'"
_KEY = 'encryption = { passphrase = { file = "storage.key" } }'


def _project(folder: Path, tenant: Simulator, encryption: str = _KEY, path: str = "backup") -> Place:
    file = folder / "dagster_project.toml"
    file.write_text(
        f'[storage.disk]\nkind = "local"\npath = "{path}"\n{encryption}\n{tenant.tenant_table("contoso")}\n{_SCOPES}'
    )
    return Place(file, tenant)


@pytest.fixture(scope="module")
def tenant() -> Iterator[Simulator]:
    with Simulator(users=12, groups=3, seed=5) as one:
        yield one


@pytest.fixture(scope="module")
def place(tenant: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """An encrypted store of which everything was used: backups, a restore, logs, a new data key."""
    folder = tmp_path_factory.mktemp("encrypted")
    for name in ("storage", "new"):
        (folder / f"{name}.key").write_text(f"the passphrase {name} is long enough\n")
    made = _project(folder, tenant)
    refused = made.call("backup", "all")
    assert refused.code == 1 and "storage encrypt" in refused.err
    unsure = made.call("storage", "encrypt", "disk")
    assert unsure.code == 2 and "loses every recovery point" in unsure.out and "--key-is-kept-elsewhere" in unsure.err
    assert not (folder / "backup" / "_encryption").exists()
    assert made.call("storage", "encrypt", "disk", "--key-is-kept-elsewhere").code == 0
    assert made.call("backup", "all").code == 0, made.call("backup", "all").err
    [user] = made.call("objects", "all", "users", "--where", _OWN, "--json").json[:1]
    tenant.control.delete("/users/" + user["id"])
    assert made.call("storage", "keys", "disk", "--rotate").code == 0
    assert made.call("backup", "all").code == 0
    [first, *_] = made.call("points", "all", "--json").json
    restored = made.call("restore", "all", "--at", first["recovery_point"], "--ids", user["id"], "--yes")
    assert restored.code == 0, restored.err
    yesterday = (datetime.now(UTC) - timedelta(days=1)).date()
    assert made.call("logs", "all", "--types", "directory_audits", "--from", yesterday).code == 0
    return made


def _files(place: Place) -> dict[str, bytes]:
    root = place.file.parent / "backup"
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_no_file_names_a_user_or_a_group(place: Place) -> None:
    users = place.call("sql", "SELECT displayName, userPrincipalName, mail FROM users", "--format", "json").json
    groups = place.call("sql", "SELECT displayName, mail FROM groups", "--format", "json").json
    named = {str(value) for row in [*users, *groups] for value in row.values() if value}
    assert len(users) == 12 and len(named) > 30
    files = _files(place)
    kinds = {name.partition("/")[0] for name in files}
    assert kinds >= {"_recovery_points", "_index", "_jobs", "_restore", "_audit", "_logs", "_notifications", "users"}
    told = {
        (file, name)
        for file, data in files.items()
        for name in named
        # JSON may write what is not ASCII in escapes.
        if name.encode() in data or json.dumps(name)[1:-1].encode() in data
    }
    assert told == set()


def test_everything_is_read_with_the_key(place: Place) -> None:
    assert place.call("verify", "all").code == 0, place.call("verify", "all").out
    for call in (
        *[("report", name, "--format", "json") for name in ("jobs", "audit", "readiness", "backup-analysis")],
        ("diff", "all", "--json"),
        ("objects", "all", "users", "--json"),
        ("restore", "all", "--at", "latest", "--dry-run"),
        ("prune", "--dry-run"),
        ("storage", "check", "disk"),
    ):
        assert place.call(*call).code == 0, (call, place.call(*call).err)
    for query, least in (
        ("SELECT count(*) AS n FROM users_history", 13),
        ("SELECT count(*) AS n FROM users_at('all', 'latest')", 12),
        ("SELECT count(*) AS n FROM jobs WHERE record->>'$.status' IS NOT NULL", 3),
        ("SELECT count(*) AS n FROM audit_events WHERE actor <> ''", 5),
        ("SELECT count(*) AS n FROM directory_audits", 1),
        ("SELECT count(*) AS n FROM recovery_point_tables", 4),
    ):
        answer = place.call("sql", query, "--format", "json")
        assert answer.code == 0 and answer.json[0]["n"] >= least, (query, answer)
    with BoundedSession(load_project(place.file), "512MB") as session:
        assert session.ask("SELECT count(*) FROM users JOIN jobs ON true").fetchall()[0][0] >= 36
    facts = load_project(place.file).storage["disk"].facts()
    assert ("Encryption", "before it is sent; passphrase wraps the data keys") in facts
    store = StorageResource(project_file=str(place.file)).open("all")
    assert store.files.vault is not None and store.latest() is not None


def test_a_catalog_is_read_by_stock_duckdb_with_the_keys_and_fails_without(place: Place, tmp_path: Path) -> None:
    catalog = tmp_path / "entra.duckdb"
    names = ["users", "users_at", "users_history", "group_members", "recovery_points", "jobs"]
    write_catalog(Relations.of(load_project(place.file)), catalog, names)
    keys = place.call("storage", "keys", "disk", "--duckdb").out
    assert keys.count("PRAGMA add_parquet_key") == 2
    assert keys.splitlines()[0].split("'")[3].encode() not in catalog.read_bytes()
    with duckdb.connect(str(catalog), read_only=True) as connection:
        with pytest.raises(duckdb.Error, match="No key with name"):
            connection.execute("FROM users")
        connection.execute(keys)
        for query in ("users", "group_members", "users_history", "users_at('all', 'latest')", "recovery_points"):
            assert connection.execute(f"FROM {query}").fetchall(), query
        with pytest.raises(duckdb.Error, match="entra-pipeline sql reads it"):
            connection.execute("SELECT count(*) FROM jobs").fetchall()
    # What a later key encrypts is not overlooked.
    root = place.file.parent / "backup" / "users"
    part = next(root.rglob("*.g0002-*.parquet"))
    later = part.with_name(part.name.replace("g0002", "g0003"))
    shutil.copy(part, later)
    try:
        with duckdb.connect(str(catalog), read_only=True) as connection:
            connection.execute(keys)
            with pytest.raises(duckdb.Error, match="this catalog is older"):
                connection.execute("FROM users").fetchall()
    finally:
        later.unlink()


def test_without_the_key_a_machine_prunes_and_says_what_it_cannot(place: Place, tmp_path: Path) -> None:
    shutil.copytree(place.file.parent / "backup", tmp_path / "backup")
    bare = _project(tmp_path, place.simulator, "")
    assert len(bare.call("points", "all", "--json").json) >= 3
    checked = bare.call("verify", "all")
    assert checked.code == 0 and "rows were not" in checked.out
    assert bare.call("prune", "all").code == 0
    for call in (
        ("backup", "all"),
        ("restore", "all", "--at", "latest", "--ids", "adele@contoso.com", "--dry-run"),
        ("objects", "all", "users"),
    ):
        refused = bare.call(*call)
        assert refused.code == 1 and "encryption" in refused.err, (call, refused)
    assert "has no key for it" in bare.call("report", "jobs").err
    # The refused restore is in the audit log, and what it was asked for is not.
    assert b"adele@contoso.com" not in b"".join(_files(bare).values())


def test_a_wrong_key_is_named_with_its_setting(place: Place, tmp_path: Path) -> None:
    shutil.copytree(place.file.parent / "backup", tmp_path / "backup")
    (tmp_path / "storage.key").write_text("another passphrase than the right one")
    wrong = _project(tmp_path, place.simulator).call("points", "all")
    assert wrong.code == 2 and "storage.disk.encryption.passphrase" in wrong.err and "unwrapped" in wrong.err


def test_all_keys_are_wrapped_anew(place: Place, tmp_path: Path) -> None:
    shutil.copytree(place.file.parent / "backup", tmp_path / "backup")
    for name in ("storage", "new"):
        shutil.copy(place.file.parent / f"{name}.key", tmp_path)
    former = 'former = { passphrase = { file = "storage.key" } }'
    both = _project(tmp_path, place.simulator, f'encryption = {{ passphrase = {{ file = "new.key" }}, {former} }}')
    assert len(both.call("storage", "keys", "disk", "--rewrap", "--json").json) == 2
    new = _project(tmp_path, place.simulator, 'encryption = { passphrase = { file = "new.key" } }')
    assert new.call("verify", "all").code == 0
    assert _project(tmp_path, place.simulator).call("points", "all").code == 2


def test_a_store_that_has_recovery_points_is_not_encrypted_halfway(tenant: Simulator, tmp_path: Path) -> None:
    (tmp_path / "storage.key").write_text("a passphrase that is long enough")
    plain = _project(tmp_path, tenant, "")
    assert plain.call("storage", "keys", "disk").code == 2
    assert plain.call("backup", "all").code == 0
    refused = _project(tmp_path, tenant).call("storage", "encrypt", "disk", "--key-is-kept-elsewhere")
    assert refused.code == 2 and "not encrypted" in refused.err and "new bucket, prefix or folder" in refused.err
    assert _project(tmp_path, tenant).call("backup", "all").code == 1


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("{}", "does not name one key"),
        ('{ passphrase = { file = "a" }, kms = { key = "b" } }', "does not name one key"),
        ('{ age = { identity = { file = "a" }, recipients = ["age1x"] } }', "is no recipient"),
        ('{ passphrase = "secret" }', "contains a secret"),
    ],
)
def test_a_wrong_setting_is_explained(tenant: Simulator, tmp_path: Path, setting: str, told: str) -> None:
    wrong = _project(tmp_path, tenant, f"encryption = {setting}").call("points", "all")
    assert wrong.code == 2 and told in wrong.err and "storage.disk.encryption" in wrong.err
