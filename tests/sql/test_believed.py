"""What a query reads is what was written: files are hashed before they are believed."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from entra_pipeline.analysis.sql import SqlSession
from entra_pipeline.analysis.sql.bounded import BoundedSession
from entra_pipeline.errors import IntegrityError
from entra_pipeline.project import Project, load_project
from entra_pipeline.store.backends import ObjectStore
from entra_pipeline.store.manifest import sha256
from tests.sql.conftest import Story


@pytest.fixture
def copy(story: Story, tmp_path: Path) -> Project:
    """The project of the story in another folder, to be tampered with."""
    shutil.copytree(story.file.parent, tmp_path / "copy")
    return load_project(tmp_path / "copy" / story.file.name)


def files_of(project: Project) -> ObjectStore:
    [scope] = project.scopes.values()
    return project.storage[scope.storage].open()


def parts(project: Project, table: str) -> list[str]:
    """Keys of the parts of a table, oldest first."""
    return sorted(one.key for one in files_of(project).list(f"{table}/") if one.key.endswith(".parquet"))


@pytest.fixture(params=["command", "console"])
def session(copy: Project, request: pytest.FixtureRequest) -> Iterator[SqlSession]:
    with SqlSession.of(copy) if request.param == "command" else BoundedSession(copy, "512MB") as one:
        yield one


def rewritten(data: bytes) -> bytes:
    """A Parquet file as good as the one before, in which everybody is called the same."""
    table = pq.read_table(io.BytesIO(data))
    place = table.schema.get_field_index("displayName")
    names = pa.array(["Mallory"] * table.num_rows, table.schema.field(place).type)
    out = io.BytesIO()
    pq.write_table(table.set_column(place, table.schema.field(place), names), out)
    return out.getvalue()


@pytest.mark.parametrize(
    "query",
    [
        "SELECT count(*) FROM users WHERE displayName = 'Mallory'",
        "SELECT count(*) FROM users_at('contoso', 'latest')",
        "SELECT count(*) FROM users_history",
    ],
)
def test_a_part_that_was_changed_is_an_error(copy: Project, session: SqlSession, query: str) -> None:
    files = files_of(copy)
    key = parts(copy, "users")[0]
    data = files.read(key)
    files.delete([key])
    files.create(key, rewritten(data))
    with pytest.raises(Exception, match=key.rpartition("/")[0]) as failure:
        session.ask(query).fetchall()
    error = failure.value if isinstance(failure.value, IntegrityError) else session.explained(failure.value)  # type: ignore[arg-type]
    assert isinstance(error, IntegrityError)
    assert "bytes" in error.message and "verify" in error.remedy
    # Other tables are answered.
    assert session.ask("SELECT count(*) > 0 FROM groups").fetchall() == [(True,)]


def test_a_day_of_a_log_that_was_changed_is_an_error(copy: Project, session: SqlSession) -> None:
    files = files_of(copy)
    key = parts(copy, "directory_audits")[-1]
    data = files.read(key)
    files.delete([key])
    files.create(key, data[:-9] + bytes([data[-9] ^ 1]) + data[-8:])
    with pytest.raises(Exception, match="directory_audits"):
        session.ask("SELECT count(*), max(activityDateTime) FROM directory_audits").fetchall()


def test_an_index_that_names_what_no_manifest_does_is_an_error(copy: Project, session: SqlSession) -> None:
    """Whoever may write to the storage may write an index with a name that fits its bytes."""
    files = files_of(copy)
    genuine = parts(copy, "users")[0]
    forged = genuine.replace("part-00000", "part-00077")
    files.create(forged, rewritten(files.read(genuine)))
    for one in list(files.list("_index/")):
        table = pq.read_table(io.BytesIO(files.read(one.key)))
        rows = table.to_pylist()
        for row in rows:
            for part in row["parts"] or ():
                part["key"] = forged if part["key"] == genuine else part["key"]
        out = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(rows, table.schema), out)
        folder, _, name = one.key.rpartition("/")
        *start, _, end = name.split(".")
        files.delete([one.key])
        files.create(f"{folder}/{'.'.join([*start, sha256(out.getvalue()), end])}", out.getvalue())
    with pytest.raises(Exception, match=r"part-00077.parquet is in the index of recovery point .* not in its manifest"):
        session.ask("SELECT displayName FROM users").fetchall()


def test_the_remains_of_a_killed_backup_do_no_harm(copy: Project, session: SqlSession) -> None:
    """They are in no manifest and no index; they may sort before all others."""
    files = files_of(copy)
    key = parts(copy, "users")[0]
    files.create(key.replace("recovery-point=20", "recovery-point=19"), rewritten(files.read(key)))
    assert session.ask("SELECT count(*) FROM users WHERE displayName = 'Mallory'").fetchall() == [(0,)]
    assert session.ask("SELECT count(*) > 0 FROM users").fetchall() == [(True,)]


def test_a_part_is_hashed_once_in_a_session(
    copy: Project, session: SqlSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[str] = []
    stream = type(files_of(copy)).stream
    monkeypatch.setattr(type(files_of(copy)), "stream", lambda self, key: (hashed.append(key), stream(self, key))[1])
    for _ in range(3):
        assert session.ask("SELECT count(*) FROM users").fetchall()
    users = [key for key in hashed if key.startswith("users/")]
    assert users and len(users) == len(set(users))
    assert set(users) <= set(parts(copy, "users"))
