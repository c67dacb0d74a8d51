"""Storage profiles, tenants and the mail server in the console: created, edited, tested and deleted."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from entra_pipeline.channels.mail import Mail
from entra_pipeline.console.auth.roles import Role
from entra_pipeline.console.editing import settings_form
from entra_pipeline.project import Project, Tenant, load_project
from entra_pipeline.settings.section import Section
from entra_pipeline.simulator import Simulator
from entra_pipeline.store.backends import KINDS
from tests.console.test_form_errors import wrongs
from tests.console.test_pages import version_of
from tests.console.test_security import events
from tests.console.two_points import Served, _console, backed_up, points, project, served, simulator
from tests.support.post_office import PASSWORD, USER, PostOffice

__all__ = ["_console", "backed_up", "points", "project", "served", "simulator"]

MAIL = {"host": "127.0.0.1", "port": "9", "from": "entra@example.com"}
BUCKET = {
    "name": "bucket",
    "kind": "s3",
    "bucket": "entra-backup",
    "endpoint_url": "http://127.0.0.1:9",
    "access_key_id__place": "env",
    "access_key_id": "SETTINGS_S3_ID",
    "secret_access_key__place": "file",
    "secret_access_key": "secrets/s3",
    "patience": "1",
}
GUID = "3f2504e0-4f89-11d3-9a0c-0305e82c3301"
TENANT = {
    "name": "contoso",
    "tenant_id": GUID,
    "client_id": GUID,
    "one_of": "client_secret",
    "client_secret__place": "env",
    "client_secret": "SETTINGS_CONTOSO",
}


@pytest.fixture
def admin(served: Served) -> Iterator[httpx.Client]:
    with served.client(Role.administrator) as client:
        yield client


def send(client: httpx.Client, path: str, sent: dict[str, Any]) -> httpx.Response:
    """Opens a form, and sends it."""
    form = client.get(path)
    assert form.status_code == 200, form.text
    return client.post(path, data={**sent, "version": version_of(form.text)})


def edited(client: httpx.Client, where: str, /, **changed: str) -> httpx.Response:
    """Sends a form as it is shown, with some other entries."""
    page = client.get(where).text
    sent = {}
    for found in re.finditer(r'<input id="f-(\w+)"[^>]* value="([^"]*)"', page):
        sent[found[1]] = html.unescape(found[2])
    for found in re.finditer(r'<select id="f-(\w+)".*?</select>', page, re.DOTALL):
        chosen = re.search(r'<option value="([^"]*)" selected>', found[0])
        sent[found[1]] = chosen[1] if chosen else ""
    return client.post(where, data={**sent, **changed, "version": version_of(page)})


# --- The form is that of the definition ------------------------------------------------------------------------------


@pytest.mark.parametrize("model", [*KINDS.values(), Tenant, Mail], ids=lambda model: model.__name__)
def test_every_setting_has_a_field_and_what_people_call_it(model: type[Section]) -> None:
    def look(model: type[Section], entries: tuple[settings_form.FormEntry, ...], prefix: str) -> None:
        flat = [inner for one in entries for inner in (one.entries if one.sort == "together" else [one])]
        by_name = {one.name: one for one in flat}
        for name, field in model.model_fields.items():
            if name in {"kind", "name"}:
                continue
            entry = by_name.get(f"{prefix}{field.alias or name}")
            if entry is None:
                assert model.one_of is not None and name in model.one_of.settings, name
            else:
                assert field.title and entry.label == field.title, name
            if entry is not None and entry.sort == "group":
                look(settings_form._sort_of(field.annotation)[1], entry.entries, f"{entry.name}__")  # type: ignore[index]

    look(model, settings_form.entries(model, {}), "")


def test_a_form_that_is_sent_as_it_is_shown_changes_nothing(admin: httpx.Client, project: Project) -> None:
    with project.file.open("a") as file:
        file.write(EVERYTHING)
    for path in ("storage/all", "tenants/all", "mail"):
        before = project.file.read_text()
        answer = edited(admin, f"/settings/{path}/edit")
        assert answer.status_code == 303, html.unescape(answer.text)
        assert project.file.read_text() == before


def test_only_what_was_changed_is_another_in_the_file(admin: httpx.Client, project: Project) -> None:
    with project.file.open("a") as file:
        file.write(EVERYTHING)
    before = project.file.read_text().splitlines()
    assert edited(admin, "/settings/mail/edit", port="2525", tls="").status_code == 303
    assert edited(admin, "/settings/tenants/all/edit", seats="7", restore__passwords_folder="kept").status_code == 303
    assert edited(admin, "/settings/storage/all/edit", patience="30", encryption__former__one_of="").status_code == 303
    after = project.file.read_text().splitlines()
    assert [line for line in before if line not in after] == [
        'former = { passphrase = { env = "FORMER" } }',
        "seats = 5",
        'tls = "implicit"',
    ]
    added = [line for line in after if line not in before]
    assert {"port = 2525", "seats = 7", 'passwords_folder = "kept"', "patience = 30"} < set(added)
    assert '[{env = "FORMER", server = "encryption before sending"}]' in "".join(
        line.strip().rstrip(",") for line in added
    )
    now = load_project(project.file)
    assert now.mail is not None and now.mail.password is not None and now.tenants["all"].restore is not None


EVERYTHING = f"""
[storage.all]  # by hand
kind = "s3"
bucket = "entra-backup"
region = "us-east-1"
endpoint_url = "https://s3.example.net/"
access_key_id = {{ env = "AWS_ACCESS_KEY_ID" }}
secret_access_key = {{ file = "/elsewhere/s3" }}
object_lock = "governance"
[storage.all.server_side_encryption]
kms_key = "alias/entra"
[storage.all.encryption]
age = {{ identity = {{ file = "age.key" }} }}
former = {{ passphrase = {{ env = "FORMER" }} }}

[tenants.all]
tenant_id = "{GUID}"
client_id = "{GUID}"
certificate = {{ path = "x.pem", password = {{ env = "X" }} }}
seats = 5
[tenants.all.restore]
client_id = "{GUID}"
just_in_time = true
owner = {{ managed_identity = true }}
passwords_key = {{ env = "KEYS" }}

[mail]
host = "smtp.example.com"
from = "entra@example.com"
username = "entra"
password = {{ env = "SMTP" }}  # rotated in May
tls = "implicit"
"""


# --- A person's work -------------------------------------------------------------------------------------------------


def test_a_storage_profile_is_tested_created_edited_and_deleted(
    admin: httpx.Client, served: Served, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SETTINGS_S3_ID", "AKIAEXAMPLE")
    secret = project.file.parent / "secrets" / "s3"
    secret.parent.mkdir(exist_ok=True)
    secret.write_text("s3-secret-77q")
    assert 'href="/settings/storage/new"' in admin.get("/settings").text
    form = admin.get("/settings/storage/new?kind=local").text
    assert "A folder on this machine" in form and 'id="f-path"' in form and 'id="f-bucket"' not in form
    before = project.file.read_text()
    tried = send(admin, "/settings/storage/new", {**BUCKET, "act": "test"})
    assert tried.status_code == 200 and "cannot be reached" in tried.text and ">failed<" in tried.text
    assert 'value="entra-backup"' in tried.text and str(project.file) not in tried.text
    assert project.file.read_text() == before
    made = send(admin, "/settings/storage/new", BUCKET)
    assert made.status_code == 303, html.unescape(made.text)
    now = load_project(project.file).storage["bucket"]
    assert now.facts()[0] == ("Bucket", "entra-backup") and now.model_dump()["patience"] == 1
    text = project.file.read_text()
    assert text.startswith(before.rstrip("\n")[:40]) and "# What stands here by hand stays." in text
    assert "region" not in text, "what is as by default does not stand in the file"
    page = admin.get("/settings").text
    assert "The storage profile bucket has been saved" in page and "s3-secret-77q" not in page

    changed = edited(admin, "/settings/storage/bucket/edit", prefix="prod", patience="60")
    assert changed.status_code == 303
    assert "patience" not in project.file.read_text().split("[storage.bucket]")[1]
    form = admin.get("/settings/storage/bucket/edit").text
    assert 'value="SETTINGS_S3_ID"' in form and "s3-secret-77q" not in form
    gone = admin.post("/settings/storage/bucket/delete", data={"version": version_of(form)})
    assert gone.status_code == 303 and "bucket" not in load_project(project.file).storage
    for action, result in (("create", "finished"), ("edit", "finished"), ("delete", "finished"), ("test", "failed")):
        last = events(served, f"storage profile {action}")[-1]
        assert (last.subject, last.result, last.actor) == ("bucket", result, "administrator@contoso.com")


def test_what_scopes_use_is_not_deleted(admin: httpx.Client, project: Project) -> None:
    before = project.file.read_text()
    for path in ("storage/disk", "tenants/simulated"):
        form = admin.get(f"/settings/{path}/edit").text
        assert "It cannot be deleted while the scope contoso uses it." in form
        answer = admin.post(f"/settings/{path}/delete", data={"version": version_of(form)})
        assert answer.status_code == 400 and "cannot be deleted: the scope contoso uses it" in answer.text
    assert project.file.read_text() == before


def test_moving_a_storage_that_scopes_use_is_asked(admin: httpx.Client, project: Project) -> None:
    asked = edited(admin, "/settings/storage/disk/edit", path="elsewhere")
    assert asked.status_code == 400
    assert "The recovery points of contoso stay in the old one" in asked.text
    agreed = re.findall(r'name="agreed" value="(\w+)"', asked.text)
    assert edited(admin, "/settings/storage/disk/edit", path="elsewhere", agreed=agreed[0]).status_code == 303


def test_a_tenant_is_tested_with_each_missing_permission_by_name(
    admin: httpx.Client, project: Project, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = "/settings/tenants/simulated/edit"
    found = edited(admin, path, act="test")
    assert "sign-in, app that backs up" in found.text and "permissions, app that restores" in found.text
    before = simulator.control.roles(simulator.client_id)
    simulator.control.roles(simulator.client_id, [one for one in before if not one.startswith(("Group", "Directory"))])
    try:
        found = edited(admin, path, act="test")
    finally:
        simulator.control.roles(simulator.client_id, before)
    assert re.search(r"lacks [^<]*Group", found.text) and simulator.client_secret not in found.text


def test_a_tenant_with_a_certificate_and_an_owner_that_gives_credentials(admin: httpx.Client, project: Project) -> None:
    sent = {
        **TENANT,
        "one_of": "certificate",
        "certificate__path": "secrets/contoso.pem",
        "certificate__password__place": "env",
        "certificate__password": "SETTINGS_PEM",
        "seats": "500",
        "restore__one_of": "just_in_time",
        "restore__client_id": GUID,
        "restore__owner__one_of": "managed_identity",
    }
    made = send(admin, "/settings/tenants/new", sent)
    assert made.status_code == 303, html.unescape(made.text)
    tenant = load_project(project.file).tenants["contoso"]
    assert tenant.certificate is not None and tenant.client_secret is None and tenant.seats == 500
    assert tenant.restore is not None and tenant.restore.just_in_time and tenant.restore.client_secret is None
    assert tenant.restore.owner is not None and tenant.restore.owner.managed_identity
    # Another kind of credential takes the place of the one before.
    changed = edited(
        admin,
        "/settings/tenants/contoso/edit",
        one_of="client_secret",
        client_secret="SETTINGS_CONTOSO",
        restore__one_of="",
    )
    assert changed.status_code == 303, html.unescape(changed.text)
    tenant = load_project(project.file).tenants["contoso"]
    assert tenant.certificate is None and tenant.restore is None and tenant.client_secret is not None


@pytest.mark.parametrize(
    ("path", "sent", "wrong"),
    [
        ("storage", {**BUCKET, "bucket": ""}, {"bucket": "Enter the bucket."}),
        (
            "storage",
            {**BUCKET, "name": "disk"},
            {"name": "There is a storage profile disk already. Choose another name."},
        ),
        ("storage", {**BUCKET, "bucket": "No Bucket"}, {"bucket": "'No Bucket' is not a bucket name."}),
        (
            "storage",
            {**BUCKET, "access_key_id": ""},
            {"access_key_id": "This has half a key. Set both Access key ID and "},
        ),
        ("storage", {**BUCKET, "patience": "soon"}, {"patience": "'soon' is not accepted"}),
        ("tenants", {**TENANT, "client_secret": ""}, {"client_secret": "Enter the name of an environment variable"}),
        ("tenants", {**TENANT, "tenant_id": ""}, {"tenant_id": "Tenant ID is missing."}),
        ("tenants", {**TENANT, "client_id": "x"}, {"client_id": "This is not a GUID."}),
        (
            "tenants",
            {**TENANT, "restore__one_of": "just_in_time", "restore__client_id": GUID},
            {"restore__owner__one_of": "Owner is missing"},
        ),
    ],
)
def test_what_is_wrong_stands_at_its_field(
    path: str, sent: dict[str, str], wrong: dict[str, str], admin: httpx.Client, project: Project
) -> None:
    before = project.file.read_text()
    answer = send(admin, f"/settings/{path}/new", sent)
    assert answer.status_code == 400
    found = wrongs(answer.text)
    assert found.keys() == wrong.keys(), found
    assert all(text.startswith(wrong[name]) for name, text in found.items()), found
    assert str(project.file.parent) not in answer.text and "docs/" not in answer.text
    assert f'value="{sent["name"]}"' in answer.text
    assert project.file.read_text() == before


def test_mail_is_set_up_and_tried(admin: httpx.Client, served: Served, project: Project, tmp_path: Path) -> None:
    assert "Set up a mail server" in admin.get("/notifications").text
    password = project.file.parent / "secrets" / "smtp"
    password.parent.mkdir(exist_ok=True)
    password.write_text(PASSWORD)
    office = PostOffice(tmp_path, implicit=False)
    office.open()
    try:
        authority = password.with_name("ca.pem")
        authority.write_bytes(office.ca.read_bytes())
        sent = {
            "host": "localhost",
            "port": str(office.port),
            "from": "entra@example.com",
            "username": USER,
            "password__place": "file",
            "password": "secrets/smtp",
            "ca_bundle": "secrets/ca.pem",
        }
        tried = send(admin, "/settings/mail/edit", {**sent, "act": "test"})
        assert "can be reached" in tried.text, tried.text
        assert send(admin, "/settings/mail/edit", sent).status_code == 303
        assert "The mail server has been saved" in admin.get("/notifications").text
        told = admin.post("/settings/mail/test", data={"address": "ada@example.com"}).text
        assert "Sent to ada@example.com." in told and PASSWORD not in told
        assert wrongs(admin.post("/settings/mail/test", data={"address": "ada"}).text) == {
            "address": "'ada' is not a mail address. Write one such as entra-admins@example.com."
        }
    finally:
        office.shut()
    assert [mail["subject"] for mail in office.mails] == ["Test of the mail server"]
    assert events(served, "mail server create")[-1].result == "finished"
    form = admin.get("/settings/mail/edit").text
    assert admin.post("/settings/mail/delete", data={"version": version_of(form)}).status_code == 303
    assert load_project(project.file).mail is None


def test_another_administrators_change_is_told(admin: httpx.Client, project: Project) -> None:
    version = version_of(admin.get("/settings/mail/edit").text)
    project.file.write_text(project.file.read_text() + "# A word by hand.\n")
    before = project.file.read_text()
    answer = admin.post("/settings/mail/edit", data={**MAIL, "version": version})
    assert answer.status_code == 409 and "changed by somebody else since you opened this page" in answer.text
    assert 'value="entra@example.com"' in answer.text and project.file.read_text() == before
    # Having seen it, they may save.
    assert admin.post("/settings/mail/edit", data={**MAIL, "version": version_of(answer.text)}).status_code == 303


@pytest.mark.parametrize("role", [Role.viewer, Role.operator])
def test_only_administrators_change_settings(role: Role, served: Served, project: Project) -> None:
    with served.client(role) as client:
        assert "/settings/storage/new" not in client.get("/settings").text
        assert "/settings/mail/edit" not in client.get("/notifications").text
        assert client.post("/settings/storage/new", data=BUCKET).status_code == 403
