"""Collections in hashes."""

import duckdb
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from entra_pipeline.backup.rows.hashes import strangers

IDS = st.lists(st.text(max_size=3), max_size=30)


@given(ends=IDS, known=IDS)
def test_strangers_are_those_whom_a_set_would_find(ends, known):
    with duckdb.connect() as connection:
        connection.register("ends", pa.table({"id": pa.array(ends, pa.string())}))
        connection.register("known", pa.table({"id": pa.array(known, pa.string())}))
        assert strangers(connection, "FROM ends", "FROM known") == sorted(set(ends) - set(known), key=str.encode)
