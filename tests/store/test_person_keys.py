"""Keys of persons: made once, found by what they encrypted, and gone for good when they are destroyed."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec
import pytest

from entra_pipeline.errors import DeleteRefused, IntegrityError, StoreError
from entra_pipeline.store.backends import LocalObjectStore
from entra_pipeline.store.backends.encryption.encrypted_store import EncryptedObjectStore
from entra_pipeline.store.backends.encryption.person_keys import PersonKeys, ScopeKeys
from entra_pipeline.store.backends.encryption.sealing import (
    ERASED,
    PersonKey,
    key_id_of,
    open_object,
    seal_object,
)
from tests.support.encryption import encrypted
from tests.support.s3 import Bucket
from tests.support.signing import signed

ADELE = '{"id":"1","displayName":"Adele","mail":null,"note":"\\ud800 \\uD83D\\uDE00 é","list":[{"x":1.50}],"id2":1e400}'


@pytest.fixture
def place(tmp_path: Path) -> LocalObjectStore:
    return LocalObjectStore(tmp_path / "store")


@pytest.fixture
def files(place: LocalObjectStore) -> EncryptedObjectStore:
    return encrypted(place)


def keys_of(files: EncryptedObjectStore) -> ScopeKeys:
    """The keys as another process reads them."""
    return ScopeKeys(files, "contoso")


def begun(files: EncryptedObjectStore, *people: str) -> ScopeKeys:
    keys = keys_of(files)
    keys.begin()
    for person in people:
        keys.key(person)
        keys.save()
    return keys


# --- One object ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("members", [(), ("displayName",), ("displayName", "list", "absent")])
def test_an_object_comes_back_byte_for_byte(members: tuple[str, ...]) -> None:
    key = PersonKey.new()
    sealed = seal_object(ADELE, "1", lambda: key, members)
    assert "Adele" not in sealed.raw and sealed.envelope is not None and b"Adele" not in sealed.envelope
    assert sealed.raw.startswith('{"id":"1","displayName":null,"mail":null,')
    assert open_object(sealed.raw, "1", sealed.envelope, {key.id: key}.get) == ADELE


def test_without_its_key_an_object_says_that_it_is_erased() -> None:
    key = PersonKey.new()
    sealed = seal_object('{"id":"1","displayName":"Adele"}', "1", lambda: key)
    assert sealed.envelope is not None and key_id_of(sealed.envelope) == key.id
    gone = open_object(sealed.raw, "1", sealed.envelope, lambda _: None)
    assert msgspec.json.decode(gone) == {ERASED: True, "id": "1", "displayName": None}
    # A later point that carries it says the same, and makes no key for what nobody knows.
    assert seal_object(gone, "1", PersonKey.new) == (gone, None)


def test_an_envelope_that_was_changed_or_moved_is_refused() -> None:
    key = PersonKey.new()
    sealed = seal_object(ADELE, "1", lambda: key)
    assert sealed.envelope is not None
    for identifier, envelope in (("2", sealed.envelope), ("1", sealed.envelope[:-1] + b"?")):
        with pytest.raises(IntegrityError, match="not what was encrypted"):
            open_object(sealed.raw, identifier, envelope, {key.id: key}.get)


def test_what_has_no_values_has_no_envelope() -> None:
    assert seal_object('{"id":"1","displayName":null}', "1", PersonKey.new).envelope is None


# --- Where they are --------------------------------------------------------------------------------------------------


def test_a_key_is_found_by_everybody_once_it_is_saved(files: EncryptedObjectStore) -> None:
    writer = begun(files)
    adele = writer.key("adele")
    assert writer.key("adele") == adele != writer.key("alex")
    reader = PersonKeys(files)
    with pytest.raises(IntegrityError, match="missing"):
        reader.find(adele.id)
    writer.save()
    assert reader.find(adele.id) == adele
    assert keys_of(files).keys_of("adele") == [adele]


def test_no_key_lies_in_plain(files: EncryptedObjectStore, place: LocalObjectStore) -> None:
    begun(files, "adele")
    [*stored] = [place.read(file.key) for file in place.list("_people/")]
    assert stored and not any(b"adele" in data or b"keys" in data for data in stored)


def test_keys_are_signed_where_records_are(place: LocalObjectStore) -> None:
    files = encrypted(signed(place))
    begun(files, "adele")
    name = next(file.key for file in place.list("_people/") if file.size > 400)
    place.replace(name, place.read(name).replace(b'"encrypted":"g0001', b'"encrypted":"g0002'))
    with pytest.raises(IntegrityError, match="not what was signed"):
        keys_of(files)


def test_a_destroyed_key_is_nowhere_and_the_others_are(files: EncryptedObjectStore) -> None:
    keys = begun(files, "adele", "alex")
    [adele], [alex] = keys.keys_of("adele"), keys.keys_of("alex")
    before = {file.key for file in files.list("_people/")}
    assert keys.destroy("adele") == 1
    after = {file.key for file in files.list("_people/")}
    assert len(after) == 1 and not after & before
    fresh = keys_of(files)
    assert (fresh.keys_of("adele"), fresh.keys_of("alex"), fresh.destroyed) == ([], [alex], 1)
    assert fresh.find(adele.id) is None and PersonKeys(files).find(adele.id) is None
    # Somebody of the same id, met later, gets another key.
    assert keys.key("adele").id != adele.id


def test_two_writers_who_meet_somebody_at_once_both_can_be_read(files: EncryptedObjectStore) -> None:
    begun(files)
    one, other = keys_of(files), keys_of(files)
    first, second = one.key("adele"), other.key("adele")
    one.save()
    other.save()
    fresh = keys_of(files)
    assert {key.id for key in fresh.keys_of("adele")} == {first.id, second.id}
    assert fresh.destroy("adele") == 2
    assert [keys_of(files).find(key.id) for key in (first, second)] == [None, None]


def test_whoever_has_an_older_state_in_memory_brings_no_key_back(files: EncryptedObjectStore) -> None:
    old = begun(files, "adele")
    [adele] = old.keys_of("adele")
    keys_of(files).destroy("adele")
    old.key("alex")
    old.save()
    old.reload()
    assert old.keys_of("adele") == keys_of(files).keys_of("adele") == []
    assert PersonKeys(files).find(adele.id) is None


def test_many_files_are_joined(files: EncryptedObjectStore) -> None:
    keys = begun(files, *map(str, range(12)))
    found = {person: keys.keys_of(person) for person in map(str, range(12))}
    assert len(list(files.list("_people/"))) == 13
    keys.settle()
    assert len(list(files.list("_people/"))) == 1
    assert {person: keys_of(files).keys_of(person) for person in found} == found


def test_who_may_not_delete_leaves_the_files_as_they_are(files: EncryptedObjectStore, place: LocalObjectStore) -> None:
    keys = begun(files, *map(str, range(12)))
    refusing = encrypted(place)
    refusing.__class__ = Dying
    before = {file.key: file.size for file in files.list("_people/")}
    with pytest.raises(DeleteRefused):
        keys_of(refusing).settle()
    added = [file.size for file in files.list("_people/") if file.key not in before]
    assert len(added) == 1 and added[0] < min(before.values()) + 50
    assert keys_of(files).keys_of("7") == keys.keys_of("7")


class Dying(EncryptedObjectStore):
    """A place where nothing can be destroyed any more after `left` files."""

    left = 0

    def destroy(self, keys: Iterable[str]) -> None:
        for key in keys:
            if self.left <= 0:
                raise DeleteRefused("killed")
            self.left -= 1
            super().destroy([key])


@pytest.mark.parametrize("left", [0, 1, 2])
def test_an_interrupted_erasure_counts_and_is_finished_by_the_next(
    files: EncryptedObjectStore, place: LocalObjectStore, left: int
) -> None:
    keys = begun(files, "adele", "alex")
    [adele], [alex] = keys.keys_of("adele"), keys.keys_of("alex")
    dying = encrypted(place)
    dying.__class__ = Dying
    dying.left = left  # type: ignore[attr-defined]
    with pytest.raises(StoreError, match="killed"):
        keys_of(dying).destroy("adele")
    fresh = keys_of(files)
    assert (fresh.find(adele.id), fresh.find(alex.id)) == (None, alex)
    assert fresh.keys_of("adele") == []
    # Files are removed in the order of their names, which is chance.
    assert fresh.is_stored(adele.id) is (fresh.left == 1)
    fresh.settle()
    fresh.destroy("nobody")
    assert not keys_of(files).is_stored(adele.id)
    assert (keys_of(files).left, keys_of(files).find(alex.id)) == (0, alex)


def test_versions_of_destroyed_keys_are_gone_from_a_bucket_that_keeps_them(s3_bucket: Bucket) -> None:
    client = s3_bucket.endpoint.client()
    client.put_bucket_versioning(Bucket=s3_bucket.name, VersioningConfiguration={"Status": "Enabled"})
    files = encrypted(s3_bucket.files())
    keys = begun(files, "adele", "alex")
    keys.destroy("adele")
    answer = client.list_object_versions(Bucket=s3_bucket.name, Prefix="_people/")
    assert len(answer["Versions"]) == 1 and not answer.get("DeleteMarkers")


def test_by_person_is_not_begun_where_keys_would_be_locked(locking_bucket: Bucket) -> None:
    rule = {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 1}}
    locking_bucket.endpoint.client().put_object_lock_configuration(
        Bucket=locking_bucket.name, ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", "Rule": rule}
    )
    with pytest.raises(StoreError):
        begun(encrypted(locking_bucket.files(object_lock="governance")))
