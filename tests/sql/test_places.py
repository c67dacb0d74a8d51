"""Buckets of the same name at different services are never taken for each other."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest
from botocore.credentials import Credentials

from entra_pipeline.errors import StoreError
from entra_pipeline.store.backends.s3.client import make_client
from entra_pipeline.store.backends.s3.credentials import RenewedCredentials
from entra_pipeline.store.backends.s3.objects import S3ObjectStore
from entra_pipeline.store.state import connect
from tests.support.s3 import Bucket


def bucket(endpoint: str, prefix: str = "") -> S3ObjectStore:
    keys = Credentials("a", "b")
    client = make_client(RenewedCredentials(lambda: keys), region="us-east-1", endpoint_url=f"https://{endpoint}")
    return S3ObjectStore(client, "backup", prefix)


def test_prefixes_tell_places_of_one_bucket_apart(s3_bucket: Bucket, tmp_path: Path) -> None:
    # The last one is the first once more, opened again.
    places = [s3_bucket.files(prefix) for prefix in ("a", "a/b", "", "a")]
    for number, place in enumerate(places[:3]):
        path = tmp_path / f"{number}.parquet"
        duckdb.execute(f"COPY (SELECT {number} AS n) TO '{path}'")
        place.upload("t.parquet", path)
    with connect(*places) as connection:
        found = [connection.execute(f"SELECT n FROM '{place.url('t.parquet')}'").fetchall() for place in places]
    assert found == [[(0,)], [(1,)], [(2,)], [(0,)]]


def test_buckets_that_cannot_be_told_apart_are_refused() -> None:
    with pytest.raises(StoreError, match="at different services"):
        connect(bucket("one.example"), bucket("two.example"))
