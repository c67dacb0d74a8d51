"""Buckets of the same name at different services are never taken for each other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
from botocore.credentials import Credentials

from entra_pipeline.analysis.sql import Relations, SqlSession
from entra_pipeline.errors import StoreError
from entra_pipeline.project import load_project
from entra_pipeline.store.backends import StoredFile
from entra_pipeline.store.backends.s3.client import make_client
from entra_pipeline.store.backends.s3.credentials import RenewedCredentials
from entra_pipeline.store.backends.s3.objects import S3ObjectStore
from entra_pipeline.store.state import connect
from tests.sql.conftest import Story
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


def test_a_query_asks_a_service_once_for_the_files_of_a_table(
    story: Story, s3_bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = load_project(story.file)
    [scope] = project.scopes
    place, kept = s3_bucket.files(), project.storage[project.scope(scope).storage].open()
    for file in kept.list(""):
        place.replace(file.key, kept.read(file.key))
    listed: list[str] = []
    listing = S3ObjectStore.list

    def noted(files: S3ObjectStore, prefix: str) -> Iterator[StoredFile]:
        listed.append(prefix)
        return listing(files, prefix)

    with SqlSession(Relations({"kept": (place, [scope])})) as session:
        session.ask("SELECT count(*) FROM users_history").fetchall()
        monkeypatch.setattr(S3ObjectStore, "list", noted)
        assert session.ask("SELECT count(*) FROM users_history").fetchall() > [(0,)]
    assert sum(prefix.startswith("users/") for prefix in listed) == 1
