"""Whatever is changed in a store behind its back is found."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from entra_pipeline.errors import IntegrityError, NotInStore
from entra_pipeline.store.backends import LocalObjectStore
from entra_pipeline.store.commit import commit
from entra_pipeline.store.manifest import canonical, decode, seal, sha256
from entra_pipeline.store.points.index import trim_indexes
from entra_pipeline.store.recovery_points import ScopeStore
from entra_pipeline.store.retention.sweep import sweep
from entra_pipeline.store.verify import VerifyFinding, verify
from tests.support.writing import Time, entry, gone, manifest, put, take, upsert

pytestmark = pytest.mark.pure

FIRST, SECOND, THIRD = (f"2026-11-23T0{hour}-00-00Z" for hour in (5, 6, 7))


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with three points."""
    folder = tmp_path_factory.mktemp("sound")
    time = Time()
    store = ScopeStore(LocalObjectStore(folder / "store"), "contoso", time)
    take(store, folder, FIRST, "Adele", "Alex", "Diego")
    for point, change in ((SECOND, upsert("1", "Alexandra")), (THIRD, gone("2"))):
        time.pass_(hours=1)
        before = store.manifest(store.points()[-1]).tables["users"]
        parts = [*before.parts, put(store, folder, point, [change], role="changes")]
        commit(store, manifest(store, point, entry(parts, 3 - (point == THIRD))))
    return folder / "store"


@pytest.fixture
def store(sound: Path) -> Iterator[ScopeStore]:
    """A copy of it, to be harmed."""
    with tempfile.TemporaryDirectory() as folder:
        yield _copy(sound, folder)


def _copy(sound: Path, folder: str) -> ScopeStore:
    root = Path(folder) / "store"
    shutil.copytree(sound, root)
    return ScopeStore(LocalObjectStore(root), "contoso", Time())


def _root(store: ScopeStore) -> Path:
    assert isinstance(store.files, LocalObjectStore)
    return store.files.root


def _problems(store: ScopeStore) -> list[tuple[str, str, str]]:
    return [(finding.point, finding.table, finding.problem) for finding in verify(store) if not finding.ok]


def test_a_sound_store_is_sound(store: ScopeStore) -> None:
    assert list(verify(store)) == [
        VerifyFinding(point, table, True, "") for point in (FIRST, SECOND, THIRD) for table in ("", "users")
    ]
    assert list(verify(store, [SECOND])) == [VerifyFinding(SECOND, table, True, "") for table in ("", "users")]
    with pytest.raises(NotInStore):
        list(verify(store, ["2026-11-23T09-00-00Z"]))


def test_a_changed_byte_in_the_text_of_a_key_is_found(store: ScopeStore) -> None:
    # Arrow reads the file and fails only when the text is made.
    key = store.manifest(SECOND).tables["users"].parts[1].key
    path = _root(store) / key
    for place in range(40):
        content = bytearray(path.read_bytes())
        content[place] ^= 0x80
        path.write_bytes(content)
        assert (SECOND, "users", f"{key} has other bytes than were written: its SHA-256 differs") in _problems(store)
        content[place] ^= 0x80
        path.write_bytes(content)


def test_a_damaged_index_is_not_copied(store: ScopeStore) -> None:
    (file, *_) = store.indexes()
    path = _root(store) / file.key
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(IntegrityError, match="is not what was written"):
        trim_indexes(store.files, "contoso", [file._replace(points=2)], [file.first])
    sweep(store, grace=timedelta(0))
    assert path.exists()


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_changed_byte_is_found_wherever_it_is(sound: Path, data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = _copy(sound, folder)
        path = Path(folder) / "store" / data.draw(st.sampled_from(_objects(sound)))
        content = bytearray(path.read_bytes())
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
        path.write_bytes(content)
        assert _problems(store)


@settings(max_examples=20, deadline=None)
@given(st.data())
def test_a_file_that_is_cut_or_longer_is_found(sound: Path, data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = _copy(sound, folder)
        path = Path(folder) / "store" / data.draw(st.sampled_from(_objects(sound)))
        content = path.read_bytes()
        path.write_bytes(data.draw(st.sampled_from([b"", content[:-1], content + b"\n", content + content])))
        assert _problems(store)


def _objects(root: Path) -> list[str]:
    """Every manifest and part."""
    return sorted(
        path.relative_to(root).as_posix() for path in root.rglob("*.*") if path.suffix in {".json", ".parquet"}
    )


def test_a_missing_part_is_a_problem_of_every_point_that_needs_it(store: ScopeStore) -> None:
    part = store.manifest(SECOND).tables["users"].parts[1]
    store.files.delete([part.key])
    assert _problems(store) == [(point, "users", f"{part.key} is not in the store") for point in (SECOND, THIRD)]


def test_a_missing_parent_is_found(store: ScopeStore) -> None:
    store.files.delete([store.manifest_key(SECOND)])
    assert _problems(store) == [(THIRD, "", f"its parent {SECOND} is missing")]
    store.files.delete([store.manifest_key(FIRST)])
    assert _problems(store) == [(THIRD, "", f"its parent {SECOND} is missing")]


def test_a_manifest_that_was_rewritten_with_a_new_seal_breaks_the_chain(store: ScopeStore) -> None:
    forged = seal(msgspec.structs.replace(store.manifest(FIRST), tool="forged"))
    store.files.replace(store.manifest_key(FIRST), canonical(forged))
    [(point, table, problem)] = _problems(store)
    assert (point, table) == (SECOND, "")
    assert "SHA-256 differs" in problem


def test_a_manifest_in_the_place_of_another_is_found(store: ScopeStore) -> None:
    store.files.replace(store.manifest_key(SECOND), store.manifest_bytes(FIRST))
    problems = _problems(store)
    assert problems[0][0] == SECOND
    assert f"is the manifest of {FIRST}" in problems[0][2]


def test_wrong_counts_are_found(store: ScopeStore, tmp_path: Path) -> None:
    point = "2026-11-23T08-00-00Z"
    part = put(store, tmp_path, point, [upsert("1", "one"), upsert("1", "two"), gone("9")])
    few = msgspec.structs.replace(part, rows=2)
    commit(store, manifest(store, point, entry([few], 7), msgspec.structs.replace(entry([], 0), table="groups")))
    assert [problem for _, _, problem in _problems(store)] == [
        f"{part.key} has 3 rows instead of 2",
        f"{part.key} has more than one row for 1 keys",
        "it has 3 live rows instead of 7",
    ]


def test_a_part_that_is_no_parquet_is_found(store: ScopeStore, tmp_path: Path) -> None:
    point = "2026-11-23T08-00-00Z"
    path = tmp_path / "x"
    path.write_bytes(b"not Parquet")
    part = store.staging.write_part(point, "users", 0, path, role="base", rows=1)
    commit(store, manifest(store, point, entry([part], 1)))
    [(_, _, problem)] = _problems(store)
    assert "cannot be read" in problem


# --- Manifests -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "cannot be read"),
        (b"{}", "cannot be read"),
        (b"\xff\xfe", "cannot be read"),
        (b'{"format":"another","version":1,"seal":""}', "is not a manifest"),
        (b'{"format":"entra-pipeline/recovery-point","version":3,"seal":""}', "is in version 3 of the format"),
        (b'{"format":"entra-pipeline/recovery-point","version":1,"seal":""}', "was changed after it was written"),
    ],
)
def test_what_is_no_manifest_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(IntegrityError, match=message):
        decode(data, "x.json")


def test_a_member_that_a_later_release_added_is_no_damage(store: ScopeStore) -> None:
    plain = canonical(msgspec.structs.replace(store.manifest(FIRST), seal=""))
    newer = msgspec.json.decode(plain) | {"colour": "blue"}
    sealed = newer | {"seal": sha256(canonical(newer))}
    assert decode(canonical(sealed), "x.json").recovery_point == FIRST
