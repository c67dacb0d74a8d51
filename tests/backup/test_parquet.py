"""Rows in Parquet."""

import json

import duckdb
import pyarrow as pa
import pytest

from entra_pipeline.backup.rows.parquet import write_objects

pytestmark = pytest.mark.pure


def test_objects_with_long_lists_get_the_memory_that_they_take(tmp_path):
    raws = [
        json.dumps({"id": str(i), "proxyAddresses": [f"smtp:{i}.{k}@contoso.example" for k in range(400)]})
        for i in range(1_500)
    ]
    rows = pa.table(
        {
            "id": [str(i) for i in range(len(raws))],
            "parent_id": pa.nulls(len(raws), pa.string()),
            "change": ["upsert"] * len(raws),
            "raw": pa.array(raws, pa.large_string()),
        }
    )
    with duckdb.connect(config={"threads": "1", "memory_limit": "48MB"}) as connection:
        connection.register("rows", rows)
        assert write_objects(connection, "rows", "users", tmp_path / "users.parquet") == {}
        limit = connection.execute("SELECT current_setting('memory_limit')").fetchall()
    found = duckdb.execute(
        f"SELECT count(*), sum(len(proxyAddresses)), count(DISTINCT _raw) FROM '{tmp_path / 'users.parquet'}'"
    ).fetchall()
    assert found == [(1_500, 600_000, 1_500)]
    # DuckDB tells its limit with one decimal: 48 MB are 45.8 MiB.
    assert limit in ([("45.7 MiB",)], [("45.8 MiB",)], [("45.6 MiB",)])


def test_text_that_begins_with_a_bracket_is_text_and_what_is_none_is_counted(tmp_path):
    given = [
        {"displayName": "[EXT] Jo", "businessPhones": ["[1]", "{2}"]},
        {"displayName": "{Jo}", "businessPhones": []},
        {"displayName": {"first": "Jo"}, "businessPhones": ["1", {"number": "2"}]},
        {"displayName": ["Jo"], "businessPhones": None},
    ]
    raws = [json.dumps({"id": str(number), **one}) for number, one in enumerate(given)]
    rows = pa.table(
        {
            "id": [str(number) for number in range(len(raws))],
            "parent_id": pa.nulls(len(raws), pa.string()),
            "change": ["upsert"] * len(raws),
            "raw": pa.array(raws, pa.large_string()),
        }
    )
    path = tmp_path / "users.parquet"
    with duckdb.connect() as connection:
        connection.register("rows", rows)
        assert write_objects(connection, "rows", "users", path) == {"displayName": 2, "businessPhones": 1}
        connection.register("rows", rows.slice(0, 2))
        assert write_objects(connection, "rows", "users", tmp_path / "texts.parquet") == {}
    found = duckdb.execute(f"SELECT displayName, businessPhones FROM '{path}' ORDER BY id").fetchall()
    assert found == [("[EXT] Jo", ["[1]", "{2}"]), ("{Jo}", []), (None, None), (None, None)]
