"""Encryption by the service: what is stored is encrypted as the profile says, and read again."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from entra_pipeline.errors import ConfigurationError, EntraPipelineError
from entra_pipeline.store.backends import S3Storage
from entra_pipeline.store.backends.promises import StoragePromises
from entra_pipeline.store.recovery_points import ScopeStore
from entra_pipeline.store.state import connect, state_query
from tests.support.s3 import Bucket, Endpoint, ceph_is_installed, new_bucket
from tests.support.writing import Time, take

_KEY, _OTHER = (base64.b64encode(bytes([fill] * 32)).decode() for fill in (1, 2))


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes the profile of a bucket."""

    def profile(bucket: Bucket, key: str = _KEY, **encryption: object) -> S3Storage:
        for name, value in zip(("S3_KEY", "S3_SECRET"), bucket.endpoint[1:3], strict=True):
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("CUSTOMER_KEY", key)
        settings: dict[str, object] = {
            "kind": "s3",
            "bucket": bucket.name,
            "endpoint_url": bucket.endpoint.url,
            "access_key_id": {"env": "S3_KEY"},
            "secret_access_key": {"env": "S3_SECRET"},
            "patience": 3,
        }
        if encryption:
            settings["server_side_encryption"] = encryption
        return S3Storage.model_validate(settings)

    return profile


def _told(bucket: Bucket, key: str, **more: Any) -> dict[str, Any]:
    """What the service says of an object."""
    answer: dict[str, Any] = bucket.endpoint.client().head_object(Bucket=bucket.name, Key=key, **more)
    return answer


def _stored(profile: S3Storage, folder: Path) -> list[str]:
    """Takes a recovery point, reads it again, and stores a large file; returns the keys of what is there."""
    store = ScopeStore(profile.open(), "contoso", Time())
    point = take(store, folder, store.new_key(), "Adele", "Alex")
    with connect(store.files) as connection:
        names = connection.execute(state_query(store.files, point.tables["users"], "displayName")).fetchall()
    assert sorted(names) == [("Adele",), ("Alex",)]
    large = folder / "large"
    large.write_bytes(b"x" * (6 << 20))
    store.files.upload_in_parts("_check/large", large)
    assert store.files.read("_check/large") == large.read_bytes()
    return [file.key for file in store.files.list("")]


@pytest.mark.parametrize("server", ["moto", "service"])
def test_with_a_kms_key_every_object_is_encrypted_with_it(
    server: str, request: pytest.FixtureRequest, made: Any, tmp_path: Path
) -> None:
    endpoint: Endpoint = request.getfixturevalue("moto_endpoint" if server == "moto" else "s3_endpoint")
    bucket = new_bucket(endpoint)
    keys = _stored(made(bucket, kms_key="entra-backup"), tmp_path)
    assert len(keys) > 3
    for key in keys:
        told = _told(bucket, key)
        assert (told["ServerSideEncryption"], told["SSEKMSKeyId"]) == ("aws:kms", "entra-backup"), key


@pytest.mark.skipif(not ceph_is_installed(), reason="moto's server does not encrypt with customer keys")
def test_with_a_customer_key_nothing_is_read_without_it(made: Any, s3_bucket: Bucket, tmp_path: Path) -> None:
    keys = _stored(made(s3_bucket, customer_key={"env": "CUSTOMER_KEY"}), tmp_path)
    key = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": base64.b64decode(_KEY)}
    assert {_told(s3_bucket, name, **key)["SSECustomerAlgorithm"] for name in keys} == {"AES256"}
    for other in (made(s3_bucket), made(s3_bucket, _OTHER, customer_key={"env": "CUSTOMER_KEY"})):
        for name in keys:
            with pytest.raises(EntraPipelineError):
                other.open().read(name)
    with pytest.raises(EntraPipelineError) as caught:
        made(s3_bucket).open().read(keys[0])
    assert "server_side_encryption.customer_key" in caught.value.remedy


@pytest.mark.skipif(not ceph_is_installed(), reason="moto's server does not encrypt with customer keys")
def test_the_check_of_a_storage_says_that_the_key_does_not_fit(made: Any, s3_bucket: Bucket) -> None:
    profile = made(s3_bucket, customer_key={"env": "CUSTOMER_KEY"})
    assert {one.outcome for one in StoragePromises(profile).check()} == {"passed"}
    assert ("Server-side encryption", "customer key") in profile.facts()


@pytest.mark.pure
@pytest.mark.parametrize(
    "text", ["no base64!", base64.b64encode(bytes(16)).decode(), base64.b64encode(bytes(33)).decode()]
)
def test_a_customer_key_of_another_length_is_refused_and_not_told(
    text: str, made: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    profile = made(Bucket(Endpoint("http://127.0.0.1:9"), "bucket"), text, customer_key={"env": "CUSTOMER_KEY"})
    with pytest.raises(ConfigurationError, match="32 bytes") as caught:
        profile.open()
    assert str(caught.value.key).endswith("customer_key")
    assert "openssl rand" in caught.value.remedy
    assert text not in str(caught.value)
