"""Work that needs more memory than usual gets it, and gives it back."""

import json

import duckdb
import pyarrow as pa
import pytest

from entra_pipeline.backup.rows.memory import retry_with_more_memory
from entra_pipeline.backup.rows.merge import merge_objects
from entra_pipeline.backup.rows.parquet import write_objects
from entra_pipeline.backup.rows.staging import OBJECT_ROWS, UPSERT, Staging

pytestmark = pytest.mark.pure


def test_a_state_of_large_objects_is_put_together(tmp_path):
    raws = [json.dumps({"id": str(i), "displayName": f"User {i}", "jobTitle": "long " * 900}) for i in range(8_000)]
    rows = pa.table(
        {
            "id": [str(i) for i in range(len(raws))],
            "parent_id": pa.nulls(len(raws), pa.string()),
            "change": [UPSERT] * len(raws),
            "raw": pa.array(raws, pa.large_string()),
        }
    )
    parent = tmp_path / "parent.parquet"
    with duckdb.connect() as connection:
        connection.register("rows", rows)
        write_objects(connection, "rows", "users", parent)
    with Staging(tmp_path / "news.arrow", OBJECT_ROWS) as news:
        news.append("1", None, UPSERT, json.dumps({"id": "1", "displayName": "Renamed"}))
    state = f"SELECT id, NULL::VARCHAR AS parent_id, _raw AS raw FROM '{parent}'"
    with duckdb.connect(config={"threads": "2", "memory_limit": "64MB", "temp_directory": str(tmp_path)}) as connection:

        def merge():
            return merge_objects(connection, news.staged, state, complete=False, base=True)

        usual = connection.execute("SELECT current_setting('memory_limit')").fetchone()
        with pytest.raises(duckdb.OutOfMemoryException):
            merge()
        merged = retry_with_more_memory(connection, merge)
        assert merged.counts.rows == len(raws)
        assert connection.execute("SELECT current_setting('memory_limit')").fetchone() == usual
        renamed = connection.execute(f"SELECT raw->>'displayName' FROM {merged.rows} WHERE id = '1'").fetchall()
        assert renamed == [("Renamed",)]
