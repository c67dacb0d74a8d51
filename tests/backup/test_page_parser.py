"""A page of Graph becomes rows."""

import json

import pytest

from entra_pipeline.backup.rows.page_parser import DeltaPages, split_expanded, split_list_page
from entra_pipeline.backup.rows.staging import DELETE, EDGE_ROWS, OBJECT_ROWS, UPSERT, Staging, staged_table
from entra_pipeline.catalogue import CATALOGUE, RELATIONS
from entra_pipeline.errors import GraphProtocolError
from entra_pipeline.graph.pages import decode_page

pytestmark = pytest.mark.pure

GROUP_RELATIONS = CATALOGUE["groups"].delta_relations()


def page_of(*objects: dict) -> bytes:
    return json.dumps({"@odata.context": "x", "value": objects, "@odata.deltaLink": "https://g/d"}).encode()


def staged_rows(staging: Staging) -> list[dict]:
    return staged_table(staging.staged).to_pylist()


def split(tmp_path, *objects: dict):
    with Staging(tmp_path / "o", OBJECT_ROWS) as rows:
        edges = {relation: Staging(tmp_path / relation.name, EDGE_ROWS) for relation in GROUP_RELATIONS}
        DeltaPages(rows, edges).add(decode_page(page_of(*objects)))
        for staged in edges.values():
            staged.close()
    members = edges[RELATIONS["group_members"][1]]
    return (
        [(r["id"], r["change"], r["raw"] and json.loads(r["raw"])) for r in staged_rows(rows)],
        [(r["source_id"], r["target_id"], r["target_type"], r["change"]) for r in staged_rows(members)],
    )


def test_relation_payloads_become_edges_and_leave_the_object(tmp_path):
    rows, edges = split(
        tmp_path,
        {
            "displayName": 'says "@removed" itself',
            "id": "g",
            "members@delta": [
                {"@odata.type": "#microsoft.graph.user", "id": "u"},
                {"@odata.type": "#microsoft.graph.servicePrincipal", "id": "s", "@removed": {"reason": "deleted"}},
            ],
        },
    )
    assert rows == [("g", UPSERT, {"displayName": 'says "@removed" itself', "id": "g"})]
    assert edges == [("g", "u", "user", UPSERT), ("g", "s", "servicePrincipal", DELETE)]


@pytest.mark.parametrize(
    "body",
    [
        b'{"members@delta":[{"id":"u"}],"id":"g","n":1.50}',
        b'{"id":"g","members@delta":[{"id":"u"}],"n":1.50}',
        b'{"id":"g","n":1.50,"members@delta":[{"id":"u"}]}',
        b'{"id":"g","n":1.50,"owners@delta":[{"id":"u"}],"members@delta":[{"id":"u"}]}',
        b'{"id":"g","n":1.50,"members@delta":[{"id":"u"}],"owners@delta":[{"id":"u"}]}',
    ],
)
def test_wherever_the_slices_are_the_rest_stays_as_graph_sent_it(tmp_path, body):
    with Staging(tmp_path / "o", OBJECT_ROWS) as rows:
        edges = {relation: Staging(tmp_path / relation.name, EDGE_ROWS) for relation in GROUP_RELATIONS}
        DeltaPages(rows, edges).add(decode_page(b'{"value":[%s]}' % body))
    assert [row["raw"] for row in staged_rows(rows)] == ['{"id":"g","n":1.50}']
    assert edges[RELATIONS["group_members"][1]].rows == 1


def test_large_objects_make_short_segments(tmp_path):
    with Staging(tmp_path / "o", OBJECT_ROWS) as rows:
        for _ in range(3):
            rows.extend(["a"] * 2_100, [None] * 2_100, [UPSERT] * 2_100, [b"x" * 20_000] * 2_100)
    assert len(rows.staged.segments) == 3
    assert len(staged_rows(rows)) == 6_300


def test_a_slice_with_nothing_but_members_is_no_news_of_the_group(tmp_path):
    rows, edges = split(tmp_path, {"id": "g", "members@delta": [{"@odata.type": "#microsoft.graph.user", "id": "u"}]})
    assert rows == []
    assert edges == [("g", "u", "user", UPSERT)]


@pytest.mark.parametrize("reason", ["changed", "deleted"])
def test_a_removed_object_is_a_deletion(tmp_path, reason):
    assert split(tmp_path, {"id": "g", "@removed": {"reason": reason}})[0] == [("g", DELETE, None)]


def test_relations_that_nobody_asked_for_leave_the_object_too(tmp_path):
    rows, _ = split(tmp_path, {"id": "g", "displayName": "d", "registeredOwners@delta": [{"id": "u"}]})
    assert rows == [("g", UPSERT, {"id": "g", "displayName": "d"})]


def test_listed_objects_are_kept_as_graph_sent_them(tmp_path):
    body = b'{"value":[{"id" : "a", "n":1.50, "s":"\\u00e9 \xf0\x9f\x99\x82"}]}'
    with Staging(tmp_path / "o", OBJECT_ROWS) as rows:
        split_list_page(decode_page(body), rows)
    assert [row["raw"] for row in staged_rows(rows)] == ['{"id" : "a", "n":1.50, "s":"\\u00e9 🙂"}']


def test_expanded_items_come_apart():
    def apart(*objects: bytes) -> list[tuple[str, list[bytes]]]:
        return [(one, [bytes(item) for item in items]) for one, items, _ in split_expanded(objects, "owners")[0]]

    assert apart(
        b'{"id":"a","owners":[{"id":"u"},{"id":"v"}]}',
        b'{"id":"b"}',
        b'{"owners":null,"id":"c"}',
        b'{"id":"d","owners":[]}',
    ) == [("a", [b'{"id":"u"}', b'{"id":"v"}']), ("b", []), ("c", []), ("d", [])]
    # As one object, where there is one at most.
    assert apart(b'{"id":"a","owners":{"id":"u"}}', b'{"id":"b"}', b'{"id":"c","owners":null}') == [
        ("a", [b'{"id":"u"}']),
        ("b", []),
        ("c", []),
    ]


def test_an_object_that_says_the_same_again_is_no_news(tmp_path):
    def sliced(name: str, member: str) -> dict:
        return {"id": "g", "displayName": name, "members@delta": [{"id": member}]}

    rows, edges = split(tmp_path, sliced("A", "u"), sliced("A", "v"), {"id": "g", "members@delta": [{"id": "w"}]})
    assert [row[2]["displayName"] for row in rows] == ["A"]
    assert [edge[1] for edge in edges] == ["u", "v", "w"]
    rows, _ = split(tmp_path, sliced("A", "u"), sliced("B", "v"), sliced("A", "w"))
    assert [row[2]["displayName"] for row in rows] == ["A", "B", "A"]
    rows, _ = split(tmp_path, sliced("A", "u"), {"id": "g", "@removed": {"reason": "changed"}}, sliced("A", "w"))
    assert [row[1] for row in rows] == [UPSERT, DELETE, UPSERT]


def test_an_empty_id_identifies_nothing(tmp_path):
    objects, members = Staging(tmp_path / "o", OBJECT_ROWS), Staging(tmp_path / "e", EDGE_ROWS)
    pages = DeltaPages(objects, {RELATIONS["group_members"][1]: members})
    pages.add(decode_page(page_of({"id": "g", "x": 1, "members@delta": [{"id": "u"}, {"id": ""}]}, {"id": "", "x": 1})))
    assert (objects.rows, members.rows) == (1, 1)
    assert [(one.relation is None, one.object) for one in pages.unreadable] == [(True, ""), (False, "g")]
    owners, unreadable = split_expanded([b'{"id":"","owners":[]}', b'{"id":"a","owners":[]}'], "owners")
    assert ([one.id for one in owners], len(unreadable)) == (["a"], 1)
    assert len(split_list_page(decode_page(page_of({"id": ""}, {"id": "a"})), objects)) == 1


@pytest.mark.parametrize("body", [b'{"error":{}}', b'{"value":{}}', b"[]"])
def test_what_is_not_a_page_is_refused(body):
    with pytest.raises(GraphProtocolError):
        decode_page(body)
