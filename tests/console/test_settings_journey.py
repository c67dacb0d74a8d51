"""Storage, a tenant and mail as an administrator sets them up in the browser, with what they see and click."""

from __future__ import annotations

from pathlib import Path

import pytest
from selenium import webdriver

from entra_pipeline.project import Project, load_project
from entra_pipeline.simulator import Simulator
from tests.console.person import Person
from tests.console.two_points import Served, _console, backed_up, points, project, served, simulator
from tests.support.browser import browser
from tests.support.post_office import PASSWORD, USER, PostOffice
from tests.support.s3 import Endpoint, new_bucket

__all__ = ["_console", "backed_up", "browser", "points", "project", "served", "simulator"]

pytestmark = pytest.mark.browser


@pytest.fixture
def person(browser: webdriver.Chrome, served: Served, project: Project) -> Person:
    return Person(browser, served)


@pytest.fixture
def secrets(project: Project) -> Path:
    folder = project.file.parent / "secrets"
    folder.mkdir(exist_ok=True)
    return folder


def test_a_bucket_is_tested_and_saved(person: Person, project: Project, secrets: Path, moto_endpoint: Endpoint) -> None:
    bucket = new_bucket(moto_endpoint)
    (secrets / "id").write_text(moto_endpoint.access_key_id)
    (secrets / "key").write_text(moto_endpoint.secret_access_key)
    person.open("/settings")
    person.click("a", "Add a storage profile")
    person.sees("New storage profile", "Bucket", "Service address", "Amazon S3")
    person.write("#f-name", "offsite")
    person.write("#f-bucket", bucket.name)
    person.write("#f-endpoint_url", moto_endpoint.url)
    for field, file in (("access_key_id", "secrets/id"), ("secret_access_key", "secrets/missing")):
        person.choose(f"#f-{field}__place", "file")
        person.write(f"#f-{field}", file)
    # What a key would ask is there only for who encrypts.
    assert not person.one("#f-encryption__passphrase").is_displayed()
    person.click("button", "Test connection")
    person.sees("Test", "open", "cannot be read", "failed")
    field = person.one("#f-secret_access_key")
    field.clear()
    field.send_keys("secrets/key")
    person.click("button", "Test connection")
    person.sees("create only when absent", "two backups never overwrite each other", "ok")
    person.click("main button.primary", "Save")
    person.sees("The storage profile offsite has been saved. To use it, choose it in a scope.", bucket.name)
    assert person.clicks <= 14
    assert load_project(project.file).storage["offsite"].facts()[0] == ("Bucket", bucket.name)

    person.click("[aria-label='Storage offsite'] a", "Edit")
    person.choose("#f-encryption__one_of", "passphrase")
    person.write("#f-encryption__passphrase", "AWS_PASSPHRASE")
    person.click("main button.primary", "Save")
    person.sees("Nothing has been saved", "Variables that begin with AWS_, AZURE_, DAGSTER_, ENTRA_PIPELINE_,")
    assert person.driver.switch_to.active_element.get_attribute("name") == "encryption__passphrase"
    person.open("/settings/storage/offsite/edit")
    person.click("button", "Delete the storage profile offsite")
    person.driver.switch_to.alert.accept()
    person.sees("The storage profile offsite has been deleted.")


def test_moving_storage_takes_a_yes_and_with_approval_nobody_moves_it_alone(person: Person, project: Project) -> None:
    person.open("/settings/storage/disk/edit")
    field = person.one("#f-path")
    field.clear()
    field.send_keys("elsewhere")
    person.click("main button.primary", "Save")
    person.sees("Confirm", "contoso")
    assert "elsewhere" not in project.file.read_text()
    # The browser sends nothing before it is agreed to.
    person.click("main button.primary", "Save")
    assert person.one("[name=agreed]:invalid") and "elsewhere" not in project.file.read_text()
    person.click("[name=agreed]")
    person.click("main button.primary", "Save")
    person.sees("The storage profile disk has been saved")
    assert 'path = "elsewhere"' in project.file.read_text()

    text = project.file.read_text()
    project.file.write_text(text.replace("[scopes.contoso]", "[scopes.contoso]\napproval = true"))
    person.open("/settings/storage/disk/edit")
    field = person.one("#f-path")
    field.clear()
    field.send_keys("a-third-place")
    person.click("main button.primary", "Save")
    person.sees("approval by a second administrator")
    assert "a-third-place" not in project.file.read_text()


def test_a_tenant_is_tested_and_what_uses_it_is_named(person: Person, project: Project, simulator: Simulator) -> None:
    person.open("/settings")
    person.click("[aria-label='Tenant simulated'] a", "Edit")
    person.sees("Edit the tenant simulated", "It cannot be deleted while the scope contoso uses it.")
    person.click("button", "Test connection")
    person.sees("sign-in, app that backs up", "Entra gives it a token", "permissions, app that restores")
    # One credential is asked for: the one that is chosen.
    assert person.one("#f-client_secret").is_displayed() and not person.one("#f-certificate__path").is_displayed()
    person.choose("#f-one_of", "certificate")
    assert not person.one("#f-client_secret").is_displayed()
    person.write("#f-certificate__path", "/etc/ssl/private/x.pem")
    person.click("main button.primary", "Save")
    person.sees("Nothing has been saved", "Files are read from the secret folders only (secrets).")
    person.choose("#f-restore__one_of", "just_in_time")
    person.sees("Owner app")


def test_mail_is_set_up_and_a_message_arrives(person: Person, project: Project, secrets: Path, tmp_path: Path) -> None:
    office = PostOffice(tmp_path, implicit=False)
    (secrets / "smtp").write_text(PASSWORD)
    (secrets / "ca.pem").write_bytes(office.ca.read_bytes())
    office.open()
    try:
        person.open("/notifications")
        person.click("a", "Set up a mail server")
        person.write("#f-host", "localhost")
        person.write("#f-port", str(office.port))
        person.write("#f-from", "entra@example.com")
        person.write("#f-username", USER)
        person.choose("#f-password__place", "file")
        person.write("#f-password", "secrets/smtp")
        person.write("#f-ca_bundle", "secrets/ca.pem")
        person.click("main button.primary", "Save")
        person.sees("The mail server has been saved", "Send a test message")
        person.write("#f-address", "ada@example.com")
        person.click("button", "Send a test message")
        person.sees("Sent to ada@example.com.")
        assert person.clicks <= 13
    finally:
        office.shut()
    assert [(mail["to"], mail["subject"]) for mail in office.mails] == [("ada@example.com", "Test of the mail server")]
    assert PASSWORD not in person.driver.page_source
