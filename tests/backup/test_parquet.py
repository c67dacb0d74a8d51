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
