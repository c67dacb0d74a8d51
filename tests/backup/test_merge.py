"""Merging staged rows with the parent's state, against a model that is a plain dictionary."""

import json
from pathlib import Path

import duckdb
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from entra_pipeline.backup.rows.merge import Counts, Merged, merge_edges, merge_objects, repeats, same
from entra_pipeline.backup.rows.staging import DELETE, EDGE_ROWS, OBJECT_ROWS, UPSERT, Staged, Staging

pytestmark = pytest.mark.pure

IDS = st.sampled_from(["a", "b", "c", "d"])
VALUES = st.one_of(
    st.none(), st.integers(0, 3), st.text("x\"'é🙂\\", max_size=3), st.lists(st.integers(0, 2), max_size=2)
)
MEMBERS = st.dictionaries(st.sampled_from(["p", "q", "r"]), VALUES, max_size=3)
NEWS = st.lists(st.tuples(IDS, st.one_of(st.none(), MEMBERS)), max_size=12)
STATE = st.dictionaries(IDS, MEMBERS, max_size=4)
PAIRS = st.tuples(st.sampled_from(["g1", "g2"]), st.sampled_from(["u1", "u2", "u3"]))


@pytest.fixture(scope="module")
def connection():
    with duckdb.connect() as one:
        yield one


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("staged")


def as_json(identifier: str, members: dict) -> str:
    return json.dumps({"id": identifier, **members})


def without_nulls(members: dict) -> dict:
    return {name: value for name, value in members.items() if value is not None}


def stage(path: Path, schema, rows) -> Staged:
    with Staging(path, schema) as staging:
        for row in rows:
            staging.append(*row)
    return staging.staged


def stored_objects(merged: Merged) -> list[tuple]:
    return merged.connection.execute(f"SELECT id, change, raw FROM {merged.rows} ORDER BY id").fetchall()


def parent_sql(connection, state: dict) -> str:
    connection.execute("CREATE OR REPLACE TABLE parent (id VARCHAR, parent_id VARCHAR, raw VARCHAR)")
    for identifier, members in state.items():
        connection.execute("INSERT INTO parent VALUES (?, NULL, ?)", [identifier, as_json(identifier, members)])
    return "SELECT * FROM parent"


def apply(state: dict, rows: list[tuple]) -> dict:
    after = {identifier: without_nulls(members) for identifier, members in state.items()}
    for identifier, change, raw in rows:
        if change == DELETE:
            after.pop(identifier, None)
        else:
            members = json.loads(raw)
            assert members.pop("id") == identifier
            after[identifier] = without_nulls(members)
    return after


def told(state: dict, news: list) -> dict:
    after = {identifier: dict(members) for identifier, members in state.items()}
    for identifier, members in news:
        if members is None:
            after.pop(identifier, None)
        else:
            after[identifier] = {**after.get(identifier, {}), **members}
    return {identifier: without_nulls(members) for identifier, members in after.items()}


def staged_news(folder: Path, news: list) -> Path:
    rows = [(i, None, DELETE, None) if m is None else (i, None, UPSERT, as_json(i, m)) for i, m in news]
    return stage(folder / "objects.arrow", OBJECT_ROWS, rows)


@settings(max_examples=60, deadline=None)
@given(state=STATE, news=NEWS, base=st.booleans())
def test_changes_on_a_parent_give_the_state_that_was_told(connection, folder, state, news, base):
    path = staged_news(folder, news)
    merged = merge_objects(connection, path, parent_sql(connection, state), complete=False, base=base)
    counts, rows = merged.counts, stored_objects(merged)
    expected = told(state, news)
    assert apply({} if base else state, rows) == expected
    before = {identifier: without_nulls(members) for identifier, members in state.items()}
    assert counts == Counts(
        rows=len(rows),
        added=len(expected.keys() - before.keys()),
        changed=sum(expected[i] != before[i] for i in expected.keys() & before.keys()),
        deleted=len(before.keys() - expected.keys()),
    )
    if not base:
        assert len(rows) == counts.added + counts.changed + counts.deleted


@settings(max_examples=60, deadline=None)
@given(state=STATE, news=NEWS, base=st.booleans())
def test_a_complete_read_gives_the_collection_whatever_the_parent_was(connection, folder, state, news, base):
    path = staged_news(folder, news)
    parent = parent_sql(connection, state)
    rows = stored_objects(merge_objects(connection, path, parent, complete=True, base=base))
    assert apply({} if base else state, rows) == told({}, news)
    if not base and repeats(connection, path, parent, objects=True, complete=True):
        assert rows == []


def test_a_replay_of_what_is_known_stores_nothing(connection, folder):
    parent = parent_sql(connection, {"a": {"p": 1, "q": None}})
    path = staged_news(folder, [("a", {"p": 1, "r": None})])
    assert merge_objects(connection, path, parent, complete=False, base=False).counts == Counts(0, 0, 0, 0)


@pytest.mark.parametrize("complete", [True, False])
def test_a_read_without_news_stores_nothing_and_adds_nobody(connection, folder, complete):
    state = {"a": {"p": 1, "q": None}, "b": {"p": 2}}
    path = staged_news(folder, list(state.items()) if complete else [])
    parent = parent_sql(connection, state)
    assert repeats(connection, path, parent, objects=True, complete=complete)
    with merge_objects(connection, path, parent, complete=complete, base=False) as merged:
        assert merged.counts == Counts(0, 0, 0, 0)
        assert stored_objects(merged) == []
        assert connection.execute(merged.sql_added).fetchall() == []


def test_numbers_keep_the_digits_that_graph_sent(connection, folder):
    rows = [("a", None, UPSERT, '{"id":"a","n":1.50}'), ("a", None, UPSERT, '{"id":"a","m":1e3}')]
    path = stage(folder / "digits.arrow", OBJECT_ROWS, rows)
    merged = merge_objects(connection, path, None, complete=True, base=True)
    assert stored_objects(merged) == [("a", UPSERT, '{"id":"a","n":1.50,"m":1e3}')]


@pytest.mark.parametrize("value", [b"1e999", b"[" * 900 + b"]" * 900])
def test_a_value_that_nobody_can_decode_is_compared_as_it_is_written(value):
    def at_depth(calls, act):
        return at_depth(calls - 1, act) if calls else act()

    one, other = ({"n": msgspec.Raw(value + blank)} for blank in (b"", b" "))
    assert at_depth(200, lambda: (same(one, one), same(one, other))) == (True, False)


@settings(max_examples=80, deadline=None)
@given(
    state=st.sets(PAIRS, max_size=6),
    news=st.lists(st.tuples(PAIRS, st.booleans()), max_size=12),
    complete=st.booleans(),
    base=st.booleans(),
)
def test_edges_follow_the_last_news_of_each(connection, folder, state, news, complete, base):
    connection.execute("CREATE OR REPLACE TABLE parent (source_id VARCHAR, target_id VARCHAR, target_type VARCHAR)")
    for source, target in state:
        connection.execute("INSERT INTO parent VALUES (?, ?, 'user')", [source, target])
    rows = [(s, t, "user", UPSERT if there else DELETE) for (s, t), there in news]
    path = stage(folder / "edges.arrow", EDGE_ROWS, rows)
    merged = merge_edges(connection, path, "SELECT * FROM parent", complete=complete, base=base, many=True)
    expected = set() if complete else set(state)
    for pair, there in news:
        (expected.add if there else expected.discard)(pair)
    after = set() if base else set(state)
    edges = connection.execute(f"SELECT source_id, target_id, change FROM {merged.rows}").fetchall()
    for source, target, change in edges:
        (after.add if change == UPSERT else after.discard)((source, target))
    assert after == expected
    assert (merged.counts.added, merged.counts.deleted) == (len(expected - state), len(state - expected))
    deletes = any(not there for _, there in news)
    same_as_before = complete and {pair for pair, _ in news} == state and not deletes
    assert repeats(connection, path, "SELECT * FROM parent", objects=False, complete=complete) == same_as_before


@pytest.mark.parametrize(("kind", "expected"), [("user", True), ("", True), ("device", False)])
def test_a_listing_of_edges_repeats_the_parent_unless_it_names_another_type(connection, folder, kind, expected):
    path = stage(folder / "types.arrow", EDGE_ROWS, [("g", "m", kind, UPSERT)])
    parent = "SELECT 'g' source_id, 'm' target_id, 'user' target_type"
    assert repeats(connection, path, parent, objects=False, complete=True) == expected


@pytest.mark.parametrize(
    ("news", "expected"),
    [
        ([("m2", UPSERT)], {"m2"}),
        ([("m2", UPSERT), ("m1", DELETE)], {"m2"}),
        ([("m1", DELETE), ("m2", UPSERT)], {"m2"}),
        ([("m1", DELETE)], set()),
        ([("m2", UPSERT), ("m2", DELETE)], {"m1"}),
        ([("m2", UPSERT), ("m3", UPSERT)], {"m3"}),
        ([("m1", UPSERT)], {"m1"}),
    ],
)
def test_a_single_valued_relation_has_one_target(connection, folder, news, expected):
    path = stage(folder / "manager.arrow", EDGE_ROWS, [("u", target, "user", change) for target, change in news])
    parent = "SELECT 'u' source_id, 'm1' target_id, 'user' target_type"
    merged = merge_edges(connection, path, parent, complete=False, base=True, many=False)
    assert {row[0] for row in connection.execute(f"SELECT target_id FROM {merged.rows}").fetchall()} == expected
