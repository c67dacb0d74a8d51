"""What a view says when a recovery point lacks a table that it rests on: never fewer rows without a word."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from entra_pipeline.analysis.sql import Relations, SqlSession
from entra_pipeline.analysis.sql.views import histories, views
from entra_pipeline.catalogue import RELATIONS
from entra_pipeline.errors import UsageError
from entra_pipeline.store.backends import LocalObjectStore
from entra_pipeline.store.commit import commit
from entra_pipeline.store.manifest import NOT_IN_TENANT, Gap, TableEntry
from entra_pipeline.store.recovery_points import ScopeStore
from tests.sql.conftest import PAGE
from tests.support.writing import Time, entry, manifest, put, upsert

pytestmark = pytest.mark.pure

POINT = "2026-11-23T05-00-00Z"
HOLDERS = views()["role_holders"]
GAP = Gap(what="group_members of Sales", reason="Graph did not answer")


class Scopes:
    """Scopes of one store, each with one recovery point."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files = LocalObjectStore(folder / "store")
        self._names: list[str] = []

    def add(self, name: str, tables: tuple[str, ...], **changed: dict[str, Any]) -> None:
        """Takes the point of a scope with these tables; users have Ann, and she is Global Reader.

        Args:
            name: The scope.
            tables: What it protects.
            changed: Members of the entries of some tables.
        """
        store = ScopeStore(self._files, name, Time())
        rows: dict[str, Any] = {
            "users": upsert("1", "Ann", _raw='{"id":"1","displayName":"Ann"}'),
            "role_assignments": upsert("a", "", _raw='{"id":"a","principalId":"1","roleDefinitionId":"r"}'),
        }
        entries = []
        for table in tables:
            read = changed.get(table, {}).get("read") != "never"
            parts = [put(store, self._folder, POINT, [rows[table]], table=table)] if read and table in rows else []
            kind: Any = "edges" if table in RELATIONS else "objects"
            one: TableEntry = replace(entry(parts, len(parts), table=table, kind=kind), **changed.get(table, {}))
            entries.append(one)
        commit(store, manifest(store, POINT, *entries))
        self._names.append(name)

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        with SqlSession(Relations({"place": (self._files, self._names)})) as session:
            return session.ask(query).fetchall()


@pytest.fixture
def scopes(tmp_path: Path) -> Iterator[Scopes]:
    yield Scopes(tmp_path)


def without(*tables: str) -> tuple[str, ...]:
    return tuple(one for one in HOLDERS.tables if one not in tables)


def test_a_table_that_is_not_protected_is_an_error_that_names_it(scopes: Scopes) -> None:
    scopes.add("contoso", without("role_eligibility_schedules"))
    needs = "needs role_eligibility_schedules, which scope contoso does not|does not have role_eligibility_schedules"
    for query in (
        "SELECT count(*) FROM role_holders",
        "SELECT principal FROM role_holders_at('contoso', 'latest') WHERE role = 'Global Reader'",
        "SELECT count(*) FROM role_holders_history",
    ):
        with pytest.raises(UsageError, match=needs):
            scopes.ask(query)


@pytest.mark.parametrize("table", HOLDERS.needed)
def test_each_table_is_missed(scopes: Scopes, table: str) -> None:
    scopes.add("contoso", without(table))
    with pytest.raises(UsageError, match=f"needs {table}, which scope contoso|does not have {table}"):
        scopes.ask("FROM role_holders_at('contoso', 'latest')")
    with pytest.raises(UsageError, match=f"role_holders needs {table}, which scope contoso"):
        scopes.ask("FROM role_holders")


def test_a_condition_leaves_out_the_scope_that_lacks_something(scopes: Scopes) -> None:
    scopes.add("contoso", HOLDERS.tables)
    scopes.add("fabrikam", without("group_members"))
    with pytest.raises(UsageError, match="WHERE scope <> 'fabrikam' leaves it out"):
        scopes.ask("FROM role_holders")
    for condition in ("scope = 'contoso'", "scope <> 'fabrikam'", "scope IN ('contoso')"):
        assert scopes.ask(f"SELECT scope, principal FROM role_holders WHERE {condition}") == [("contoso", "Ann")]
    assert scopes.ask("SELECT principal FROM role_holders_at('contoso', 'latest')") == [("Ann",)]


def test_kinds_without_what_is_not_protected_are_answered(scopes: Scopes) -> None:
    scopes.add("contoso", ("users", "groups", "service_principals"))
    with pytest.raises(UsageError, match=r"needs devices, .*; WHERE kind <> 'device' asks for the others"):
        scopes.ask("FROM principals")
    for name in ("principals", "principals_at('contoso', 'latest')", "principals_history"):
        assert scopes.ask(f"SELECT label FROM {name} WHERE kind <> 'device'") == [("Ann",)]
        assert scopes.ask(f"SELECT label, incomplete FROM {name} WHERE kind = 'user'") == [("Ann", ["devices"])]


def test_a_table_that_could_not_be_read_is_an_error_and_one_without_licence_is_empty(scopes: Scopes) -> None:
    never: dict[str, Any] = {"read": "never"}
    unlicensed = {**never, "notes": (f"{NOT_IN_TENANT}: it requires Microsoft Entra ID P2",)}
    scopes.add("free", HOLDERS.tables, role_eligibility_schedules=unlicensed, role_assignment_schedules=unlicensed)
    assert scopes.ask("SELECT principal, incomplete FROM role_holders") == [("Ann", [])]
    for name, told in (("refused", {"gaps": (GAP,)}), ("unasked", {"notes": ("not requested in this run",)})):
        scopes.add(name, HOLDERS.tables, role_eligibility_schedules={**never, **told})
        for query in (f"role_holders WHERE scope = '{name}'", f"role_holders_at('{name}', 'latest')"):
            with pytest.raises(UsageError, match=f"needs role_eligibility_schedules, which scope {name}"):
                scopes.ask(f"FROM {query}")


def test_gaps_and_missing_names_are_in_a_column(scopes: Scopes) -> None:
    scopes.add("contoso", without("administrative_units"), group_members={"gaps": (GAP,)})
    for name in ("role_holders", "role_holders_at('contoso', 'latest')"):
        [(principal, incomplete)] = scopes.ask(f"SELECT principal, incomplete FROM {name}")
        assert (principal, sorted(incomplete)) == ("Ann", ["administrative_units", "group_members"])
    assert scopes.ask("SELECT incomplete FROM role_holders_history") == [(["group_members"],)]


def test_every_view_and_column_has_a_comment(scopes: Scopes) -> None:
    forms = [*views(), *(f"{name}_history" for name in histories())]
    with SqlSession(Relations({"place": (LocalObjectStore(Path("nowhere")), ["contoso"])})) as session:
        session.define(" ".join(forms))
        found = session.connection.execute(
            "SELECT table_name, column_name, comment FROM duckdb_columns() WHERE NOT internal"
        ).fetchall()
        said = dict(session.connection.execute("SELECT view_name, comment FROM duckdb_views()").fetchall())
    assert all(said[name] for name in forms)
    assert [name for name in forms if f"`{name}`" not in PAGE.read_text(encoding="utf-8")] == []
    assert [(table, column) for table, column, comment in found if table in forms and not comment] == []
    for name in forms:
        view = views().get(name) or histories()[name.removesuffix("_history")]
        assert [column for table, column, _ in found if table == name] == [*view.columns, "incomplete"]
