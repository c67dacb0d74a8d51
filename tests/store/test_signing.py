"""Records are signed where they are written, and verified where they are read."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from hypothesis import given
from hypothesis import strategies as st

from entra_pipeline.errors import AlreadyExists, ConfigurationError, IntegrityError, StoreError
from entra_pipeline.project import load_project
from entra_pipeline.project.stores import open_store
from entra_pipeline.store.backends import LocalObjectStore
from entra_pipeline.store.backends.signing.adopted import adopt, unverified
from entra_pipeline.store.backends.signing.envelope import BadSignature, is_record, joined, split, statement
from entra_pipeline.store.backends.signing.keys import introduce, key_place
from entra_pipeline.store.backends.signing.signed_store import SignedObjectStore
from entra_pipeline.store.recovery_points import ScopeStore
from entra_pipeline.store.verify import verify
from tests.support.signing import OURS, STRANGER, private_pem, signed, signing_key
from tests.support.writing import START, Time, take

pytestmark = pytest.mark.pure

FIRST, SECOND = "2026-11-23T05-00-00Z", "2026-11-23T06-00-00Z"
MANIFEST = f"_recovery_points/contoso/{FIRST}.json"
RECORD = b'{"a":1,"seal":""}\n'


@pytest.fixture
def place(tmp_path: Path) -> LocalObjectStore:
    return LocalObjectStore(tmp_path / "store")


@given(
    members=st.dictionaries(st.text(), st.text() | st.dictionaries(st.text(), st.text()), min_size=1),
    ended=st.booleans(),
    lines=st.integers(0, 2),
)
def test_what_a_signature_is_put_on_comes_back(members: dict[str, object], ended: bool, lines: int) -> None:
    line = json.dumps(members).encode()
    data = b"\n".join([line] * (lines + 1)) + (b"\n" if ended else b"")
    stored = joined(data, OURS.public.id, OURS.sign(data))
    assert split(stored) == (data, OURS.public.id, OURS.sign(data))
    last = json.loads(stored.splitlines()[-1])
    assert last.keys() >= members.keys() and len(stored.splitlines()) == len(data.splitlines())


@pytest.mark.parametrize("data", [b"", b"{}", b"{}\n", b'{"a":1}\n{}\n', b"[]\n", b"PAR1"])
def test_what_is_no_record_cannot_be_signed(data: bytes) -> None:
    with pytest.raises(ValueError, match="JSON object"):
        joined(data, OURS.public.id, OURS.sign(data))


def test_anybody_can_verify_a_record_with_the_public_key(place: LocalObjectStore) -> None:
    signed(place).create(MANIFEST, RECORD)
    stored = place.read(MANIFEST)
    found = split(stored)
    assert found is not None and json.loads(stored)["signature"] == f"{found.key_id}.{found.signature}"
    raw = load_pem_private_key(private_pem("ours").encode(), None).public_key().public_bytes_raw()  # type: ignore[union-attr]
    key = Ed25519PublicKey.from_public_bytes(raw)
    key.verify(base64.urlsafe_b64decode(found.signature + "=="), statement(MANIFEST, RECORD))
    with pytest.raises(InvalidSignature):
        key.verify(base64.urlsafe_b64decode(found.signature + "=="), statement(MANIFEST, RECORD + b" "))


def test_records_are_read_as_they_were_written_and_other_objects_are_left_alone(place: LocalObjectStore) -> None:
    files = signed(place)
    for key, data in ((MANIFEST, RECORD), ("users/part.parquet", b"PAR1"), ("_locks/contoso/1.json", b"{}")):
        files.create(key, data)
        assert files.read(key) == b"".join(files.stream(key)) == data
        assert (place.read(key) == data) is not is_record(key)
        with pytest.raises(AlreadyExists):
            files.create(key, data)
    files.replace(MANIFEST, b'{"b":2}')
    assert files.read(MANIFEST) == b'{"b":2}'


@pytest.mark.parametrize(
    ("harm", "what"),
    [
        (lambda data: data.replace(b'"a":1', b'"a":2'), "not what was signed"),
        (lambda data: data[:-1], "not what was signed"),
        (lambda data: RECORD, "is not signed"),
        (lambda data: STRANGER.signed(MANIFEST, RECORD), "is not trusted here"),
        (lambda data: OURS.signed(MANIFEST.replace("05-00", "06-00"), RECORD), "not what was signed"),
        (
            lambda data: joined(RECORD, OURS.public.id, STRANGER.sign(statement(MANIFEST, RECORD))),
            "not what was signed",
        ),
        (lambda data: data.replace(b'"signature"', b'"Signature"'), "is not signed"),
        (lambda data: b"", "is not signed"),
    ],
)
def test_what_nobody_signed_there_is_refused(
    place: LocalObjectStore, harm: Callable[[bytes], bytes], what: str
) -> None:
    signed(place).create(MANIFEST, RECORD)
    place.replace(MANIFEST, harm(place.read(MANIFEST)))
    with pytest.raises(BadSignature, match=what) as caught:
        signed(place).read(MANIFEST)
    assert isinstance(caught.value, IntegrityError) and caught.value.remedy


def test_points_of_a_signed_store_are_those_of_an_unsigned_one(tmp_path: Path, place: LocalObjectStore) -> None:
    plain = ScopeStore(LocalObjectStore(tmp_path / "plain"), "contoso", Time())
    store = ScopeStore(signed(place), "contoso", Time())
    for one in (plain, store):
        for point in (FIRST, SECOND):
            take(one, tmp_path, point, "Adele", "Alex")
    assert [store.manifest(point) for point in store.points()] == [plain.manifest(point) for point in plain.points()]
    assert [finding for finding in verify(store) if not finding.ok] == []


def test_a_chain_that_was_made_anew_with_seals_is_found(tmp_path: Path, place: LocalObjectStore) -> None:
    store = ScopeStore(signed(place), "contoso", Time())
    take(store, tmp_path, FIRST, "Adele", "Alex")
    # Whoever may write, and has no key, makes a whole store of their own in its place.
    place.delete([file.key for file in place.list("") if not file.key.startswith("_keys/")])
    for files in (place, SignedObjectStore(place, STRANGER)):
        forged = ScopeStore(files, "contoso", Time())
        take(forged, tmp_path, forged.new_key(manual=True, at=START), "Mallory")
        (finding,) = [finding for finding in verify(store) if not finding.ok and finding.point]
        assert "signed" in finding.problem
        with pytest.raises(IntegrityError):
            store.latest()
        place.delete([file.key for file in place.list("_recovery_points/")])


def test_a_machine_without_a_key_for_a_signed_store_is_told_so(tmp_path: Path, place: LocalObjectStore) -> None:
    take(ScopeStore(signed(place), "contoso", Time()), tmp_path, FIRST, "Adele")
    with pytest.raises(IntegrityError, match="is signed, and this machine has no key") as caught:
        ScopeStore(place, "contoso", Time()).latest()
    assert "public_keys" in caught.value.remedy


def test_a_machine_with_public_keys_only_reads(tmp_path: Path, place: LocalObjectStore) -> None:
    take(ScopeStore(signed(place), "contoso", Time()), tmp_path, FIRST, "Adele")
    reader = ScopeStore(signed(place, None, OURS.public), "contoso", Time())
    assert reader.points() == [FIRST] and reader.manifest(FIRST)
    with pytest.raises(StoreError, match="no private key"):
        take(reader, tmp_path, SECOND, "Adele")


# --- Keys ------------------------------------------------------------------------------------------------------------


def test_a_new_key_is_trusted_by_who_trusts_the_old_one_and_vouches_for_it(place: LocalObjectStore) -> None:
    old, new, newest = OURS, signing_key("new"), signing_key("newest")
    signed(place, old).create("_jobs/contoso/1.json", RECORD)
    for key, previous in ((new, old), (newest, new)):
        assert introduce(place, key, START, previous)
        assert not introduce(place, key, START, previous)
    signed(place, newest).create("_jobs/contoso/2.json", RECORD)
    for reader in (signed(place, None, old.public), signed(place, newest), signed(place, None, new.public)):
        assert [reader.read(f"_jobs/contoso/{number}.json") for number in (1, 2)] == [RECORD, RECORD]
    # A key that is taken away is no longer vouched for.
    place.delete([key_place(new.public.id)])
    with pytest.raises(BadSignature, match="not trusted"):
        signed(place, newest).read("_jobs/contoso/1.json")


def test_a_key_that_merely_lies_in_the_store_is_not_trusted(place: LocalObjectStore) -> None:
    signed(place).create("_jobs/contoso/1.json", RECORD)
    # It names ours as the one before it, and cannot have its signature.
    introduce(place, STRANGER, START, OURS)
    where = key_place(STRANGER.public.id)
    found = split(place.read(where))
    assert found is not None
    members = json.loads(found.data)
    members["by_previous"] = STRANGER.sign(b"anything")
    data = json.dumps(members, sort_keys=True, separators=(",", ":")).encode() + b"\n"
    place.replace(where, STRANGER.signed(where, data))
    place.replace("_jobs/contoso/1.json", STRANGER.signed("_jobs/contoso/1.json", RECORD))
    place.replace("_keys/nonsense.json", b"{}")
    with pytest.raises(BadSignature, match="not trusted"):
        signed(place).read("_jobs/contoso/1.json")


# --- What was there before -------------------------------------------------------------------------------------------


def test_a_store_that_was_not_signed_is_adopted_and_gone_on_with(tmp_path: Path, place: LocalObjectStore) -> None:
    plain = ScopeStore(place, "contoso", Time())
    take(plain, tmp_path, FIRST, "Adele")
    plain.files.create("_restore/job/journal/00000000.jsonl", b'{"a":1}\n{"a":2}\n')
    before = {file.key: place.read(file.key) for file in place.list("")}
    with pytest.raises(BadSignature, match="storage sign"):
        ScopeStore(signed(place), "contoso", Time()).latest()
    found = unverified(signed(place), place)
    assert found.keys() == {MANIFEST, "_restore/job/journal/00000000.jsonl"}
    adopt(signed(place), found, by="anna", now=START)
    assert unverified(signed(place), place) == {}
    assert {key: place.read(key) for key in before} == before
    files = signed(place)
    assert files.read("_restore/job/journal/00000000.jsonl") == b'{"a":1}\n{"a":2}\n'
    store = ScopeStore(files, "contoso", Time())
    take(store, tmp_path, SECOND, "Adele", "Alex")
    assert [finding for finding in verify(store) if not finding.ok and finding.point] == []
    # Adopted is what it was, where it was.
    place.replace(MANIFEST, before[MANIFEST] + b" ")
    with pytest.raises(BadSignature):
        signed(place).read(MANIFEST)
    place.replace(MANIFEST, before[MANIFEST])
    place.replace("_jobs/contoso/x.json", before[MANIFEST])
    with pytest.raises(BadSignature):
        signed(place).read("_jobs/contoso/x.json")


def test_a_list_of_adopted_records_that_somebody_else_made_adopts_nothing(
    tmp_path: Path, place: LocalObjectStore
) -> None:
    take(ScopeStore(place, "contoso", Time()), tmp_path, FIRST, "Adele")
    theirs = SignedObjectStore(place, STRANGER)
    adopt(theirs, unverified(theirs, place), by="mallory", now=START)
    with pytest.raises(BadSignature):
        signed(place).read(MANIFEST)


def test_a_list_of_adopted_records_of_a_later_release_is_named(tmp_path: Path, place: LocalObjectStore) -> None:
    take(ScopeStore(place, "contoso", Time()), tmp_path, FIRST, "Adele")
    adopt(signed(place), unverified(signed(place), place), by="anna", now=START)
    [where] = [file.key for file in place.list("_adopted/")]
    later = signed(place).read(where).replace(b'"version":1', b'"version":2')
    signed(place).replace(where, later)
    with pytest.raises(IntegrityError, match="is in version 2 of the format"):
        signed(place).read(MANIFEST)


# --- The configuration -----------------------------------------------------------------------------------------------

_PROJECT = """
[storage.main]
kind = "local"
path = "backups"
signing = {signing}

[tenants.contoso]
simulator = {{}}

[scopes.contoso]
tenant = "contoso"
storage = "main"
protect = "all"
retention = "30 days"
"""


@pytest.mark.parametrize("stored", [private_pem("ours"), private_pem("ours").strip()])
def test_the_key_is_taken_from_the_profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stored: str) -> None:
    monkeypatch.setenv("SIGNING_KEY", stored)
    file = tmp_path / "project.toml"
    file.write_text(_PROJECT.format(signing='{ private_key = { env = "SIGNING_KEY" } }'))
    store = open_store(load_project(file), "contoso", Time())
    take(store, tmp_path, FIRST, "Adele")
    file.write_text(_PROJECT.format(signing=f'{{ public_keys = ["{OURS.public.text}"] }}'))
    reader = open_store(load_project(file), "contoso", Time())
    assert reader.latest() is not None
    with pytest.raises(ConfigurationError, match="no private key") as caught:
        reader.files.create("_jobs/contoso/1.json", RECORD)
    assert caught.value.key == "storage.main.signing.private_key"


@pytest.mark.parametrize(
    ("signing", "key", "message"),
    [
        ("{}", "storage.main.signing", "names no key"),
        ('{ public_keys = ["abc"] }', "storage.main.signing.public_keys", "is no public key"),
        ('{ private_key = "MC4C" }', "storage.main.signing.private_key", "contains a secret"),
        ('{ private_key = { env = "SIGNING_KEY" } }', "storage.main.signing.private_key", "no Ed25519 private key"),
    ],
)
def test_a_wrong_key_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, signing: str, key: str, message: str
) -> None:
    monkeypatch.setenv("SIGNING_KEY", "a secret that is no key")
    file = tmp_path / "project.toml"
    file.write_text(_PROJECT.format(signing=signing))
    with pytest.raises(ConfigurationError, match=message) as caught:
        open_store(load_project(file), "contoso")
    assert caught.value.key == key
    assert "a secret that is no key" not in str(caught.value) and "MC4C" not in str(caught.value)
