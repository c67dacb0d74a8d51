"""The state of a table at every point equals what was written up to it."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from entra_pipeline.catalogue import CATALOGUE
from entra_pipeline.catalogue.columns import column_types
from entra_pipeline.store.backends import LocalObjectStore, ObjectStore
from entra_pipeline.store.commit import commit
from entra_pipeline.store.manifest import Part, TableEntry
from entra_pipeline.store.recovery_points import ScopeStore
from entra_pipeline.store.state import connect, state_query
from entra_pipeline.store.verify import verify
from tests.support.s3 import Bucket
from tests.support.writing import START, Row, Time, entry, gone, manifest, put, take, upsert

_IDS = st.sampled_from("abcdef")
# What one run brings: full or not, objects that appear or change (with or without a column that is new), deletions.
_RUN = st.tuples(
    st.booleans(),
    st.dictionaries(_IDS, st.tuples(st.integers(0, 9), st.booleans()), max_size=5),
    st.sets(_IDS, max_size=3),
)


def _rows(files: ObjectStore, made: TableEntry, columns: str = "*") -> list[tuple[object, ...]]:
    with connect(files) as connection:
        return sorted(connection.execute(state_query(files, made, columns)).fetchall())


@settings(max_examples=30, deadline=None)
@given(st.lists(_RUN, min_size=1, max_size=6))
def test_every_point_shows_the_objects_of_its_moment(
    runs: list[tuple[bool, dict[str, tuple[int, bool]], set[str]]],
) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        time = Time()
        store = ScopeStore(LocalObjectStore(folder / "store"), "contoso", time)
        model: dict[str, tuple[str, str | None]] = {}
        parts: list[Part] = []
        expected: dict[str, dict[str, tuple[str, str | None]]] = {}
        for full, brought, removed in runs:
            time.pass_(minutes=1)
            point = store.new_key()
            news = {i: (f"name {number}", "new" if new else None) for i, (number, new) in brought.items()}
            model = {i: value for i, value in {**model, **news}.items() if i not in removed}
            if full:
                parts = []
                rows = [_object(i, value) for i, value in model.items()]
            else:
                rows = [_object(i, value) for i, value in news.items() if i not in removed]
                rows += [gone(i) for i in removed]
            if rows:
                parts = [*parts, put(store, folder, point, rows, role="base" if full else "changes")]
            commit(store, manifest(store, point, entry(parts, len(model))))
            expected[point] = dict(model)
        assert store.points() == list(expected)
        for point, objects in expected.items():
            made = store.manifest(point).tables["users"]
            assert _rows(store.files, made, "id") == sorted((i,) for i in objects)
            if made.parts:
                shown = _rows(store.files, made, "id, displayName")
                assert shown == sorted((i, display) for i, (display, _) in objects.items())
        assert all(finding.ok for finding in verify(store))


def _object(identifier: str, value: tuple[str, str | None]) -> Row:
    name, new = value
    return upsert(identifier, name, **({"jobTitle": new} if new else {}))


@settings(max_examples=20, deadline=None)
@given(st.lists(st.dictionaries(st.tuples(_IDS, _IDS), st.booleans(), min_size=1, max_size=6), min_size=1, max_size=5))
def test_edges_are_told_apart_by_both_ends(runs: list[dict[tuple[str, str], bool]]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = ScopeStore(LocalObjectStore(folder / "store"), "contoso", Time())
        parts: list[Part] = []
        model: set[tuple[str, str]] = set()
        for number, run in enumerate(runs):
            rows = [
                {
                    "source_id": source,
                    "target_id": target,
                    "target_type": "user",
                    "_change": "upsert" if there else "delete",
                    "_reason": None if there else "removed",
                }
                for (source, target), there in run.items()
            ]
            parts.append(
                put(store, folder, "2026-11-23T05-00-00Z", rows, role="changes", table="group_members", number=number)
            )
            model = (model | {edge for edge, there in run.items() if there}) - {
                e for e, there in run.items() if not there
            }
        made = entry(parts, len(model), table="group_members", kind="edges")
        assert _rows(store.files, made) == sorted((source, target, "user") for source, target in model)


def test_the_order_is_the_manifests_not_that_of_the_names(tmp_path: Path) -> None:
    store = ScopeStore(LocalObjectStore(tmp_path / "store"), "contoso")
    base = put(store, tmp_path, "2026-11-23T05-00-00Z", [upsert("a", "base")])
    late = put(store, tmp_path, "2026-11-23T07-00-00Z", [upsert("a", "late")], role="changes")
    early = put(store, tmp_path, "2026-11-23T06-00-00Z", [upsert("a", "early")], role="changes")
    assert _rows(store.files, entry([base, early, late], 1), "displayName") == [("late",)]
    assert _rows(store.files, entry([base, late, early], 1), "displayName") == [("early",)]


def test_a_state_has_the_columns_of_all_its_files_and_none_of_the_paths(tmp_path: Path) -> None:
    store = ScopeStore(LocalObjectStore(tmp_path / "store"), "contoso")
    base = put(
        store, tmp_path, "2026-11-23T05-00-00Z", [upsert("a", "A", city="Uppsala"), upsert("b", "B", city="Lund")]
    )
    more = put(store, tmp_path, "2026-11-23T06-00-00Z", [upsert("b", "B", jobTitle="CEO")], role="changes")
    with connect(store.files) as connection:
        relation = connection.sql(state_query(store.files, entry([base, more], 2)))
        assert sorted(relation.columns) == ["_raw", "city", "displayName", "id", "jobTitle"]
        assert sorted(relation.project("id, city, jobTitle").fetchall()) == [("a", "Uppsala", None), ("b", None, "CEO")]


def test_a_table_without_files_has_no_rows(tmp_path: Path) -> None:
    files = LocalObjectStore(tmp_path)
    assert _rows(files, entry([], 0, table="directory_role_templates"), "id, _raw") == []
    assert _rows(files, entry([], 0, table="of another release"), "id, _raw") == []
    assert _rows(files, entry([], 0, table="group_members", kind="edges"), "source_id, target_id, target_type") == []


@pytest.mark.parametrize("name", CATALOGUE)
def test_a_table_without_files_has_the_columns_of_the_catalogue(tmp_path: Path, name: str) -> None:
    files = LocalObjectStore(tmp_path)
    known = CATALOGUE[name]
    with connect(files) as connection:
        described = connection.execute(f"DESCRIBE {state_query(files, entry([], 0, table=name))}").fetchall()
    parent = [("_parent_id", "VARCHAR")] if known.parent else []
    properties = [
        (one, kind.replace("TIMESTAMPTZ", "TIMESTAMP WITH TIME ZONE")) for one, kind in column_types(known).items()
    ]
    assert [row[:2] for row in described] == [("id", "VARCHAR"), *parent, *properties, ("_raw", "VARCHAR")]


def test_a_folder_with_the_characters_of_a_pattern_is_read_literally(tmp_path: Path) -> None:
    store = ScopeStore(LocalObjectStore(tmp_path / "back[up]s * of 'x'?"), "contoso")
    base = put(store, tmp_path, "2026-11-23T05-00-00Z", [upsert("a", "A"), upsert("b", "B")])
    more = put(store, tmp_path, "2026-11-23T06-00-00Z", [gone("a")], role="changes")
    assert _rows(store.files, entry([base, more], 1), "id") == [("b",)]


def test_a_bucket_shows_the_same_state(s3_bucket: Bucket, tmp_path: Path) -> None:
    time = Time()
    store = ScopeStore(s3_bucket.files("prod"), "contoso", time)
    first = take(store, tmp_path, store.new_key(), "Adele", "Alex", "Diego")
    time.pass_(hours=1)
    point = store.new_key()
    parts = [
        *first.tables["users"].parts,
        put(store, tmp_path, point, [upsert("1", "Alexandra")], role="changes"),
        put(store, tmp_path, point, [gone("2"), upsert("3", "Grady")], role="changes", number=1),
    ]
    commit(store, manifest(store, point, entry(parts, 3)))
    assert _rows(store.files, store.at("latest").tables["users"], "id, displayName") == [
        ("0", "Adele"),
        ("1", "Alexandra"),
        ("3", "Grady"),
    ]
    assert _rows(store.files, store.at(START).tables["users"], "displayName") == [("Adele",), ("Alex",), ("Diego",)]
    assert all(finding.ok for finding in verify(store))


def test_a_connection_downloads_nothing_and_thinks_in_utc(tmp_path: Path) -> None:
    with connect(LocalObjectStore(tmp_path), temp=tmp_path / "spill") as connection:
        names = ("autoinstall_known_extensions", "autoload_known_extensions", "TimeZone", "temp_directory")
        setting = [connection.execute(f"SELECT current_setting('{name}')").fetchall()[0][0] for name in names]
        assert setting == [False, False, "UTC", str(tmp_path / "spill")]
        assert connection.execute("SELECT TIMESTAMPTZ '2026-11-23 05:00:00+00'::VARCHAR").fetchall() == [
            ("2026-11-23 05:00:00+00",)
        ]
