"""Half a surrogate pair, which JSON's grammar allows and no text can hold, is stored as Graph sent it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pyarrow.parquet as pq
import pytest

from entra_pipeline.analysis.browse import states
from entra_pipeline.analysis.objects import find
from entra_pipeline.backup.rows.page_parser import DeltaPages, split_list_page
from entra_pipeline.backup.rows.parquet import write_objects
from entra_pipeline.backup.rows.staging import EDGE_ROWS, OBJECT_ROWS, Staging, staged_table
from entra_pipeline.catalogue import CATALOGUE
from entra_pipeline.graph.pages import decode_page
from entra_pipeline.store.manifest import Manifest
from entra_pipeline.store.state import connect
from tests.support.protected import Protected, parts_of, protect

Tenant = Callable[..., Protected]


def stored(one: Protected, manifest: Manifest, table: str) -> dict[str, dict[str, Any]]:
    return {
        row["id"]: row
        for part in manifest.tables[table].parts
        for row in pq.ParquetFile(one.store.files.url(part.key)).read().to_pylist()
    }


def test_half_a_surrogate_pair_is_stored_without_loss(tenant: Tenant) -> None:
    one = tenant(protect("users", "applications"), users=20, groups=6)
    one.control.misbehave("lone-surrogate", "users/delta")
    one.control.misbehave("lone-surrogate", "applications*")
    manifest = one.backup()
    assert manifest.status == "finished"
    struck = {}
    for table in ("users", "applications"):
        rows = [row for row in stored(one, manifest, table).values() if "\\ud800" in row["_raw"]]
        assert {row["displayName"] for row in rows} == {"Broken \ufffd text"}
        assert manifest.tables[table].misfits == {"displayName": len(rows)}
        struck[table] = rows[0]["id"]
    # Nothing has changed since.
    for full in (True, False):
        again = one.backup(full=full)
        changes = [(entry.changed, entry.added, entry.deleted) for entry in again.tables.values()]
        assert set(changes) == {(0, 0, 0)}, full
        assert again.status == "finished"
    assert not any(parts_of(again, entry) for entry in again.tables.values())
    for table, identifier in struck.items():
        [found] = find(one.store, manifest, table, where=f"id = '{identifier}'")
        assert msgspec.json.decode(found)["displayName"] == "Broken \ufffd text"
        assert msgspec.json.decode(states(one.store, [manifest], table, identifier)[0])
    # A change of another property comes by delta, and the escape stays.
    one.control.patch(f"users/{struck['users']}", {"jobTitle": "Half"})
    changed = one.backup()
    row = stored(one, changed, "users")[struck["users"]]
    assert ("\\ud800" in row["_raw"], row["jobTitle"]) == (True, "Half")


@pytest.mark.parametrize("escape", ["\\ud800", "\\uDFFF", "\\uD83D\\ud83d"])
def test_wherever_it_is_the_json_stays_as_graph_sent_it(tmp_path: Path, escape: str) -> None:
    bodies = [
        '{"id":"a","displayName":"Sur %s x"}',
        '{"id":"b","onPremisesExtensionAttributes":{"extensionAttribute1":["%s",{"deep":"%s"}]}}',
        '{"id":"c","%s":1}',
        '{"id":"d","identities":[{"%s":"x"}]}',
        '{"id":"e%s","displayName":"x"}',
        '{"id":"f","displayName":"\\\\ud800 \\ud83d\\ude00"}',
        '{"id":"g","displayName":"whole \\ud83d\\ude00"}',
    ]
    raws = [body.replace("%s", escape) for body in bodies]
    page = decode_page(('{"value":[' + ",".join(raws) + "]}").encode())
    assert page.unreadable == []
    with Staging(tmp_path / "o", OBJECT_ROWS) as rows:
        assert split_list_page(page, rows) == []
    table = staged_table(rows.staged)
    assert table["raw"].to_pylist() == raws
    half = escape.count("\\u")
    assert table["id"].to_pylist() == ["a", "b", "c", "d", "e" + "\ufffd" * half, "f", "g"]
    with connect() as connection:
        connection.register("rows", table)
        misfits = write_objects(connection, "rows", "users", tmp_path / "users.parquet")
    assert misfits == {"displayName": 1, "onPremisesExtensionAttributes": 1, "_raw": 1, "identities": 1, "id": 1}
    written = pq.ParquetFile(tmp_path / "users.parquet").read().to_pylist()
    assert [row["_raw"] for row in written] == raws
    assert written[0]["displayName"] == f"Sur {chr(0xFFFD) * half} x"
    assert written[5]["displayName"] == "\\ud800 😀"


def test_in_a_delta_round_links_lead_to_the_same_id(tmp_path: Path) -> None:
    body = b'{"value":[{"id":"g\\ud800","displayName":"x","members@delta":[{"id":"u\\udc00"}]}]}'
    relations = CATALOGUE["groups"].delta_relations()
    with Staging(tmp_path / "o", OBJECT_ROWS) as rows:
        edges = {relation: Staging(tmp_path / relation.name, EDGE_ROWS) for relation in relations}
        DeltaPages(rows, edges).add(decode_page(body))
    for one in edges.values():
        one.close()
    [members] = [edges[relation] for relation in relations if relation.segment == "members"]
    assert staged_table(members.staged)["source_id"].to_pylist() == ["g\ufffd"]
    assert staged_table(members.staged)["target_id"].to_pylist() == ["u\ufffd"]
    assert staged_table(rows.staged)["raw"].to_pylist() == ['{"id":"g\\ud800","displayName":"x"}']
