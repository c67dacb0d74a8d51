"""The ways to ask: the command, a written catalog in stock DuckDB, a notebook, a Dagster resource."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from datetime import date, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest

from entra_pipeline.analysis.sql import Relations, SqlSession, write_catalog
from entra_pipeline.analysis.sql.statements import EDGE_COLUMNS, RENAMED
from entra_pipeline.catalogue import CATALOGUE, RELATIONS
from entra_pipeline.catalogue.columns import column_types
from entra_pipeline.catalogue.logs import LOGS
from entra_pipeline.errors import UsageError
from entra_pipeline.notebook import open_project
from entra_pipeline.store.backends import LocalObjectStore
from entra_pipeline.store.job_records import JobRecord
from resources import DuckDBResource
from tests.sql.conftest import QUESTIONS, Story
from tests.sql.test_cookbook import answers
from tests.sql.test_history import Chain, person
from tests.support.command import Result, call
from tests.support.s3 import Bucket
from tests.support.writing import put_log_day

# A process with nothing of ours: the catalog, DuckDB, its httpfs, the questions.
STOCK = """
import importlib.util, json, pathlib, sys
import duckdb
catalog, access, questions = json.load(sys.stdin)
connection = duckdb.connect(catalog, read_only=True)
folder = pathlib.Path(importlib.util.find_spec("duckdb_extension_httpfs").origin).parent
connection.execute(f"LOAD '{folder}/extensions/v{duckdb.__version__}/httpfs.duckdb_extension'")
connection.execute(access)
connection.execute("SET TimeZone = 'UTC'")
connection.execute("SET enable_progress_bar = false")
found = {number: connection.execute(query).fetchall() for number, query in questions.items()}
assert not any(name.startswith("entra_pipeline") for name in sys.modules)
print(json.dumps(found, default=str))
"""


OTHERS = {"recovery_points", "recovery_point_tables", "jobs", "audit_events", "directory_audits"}


def ask(story: Story, *arguments: object) -> Result:
    return call("--project", story.file, "sql", *arguments)


def test_stock_duckdb_answers_the_cookbook_from_a_catalog_on_s3(
    story: Story, s3_bucket: Bucket, tmp_path: Path
) -> None:
    files = s3_bucket.files("prod")
    for file in story.store.files.list(""):
        files.replace(file.key, story.store.files.read(file.key))
    catalog = tmp_path / "entra.duckdb"
    words = set(re.findall(r"\w+", " ".join(QUESTIONS.values())))
    named = [name for name in Relations.names() if name in words]
    write_catalog(Relations({"bucket": (files, ["contoso"])}), catalog, named)
    secret = s3_bucket.endpoint.secret_access_key
    assert secret.encode() not in catalog.read_bytes()
    access = (
        f"CREATE SECRET (TYPE s3, SCOPE 's3://{s3_bucket.name}/prod/', KEY_ID '{s3_bucket.endpoint.access_key_id}', "
        f"SECRET '{secret}', REGION 'us-east-1', ENDPOINT '{s3_bucket.endpoint.url.removeprefix('http://')}', "
        "URL_STYLE 'path', USE_SSL false)"
    )
    told = json.dumps([str(catalog), access, QUESTIONS])
    run = subprocess.run([sys.executable, "-I", "-c", STOCK], input=told, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    known = {number: [[_text(value) for value in row] for row in rows] for number, rows in answers(story).items()}
    found = {
        number: [[_text(value) for value in row] for row in rows] for number, rows in json.loads(run.stdout).items()
    }
    assert found == known


def _text(value: Any) -> str:
    """A value as the other process printed it."""
    return str(value.isoformat(" ")) if isinstance(value, datetime) else str(value)


def test_a_written_catalog_sees_what_comes_later(tmp_path: Path) -> None:
    chain = Chain(LocalObjectStore(tmp_path / "store"), tmp_path)
    chain.take("2026-11-23T05-00-00Z", person("1", "Ann"))
    catalog = tmp_path / "entra.duckdb"
    write_catalog(
        Relations({"place": (chain.store.files, ["contoso"])}), catalog, ["users", "groups", "jobs", "sign_ins"]
    )
    chain.take("2026-11-23T06-00-00Z", person("2", "Ben"))
    with duckdb.connect(str(catalog), read_only=True) as connection:
        rows = connection.execute("SELECT displayName FROM users ORDER BY id").fetchall()
        assert rows == [("Ann",), ("Ben",)]
        for name in ("groups", "jobs", "sign_ins"):
            assert connection.execute(f"FROM {name}").fetchall() == []
    chain.store.jobs.write(JobRecord(id="1", type="backup"))
    put_log_day(chain.store.logs, tmp_path, "sign_ins", date(2026, 11, 22))
    with duckdb.connect(str(catalog), read_only=True) as connection:
        assert connection.execute("SELECT id, type FROM jobs").fetchall() == [("1", "backup")]
        query = "SELECT scope, day, id FROM sign_ins"
        assert connection.execute(query).fetchall() == [("contoso", date(2026, 11, 22), "sign_ins 2026-11-22")]
    # The files that the first backup of a type writes are not overlooked.
    chain.take("2026-11-23T07-00-00Z", person("g", "Sales"), table="groups")
    with (
        duckdb.connect(str(catalog), read_only=True) as connection,
        pytest.raises(duckdb.Error, match="this catalog is older than"),
    ):
        connection.execute("FROM groups").fetchall()


def test_the_command_answers_in_every_format(story: Story, tmp_path: Path) -> None:
    query = QUESTIONS["12"]
    assert "Controller" not in ask(story, query).out
    assert ask(story, query, "--format", "csv").out == (
        "displayName,jobTitle,department,accountEnabled\nAdele Vance,Analyst,Finance,true\n"
    )
    row = {"displayName": "Adele Vance", "jobTitle": "Analyst", "department": "Finance", "accountEnabled": True}
    assert ask(story, query, "--format", "json").json == [row]
    for name in ("answer.parquet", "answer.json", "answer.csv"):
        assert ask(story, query, "--output", tmp_path / name).code == 0
    assert pq.read_table(tmp_path / "answer.parquet").to_pylist() == [row]
    assert json.loads((tmp_path / "answer.json").read_text()) == [row]
    assert (tmp_path / "answer.csv").read_text() == ask(story, query, "--format", "csv").out
    assert json.loads(ask(story, "SELECT 1 AS one WHERE false", "--format", "json").out) == []


def test_columns_of_json_are_json(story: Story) -> None:
    query = "SELECT assignedLicenses, [passwordPolicies] AS list FROM users LIMIT 1"
    [row] = ask(story, query, "--format", "json").json
    assert isinstance(row["assignedLicenses"], list)
    assert isinstance(row["list"], list)
    assert ask(story, "SELECT NULL::JSON AS nothing", "--format", "json").json == [{"nothing": None}]


def test_rows_that_are_too_wide_for_a_table_are_shown_one_below_the_other(story: Story) -> None:
    said = ask(story, "SELECT * FROM users ORDER BY id LIMIT 2").out
    assert "row 1" in said and "row 2" in said
    columns = [line.split()[0] for line in said.splitlines() if line.strip()]
    assert {"displayName", "userPrincipalName", "accountEnabled"} <= set(columns)
    assert "row" not in ask(story, "SELECT id, displayName FROM users LIMIT 2").out.split()


def test_several_statements_answer_one_after_the_other(story: Story) -> None:
    query = "SET VARIABLE name = 'Adele'; SELECT getvariable('name') AS who; SELECT 7 AS days"
    said = ask(story, query)
    assert said.code == 0
    assert [line.strip() for line in said.out.splitlines() if line.strip() and "─" not in line] == [
        "who",
        "Adele",
        "days",
        "7",
    ]
    one = "SET VARIABLE days = 7; SELECT getvariable('days') AS days"
    assert ask(story, one, "--format", "json").json == [{"days": 7}]
    refused = ask(story, query, "--format", "csv")
    assert (refused.code, refused.out) == (2, "")
    assert "more than one statement has an answer" in refused.err
    changing = ask(story, "SELECT 1 AS one; DROP TABLE users")
    assert (changing.code, changing.out) == (2, "")


def test_the_command_writes_a_catalog_and_explains_what_cannot_be(story: Story, tmp_path: Path) -> None:
    catalog = tmp_path / "entra.duckdb"
    written = ask(story, "--write-catalog", catalog)
    assert (written.code, "no secrets" in written.out) == (0, True)
    with duckdb.connect(str(catalog), read_only=True) as connection:
        assert connection.execute("SELECT count(*) FROM users_history WHERE _change = 'deleted'").fetchall() == [(1,)]
        said = "SELECT comment FROM duckdb_columns() WHERE table_name = 'role_holders' AND column_name = 'role'"
        assert connection.execute(said).fetchall() == [("The name of the role.",)]
    assert ask(story, "--write-catalog", tmp_path / "nowhere" / "entra.duckdb").code == 1
    unknown = ask(story, "FROM userz")
    assert (unknown.code, "did you mean 'users'?" in unknown.err) == (2, True)
    qualified = ask(story, "FROM contoso.users")
    assert (qualified.code, "Ask FROM users; of one scope with WHERE scope" in qualified.err) == (2, True)
    assert ask(story, "FROM users", "--tables").code == 2
    assert ask(story, "FROM users", "--format", "parquet").code == 2
    shown = ask(story, "--tables").out
    assert all(
        heading in shown for heading in ("Who may do what", "The backups themselves", "Logs", "Conditional access")
    )
    assert "users_history" in ask(story, "--tables", "--format", "csv").out


def test_a_notebook_gets_arrow_and_pandas(story: Story) -> None:
    with open_project(story.file) as project:
        scope = project.scope("contoso")
        assert project.scopes() == ["contoso"]
        assert scope.points() == [point.recovery_point for point in story.points]
        then = scope.at(scope.points()[0]).table("users").arrow().to_pylist()
        assert "Dora Deleted" in {row["displayName"] for row in then}
        now = scope.at().table("users").pandas()
        assert "Dora Deleted" not in set(now["displayName"])
        holders = scope.at(scope.points()[0]).table("role_holders").arrow().to_pylist()
        assert "Gina Group" in {row["principal"] for row in holders if row["role"] == "Global Administrator"}
        assert project.sql("SELECT count(*) AS points FROM recovery_points").arrow().to_pylist() == [{"points": 3}]
        with pytest.raises(UsageError, match="did you mean 'users'"):
            scope.at().table("userz")


def test_dagster_gets_a_session(story: Story) -> None:
    with DuckDBResource(project_file=str(story.file)).session() as session:
        assert session.ask("SELECT count(*) FROM recovery_points").fetchall() == [(3,)]


def test_names_are_completed(story: Story) -> None:
    with open_project(story.file) as project:
        assert project.session.completions("SELECT displ", "displ") == []
        assert project.session.completions("SELECT displ FROM users_at(", "displ") == ["displayName"]
        assert project.session.completions("FROM group_mem", "group_mem") == [
            "group_members_transitive",
            "group_members_transitive_at",
            "group_members",
            "group_members_at",
            "group_members_history",
        ]


def test_a_catalog_of_an_empty_store_has_the_types_of_one_that_is_filled(story: Story, tmp_path: Path) -> None:
    def described(connection: duckdb.DuckDBPyConnection, name: str) -> dict[str, str]:
        asked = f"DESCRIBE FROM {name}" + ("('contoso', 'latest')" if name.endswith("_at") else "")
        return {column: kind for column, kind, *_ in connection.execute(asked).fetchall()}

    catalog, store = tmp_path / "entra.duckdb", tmp_path / "store"
    write_catalog(Relations({"place": (LocalObjectStore(store), ["contoso"])}), catalog)
    manifest = story.points[-1]
    filled = {name for name, held in manifest.tables.items() if held.parts}
    with duckdb.connect(str(catalog), read_only=True) as fresh, SqlSession.of(story.project) as session:
        names = Relations.names()
        known = [name for name in names if re.sub("_(at|history)$", "", name) in filled or name in OTHERS]
        session.define(" ".join(known))
        for name in names:
            types = described(fresh, name)
            table = re.sub("_(at|history)$", "", name)
            entry = CATALOGUE.get(table) or LOGS.get(table)
            expected = column_types(entry) if entry else {}
            if table in RELATIONS:
                expected = dict.fromkeys(EDGE_COLUMNS, "VARCHAR")
            told = {column: kind.replace("TIMESTAMP WITH TIME ZONE", "TIMESTAMPTZ") for column, kind in types.items()}
            assert {RENAMED.get(column, column): kind for column, kind in expected.items()}.items() <= told.items(), (
                name
            )
            assert "INTEGER" not in types.values()
            if name in known:
                assert list(described(session.connection, name).items()) == list(types.items()), name


def test_a_store_without_points_answers_no_moment(tmp_path: Path) -> None:
    catalog = tmp_path / "entra.duckdb"
    places = {"place": (LocalObjectStore(tmp_path / "store"), ["contoso"])}
    write_catalog(Relations(places), catalog, ["users_at", "group_members_at"])
    with duckdb.connect(str(catalog), read_only=True) as connection:
        for name in ("users_at", "group_members_at"):
            for moment in ("'latest'", "now()", "NULL"):
                with pytest.raises(duckdb.Error, match="there is no such point"):
                    connection.execute(f"SELECT count(*) FROM {name}('contoso', {moment})").fetchall()
