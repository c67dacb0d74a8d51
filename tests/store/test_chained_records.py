"""Rows of records that have each the hash of the one before: a loss stays a loss, and is told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from entra_pipeline.errors import IntegrityError
from entra_pipeline.store.backends import LocalObjectStore, ObjectStore
from entra_pipeline.store.erasure.record import ErasureRecords
from entra_pipeline.store.points.chained_records import ChainedRecord, ChainedRecords
from entra_pipeline.store.recovery_points import ScopeStore
from entra_pipeline.store.retention.prune_log import PruneRecords
from entra_pipeline.store.verify import verify
from tests.support.encryption import encrypted

pytestmark = pytest.mark.pure

Add = Callable[[ObjectStore], ChainedRecord]


def _erased(files: ObjectStore) -> ChainedRecord:
    return ErasureRecords(files, "contoso").append(
        "adele", [b"key"], erased="2026-11-23T05:00:00Z", by="anna", reason="asked", points=1, rows={"users": 1}
    )


def _pruned(files: ObjectStore) -> ChainedRecord:
    return PruneRecords(files, "contoso").append([], pruned="2026-11-23T05:00:00Z", by="anna", retention="7 days")


KINDS = {
    "erasures": (_erased, ErasureRecords, "_erased/contoso/"),
    "prunes": (_pruned, PruneRecords, "_pruned/contoso/"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_next_record_follows_the_last_one_also_after_a_loss(tmp_path: Path, kind: str) -> None:
    add, records, folder = KINDS[kind]
    files = LocalObjectStore(tmp_path)
    assert [add(files).number for _ in range(3)] == [1, 2, 3]
    row: ChainedRecords[ChainedRecord] = records(files, "contoso")  # type: ignore[abstract, assignment]
    assert row.problems() == []
    files.delete([f"{folder}000001.json"])
    # Were they counted, this would be the third once more, and nobody could be added any more.
    assert add(files).number == 4
    assert [one.number for one in row] == [2, 3, 4]
    assert len(row.problems()) == 3 and "a record is missing" in row.problems()[0]
    assert row.newest()[0] == 4 and row.digest(1) == "" and row.digest(4) == row.newest()[1]


@pytest.mark.parametrize("kind", KINDS)
def test_a_changed_record_is_found(tmp_path: Path, kind: str) -> None:
    add, records, folder = KINDS[kind]
    files = LocalObjectStore(tmp_path)
    for _ in range(2):
        add(files)
    key = f"{folder}000001.json"
    files.replace(key, files.read(key).replace(b'"anna"', b'"them"'))
    row: ChainedRecords[ChainedRecord] = records(files, "contoso")  # type: ignore[abstract, assignment]
    assert len(row.problems()) == 2
    with pytest.raises(IntegrityError):
        list(row)


def test_verify_tells_of_an_erasure_that_is_missing(tmp_path: Path) -> None:
    files = encrypted(LocalObjectStore(tmp_path))
    store = ScopeStore(files, "contoso")
    for _ in range(2):
        _erased(files)
    assert list(verify(store)) == []
    files.delete(["_erased/contoso/000001.json"])
    assert [one.table for one in verify(store) if "record is missing" in one.problem] == ["_erased/contoso/"]
