"""Questions in SQL: what they answer, and that they reach nothing else."""

from __future__ import annotations

import csv
import io
import socket
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from uuid import uuid4

import duckdb
import openpyxl
import pyarrow.parquet as pq
import pytest

from entra_pipeline.analysis.sql.bounded import BoundedSession
from entra_pipeline.console.auth.roles import Role
from entra_pipeline.console.sql import ROWS_IN_FILES, ROWS_SHOWN, QueryPool, bounds
from entra_pipeline.errors import EntraPipelineError, StoreError, UsageError
from entra_pipeline.project import Project, load_project
from entra_pipeline.project.stores import open_store
from tests.console.conftest import HTML, Served
from tests.console.test_security import Elements, events
from tests.support.s3 import Bucket, Endpoint

SECRET = """
[storage.disk]
kind = "s3"
bucket = "{bucket}"
prefix = "prod"
endpoint_url = "{url}"
access_key_id = {{ env = "SQL_TEST_ID" }}
secret_access_key = {{ env = "SQL_TEST_SECRET" }}
"""


@pytest.fixture(scope="module", params=["folder", "s3"])
def project(
    request: pytest.FixtureRequest, project_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Project]:
    """A project whose store is a folder, and the same in a bucket."""
    local = load_project(project_file)
    if request.param == "folder":
        yield local
        return
    endpoint: Endpoint = request.getfixturevalue("s3_endpoint")
    bucket = Bucket(endpoint, f"sql-{uuid4().hex[:12]}")
    endpoint.client().create_bucket(Bucket=bucket.name)
    stored, there = open_store(local, "contoso").files, bucket.files("prod")
    for one in stored.list(""):
        there.create(one.key, stored.read(one.key))
    text = project_file.read_text()
    begin, end = text.index("[storage.disk]"), text.index("[storage.bucket]")
    file = tmp_path_factory.mktemp("sql") / "dagster_project.toml"
    file.write_text(text[:begin] + SECRET.format(bucket=bucket.name, url=endpoint.url) + text[end:], encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SQL_TEST_ID", endpoint.access_key_id)
        patch.setenv("SQL_TEST_SECRET", endpoint.secret_access_key)
        yield load_project(file)


@pytest.fixture
def session(project: Project) -> Iterator[BoundedSession]:
    with BoundedSession(project, "512MB") as one:
        yield one


def rows(session: BoundedSession, query: str) -> list[tuple[object, ...]]:
    return session.ask(query).fetchall()


def test_it_answers(session: BoundedSession, project: Project) -> None:
    store = open_store(project, "contoso")
    [point] = store.points()
    live = store.manifest(point).tables["users"].live
    assert rows(session, "SELECT count(*) FROM users") == [(live,)]
    assert rows(session, "SELECT count(*) FROM users_at('contoso', '2999-01-01')") == [(live,)]
    assert rows(session, "WITH h AS (FROM users_history) SELECT count(DISTINCT id) FROM h;") == [(live,)]
    assert rows(session, "SELECT recovery_point FROM recovery_points -- and no more") == [(point,)]
    assert rows(session, "SELECT count(*) FROM group_members m JOIN users u ON u.id = m.target_id")[0][0]
    assert rows(session, "FROM jobs") == rows(session, "SELECT * FROM jobs WHERE scope = 'contoso'")
    assert rows(session, "SELECT unnest([1, 2])") == [(1,), (2,)]
    assert rows(session, "SELECT * FROM audit_events WHERE action = 'nothing'") == []


REFUSED = (
    "COPY (SELECT 1) TO '{out}'",
    "COPY users TO '{out}' (FORMAT parquet)",
    "EXPORT DATABASE '{out}'",
    "IMPORT DATABASE '{out}'",
    "PRAGMA import_database('{out}')",
    "ATTACH '{out}' AS other",
    "INSTALL httpfs",
    "LOAD httpfs",
    "PRAGMA database_list",
    "SET memory_limit = '1TB'",
    "RESET enable_external_access",
    "CALL duckdb_secrets()",
    "CREATE SECRET (TYPE s3, KEY_ID 'a', SECRET 'b')",
    "CREATE TABLE t AS SELECT 1",
    "CREATE OR REPLACE VIEW recovery_points AS SELECT 1",
    "DROP VIEW IF EXISTS users",
    "PREPARE p AS SELECT 1",
    "EXPLAIN ANALYZE SELECT 1",
    "CHECKPOINT",
    "SELECT 1; SELECT 2",
    "SELECT 1; COPY (SELECT 1) TO '{out}'",
    "FROM duckdb_secrets()",
    "FROM duckdb_settings()",
    "FROM duckdb_settings",
    "FROM pg_catalog.pg_settings",
    "FROM pg_settings",
    "FROM information_schema.tables",
    "FROM duckdb_tables",
    "FROM sqlite_master",
    "FROM system.main.duckdb_views",
    'FROM "{own}"',
    'FROM "x.parquet"',
    "SELECT current_setting('allowed_directories')",
    "SELECT id FROM users WHERE getenv('HOME') <> ''",
    "SELECT getvariable('x')",
    "WITH x AS (FROM pg_settings) FROM x",
    "FROM read_text('{own}')",
    "FROM read_blob('{own}')",
    "FROM read_csv('{own}')",
    "FROM sniff_csv('{own}')",
    "FROM '{own}'",
    "FROM '{out}.parquet'",
    "FROM glob('/*')",
    "FROM glob('store-disk://*')",
    "FROM query('SELECT 1')",
    "FROM query_table(['users'])",
    "FROM json_execute_serialized_sql('x')",
    "FROM read_parquet('http://127.0.0.1:{port}/x.parquet')",
    "FROM 'http://127.0.0.1:{port}/x.csv'",
    "FROM 's3://entra-backup/x.parquet?s3_endpoint=127.0.0.1:{port}'",
    "WITH x AS (FROM read_text('{own}')) FROM x",
    "SELECT (SELECT content FROM read_text('{own}'))",
    "SELECT id FROM users WHERE id IN (SELECT content FROM read_text('{own}'))",
    "FROM users_at('contoso', (SELECT content FROM read_text('{own}')))",
    "SELECT id FROM users UNION ALL SELECT content FROM read_text('{own}')",
    "DESCRIBE FROM read_text('{own}')",
    "",
    "nonsense",
    "it's",
    "SELECT 1 \0; COPY (SELECT 1) TO '{out}'",
)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A service that somebody could be sent to."""
    with socket.create_server(("127.0.0.1", 0)) as one:
        one.setblocking(False)
        yield one


def test_nothing_else_is_asked_for(
    session: BoundedSession, project: Project, tmp_path: Path, listener: socket.socket
) -> None:
    out = tmp_path / "out"
    names = {"out": out, "own": project.file, "port": listener.getsockname()[1]}
    for query in REFUSED:
        with pytest.raises(UsageError) as refusal:
            session.ask(query.format(**names)).fetchall()
        assert refusal.value.remedy, query
    assert not list(tmp_path.glob("out*"))
    with pytest.raises(BlockingIOError):
        listener.accept()


UNREACHED = (
    "COPY (SELECT 1) TO '{out}'",
    "COPY (SELECT 1) TO 'store-disk://users/out.csv'",
    "ATTACH '{out}' AS other",
    "INSTALL httpfs",
    "LOAD httpfs",
    "SET enable_external_access = true",
    "SET memory_limit = '1TB'",
    "SET allowed_directories = ['/']",
    "FROM read_text('{own}')",
    "FROM '{own}'",
    "FROM glob('/*')",
    "FROM read_text('store-disk://../dagster_project.toml')",
    "FROM read_text('store-disk://users/../../dagster_project.toml')",
    "FROM read_text('store-disk:///etc/passwd')",
    "FROM read_parquet('http://127.0.0.1:{port}/x.parquet')",
    "FROM read_parquet('s3://entra-backup/x.parquet?s3_endpoint=127.0.0.1:{port}')",
)


def test_duckdb_itself_reaches_nothing(
    session: BoundedSession, project: Project, tmp_path: Path, listener: socket.socket
) -> None:
    """What would stand between a question and the machine if the list of what may be named had a hole."""
    names = {"out": tmp_path / "out", "own": project.file, "port": listener.getsockname()[1]}
    for query in UNREACHED:
        with pytest.raises(duckdb.Error):
            session.connection.execute(query.format(**names)).fetchall()
            pytest.fail(query)
    assert not list(tmp_path.glob("out*"))
    with pytest.raises(BlockingIOError):
        listener.accept()


def test_duckdb_knows_no_secret(session: BoundedSession) -> None:
    rows(session, "SELECT count(*) FROM users")
    known = session.connection.execute("SELECT list(value) FROM duckdb_settings()").fetchall()
    assert "testtest" not in str(known) and "SQL_TEST" not in str(known)
    assert session.connection.execute("SELECT count(*) FROM duckdb_secrets()").fetchall() == [(0,)]


# --- The page --------------------------------------------------------------------------------------------------------


def test_an_answer_is_shown(console: Served, secrets: list[str]) -> None:
    operator = console.browser(Role.operator)
    page = operator.get("/sql", params={"query": "FROM users"})
    assert "FROM users</textarea>" in page.text and "<h2>Result</h2>" not in page.text
    answer = operator.post("/sql", {"query": "SELECT displayName, NULL AS gone, 7 AS seven FROM users ORDER BY 1"})
    assert answer.status_code == 200
    shown = Elements(answer.text)
    assert "20 rows." in shown.text and "displayName" in shown.text
    assert HTML[:30] in shown.text and not any(tag == "img" and "src" not in at for tag, at in shown.found)
    assert not any(name.startswith("on") for _, attributes in shown.found for name in attributes)
    assert not any(secret in answer.text for secret in secrets)
    event = events(console, "sql")[-1]
    assert (event.result, event.details["rows"]) == ("finished", 20)
    assert event.details["query"].startswith("SELECT displayName")
    refused = operator.post("/sql", {"query": "COPY users TO '/tmp/x'"})
    assert refused.status_code == 400 and 'role="alert"' in refused.text and "Only SELECT" in refused.text
    assert events(console, "sql")[-1].result == "refused"
    assert operator.post("/sql", {"query": "SELECT nothing FROM users"}).status_code == 400
    assert operator.post("/sql", {"query": ""}).status_code == 200


QUERY = "SELECT userPrincipalName AS name, accountEnabled, 12 AS number, [1, 2] AS list, name FROM users ORDER BY 1"


def test_files(console: Served) -> None:
    operator = console.browser(Role.operator)
    sent = {
        format_: operator.post("/sql", {"query": QUERY.replace(", name FROM", ", 1 AS name FROM"), "format": format_})
        for format_ in ("csv", "json", "parquet", "xlsx")
    }
    for format_, answer in sent.items():
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-disposition"].endswith(f'.{format_}"')
    header = ["name", "accountEnabled", "number", "list", "name_2"]
    table = list(csv.reader(io.StringIO(sent["csv"].text)))
    assert table[0] == header and len(table) == 21 and table[1][2:] == ["12", "[1,2]", "1"]
    assert [list(row) for row in sent["json"].json()["rows"]] == [header] * 20
    stored = pq.read_table(io.BytesIO(sent["parquet"].content))
    assert stored.column_names == header and stored.num_rows == 20
    sheet = openpyxl.load_workbook(io.BytesIO(sent["xlsx"].content))["Rows"]
    assert [cell.value for cell in sheet[1]] == header and sheet.max_row == 21
    assert operator.post("/sql", {"query": "SELECT 1 WHERE false", "format": "parquet"}).status_code == 200


def test_what_is_left_out_is_told(console: Served) -> None:
    operator = console.browser(Role.operator)
    page = operator.post("/sql", {"query": f"FROM range({ROWS_SHOWN + 1})"}).text
    assert "The first 1,000 rows. Download a file for all." in page and page.count("<tr>") == ROWS_SHOWN + 1
    page = operator.post("/sql", {"query": f"FROM range({ROWS_SHOWN})"}).text
    assert "1,000 rows." in page
    for format_ in ("csv", "parquet"):
        file = operator.post("/sql", {"query": f"FROM range({ROWS_IN_FILES + 1})", "format": format_})
        assert file.status_code == 400 and "more than 100,000 rows" in file.text


def test_a_question_that_goes_too_far_is_given_up(project_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    questions, project = QueryPool(), load_project(project_file)
    with pytest.raises(UsageError, match="memory"):
        questions.ask(project, "a", "SELECT repeat('x', 4294967290) AS a, repeat('y', 4294967290) AS b")
    monkeypatch.setattr(bounds, "SECONDS", 1)
    with pytest.raises(UsageError, match="cancelled"):
        questions.ask(project, "a", "SELECT count(*) FROM range(100000000) a, range(100000000) b")
    monkeypatch.undo()
    assert questions.ask(project, "a", "SELECT 170141183460469231731687303715884105727 AS big").rows == [
        ["170141183460469231731687303715884105727"]
    ]


def test_one_question_at_a_time(project_file: Path) -> None:
    questions, project = QueryPool(), load_project(project_file)
    with questions._turns.taking("a", Event()):
        with pytest.raises(UsageError, match="still being answered"):
            questions.ask(project, "a", "SELECT 1")
        assert questions.ask(project, "b", "SELECT 1").rows == [[1]]
    assert questions.ask(project, "a", "SELECT 1").rows == [[1]]


def test_a_store_that_cannot_be_read(project_file: Path, tmp_path: Path) -> None:
    file = tmp_path / "dagster_project.toml"
    file.write_text(project_file.read_text().replace('path = "backup"', 'path = "dagster_project.toml"'))
    with pytest.raises(EntraPipelineError) as error:
        QueryPool().ask(load_project(file), "a", "FROM users")
    assert isinstance(error.value, StoreError) or error.value.remedy
