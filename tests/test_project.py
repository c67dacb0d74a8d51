"""The configuration: what is accepted, and what is said about the rest."""

import os
import time
from pathlib import Path

import pytest

from entra_pipeline.errors import ConfigurationError, UsageError
from entra_pipeline.project import Period, create_scope, delete_scope, edit_scope, load_project

pytestmark = pytest.mark.pure

GOOD = """\
# our tenants
[storage.disk]
kind = "local"
path = "backup"

[storage.bucket]
kind = "s3"
bucket = "entra-backup"
prefix = "prod"
endpoint_url = "https://s3.example.net"
access_key_id = { env = "S3_KEY" }
secret_access_key = { file = "s3.secret" }

[tenants.contoso]
tenant_id = "3f2504e0-4f89-11d3-9a0c-0305e82c3301"
client_id = "3f2504e0-4f89-11d3-9a0c-0305e82c3302"
client_secret = { env = "CONTOSO_SECRET" }
cloud = "global"
seats = 500

[scopes.contoso]  # everything
tenant = "contoso"
storage = "disk"
protect = ["users", "Conditional access"]
schedule = "0 */6 * * *"
timezone = "Europe/Stockholm"
retention = "2 years"

[notifications.operations]
to = ["admins@example.com"]
backup = ["failed"]

[mail]
host = "smtp.example.com"
from = "entra-pipeline@example.com"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "dagster_project.toml"
    path.write_text(GOOD)
    return path


def test_a_good_project_is_understood(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = load_project(file)
    scope = project.scope("contoso")
    assert scope.name == "contoso"
    assert scope.types() == [
        "users",
        "conditional_access_policies",
        "named_locations",
        "authentication_strength_policies",
        "authentication_context_class_references",
        "agreements",
    ]
    assert scope.full_frequency == Period(3, "month")
    assert project.storage["disk"].root == file.parent / "backup"
    tenant = project.tenants["contoso"]
    assert tenant.client_secret.setting("env") == (file, "tenants.contoso.client_secret.env")
    monkeypatch.setenv("CONTOSO_SECRET", " s3cret\n")
    assert tenant.client_secret.reveal() == "s3cret"
    assert "s3cret" not in repr(project)


# What is replaced, by what, the key that the error names, and words that it must contain.
WRONG = [
    ('kind = "local"', 'kind = "nfs"', "storage.disk.kind", '"s3" or "local"'),
    ('path = "backup"', "", "storage.disk.path", "missing"),
    ('path = "backup"', 'pfad = "backup"', "storage.disk", "is not a setting"),
    ('bucket = "entra-backup"', 'bucket = "Entra_Backup"', "storage.bucket.bucket", "bucket name"),
    ('bucket = "entra-backup"', "bucket = 7", "storage.bucket.bucket", "7"),
    ('prefix = "prod"', 'prefix = "/prod"', "storage.bucket.prefix", "leading slash"),
    ('prefix = "prod"', 'prefix = "../prod"', "storage.bucket.prefix", "prefix"),
    ("https://s3.example.net", "s3.example.net", "storage.bucket.endpoint_url", "https://"),
    ('access_key_id = { env = "S3_KEY" }', "", "storage.bucket", "secret_access_key"),
    ('prefix = "prod"', "server_side_encryption = {}", "storage.bucket.server_side_encryption", "kms_key"),
    ('prefix = "prod"', 'server_side_encryption = { kms_key = "" }', "storage.bucket.server_side_encryption", "ARN"),
    (
        'endpoint_url = "https://s3.example.net"',
        'endpoint_url = "http://s3.example.net"\nserver_side_encryption = { customer_key = { env = "KEY" } }',
        "storage.bucket",
        "in the clear",
    ),
    ('prefix = "prod"', 'object_lock = "strict"', "storage.bucket.object_lock", "compliance"),
    ('{ env = "CONTOSO_SECRET" }', '"hunter2"', "tenants.contoso.client_secret", "{ env ="),
    ('{ env = "CONTOSO_SECRET" }', "{}", "tenants.contoso.client_secret", "{ env ="),
    ('{ env = "CONTOSO_SECRET" }', '{ env = "A", file = "b" }', "tenants.contoso.client_secret", "{ env ="),
    ('{ env = "CONTOSO_SECRET" }', '{ vault = "A" }', "tenants.contoso.client_secret.vault", "is not a setting"),
    ('client_secret = { env = "CONTOSO_SECRET" }', "", "tenants.contoso", "no credential"),
    ("seats = 500", "managed_identity = true", "tenants.contoso", "managed_identity and client_secret"),
    ('tenant_id = "3f2504e0', 'tenant_id = "contoso.com-', "tenants.contoso.tenant_id", "GUID"),
    ('client_id = "3f2504e0', 'client_id = "', "tenants.contoso.client_id", "GUID"),
    ('cloud = "global"', 'cloud = "germany"', "tenants.contoso.cloud", "germany"),
    ("seats = 500", "seats = -1", "tenants.contoso.seats", "-1"),
    ("seats = 500", 'seats = "many"', "tenants.contoso.seats", "many"),
    ("seats = 500", 'graph_url = "http://graph.example.com"', "tenants.contoso.graph_url", "https://"),
    ("seats = 500", 'authority = "http://127.0.0.1:1"', "tenants.contoso.authority", "https://"),
    ("seats = 500", "seets = 500", "tenants.contoso.seets", "did you mean 'seats'?"),
    ("seats = 500", "simulator = { users = 5 }", "tenants.contoso", "simulated"),
    ("[scopes.contoso]", '[scopes."a b"]', "scopes.a b", "letters"),
    ("[scopes.contoso]", "[scope.contoso]", "scope", "did you mean 'scopes'?"),
    ("[notifications.operations]", "[scopes.contoso]", "", "already exists"),
    ('tenant = "contoso"', 'tenant = "contso"', "scopes.contoso.tenant", "did you mean 'contoso'?"),
    ('storage = "disk"', 'storage = "disc"', "scopes.contoso.storage", "did you mean 'disk'?"),
    ('storage = "disk"', "", "scopes.contoso.storage", "missing"),
    ('["users", ', '["usres", ', "scopes.contoso.protect", "did you mean 'users'?"),
    ('protect = ["users", "Conditional access"]', "protect = []", "scopes.contoso.protect", "all"),
    ('protect = ["users", "Conditional access"]', 'protect = "users"', "scopes.contoso.protect", "list"),
    ("0 */6 * * *", "every day", "scopes.contoso.schedule", "five fields"),
    ("0 */6 * * *", "0 0 0 */6 * *", "scopes.contoso.schedule", "five fields"),
    ("0 */6 * * *", "61 * * * *", "scopes.contoso.schedule", "five fields"),
    ("Europe/Stockholm", "Europe/Stokholm", "scopes.contoso.timezone", "IANA"),
    ("2 years", "two years", "scopes.contoso.retention", "forever"),
    ("2 years", "0 days", "scopes.contoso.retention", "forever"),
    ("2 years", "-1 days", "scopes.contoso.retention", "forever"),
    ('"2 years"', '"2 years"\nfull_backup_frequency = "3 years"', "scopes.contoso", "too rare"),
    ('"2 years"', '"30 days"\nfull_backup_frequency = "1 weeks"', "scopes.contoso", "requires a retention in years"),
    ('"2 years"', '"2 years"\nselect = {}', "scopes.contoso.select", "at least one"),
    ('"2 years"', '"2 years"\nselect = { users = [""] }', "scopes.contoso.select", "empty"),
    ('"2 years"', '"2 years"\nmax_incrementals = 0', "scopes.contoso.max_incrementals", "0"),
    ("admins@example.com", "admins", "notifications.operations.to", "mail address"),
    ('backup = ["failed"]', 'backup = ["broken"]', "notifications.operations.backup", "broken"),
    (
        '[mail]\nhost = "smtp.example.com"\nfrom = "entra-pipeline@example.com"',
        "",
        "notifications.operations",
        "[mail]",
    ),
    ('host = "smtp.example.com"', "", "mail.host", "missing"),
    ("[mail]", '[dagster]\nkeep_run = "30 days"\n[mail]', "dagster.keep_run", "did you mean 'keep_runs'?"),
    ("[mail]", '[dagster]\nkeep_runs = "30"\n[mail]', "dagster.keep_runs", "not a period"),
    ("[mail]", "[mail", "", "TOML"),
]


@pytest.mark.parametrize(("there", "instead", "key", "words"), WRONG)
def test_what_is_wrong_is_said_with_file_key_and_remedy(
    file: Path, there: str, instead: str, key: str, words: str
) -> None:
    assert there in GOOD
    file.write_text(GOOD.replace(there, instead, 1))
    with pytest.raises(ConfigurationError) as caught:
        load_project(file)
    error = caught.value
    assert error.exit_code == 2
    assert str(file) in str(error)
    assert error.key.startswith(key) if key else error.key == ""
    assert words in str(error)
    assert error.remedy
    assert "hunter2" not in str(error)


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "other.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"other\.toml"):
        load_project(path)


@pytest.mark.parametrize("secret", ['{ env = "NOT_SET_ANYWHERE" }', '{ file = "nowhere" }'])
def test_a_missing_secret_is_named_when_it_is_needed(file: Path, secret: str) -> None:
    file.write_text(GOOD.replace('{ env = "CONTOSO_SECRET" }', secret))
    reference = load_project(file).tenants["contoso"].client_secret
    with pytest.raises(ConfigurationError) as caught:
        reference.reveal()
    assert caught.value.key.startswith("tenants.contoso.client_secret")
    assert caught.value.remedy


def test_an_unknown_scope_is_a_usage_error(file: Path) -> None:
    with pytest.raises(UsageError, match="did you mean 'contoso'"):
        load_project(file).scope("contosso")


def test_editing_keeps_comments_and_order(file: Path) -> None:
    scope = edit_scope(file, "contoso", {"retention": "30 days", "schedule": None})
    assert (str(scope.retention), scope.schedule) == ("30 days", None)
    changed = GOOD.replace("2 years", "30 days").replace('schedule = "0 */6 * * *"\n', "")
    assert file.read_text() == changed


def test_a_scope_is_created_and_deleted(file: Path) -> None:
    values = {"tenant": "contoso", "storage": "bucket", "select": {"groups": ["Board"]}, "schedule": None}
    assert create_scope(file, "board", values).select.groups == ["Board"]
    assert load_project(file).scope("board").storage == "bucket"
    delete_scope(file, "board")
    assert list(load_project(file).scopes) == ["contoso"]
    assert file.read_text().startswith(GOOD.rstrip("\n")[:-1])


@pytest.mark.parametrize("change", [{"schedule": "never"}, {"tenant": "nobody"}, {"colour": "red"}])
def test_a_bad_edit_leaves_the_file_as_it_was(file: Path, change: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError):
        edit_scope(file, "contoso", change)
    with pytest.raises(ConfigurationError):
        create_scope(file, "other", {"tenant": "contoso", "storage": "disk", **change})
    assert file.read_text() == GOOD
    assert list(file.parent.iterdir()) == [file]


def test_a_scope_cannot_be_created_twice(file: Path) -> None:
    with pytest.raises(UsageError, match="there is a scope"):
        create_scope(file, "contoso", {"tenant": "contoso", "storage": "disk"})


def test_periods_are_of_the_calendar() -> None:
    from datetime import UTC, datetime

    leap_day = datetime(2028, 2, 29, tzinfo=UTC)
    assert Period.parse("1 year").after(leap_day) == datetime(2029, 2, 28, tzinfo=UTC)
    assert Period.parse("3 months").after(leap_day) == datetime(2028, 5, 29, tzinfo=UTC)
    assert Period.parse("forever").after(leap_day).year == 9999
    assert Period.parse("11 months") < Period.parse("1 year") < Period.parse("forever")


def test_a_file_that_is_the_same_is_parsed_once(file: Path) -> None:
    assert load_project(file) is load_project(str(file))
    assert load_project(file) is not load_project(file.parent / ".." / file.parent.name / file.name)


def test_a_change_of_the_same_second_and_size_is_seen(file: Path) -> None:
    before, written = load_project(file), file.stat()
    file.write_text(GOOD.replace('retention = "2 years"', 'retention = "3 years"'))
    os.utime(file, ns=(written.st_atime_ns, written.st_mtime_ns))
    assert str(load_project(file).scope("contoso").retention) == "3 years"
    assert str(before.scope("contoso").retention) == "2 years"


def test_the_same_text_in_another_folder_is_another_project(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (other := tmp_path / "other").mkdir()
    (other / file.name).write_text(GOOD)
    for folder in (tmp_path, other):
        monkeypatch.chdir(folder)
        assert load_project(file.name).file == folder / file.name


def test_a_project_of_300_scopes_is_loaded_a_hundred_times_in_a_second(file: Path) -> None:
    scopes = (f'[scopes.s{n}]\ntenant = "contoso"\nstorage = "disk"\nschedule = "0 2 * * *"\n' for n in range(300))
    file.write_text(GOOD + "\n" + "\n".join(scopes))
    assert len(load_project(file).scopes) == 301
    started = time.process_time()
    for _ in range(100):
        load_project(file)
    assert time.process_time() - started < 1
