"""What the console refuses of changes to settings: secrets stay with their servers, and two people stay two."""

from __future__ import annotations

import html
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from entra_pipeline.console.auth.roles import Role
from entra_pipeline.project import Project, load_project
from tests.console.test_form_errors import wrongs
from tests.console.test_pages import PROFILE
from tests.console.test_security import events
from tests.console.test_settings_forms import BUCKET, GUID, MAIL, TENANT, edited, send
from tests.console.two_points import Served, _console, backed_up, points, project, served, simulator

__all__ = ["_console", "backed_up", "points", "project", "served", "simulator"]

KEPT = f"""
[storage.bucket]
kind = "s3"
bucket = "entra-backup"
endpoint_url = "https://s3.example.net"
access_key_id = {{ env = "S3_ID" }}
secret_access_key = {{ file = "secrets/s3" }}

[tenants.contoso]
tenant_id = "{GUID}"
client_id = "{GUID}"
client_secret = {{ env = "CONTOSO" }}

[tenants.fabrikam]
tenant_id = "{GUID}"
client_id = "{GUID}"
managed_identity = true

[mail]
host = "smtp.example.com"
from = "entra@example.com"
username = "entra"
password = {{ env = "SMTP" }}
"""
S3, MAILED = "https://s3.example.net", "smtp.example.com"
APPROVED = 'tenant = "simulated"\napproval = true'


@pytest.fixture
def admin(served: Served, project: Project) -> Iterator[httpx.Client]:
    with project.file.open("a") as file:
        file.write(KEPT)
    with served.client(Role.administrator) as client:
        yield client


def refused(answer: httpx.Response) -> dict[str, str]:
    assert answer.status_code == 400, html.unescape(answer.text)
    return wrongs(answer.text)


@pytest.mark.parametrize(
    ("path", "changed", "field", "receiver"),
    [
        ("storage/bucket", {"endpoint_url": "https://evil.example"}, "access_key_id", S3),
        ("storage/bucket", {"endpoint_url": ""}, "secret_access_key", S3),
        ("mail", {"host": "evil.example"}, "password", MAILED),
        ("tenants/contoso", {"authority": "https://evil.example"}, "client_secret", "Microsoft Entra (global)"),
        ("tenants/contoso", {"graph_url": "https://evil.example"}, "client_secret", "Microsoft Entra (global)"),
    ],
)
def test_a_secret_does_not_go_to_another_server(
    path: str, changed: dict[str, str], field: str, receiver: str, admin: httpx.Client, project: Project, served: Served
) -> None:
    before = project.file.read_text()
    for act in ("save", "test"):
        found = refused(edited(admin, f"/settings/{path}/edit", act=act, **changed))
        assert f"stays with {receiver}. Put the secret of the new server into another variable or file" in found[field]
    assert project.file.read_text() == before
    noun = {"storage": "storage profile", "mail": "mail server", "tenants": "tenant"}[path.partition("/")[0]]
    assert events(served, f"{noun} edit")[-1].result == "refused"


@pytest.mark.parametrize(
    ("changed", "wrong"),
    [
        ({"access_key_id": "SMTP"}, "It is the secret for smtp.example.com already"),
        ({"access_key_id": "CONTOSO"}, "It is the secret for Microsoft Entra (global) already"),
        *(
            ({"access_key_id": name}, "belong to the machine's own software")
            for name in (
                *("AWS_SECRET_ACCESS_KEY", "AZURE_CLIENT_SECRET", "DAGSTER_PG", "ENTRA_PIPELINE_X", "aws_x"),
                *("IDENTITY_HEADER", "MSI_SECRET", "VAULT_TOKEN", "GOOGLE_API_KEY", "HTTPS_PROXY", "https_proxy"),
            )
        ),
        *(
            (
                {"access_key_id": name, "access_key_id__place": "file"},
                "Files are read from the secret folders only (secrets)",
            )
            for name in ("/etc/shadow", "secrets/../dagster_project.toml", "secrets", "id", "~/.ssh/id_ed25519")
        ),
        (
            {"access_key_id": "secrets/s3", "access_key_id__place": "file"},
            "It is the secret for https://s3.example.net already",
        ),
    ],
)
def test_what_a_new_reference_may_not_name(
    changed: dict[str, str], wrong: str, admin: httpx.Client, project: Project
) -> None:
    before = project.file.read_text()
    new = {**BUCKET, "name": "mine", "endpoint_url": "https://mine.example"}
    new |= {"secret_access_key__place": "env", "secret_access_key": "MINE"}
    for act in ("save", "test"):
        assert wrong in refused(send(admin, "/settings/storage/new", {**new, **changed, "act": act}))["access_key_id"]
    assert project.file.read_text() == before


def test_nothing_is_written_to_another_folder_of_the_machine(admin: httpx.Client, project: Project) -> None:
    outside = "folder of the configuration file, and into the secret folders"
    for place in ("/etc/cron.d", "../elsewhere", "~"):
        sent = {"restore__one_of": "client_secret", "restore__client_id": GUID, "restore__client_secret": "WRITER"}
        found = refused(edited(admin, "/settings/tenants/contoso/edit", **sent, restore__passwords_folder=place))
        assert outside in found["restore__passwords_folder"]
        simulated = {"name": "mine", "one_of": "simulator", "simulator__state": place}
        assert outside in refused(send(admin, "/settings/tenants/new", simulated))["simulator__state"]
    inside = {"name": "mine", "one_of": "simulator", "simulator__state": ".demo/mine"}
    assert send(admin, "/settings/tenants/new", inside).status_code == 303


def test_a_link_out_of_the_secret_folders_is_no_way_out(admin: httpx.Client, project: Project) -> None:
    folder = project.file.parent / "secrets"
    folder.mkdir(exist_ok=True)
    (folder / "link").symlink_to("/etc/hostname")
    sent = {**BUCKET, "name": "mine", "secret_access_key": "secrets/link"}
    assert "secret folders only" in refused(send(admin, "/settings/storage/new", sent))["secret_access_key"]


def test_folders_of_secrets_are_those_of_the_configuration(admin: httpx.Client, project: Project) -> None:
    with project.file.open("a") as file:
        file.write('\n[console]\nsecret_folders = ["/run/secrets", "keys"]\n')
    sent = {**TENANT, "one_of": "certificate", "name": "other"}
    for place in ("/run/secrets/other.pem", "keys/sub/other.pem"):
        assert send(admin, "/settings/tenants/new", {**sent, "certificate__path": place}).status_code == 303
        sent["name"] = "another"
    found = refused(send(admin, "/settings/tenants/new", {**sent, "name": "x", "certificate__path": "secrets/x.pem"}))
    assert "(/run/secrets, keys)" in found["certificate__path"]


def test_one_secret_serves_one_server_under_several_profiles(admin: httpx.Client, project: Project) -> None:
    sent = {
        **BUCKET,
        "name": "second",
        "bucket": "other",
        "endpoint_url": S3,
        "access_key_id": "S3_ID",
        "secret_access_key": "secrets/s3",
    }
    assert send(admin, "/settings/storage/new", sent).status_code == 303


def test_a_secret_that_was_given_up_stays_with_its_server(admin: httpx.Client, project: Project) -> None:
    """Deleting a profile, or naming another secret in it, does not free the one before for another server."""
    form = admin.get("/settings/mail/edit").text
    version = form.split('name="version" value="')[1].split('"')[0]
    assert admin.post("/settings/mail/delete", data={"version": version}).status_code == 303
    assert edited(admin, "/settings/storage/bucket/edit", access_key_id="S3_NEW").status_code == 303
    former = load_project(project.file).console.former_secrets
    assert [(one.env, one.server) for one in former] == [("SMTP", MAILED), ("S3_ID", S3)]
    for name, server in (("SMTP", MAILED), ("S3_ID", S3)):
        sent = {**MAIL, "host": "evil.example", "username": "x", "password__place": "env", "password": name}
        assert f"the secret for {server} already" in refused(send(admin, "/settings/mail/edit", sent))["password"]
    again = {**MAIL, "host": MAILED, "username": "x", "password__place": "env", "password": "SMTP"}
    assert send(admin, "/settings/mail/edit", again).status_code == 303
    assert "# What stands here by hand stays." in project.file.read_text()


def test_the_machines_own_identity_goes_to_the_usual_addresses_only(admin: httpx.Client, project: Project) -> None:
    found = refused(edited(admin, "/settings/tenants/fabrikam/edit", graph_url="https://evil.example"))
    assert found["one_of"].startswith("The console sends the managed identity to the service's usual address only.")
    sent = {**BUCKET, "name": "mine", "access_key_id": "", "secret_access_key": ""}
    found = refused(send(admin, "/settings/storage/new", sent))
    assert found["access_key_id"].startswith("The console sends the role of this machine to the service's usual")
    assert send(admin, "/settings/storage/new", {**sent, "endpoint_url": ""}).status_code == 303


def test_what_stands_in_the_file_already_may_stay(admin: httpx.Client, project: Project) -> None:
    """Whoever has the file may name anything; another setting beside it can be changed in the console."""
    text = project.file.read_text().replace('env = "S3_ID"', 'env = "AWS_ACCESS_KEY_ID"')
    project.file.write_text(text.replace("secrets/s3", "/elsewhere/s3"))
    assert edited(admin, "/settings/storage/bucket/edit", patience="30").status_code == 303


@pytest.mark.parametrize(("place", "name"), [("env", "AZURE_CLIENT_SECRET"), ("env", "SMTP"), ("file", "/etc/shadow")])
def test_the_address_of_a_webhook_is_held_to_the_same(
    place: str, name: str, admin: httpx.Client, project: Project
) -> None:
    sent = {**PROFILE, "webhook_place": place, "webhook_name": name}
    assert refused(send(admin, "/notifications/new", sent)).keys() == {"webhook_name"}


@pytest.mark.parametrize(
    ("path", "changed", "what"),
    [
        ("storage/new", {**BUCKET, "name": "mine"}, "storage is neither created nor moved in the console"),
        ("storage/disk/edit", {"path": "elsewhere"}, "storage is neither created nor moved in the console"),
        ("mail/edit", {"host": "mine.example", "password": "MINE"}, "the mail server and its sign-in are not changed"),
        ("mail/edit", {"username": "me"}, "the mail server and its sign-in are not changed"),
        ("mail/edit", {"password": "MINE"}, "the mail server and its sign-in are not changed"),
        ("tenants/simulated/edit", {"tenant_id": GUID}, "the tenant simulated is not exchanged for another"),
    ],
)
def test_where_restores_are_approved_nobody_moves_what_that_rests_on(
    path: str, changed: dict[str, Any], what: str, admin: httpx.Client, project: Project
) -> None:
    project.file.write_text(project.file.read_text().replace('tenant = "simulated"', APPROVED))
    before = project.file.read_text()
    answer = (send if path.endswith("new") else edited)(admin, f"/settings/{path}", **_sent(path, changed))
    assert answer.status_code == 400 and what in html.unescape(answer.text)
    assert "Edit it in dagster_project.toml, on the console&#39;s machine." in answer.text
    assert project.file.read_text() == before
    # What nothing rests on can still be changed.
    assert edited(admin, "/settings/mail/edit", **{"from": "other@example.com"}).status_code == 303


def _sent(path: str, changed: dict[str, Any]) -> dict[str, Any]:
    return {"sent": changed} if path.endswith("new") else changed
