"""What the documentation says of stored logs, tried with stock DuckDB."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import duckdb
import msgspec

from entra_pipeline.store.logs import LogDay, LogPart, LogRead
from tests.support.logged import Logged

DOCS = Path(__file__).parents[2] / "docs"


def test_the_documented_query_gives_each_entry_once(tenant: Callable[..., Logged]) -> None:
    one = tenant()
    one.read("sign_ins")
    one.advance(hours=7)
    one.read("sign_ins")
    queries = re.findall(r"```sql\n(.*?)```", (DOCS / "logs.md").read_text(encoding="utf-8"), re.S)
    root = f"{one.store.files.url('x')[:-1]}"
    month = f"{one.day(3):%Y-%m}"
    connection = duckdb.connect()
    found: list[duckdb.DuckDBPyConnection] = []
    for query in queries:
        for statement in query.replace("/var/backups/entra/", root).replace("2026-11", month).split(";\n"):
            if statement.strip():
                found.append(connection.execute(statement))
    rows = found[-1].fetchall()
    names = [column[0] for column in found[-1].description or ()]
    assert {row[names.index("id")] for row in rows} == set(one.stored("sign_ins"))
    assert len(rows) == len(one.stored("sign_ins"))


def test_every_member_of_the_manifest_is_documented() -> None:
    text = (DOCS / "storage-format.md").read_text(encoding="utf-8")
    section = text.partition("\n## Logs\n")[2].partition("\n## ")[0]
    documented = set(re.findall(r"`([a-z_0-9]+)`", section))
    for kind in (LogDay, LogPart, LogRead):
        assert {field.name for field in msgspec.structs.fields(kind)} <= documented
