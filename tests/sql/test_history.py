"""States and history follow the manifests, whatever made them: changes, new bases, pruned points, other scopes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from entra_pipeline.analysis.sql import Relations, SqlSession
from entra_pipeline.errors import EntraPipelineError
from entra_pipeline.store.backends import LocalObjectStore, ObjectStore
from entra_pipeline.store.commit import commit, complete_index
from entra_pipeline.store.recovery_points import ScopeStore
from tests.store.writing import Time, entry, gone, manifest, put, upsert

pytestmark = pytest.mark.pure

P1, P2, P3, P4 = (f"2026-11-23T0{hour}-00-00Z" for hour in (5, 6, 7, 8))
VERSIONS = "SELECT id, recovery_point, _change, valid_to IS NULL FROM users_history ORDER BY id, valid_from"


def person(identifier: str, name: str) -> dict[str, object]:
    return {**upsert(identifier, name), "_raw": f'{{"id":"{identifier}","displayName":"{name}"}}'}


class Chain:
    """Points of a scope: each takes a base, or changes over what the one before has."""

    def __init__(self, files: ObjectStore, folder: Path, scope: str = "contoso") -> None:
        self.store = ScopeStore(files, scope, Time())
        self._folder = folder
        self._parts: tuple[Any, ...] = ()

    def take(self, point: str, *rows: Any, whole: bool = False) -> None:
        if rows:
            role: Any = "base" if whole or not self._parts else "changes"
            part = put(self.store, self._folder, point, rows, role=role)
            self._parts = (part,) if role == "base" else (*self._parts, part)
        commit(self.store, manifest(self.store, point, entry(self._parts, 0)))


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
        ("1", P1, "added", False),
        ("1", P2, "changed", True),
        ("2", P1, "added", False),
        ("2", P2, "deleted", False),
        ("2", P4, "added", True),
    ]


def test_a_new_base_says_only_what_is_new(chain: Chain) -> None:
    chain.take(P1, person("1", "Ann"), person("2", "Ben"), person("3", "Cem"))
    chain.take(P2, person("1", "Ann"), person("2", "Benno"), whole=True)
    chain.take(P3, person("1", "Ann"), person("2", "Benno"), person("3", "Cem"), whole=True)
    assert ask(VERSIONS, chain) == [
        ("1", P1, "added", True),
        ("2", P1, "added", False),
        ("2", P2, "changed", True),
        ("3", P1, "added", False),
        ("3", P2, "deleted", False),
        ("3", P3, "added", True),
    ]


def test_what_was_seen_at_a_pruned_point_is_seen_at_the_next(chain: Chain) -> None:
    chain.take(P1, person("1", "Ann"))
    chain.take(P2, person("1", "Anna"))
    chain.take(P3, person("2", "Ben"))
    for point in (P1, P2):
        chain.store.files.delete([chain.store.manifest_key(point)])
    assert ask(VERSIONS, chain) == [("1", P3, "added", True), ("2", P3, "added", True)]
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
        ("FROM users_at('contoso', '2026-11-23T04:59:59Z')", "no recovery point of scope contoso"),
        ("FROM users_at('nobody', 'latest')", "no recovery point of scope nobody"),
        ("FROM groups_at('contoso', 'latest')", "does not have groups: the scope did not protect it"),
        ("FROM userz", "no table 'userz'; did you mean 'users'?"),
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
    assert said in raised.value.message
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
