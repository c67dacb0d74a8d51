"""Collections in hashes."""

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from entra_pipeline.backup.rows.hashes import missing_ids

pytestmark = pytest.mark.pure

IDS = st.lists(st.text(max_size=3), max_size=30)


@settings(deadline=None)
@given(ends=IDS, known=IDS)
def test_missing_ids_are_the_difference_of_the_sets(ends, known):
    with duckdb.connect() as connection:
        connection.register("ends", pa.table({"id": pa.array(ends, pa.string())}))
        connection.register("known", pa.table({"id": pa.array(known, pa.string())}))
        assert missing_ids(connection, "FROM ends", "FROM known") == sorted(set(ends) - set(known), key=str.encode)
