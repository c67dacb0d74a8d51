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


def at_fields(page: str) -> dict[str, str]:
    """What stands at the fields of a form: text by name."""
    found = re.findall(r'<p class="wrong" id="e-(\w+)">(.*?)</p>', page)
    assert all(f'aria-describedby="e-{name}' in page for name, _ in found), page
    return {name: html.unescape(text) for name, text in found}


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
