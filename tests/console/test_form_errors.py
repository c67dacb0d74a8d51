"""What is wrong with an entry stands at its field, without paths, patterns or command lines; the entries stay."""

from __future__ import annotations

import html
import re

import pytest

from entra_pipeline.console.auth.roles import Role
from entra_pipeline.project import Project
from tests.console.test_pages import PROFILE, version_of
from tests.console.two_points import Served, _console, backed_up, points, project, served, simulator

__all__ = ["_console", "backed_up", "points", "project", "served", "simulator"]

NAME = "Use letters, digits, hyphens and underscores, up to 63 characters; the first is a letter or digit."


def wrongs(page: str) -> dict[str, str]:
    """What stands at the fields of a form: text by name."""
    return {name: html.unescape(text) for name, text in re.findall(r'<p class="wrong" id="e-(\w+)">(.*?)</p>', page)}


def at_fields(page: str) -> dict[str, str]:
    """As `wrongs`, of fields that say so to a screen reader."""
    found = wrongs(page)
    assert all(f'aria-describedby="e-{name}' in page for name in found), page
    return found


@pytest.mark.parametrize(
    ("changed", "wrong"),
    [
        ({"name": ""}, {"name": "Enter a name."}),
        ({"name": "night shift"}, {"name": NAME}),
        (
            {"to": "ada"},
            {"to": "This is not a mail address. Write one such as entra-admins@example.com."},
        ),
        ({"to": "", "webhook_format": ""}, {"to": "Enter a mail address, or choose a webhook."}),
        ({"to": ""}, {"to": "A daily digest is sent by mail: enter a mail address."}),
        ({"webhook_name": ""}, {"webhook_name": "Enter the name of an environment variable or file."}),
        (
            {"digest_at": "25:00"},
            {"digest_at": "'25:00' is not a time of day. Write hours and minutes, for example \"07:00\"."},
        ),
        (
            {"timezone": "Mars/Base"},
            {
                "timezone": "'Mars/Base' is not a time zone. Write one of the IANA database, for example "
                '"Europe/Stockholm".'
            },
        ),
    ],
)
def test_what_is_wrong_with_a_profile(
    changed: dict[str, str], wrong: dict[str, str], served: Served, project: Project
) -> None:
    with project.file.open("a") as file:
        file.write('\n[mail]\nhost = "127.0.0.1"\nport = 9\nfrom = "entra@example.com"\n')
    before = project.file.read_text()
    with served.client(Role.administrator) as client:
        version = version_of(client.get("/notifications/new").text)
        answer = client.post("/notifications/new", data={**PROFILE, **changed, "version": version})
    assert answer.status_code == 400 and at_fields(answer.text) == wrong
    assert "Nothing has been saved" in answer.text and "Correct the 1 marked entry below" in answer.text
    assert str(project.file) not in answer.text
    assert f'value="{changed.get("webhook_name", PROFILE["webhook_name"])}"' in answer.text
    assert project.file.read_text() == before


@pytest.mark.parametrize(
    ("changed", "wrong"),
    [
        ({"ended_until": "2020-01-31"}, {"ended_until": "Choose a day in the future, or leave it empty."}),
        (
            {"conflict": "burn", "taken": "burn"},
            {
                "conflict": "Choose what becomes of objects that differ.",
                "taken": "Choose what becomes of users whose UPN is in use.",
            },
        ),
    ],
)
def test_what_is_wrong_with_a_restore(
    changed: dict[str, str], wrong: dict[str, str], served: Served, points: list[str]
) -> None:
    with served.client(Role.operator) as client:
        sent = {"every": "types", "types": "groups", "conflict": "merge", "sign_in": "1", **changed}
        answer = client.post(f"/scopes/contoso/points/{points[-1]}/restore", data=sent)
    assert answer.status_code == 400 and wrongs(answer.text) == wrong
    assert "No plan has been made" in answer.text
    # What was chosen stays chosen.
    assert 'name="types" value="groups"' in answer.text and 'name="sign_in" value="1" checked' in answer.text
    assert ('value="merge" checked' in answer.text) == ("conflict" not in changed)


def test_without_dagster_what_was_chosen_stays_in_the_form(served: Served, points: list[str]) -> None:
    where = f"/scopes/contoso/points/{points[-1]}"
    with served.client(Role.operator) as client:
        answer = client.post(f"{where}/restore", data={"every": "types", "types": "groups", "conflict": "skip"})
        assert answer.status_code == 503 and "Dagster does not answer" in answer.text
        assert "<h1>Restore</h1>" in answer.text and 'value="skip" checked' in answer.text
        answer = client.post(f"{where}/remove", data={"added": "22222222-2222-4222-8222-222222222222"})
        assert answer.status_code == 503 and "Dagster does not answer" in answer.text
        assert "Remove 1 added object" in answer.text and "22222222-2222-4222-8222-222222222222" in answer.text


def test_a_profile_that_cannot_be_deleted_stays_on_its_form(served: Served, project: Project) -> None:
    with project.file.open("a") as file:
        file.write(
            '\n[notifications.ops]\nwebhook = { url = { env = "HOOK" }, format = "teams" }\nbackup = ["failed"]\n'
        )
    with served.client(Role.administrator) as client:
        answer = client.post("/notifications/ops/delete", data={"version": "another"})
    assert answer.status_code == 409 and "was changed by somebody else since you opened this page" in answer.text
    assert "<h1>Edit ops</h1>" in answer.text and "Delete the profile" in answer.text
    assert str(project.file.parent) not in answer.text
    assert "[notifications.ops]" in project.file.read_text()
