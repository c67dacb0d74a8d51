"""From a storage profile to a store; what fails is blamed on file and key."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path

import duckdb
import pytest

from entra_pipeline.cli import run
from entra_pipeline.clock import iso
from entra_pipeline.errors import ConfigurationError, UsageError
from entra_pipeline.project import Project, load_project
from entra_pipeline.project.stores import open_store
from entra_pipeline.store.state import connect, state_query
from tests.support.s3 import Bucket
from tests.support.writing import Time, take

_PROJECT = """
[storage.main]
{storage}

[tenants.contoso]
tenant_id = "11111111-2222-3333-4444-555555555555"
client_id = "66666666-7777-8888-9999-000000000000"
client_secret = {{ env = "CONTOSO_CLIENT_SECRET" }}

[scopes.contoso]
tenant = "contoso"
storage = "main"
protect = "all"
retention = "30 days"
"""


@pytest.fixture
def s3_settings(s3_bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    monkeypatch.setenv("S3_KEY", s3_bucket.endpoint.access_key_id)
    monkeypatch.setenv("S3_SECRET", s3_bucket.endpoint.secret_access_key)
    return {
        "kind": '"s3"',
        "bucket": f'"{s3_bucket.name}"',
        "prefix": '"prod"',
        "endpoint_url": f'"{s3_bucket.endpoint.url}"',
        "access_key_id": '{ env = "S3_KEY" }',
        "secret_access_key": '{ env = "S3_SECRET" }',
    }


def _project(folder: Path, settings: dict[str, str]) -> Project:
    file = folder / "project.toml"
    file.write_text(_PROJECT.format(storage="\n".join(f"{key} = {value}" for key, value in settings.items())))
    return load_project(file)


def test_a_local_store_is_opened_beside_the_project(tmp_path: Path) -> None:
    project = _project(tmp_path, {"kind": '"local"', "path": '"backups"'})
    store = open_store(project, "contoso", Time())
    store.files.check()
    take(store, tmp_path, store.new_key(), "Adele")
    assert store.scope == "contoso"
    assert list((tmp_path / "backups").glob("users/**/*.parquet"))
    with pytest.raises(UsageError):
        open_store(project, "fabrikam")


def test_a_bucket_is_opened_for_the_store_and_for_duckdb(
    tmp_path: Path, s3_settings: dict[str, str], s3_bucket: Bucket
) -> None:
    project = _project(tmp_path, s3_settings)
    store = open_store(project, project.scope("contoso"), Time())
    store.files.check()
    made = take(store, tmp_path, store.new_key(), "Adele", "Alex")
    with connect(store.files) as connection:
        rows = connection.execute(state_query(store.files, made.tables["users"], "displayName")).fetchall()
    assert sorted(rows) == [("Adele",), ("Alex",)]
    assert [file.key for file in s3_bucket.files("prod").list("_rec")] == [
        "_recovery_points/contoso/2026-11-23T05-00-00Z.json"
    ]


def test_object_lock_is_taken_from_the_profile_and_its_dates_from_the_scope(
    tmp_path: Path, s3_settings: dict[str, str], locking_bucket: Bucket
) -> None:
    settings = {**s3_settings, "bucket": f'"{locking_bucket.name}"', "object_lock": '"governance"'}
    now = datetime.now(UTC).replace(microsecond=0)
    store = open_store(_project(tmp_path, settings), "contoso", Time(now))
    store.files.check()
    made = take(store, tmp_path, store.new_key(), "Adele")
    assert store.files.retained_until(store.manifest_key(made.recovery_point)) == now + timedelta(days=30)
    assert made.locked_until == iso(now + timedelta(days=32.5))


def test_credentials_of_the_environment_serve_where_the_profile_has_none(
    tmp_path: Path, s3_settings: dict[str, str], s3_bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    del s3_settings["access_key_id"], s3_settings["secret_access_key"]
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3_bucket.endpoint.access_key_id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3_bucket.endpoint.secret_access_key)
    store = open_store(_project(tmp_path, s3_settings), "contoso", Time())
    made = take(store, tmp_path, store.new_key(), "Adele")
    with connect(store.files) as connection:
        assert len(connection.execute(state_query(store.files, made.tables["users"])).fetchall()) == 1


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"bucket": '"no-such-bucket"'}, "storage.main.bucket"),
        ({"endpoint_url": '"http://127.0.0.1:9"'}, "storage.main.endpoint_url"),
    ],
)
def test_a_wrong_setting_is_named_with_its_file(
    tmp_path: Path, s3_settings: dict[str, str], change: dict[str, str], key: str
) -> None:
    files = _project(tmp_path, s3_settings | change).storage["main"].open()
    with pytest.raises(ConfigurationError) as caught:
        files.check()
    assert (caught.value.file, caught.value.key) == (str(tmp_path / "project.toml"), key)
    assert caught.value.remedy
    assert caught.value.exit_code == 2


def test_a_missing_secret_is_found_on_opening(
    tmp_path: Path, s3_settings: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("S3_SECRET")
    with pytest.raises(ConfigurationError, match="S3_SECRET"):
        open_store(_project(tmp_path, s3_settings), "contoso")


def test_a_path_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "backups").write_text("")
    project = _project(tmp_path, {"kind": '"local"', "path": '"backups"'})
    with pytest.raises(ConfigurationError, match=r"project.toml: storage.main.path: .*Not a directory"):
        open_store(project, "contoso").files.check()


def test_a_written_catalog_says_how_another_duckdb_gets_access_without_telling_keys(
    tmp_path: Path, s3_settings: dict[str, str], s3_bucket: Bucket, capsys: pytest.CaptureFixture[str]
) -> None:
    project = _project(tmp_path, s3_settings)
    take(open_store(project, "contoso", Time()), tmp_path, "2026-11-23T05-00-00Z", "Adele")
    assert run(["--project", str(project.file), "sql", "--write-catalog", str(tmp_path / "entra.duckdb")]) == 0
    said = capsys.readouterr().out
    assert f"CREATE SECRET \"main\" (TYPE s3, SCOPE 's3://{s3_bucket.name}/prod/'" in said
    assert s3_bucket.endpoint.secret_access_key not in said
    statements = project.storage["main"].access_statements("main")
    folder = Path(str(find_spec("duckdb_extension_httpfs").origin)).parent  # type: ignore[union-attr]
    with duckdb.connect() as connection:
        connection.execute(f"LOAD '{folder}/extensions/v{duckdb.__version__}/httpfs.duckdb_extension'")
        connection.execute(statements[-1])
        assert ("main",) in connection.execute("SELECT name FROM duckdb_secrets()").fetchall()
