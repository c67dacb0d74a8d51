"""What an encrypted place stores is read with the key only; what should be encrypted and is not is refused."""

from __future__ import annotations

from base64 import b64decode
from datetime import UTC, date, datetime
from hashlib import sha256
from pathlib import Path

import boto3
import duckdb
import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyrage import x25519

from entra_pipeline.audit import Act, AuditLog, Origin
from entra_pipeline.errors import ConfigurationError, IntegrityError, StoreError
from entra_pipeline.settings.periods import Period
from entra_pipeline.store.backends import LocalObjectStore
from entra_pipeline.store.backends.encryption.age import AgeIdentity, encrypt
from entra_pipeline.store.backends.encryption.encrypted_store import EncryptedObjectStore
from entra_pipeline.store.backends.encryption.keys import DataKeys
from entra_pipeline.store.backends.encryption.names import key_name_in, plain_name, with_key_name
from entra_pipeline.store.backends.encryption.settings import Encryption
from entra_pipeline.store.backends.encryption.vault import statement
from entra_pipeline.store.backends.encryption.wrappers import (
    AgeWrapper,
    CannotUnwrap,
    KeyWrapper,
    KmsWrapper,
    PassphraseWrapper,
)
from entra_pipeline.store.backends.object_store import store_error
from entra_pipeline.store.commit import commit
from entra_pipeline.store.job_records import JobRecords
from entra_pipeline.store.manifest import Gap
from entra_pipeline.store.recovery_points import ScopeStore
from entra_pipeline.store.retention.prune import prune
from entra_pipeline.store.state import connect, parquet, state_query
from entra_pipeline.store.verify import verify
from tests.support.encryption import PASSPHRASE, data_keys, encrypted
from tests.support.s3 import Bucket, Endpoint
from tests.support.signing import signed
from tests.support.writing import START, Time, entry, manifest, put, put_log_day, take, upsert

FIRST, SECOND, THIRD = "2026-11-23T05-00-00Z", "2026-11-23T06-00-00Z", "2026-11-23T07-00-00Z"
NAMES = ("Adele Vance", "Alex Wilber")

# A file with a stanza that nobody knows (`grease`) in its header, as age's specification provides for.
IDENTITY = "AGE-SECRET-KEY-179JWJYNJM84UG9DLGDVEEYC6P2RYDPXN4R5HHUG2SRFZNJ6A4Z3SMM2MGM"
RECIPIENT = "age1w2u6rzupvuu6cjlv9zsqvhzre89qhc2ckksax0wjwgdlsh87x9jqrz4hjd"
FOREIGN = b64decode(
    "YWdlLWVuY3J5cHRpb24ub3JnL3YxCi0+IFgyNTUxOSBnUEx4N0hSbmdLUDN0V3Jhd3Y2K1dPM1ozeVFKTEtpdnVrcmNJdncyZkRNCnAxck1EbTZM"
    "SVN5aUgyZWt1SGpIRTEyNnVxQS9xVmI1MmhFWkdJVm1VUlkKLT4gQHFHKytSLWdyZWFzZSBDMWU7IGZNLkQKdkJ1dTBOM1pJSnFudHM1aDh6WmFT"
    "RUg0TVp6ODRzczQ4WVFra2NGRFVvOHBVSXFPck5uK0UwZ3lsM01QVlZnWQpKWUsvczVVNGdyS3NQOW9hZnZzUFdWNjBYL3NPNDUrMnF6OG5tNUsv"
    "YmN1ajNLTjhBQ3dNYktjMlovdkkKLS0tIFdIbUpON0NmNElvckM2WE45dTVwOHN0dkIrWjB1b1RXYy9hR2kyZ2hZaWsKUTi2+gTZRC46aL/dOCH7"
    "HRqfUdy5AIyZcQeVdJqmA/+DPMIMR78eaWq+ifQOja82nyOjQ1E/GzOgKl0Iazu0ipcWCgGcSJRntEsN3bk5"
)


@pytest.fixture
def place(tmp_path: Path) -> LocalObjectStore:
    return LocalObjectStore(tmp_path / "store")


@pytest.fixture
def files(place: LocalObjectStore) -> EncryptedObjectStore:
    return encrypted(place)


def scope_of(files: EncryptedObjectStore | LocalObjectStore, at: str = FIRST) -> ScopeStore:
    time = Time()
    time.pass_(hours=(FIRST, SECOND, THIRD).index(at))
    return ScopeStore(files, "contoso", time)


def stored(place: LocalObjectStore) -> dict[str, bytes]:
    return {file.key: place.read(file.key) for file in place.list("")}


def problems(store: ScopeStore) -> list[str]:
    return [one.problem for one in verify(store) if not one.ok]


# --- Keys ------------------------------------------------------------------------------------------------------------


@pytest.fixture(params=["passphrase", "age", "kms"])
def wrapper(request: pytest.FixtureRequest) -> KeyWrapper:
    if request.param == "passphrase":
        return PassphraseWrapper(PASSPHRASE)
    if request.param == "age":
        return AgeWrapper(AgeIdentity(IDENTITY))
    endpoint: Endpoint = request.getfixturevalue("moto_endpoint")
    client = boto3.client(
        "kms",
        endpoint_url=endpoint.url,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="testtest",
    )
    return KmsWrapper(client, client.create_key()["KeyMetadata"]["KeyId"])


def test_a_wrapped_key_comes_back_for_its_name_only(wrapper: KeyWrapper) -> None:
    secret = bytes(range(32))
    wrapped = wrapper.wrap(secret, "g0001-0123abcd")
    assert msgspec.json.decode(msgspec.json.encode(wrapped)) == wrapped
    assert wrapper.unwrap(wrapped, "g0001-0123abcd") == secret
    with pytest.raises(CannotUnwrap):
        wrapper.unwrap(wrapped, "g0002-0123abcd")


def test_another_passphrase_or_identity_unwraps_nothing() -> None:
    secret, name = bytes(32), "g0001-0123abcd"
    with pytest.raises(CannotUnwrap, match="another"):
        PassphraseWrapper("another passphrase").unwrap(PassphraseWrapper(PASSPHRASE).wrap(secret, name), name)
    for_others = {"key": AgeWrapper(AgeIdentity(IDENTITY)).wrap(secret, name)["key"]}
    with pytest.raises(CannotUnwrap, match="is not for"):
        AgeWrapper(other_identity()).unwrap(for_others, name)


def other_identity() -> AgeIdentity:
    return AgeIdentity(str(x25519.Identity.generate()))


def test_a_file_of_age_with_unknown_stanzas_is_read() -> None:
    assert AgeIdentity(f"# created: today\n# public key: {RECIPIENT}\n{IDENTITY}\n").recipient == RECIPIENT
    assert AgeIdentity(IDENTITY).decrypt(FOREIGN) == b"a data key of thirty-two bytes!!g0001-0123abcd"


def test_each_recipient_of_age_can_unwrap() -> None:
    other = other_identity()
    wrapped = AgeWrapper(AgeIdentity(IDENTITY), [other.recipient]).wrap(bytes(32), "g0001-0123abcd")
    assert wrapped["recipients"].split() == [RECIPIENT, other.recipient]
    assert AgeWrapper(other).unwrap(wrapped, "g0001-0123abcd") == bytes(32)


@pytest.mark.parametrize("place_of_change", [25, 60, -80, -1])
def test_a_changed_age_file_is_refused(place_of_change: int) -> None:
    data = bytearray(encrypt(b"secret", [RECIPIENT]))
    data[place_of_change] ^= 1
    with pytest.raises(ValueError, match=r".+"):
        AgeIdentity(IDENTITY).decrypt(bytes(data))


@pytest.mark.parametrize("text", ["", "age1", RECIPIENT[:-1], RECIPIENT.replace("w", "x"), IDENTITY])
def test_what_is_no_recipient_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        encrypt(b"", [text])


def test_names_of_files_say_their_key() -> None:
    key = with_key_name("users/backup-scope=a.b/part-00000.parquet", "g0001-0123abcd")
    assert key == "users/backup-scope=a.b/part-00000.g0001-0123abcd.parquet"
    assert (key_name_in(key), plain_name(key)) == ("g0001-0123abcd", "users/backup-scope=a.b/part-00000.parquet")
    assert key_name_in("users/part-00000.parquet") == ""


def test_all_keys_are_wrapped_anew_and_nothing_else_is_written(place: LocalObjectStore, tmp_path: Path) -> None:
    take(scope_of(encrypted(place)), tmp_path, FIRST, *NAMES)
    data_keys(place).add(START)
    before = stored(place)
    both = DataKeys(place, [PassphraseWrapper("a new passphrase"), PassphraseWrapper(PASSPHRASE)], store_error)
    assert both.rewrap() == 2
    changed = {key for key, data in stored(place).items() if before[key] != data}
    assert {key.partition("/")[0] for key in changed} == {"_encryption"} and len(changed) == 2
    assert problems(scope_of(encrypted(place, "a new passphrase"))) == []
    with pytest.raises(StoreError, match="the passphrase is another one"):
        assert data_keys(place).newest


def test_a_record_of_a_key_that_was_moved_or_damaged_is_refused(place: LocalObjectStore) -> None:
    [record] = [data_keys(place).add(START)]
    data = place.read(f"_encryption/{record.name}.json")
    place.replace("_encryption/g0002-00000000.json", data)
    with pytest.raises(IntegrityError, match="is the record of"):
        assert data_keys(place).newest
    place.delete(["_encryption/g0002-00000000.json"])
    place.replace(f"_encryption/{record.name}.json", data.replace(b'"salt":', b'"sat":'))
    with pytest.raises(IntegrityError, match="is damaged"):
        assert data_keys(place).newest
    place.replace(f"_encryption/{record.name}.json", data.replace(b'"version":1', b'"version":2'))
    with pytest.raises(IntegrityError, match="is in version 2 of the format"):
        assert data_keys(place).newest


# --- Records ---------------------------------------------------------------------------------------------------------


def test_a_record_is_encrypted_and_comes_back(files: EncryptedObjectStore, place: LocalObjectStore) -> None:
    files.create("_jobs/contoso/1.json", b'{"user":"Adele"}\n')
    files.replace("_restore/1/journal/1.jsonl", b'{"user":"Adele"}\n{"user":"Alex"}\n')
    assert b"Adele" not in b"".join(stored(place).values())
    assert files.read("_jobs/contoso/1.json") == b'{"user":"Adele"}\n'
    assert b"".join(files.stream("_restore/1/journal/1.jsonl")).count(b"\n") == 2
    assert files.slice("_jobs/contoso/1.json", -4, 3) == (b'e"}', 17)


def test_a_record_that_was_changed_or_moved_is_refused(files: EncryptedObjectStore, place: LocalObjectStore) -> None:
    files.create("_jobs/contoso/1.json", b"{}\n")
    data = place.read("_jobs/contoso/1.json")
    place.replace("_jobs/contoso/2.json", data)
    changed = bytearray(data)
    changed[60] = ord("A") if changed[60] != ord("A") else ord("B")
    place.replace("_jobs/contoso/3.json", bytes(changed))
    for number in (2, 3):
        with pytest.raises(IntegrityError, match="was changed, or belongs elsewhere"):
            files.read(f"_jobs/contoso/{number}.json")
    for forged in (b'{"id":"4"}\n', data.replace(b"encrypted", b"encrypteD"), b"\xff"):
        place.replace("_jobs/contoso/4.json", forged)
        with pytest.raises(IntegrityError, match="is not encrypted"):
            files.read("_jobs/contoso/4.json")


def test_what_was_not_encrypted_is_not_stored(
    files: EncryptedObjectStore, place: LocalObjectStore, tmp_path: Path
) -> None:
    path = tmp_path / "plain.parquet"
    pq.write_table(pa.table({"id": ["Adele"]}), path)
    before = stored(place)
    for key in ("users/part-00000.parquet", "users/part-00000.g0001-0123abcd.parquet"):
        with pytest.raises(StoreError, match="was not encrypted"):
            files.upload(key, path)
        with pytest.raises(StoreError, match="was not encrypted"):
            files.replace(key, path.read_bytes())
    for key in (f"_recovery_points/contoso/{FIRST}.json", "_logs/contoso/sign_ins/2026-11-23.json", "_audit/a/1.jsonl"):
        with pytest.raises(StoreError, match="was not encrypted"):
            files.create(key, b'{"gaps":[]}')
    assert stored(place) == before


# --- Recovery points -------------------------------------------------------------------------------------------------


def test_a_point_is_read_and_verified_and_its_bytes_name_nobody(
    files: EncryptedObjectStore, place: LocalObjectStore, tmp_path: Path
) -> None:
    store = scope_of(files)
    part = put(store, tmp_path, FIRST, [upsert(str(number), name) for number, name in enumerate(NAMES)])
    gap = Gap(what="links of Adele Vance", reason="forbidden")
    told = msgspec.structs.replace(
        entry([part], 2), gaps=(gap,), notes=("Alex Wilber",), delta_link="https://graph/Adele Vance"
    )
    made = commit(store, msgspec.structs.replace(manifest(store, FIRST, told), selection={"users": ["Adele Vance"]}))
    put_log_day(store.logs, tmp_path, "sign_ins", date(2026, 11, 22))
    found = scope_of(files).manifest(FIRST)
    assert msgspec.structs.replace(found) == made and found.tables["users"].gaps == (gap,)
    with connect(files) as connection:
        rows = connection.execute(state_query(files, found.tables["users"], "displayName")).fetchall()
    assert {name for (name,) in rows} == set(NAMES)
    assert problems(store) == []
    everything = b"".join(stored(place).values())
    assert [name for name in NAMES if name.encode() in everything] == []


def test_stock_duckdb_reads_a_part_with_the_key_and_fails_without(
    files: EncryptedObjectStore, place: LocalObjectStore, tmp_path: Path
) -> None:
    made = take(scope_of(files), tmp_path, FIRST, *NAMES)
    [part] = made.tables["users"].parts
    name = key_name_in(part.key)
    query = f"SELECT count(*) FROM read_parquet('{place.url(part.key)}', encryption_config = {{footer_key: '{name}'}})"
    with duckdb.connect() as connection:
        with pytest.raises(duckdb.Error, match="is encrypted"):
            connection.execute(f"FROM '{place.url(part.key)}'")
        with pytest.raises(duckdb.Error, match="No key with name"):
            connection.execute(query)
        connection.execute(statement(data_keys(place).all[name]))
        assert connection.execute(query).fetchall() == [(2,)]


def test_links_take_hardly_more_bytes_when_they_are_encrypted(files: EncryptedObjectStore, tmp_path: Path) -> None:
    """Ids are chance: a file has each once, in a dictionary, while row groups and dictionaries are large.

    Here they are more than a fifth of the rows, up to which DuckDB keeps a dictionary by itself.
    """
    ids = [sha256(str(number).encode()).hexdigest() for number in range(50_000)]
    path = tmp_path / "links.parquet"
    rows = pa.table({"source_id": ids[:1] * 245_000, "target_id": [ids[n * 7919 % len(ids)] for n in range(245_000)]})
    pq.write_table(rows, path, compression="zstd", row_group_size=2**20, dictionary_pagesize_limit=2**26)
    before = path.stat().st_size
    vault = files.vault
    assert vault is not None
    vault.encrypt(path)
    assert path.read_bytes()[:4] == b"PARE"
    assert path.stat().st_size < before * 1.2


def test_a_new_data_key_encrypts_what_comes_after_and_all_is_read(place: LocalObjectStore, tmp_path: Path) -> None:
    take(scope_of(encrypted(place)), tmp_path, FIRST, *NAMES)
    old = stored(place)
    data_keys(place).add(START)
    files = encrypted(place)
    store = scope_of(files, SECOND)
    base = store.manifest(FIRST).tables["users"].parts
    change = put(store, tmp_path, SECOND, [upsert("2", "Isaiah Langer", department="Sales")], role="changes")
    made = commit(store, manifest(store, SECOND, entry([*base, change], 3)))
    names = [key_name_in(part.key)[:5] for part in made.tables["users"].parts]
    assert names == ["g0001", "g0002"]
    with connect(files) as connection:
        rows = connection.execute(state_query(files, made.tables["users"], "displayName")).fetchall()
        files_of = f"SELECT DISTINCT file FROM {parquet(files, made.tables['users'].parts, ', filename = file')}"
        assert len(connection.execute(files_of.replace("= file", "= 'file'")).fetchall()) == 2
    assert {name for (name,) in rows} == {*NAMES, "Isaiah Langer"}
    assert problems(store) == []
    assert {key: data for key, data in stored(place).items() if key in old and "_locks" not in key} == {
        key: data for key, data in old.items() if "_locks" not in key
    }


def test_a_changed_byte_of_an_encrypted_part_is_found(
    files: EncryptedObjectStore, place: LocalObjectStore, tmp_path: Path
) -> None:
    made = take(scope_of(files), tmp_path, FIRST, *NAMES)
    [part] = made.tables["users"].parts
    data = bytearray(place.read(part.key))
    data[len(data) // 2] ^= 1
    place.replace(part.key, bytes(data))
    assert any("SHA-256 differs" in problem for problem in problems(scope_of(files)))
    with connect(files) as connection, pytest.raises(duckdb.Error, match="AES tag differs"):
        connection.execute(f"SELECT * FROM {parquet(files, [part])}").fetchall()


def test_indexes_of_several_data_keys_are_joined(
    place: LocalObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("entra_pipeline.store.points.index.JOINED", 2)
    take(scope_of(encrypted(place)), tmp_path, FIRST, *NAMES)
    data_keys(place).add(START)
    store = scope_of(encrypted(place), SECOND)
    take(store, tmp_path, SECOND, *NAMES)
    [joined] = [one for one in store.indexes() if one.level]
    assert (joined.points, key_name_in(joined.key)[:5]) == (2, "g0002")
    assert problems(store) == []


def test_object_lock_keeps_the_data_keys_that_a_point_needs(locking_bucket: Bucket, tmp_path: Path) -> None:
    files = encrypted(locking_bucket.files(object_lock="governance"))
    now = datetime.now(UTC).replace(microsecond=0)
    store = ScopeStore(files, "contoso", Time(now), Period(1, "day"))
    made = take(store, tmp_path, store.new_key(), *NAMES)
    [record] = [file.key for file in files.list("_encryption/")]
    [part] = made.tables["users"].parts
    assert files.retained_until(record) == files.retained_until(part.key)


def test_a_changed_record_is_found(files: EncryptedObjectStore, place: LocalObjectStore, tmp_path: Path) -> None:
    take(scope_of(files), tmp_path, FIRST, *NAMES)
    files.create("_jobs/contoso/1.json", b"{}\n")
    assert problems(scope_of(files)) == []
    place.replace("_jobs/contoso/1.json", b"{}\n")
    [problem] = problems(scope_of(files))
    assert "is not encrypted" in problem


def test_signed_and_encrypted_what_is_stored_is_signed(place: LocalObjectStore, tmp_path: Path) -> None:
    files = encrypted(signed(place))
    store = scope_of(files)
    take(store, tmp_path, FIRST, *NAMES)
    assert problems(store) == []
    assert b'"signature":"' in place.read(f"_recovery_points/contoso/{FIRST}.json")
    # Whoever has no data key verifies signatures all the same.
    assert problems(scope_of(signed(place))) == []
    [key] = [file.key for file in place.list("_encryption/")]
    place.replace(key, place.read(key).replace(b'"created":"2026', b'"created":"2027'))
    with pytest.raises(IntegrityError, match="was changed"):
        assert data_keys(signed(place)).newest


# --- Without the key -------------------------------------------------------------------------------------------------


def test_without_the_key_points_are_listed_verified_and_pruned(place: LocalObjectStore, tmp_path: Path) -> None:
    files = encrypted(place)
    for point in (FIRST, SECOND):
        store = scope_of(files, point)
        part = put(store, tmp_path, point, [upsert("1", "Adele Vance")])
        gap = Gap(what="Adele Vance", reason="forbidden")
        commit(store, manifest(store, point, msgspec.structs.replace(entry([part], 1), gaps=(gap,))))
    bare = scope_of(place, THIRD)
    assert bare.points() == [FIRST, SECOND]
    [shown] = bare.manifest(FIRST).tables["users"].gaps
    assert shown.what == "encrypted" and "key" in shown.reason
    assert problems(bare) == []
    with pytest.raises(StoreError, match="no key for it"):
        state_query(place, bare.manifest(FIRST).tables["users"])
    bare.clock.pass_(days=30)  # type: ignore[attr-defined]
    prune(bare, Period(1, "day"), by="test")
    assert bare.points() == [SECOND]
    assert problems(scope_of(files, THIRD)) == []


def test_without_the_key_nothing_is_written_that_would_be_readable(place: LocalObjectStore) -> None:
    place.check_key()
    files = encrypted(place)
    files.check_key()
    JobRecords(files, "contoso")
    with pytest.raises(StoreError, match="would be readable"):
        place.check_key()


def test_who_did_what_to_whom_is_encrypted_in_the_audit_log(
    files: EncryptedObjectStore, place: LocalObjectStore
) -> None:
    time = Time()
    log = AuditLog(files, time)
    by = Origin(actor="anna", channel="cli", host="desk-17")
    act = Act(action="restore", scope="contoso", subject="Adele", result="finished", details={"ids": ["Adele"]})
    log.write(act, by)
    time.pass_(days=1)
    log.write(act, by)
    # Who has no key leaves out what may name people.
    AuditLog(place, time).write(act, by)
    everything = b"".join(stored(place).values())
    assert b"Adele" not in everything and b'"action":"restore"' in everything
    first, second, third = log.events(date(2026, 11, 23), date(2026, 11, 24))
    assert {first.subject, second.subject, first.details["ids"][0]} == {"Adele"} and first.actor == "anna"
    assert (third.subject, third.details) == ("", {})
    assert list(log.verify()) == [] and list(AuditLog(place, time).verify()) == []


def test_a_storage_that_is_to_be_encrypted_writes_nothing_before_it_has_a_key(place: LocalObjectStore) -> None:
    files = EncryptedObjectStore(place, lambda: data_keys(place))
    for act in (files.check_key, lambda: files.create("_jobs/contoso/1.json", b"{}")):
        with pytest.raises(StoreError, match="storage encrypt"):
            act()
    assert stored(place) == {}


# --- Settings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["passphrase", "age", "kms"])
def test_each_way_to_wrap_can_be_set(
    kind: str,
    request: pytest.FixtureRequest,
    place: LocalObjectStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "key").write_text(f"# a comment\n{IDENTITY}\n" if kind == "age" else PASSPHRASE)
    secret = {"file": str(tmp_path / "key")}
    if kind == "kms":
        endpoint: Endpoint = request.getfixturevalue("moto_endpoint")
        for name, value in zip(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), endpoint[1:3], strict=True):
            monkeypatch.setenv(name, value)
        client = boto3.client("kms", endpoint_url=endpoint.url, region_name="us-east-1")
        value: object = {"key": client.create_key()["KeyMetadata"]["Arn"], "endpoint_url": endpoint.url}
    else:
        value = {"identity": secret} if kind == "age" else secret
    settings = Encryption.model_validate({kind: value})
    assert settings.keys(place).add(START).wrapped_by == kind == settings.kind
    files = settings.above(place)
    files.create("_jobs/contoso/1.json", b"{}\n")
    assert settings.above(place).read("_jobs/contoso/1.json") == b"{}\n"


def test_a_short_passphrase_and_what_is_no_identity_are_refused(place: LocalObjectStore, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("too short")
    secret = {"file": str(tmp_path / "key")}
    for value, told in (({"passphrase": secret}, "20 characters"), ({"age": {"identity": secret}}, "AGE-SECRET-KEY")):
        with pytest.raises(ConfigurationError, match=told):
            Encryption.model_validate(value).keys(place)
