"""States and history follow the manifests, whatever made them: changes, new bases, pruned points, other scopes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from entra_pipeline.analysis.sql import Relations, SqlSession
from entra_pipeline.catalogue import RELATIONS
from entra_pipeline.errors import EntraPipelineError
from entra_pipeline.store.backends import LocalObjectStore, ObjectStore
from entra_pipeline.store.commit import commit, complete_index
from entra_pipeline.store.recovery_points import ScopeStore
from tests.support.writing import Time, entry, gone, manifest, put, upsert

pytestmark = pytest.mark.pure

P1, P2, P3, P4, P5, P6, P7 = (f"2026-11-23T{hour:02}-00-00Z" for hour in range(5, 12))
VERSIONS = "SELECT id, recovery_point, _change, valid_to IS NULL FROM users_history ORDER BY id, valid_from"


def person(identifier: str, name: str) -> dict[str, object]:
    return {**upsert(identifier, name), "_raw": f'{{"id":"{identifier}","displayName":"{name}"}}'}


class Chain:
    """Points of a scope: each takes a base, or changes over what the one before has."""

    def __init__(self, files: ObjectStore, folder: Path, scope: str = "contoso") -> None:
        self.store = ScopeStore(files, scope, Time())
        self._folder = folder
        self._parts: dict[str, tuple[Any, ...]] = {}

    def take(self, point: str, *rows: Any, whole: bool = False, table: str = "users", read: Any = "full") -> None:
        """Takes a point with these rows of a table; of the others it has what the point before has."""
        before = self._parts.get(table, ())
        if rows:
            role: Any = "base" if whole or not before else "changes"
            part = put(self.store, self._folder, point, rows, role=role, table=table)
            before = (part,) if role == "base" else (*before, part)
        self._parts[table] = before
        kinds: Any = {name: "edges" if name in RELATIONS else "objects" for name in self._parts}
        entries = [entry(parts, 0, table=name, kind=kinds[name]) for name, parts in self._parts.items()]
        own = [replace(one, read=read if one.table == table else "unchanged") for one in entries]
        commit(self.store, manifest(self.store, point, *own))


@pytest.fixture
def chain(tmp_path: Path) -> Chain:
    return Chain(LocalObjectStore(tmp_path / "store [1]"), tmp_path)


def ask(query: str, *chains: Chain) -> list[tuple[Any, ...]]:
    places: dict[str, tuple[ObjectStore, list[str]]] = {}
    for number, one in enumerate(chains):
        same = next((name for name, (files, _) in places.items() if files is one.store.files), f"place {number}")
        places.setdefault(same, (one.store.files, []))[1].append(one.store.scope)
    with SqlSession(Relations(places)) as session:
        return session.ask(query).fetchall()


def names(query: str, *chains: Chain) -> list[Any]:
    return sorted(row[0] for row in ask(f"SELECT displayName FROM {query}", *chains))


def test_a_state_is_the_one_of_its_moment(chain: Chain) -> None:
    chain.take(P1, person("1", "Ann"), person("2", "Ben"))
    chain.take(P2, person("1", "Anna"), gone("2"))
    chain.take(P3, person("3", "Cem"), person("1", "Anna"), whole=True)
    assert names(f"users_at('contoso', '{P1}')", chain) == ["Ann", "Ben"]
    assert names("users_at('contoso', '2026-11-23T06:59:59Z')", chain) == ["Anna"]
    assert names("users_at('contoso', TIMESTAMPTZ '2026-11-23 08:00:00+01')", chain) == ["Anna", "Cem"]
    assert names("users_at('contoso', 'latest')", chain) == names("users", chain) == ["Anna", "Cem"]


def test_every_version_has_the_time_in_which_it_was_valid(chain: Chain) -> None:
    chain.take(P1, person("1", "Ann"), person("2", "Ben"))
    chain.take(P2, person("1", "Anna"), gone("2"))
    chain.take(P3)
    chain.take(P4, person("2", "Ben"))
    assert ask(VERSIONS, chain) == [
        ("1", P1, "baseline", False),
        ("1", P2, "changed", True),
        ("2", P1, "baseline", False),
        ("2", P2, "deleted", False),
        ("2", P4, "added", True),
    ]


def test_a_new_base_says_only_what_is_new(chain: Chain) -> None:
    chain.take(P1, person("1", "Ann"), person("2", "Ben"), person("3", "Cem"))
    chain.take(P2, person("1", "Ann"), person("2", "Benno"), whole=True)
    chain.take(P3, person("1", "Ann"), person("2", "Benno"), person("3", "Cem"), whole=True)
    assert ask(VERSIONS, chain) == [
        ("1", P1, "baseline", True),
        ("2", P1, "baseline", False),
        ("2", P2, "changed", True),
        ("3", P1, "baseline", False),
        ("3", P2, "deleted", False),
        ("3", P3, "added", True),
    ]


def test_what_is_deleted_has_its_last_values(chain: Chain) -> None:
    def member(target: str, change: str, reason: str | None = None) -> dict[str, object]:
        return {"source_id": "g", "target_id": target, "target_type": "user", "_change": change, "_reason": reason}

    links = "group_members"
    chain.take(P1, person("1", "Ann"), person("2", "Ben"))
    chain.take(P2, person("1", "Anna"), person("3", "Cem"))
    chain.take(P3, gone("1"))
    chain.take(P4, person("3", "Cem"), whole=True)
    chain.take(P5, member("1", "upsert"), member("2", "upsert"), member("3", "upsert"), table=links)
    chain.take(P6, member("1", "delete", "removed"), table=links)
    chain.take(P7, member("3", "upsert"), whole=True, table=links)
    deleted = "SELECT {} FROM {}_history WHERE _change = 'deleted' ORDER BY ALL"
    columns = "id, displayName, _raw->>'$.displayName', recovery_point"
    assert ask(deleted.format(columns, "users"), chain) == [("1", "Anna", "Anna", P3), ("2", "Ben", "Ben", P4)]
    columns = "source_id, target_id, target_type, _reason, recovery_point"
    assert ask(deleted.format(columns, links), chain) == [
        ("g", "1", "user", "removed", P6),
        ("g", "2", "user", None, P7),
    ]


def test_what_the_first_point_of_a_type_has_was_not_added_at_it(chain: Chain) -> None:
    chain.take(P1, person("1", "Ann"))
    # Chosen later, but not readable; and readable at last.
    chain.take(P2, table="groups", read="never")
    chain.take(P3, person("g", "Sales"), table="groups")
    chain.take(P4, person("h", "Legal"), table="groups")
    query = "SELECT id, recovery_point, _change FROM groups_history ORDER BY id"
    assert ask(query, chain) == [("g", P3, "baseline"), ("h", P4, "added")]


def test_what_was_seen_at_a_pruned_point_is_seen_at_the_next(chain: Chain) -> None:
    chain.take(P1, person("1", "Ann"))
    chain.take(P2, person("1", "Anna"))
    chain.take(P3, person("2", "Ben"))
    for point in (P1, P2):
        chain.store.files.delete([chain.store.manifest_key(point)])
    assert ask(VERSIONS, chain) == [("1", P3, "baseline", True), ("2", P3, "baseline", True)]
    assert ask("SELECT recovery_point FROM recovery_points", chain) == [(P3,)]


def test_stores_and_scopes_are_told_apart(tmp_path: Path) -> None:
    one = Chain(LocalObjectStore(tmp_path / "one"), tmp_path)
    other = Chain(one.store.files, tmp_path, "fabrikam")
    elsewhere = Chain(LocalObjectStore(tmp_path / "two"), tmp_path, "tailspin")
    one.take(P1, person("1", "Ann"))
    other.take(P2, person("1", "Bea"))
    elsewhere.take(P3, person("1", "Cid"))
    # What a scope left behind in a store that it has moved from is not its own.
    Chain(elsewhere.store.files, tmp_path).take(P4, person("1", "Old"))
    rows = ask("SELECT scope, displayName FROM users ORDER BY scope", one, other, elsewhere)
    assert rows == [("contoso", "Ann"), ("fabrikam", "Bea"), ("tailspin", "Cid")]
    assert names("users_at('tailspin', 'latest')", one, other, elsewhere) == ["Cid"]


def test_a_property_that_older_parts_lack_comes_out_of_the_object(chain: Chain) -> None:
    chain.take(P1, person("1", "Ann"))
    raw = '{"id":"2","displayName":"Ben","jobTitle":"Boss","accountEnabled":true}'
    chain.take(P2, {**upsert("2", "Ben"), "jobTitle": "Boss", "_raw": raw})
    query = "SELECT displayName, jobTitle, accountEnabled FROM users ORDER BY id"
    assert ask(query, chain) == [("Ann", None, None), ("Ben", "Boss", True)]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("FROM users_at('contoso', '2026-11-23T04:59:59Z')", f"no recovery point of scope contoso at .* first is {P1}"),
        ("FROM users_at('nobody', 'latest')", "no recovery point of scope nobody: FROM recovery_points lists"),
        ("SELECT count(*) FROM users_at('contoso', NULL)", "the moment is NULL: give a time"),
        ("SELECT displayName FROM users_at(NULL, 'latest')", "the scope is NULL: give the name"),
        ("FROM groups_at('nobody', NULL)", "the moment is NULL"),
        ("FROM group_members_at('nobody', now())", "no recovery point of scope nobody"),
        ("FROM groups_at('contoso', 'latest')", "does not have groups: the scope did not protect it"),
        ("FROM userz", r"no table 'userz'; did you mean 'users'\?"),
        ("SELECT displayNam FROM users", "displayNam"),
        ("FROM users; FROM users", "more than one statement"),
        ("CREATE TABLE t AS FROM users", "refused"),
        ("COPY (FROM users) TO 'users.csv'", "refused"),
        ("SELECT FROM", "syntax error"),
    ],
)
def test_what_cannot_be_answered_is_explained(chain: Chain, query: str, said: str) -> None:
    chain.take(P1, person("1", "Ann"))
    with pytest.raises(EntraPipelineError) as raised:
        ask(query, chain)
    assert re.search(said, raised.value.message)
    assert raised.value.remedy


def test_tables_that_nobody_has_are_empty(chain: Chain) -> None:
    chain.take(P1, person("1", "Ann"))
    for name in (
        "groups",
        "group_members",
        "groups_history",
        "group_members_history",
        "jobs",
        "audit_events",
        "sign_ins",
    ):
        assert ask(f"FROM {name}", chain) == []


def test_a_point_without_an_index_is_no_less_a_point(chain: Chain) -> None:
    chain.take(P1, person("1", "Ann"))
    chain.take(P2, person("1", "Anna"))
    chain.store.files.delete([file.key for file in chain.store.indexes()[-1:]])
    with pytest.raises(EntraPipelineError, match="has no index"):
        ask("FROM users", chain)
    assert complete_index(chain.store) == [P2]
    assert names("users", chain) == ["Anna"]
