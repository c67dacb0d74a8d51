"""Buckets of the same name at different services are never taken for each other."""

from __future__ import annotations

import boto3
import pytest

from entra_pipeline.errors import StoreError
from entra_pipeline.store.backends.s3.objects import S3ObjectStore
from entra_pipeline.store.state import connect


def bucket(endpoint: str, prefix: str = "") -> S3ObjectStore:
    secret = {"KEY_ID": "a", "SECRET": "b", "ENDPOINT": endpoint}
    return S3ObjectStore(boto3.client("s3", region_name="us-east-1"), "backup", prefix, duckdb_secret=secret)


def test_prefixes_tell_buckets_of_one_name_apart() -> None:
    places = bucket("one.example", "a"), bucket("two.example", "b")
    with connect(*places, places[0]) as connection:
        for place in places:
            (found,) = connection.execute(f"SELECT name FROM which_secret('{place.url('key')}', 's3')").fetchall()
            assert str(place) in found[0]


def test_buckets_that_cannot_be_told_apart_are_refused() -> None:
    with pytest.raises(StoreError, match="at different services"):
        connect(bucket("one.example"), bucket("two.example"))
