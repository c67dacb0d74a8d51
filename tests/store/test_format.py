"""The documented format is the one that is written."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

import duckdb
import msgspec
import pandas
import pytest
from pyarrow import dataset

from entra_pipeline.catalogue import CATALOGUE
from entra_pipeline.catalogue.logs import LOGS
from entra_pipeline.store.backends import LocalObjectStore
from entra_pipeline.store.commit import commit
from entra_pipeline.store.logs import LogStore
from entra_pipeline.store.manifest import Gap, Manifest, Part, TableEntry, sha256
from entra_pipeline.store.recovery_points import ScopeStore
from tests.support.writing import Time, entry, gone, manifest, put, put_log_day, take, upsert

pytestmark = pytest.mark.pure

DOCUMENT = (Path(__file__).parents[2] / "docs/storage-format.md").read_text()


@pytest.mark.parametrize(
    ("title", "struct"),
    [("Canonical JSON", Manifest), ("An **entry**", TableEntry), ("A **part**:", Part), ("A **gap**:", Gap)],
)
def test_the_document_has_every_member_and_no_other(title: str, struct: type[msgspec.Struct]) -> None:
    table = re.search(r"\| member \|.*?\n\n", DOCUMENT[DOCUMENT.index(title) :], re.DOTALL)
    assert table is not None
    cells = [line.split("|")[1] for line in table[0].strip().splitlines()[2:]]
    assert {name for cell in cells for name in re.findall(r"`(\w+)`", cell)} == set(struct.__struct_fields__)


def test_the_documented_query_shows_the_state_in_stock_duckdb(tmp_path: Path) -> None:
    time = Time()
    store = ScopeStore(LocalObjectStore(tmp_path / "store"), "contoso", time)
    first = take(store, tmp_path, store.new_key(), "Adele", "Alex", "Diego")
    time.pass_(hours=1)
    point = store.new_key()
    assert f"_recovery_points/contoso/{point}.json" in DOCUMENT
    changes = put(store, tmp_path, point, [upsert("1", "Alexandra"), gone("2")], role="changes")
    commit(store, manifest(store, point, entry([*first.tables["users"].parts, changes], 2)))
    found = re.search(r"```sql\n(.*?)```", DOCUMENT, re.DOTALL)
    assert found is not None
    query = found[1].replace("/var/backups/entra/", f"{tmp_path}/store/")
    with duckdb.connect() as connection:
        relation = connection.execute(query)
        columns = [column[0] for column in relation.description or ()]
        assert sorted(columns) == ["_raw", "displayName", "id"]
        rows = [dict(zip(columns, row, strict=True)) for row in relation.fetchall()]
    assert sorted((row["id"], row["displayName"]) for row in rows) == [("0", "Adele"), ("1", "Alexandra")]


def test_the_documented_seal_can_be_checked_with_nothing_but_a_hash(tmp_path: Path) -> None:
    store = ScopeStore(LocalObjectStore(tmp_path / "store"), "contoso", Time())
    made = take(store, tmp_path, store.new_key(), "Adele")
    data = store.manifest_bytes(made.recovery_point)
    assert sha256(re.sub(rb'"seal":"\w+"', b'"seal":""', data)) == made.seal


def test_readers_that_go_by_the_folders_read_properties_as_they_are(tmp_path: Path) -> None:
    store = ScopeStore(LocalObjectStore(tmp_path / "store"), "contoso", Time())
    point, name = store.new_key(), "oauth2_permission_grants"
    row = {"id": "1", "scope": "User.Read", "_raw": '{"id":"1","scope":"User.Read"}', "_change": "upsert"}
    put(store, tmp_path, point, [row], table=name)
    put_log_day(LogStore(store.files, "contoso"), tmp_path, "sign_ins", date(2026, 11, 20))
    folder = tmp_path / "store"
    with duckdb.connect() as connection:
        read = f"FROM read_parquet('{folder}/{{}}/*/*/*.parquet', hive_partitioning = true)"
        query = f'SELECT scope, "backup-scope", "recovery-point" {read.format(name)}'
        assert connection.execute(query).fetchall() == [("User.Read", "contoso", point)]
        query = f'SELECT "backup-scope", "log-day" {read.format("sign_ins")}'
        assert connection.execute(query).fetchall() == [("contoso", date(2026, 11, 20))]
    (told,) = dataset.dataset(folder / name, partitioning="hive").to_table().to_pylist()
    assert told == {**row, "displayName": None, "backup-scope": "contoso", "recovery-point": point}
    (told,) = pandas.read_parquet(folder / name).to_dict("records")
    assert (told["scope"], told["backup-scope"], told["recovery-point"]) == ("User.Read", "contoso", point)


def test_no_property_can_be_called_as_a_folder_is(tmp_path: Path) -> None:
    store = ScopeStore(LocalObjectStore(tmp_path / "store"), "contoso", Time())
    take(store, tmp_path, store.new_key(), "Adele")
    put_log_day(LogStore(store.files, "contoso"), tmp_path, "sign_ins", date(2026, 11, 20))
    keys = {key for file in store.files.list("") for key in re.findall(r"([^/]+)=[^/]*/", file.key)}
    assert keys == {"backup-scope", "recovery-point", "log-day"}
    # Names of properties are OData's: letters, digits, underscores.
    assert not any(re.fullmatch(r"\w+", key) for key in keys)
    names = {name for known in (*CATALOGUE.values(), *LOGS.values()) for name in known.properties}
    assert all(re.fullmatch(r"\w+", name) for name in names)
    assert not names & set(keys)


def test_the_document_names_the_tables_whose_ids_are_made_of_two() -> None:
    said = re.search(r"An id is made of two in these tables: (.*?)\.", DOCUMENT, re.DOTALL)
    assert said is not None
    assert re.findall(r"`(\w+)`", said[1]) == [name for name, known in CATALOGUE.items() if known.local_ids]
