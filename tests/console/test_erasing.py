"""Erasing a person in the console: found, understood, confirmed by their name, and approved where that takes two."""

from __future__ import annotations

import html
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from selenium import webdriver

from entra_pipeline.console.app_state import AppState
from entra_pipeline.console.auth import SignIn
from entra_pipeline.console.auth.roles import Role
from entra_pipeline.console.dagster.client import Dagster
from entra_pipeline.console.rendering import templates
from entra_pipeline.simulator import Simulator
from tests.console.person import Person
from tests.console.test_every_page import serious
from tests.console.test_security import events
from tests.console.two_points import NOWHERE, Served, serving
from tests.support.browser import browser
from tests.support.command import Place

__all__ = ["browser"]

SCOPE = """
[storage.disk]
kind = "local"
path = "backup"
encryption = { passphrase = { file = "storage.key" } }

[scopes.contoso]
tenant = "simulated"
storage = "disk"
erasure = "per-person"
logs = false
protect = ["users", "groups"]
"""
REASON = "request 2026-114"
PAGE = "/scopes/contoso/erase"


class Site(NamedTuple):
    """A console on a scope whose values are encrypted by person, and the members of its tenant."""

    served: Served
    place: Place
    members: list[dict[str, Any]]

    def erased(self) -> list[dict[str, Any]]:
        return list(self.place.call("erasures", "contoso", "--json").json)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder: Path = tmp_path_factory.mktemp("erasing")
    with Simulator(users=12, groups=2, seed=5) as tenant:
        file = folder / "dagster_project.toml"
        (folder / "storage.key").write_text("the passphrase is long enough\n")
        file.write_text(tenant.tenant_table() + SCOPE)
        place = Place(file, tenant)
        assert place.call("storage", "encrypt", "disk", "--key-is-kept-elsewhere").code == 0
        assert place.call("backup", "contoso").code == 0
        dagster = Dagster(NOWHERE, NOWHERE)
        state = AppState(file, sign_in=SignIn(), dagster=dagster, templates=templates())
        with serving(state) as served:
            yield Site(served, place, [one for one in tenant.control.dump("users") if one["userType"] == "Member"])
        dagster.close()


def send(site: Site, client: Any, act: str, **fields: str) -> Any:
    answer = client.post(PAGE, data={"act": act, **fields})
    return answer.status_code, html.unescape(answer.text)


def test_nothing_is_erased_before_the_name_is_typed_and_a_reason_given(site: Site) -> None:
    user, before = site.members[0], len(site.erased())
    name = user["userPrincipalName"]
    with site.served.client(Role.administrator) as client:
        for wrong, told in (
            ({}, "Enter a reason."),
            ({"reason": REASON}, f"Type {name} to confirm."),
            ({"reason": REASON, "confirm": "contoso"}, f"Type {name} to confirm."),
            ({"reason": f"{user['displayName']} asked", "confirm": name}, "leave out what names the person"),
        ):
            status, page = send(site, client, "erase", person=user["id"], **wrong)
            assert status == 400 and told in page, page
        assert send(site, client, "look", person="nobody@contoso.com")[0] == 404
        assert send(site, client, "look")[0] == 400
        assert send(site, client, "approve", person=user["id"], confirm=name)[0] == 404
        assert site.place.call("hold", "contoso", "--reason", "audit").code == 0
        status, page = send(site, client, "erase", person=user["id"], reason=REASON, confirm=name)
        assert status == 400 and "is held (audit)" in page
        assert site.place.call("hold", "contoso", "--release").code == 0
    assert len(site.erased()) == before


@pytest.mark.browser
def test_a_person_is_erased(site: Site, browser: webdriver.Chrome) -> None:
    user = site.members[1]
    name = user["userPrincipalName"]
    person = Person(browser, site.served)
    person.open("/scopes/contoso")
    person.click("a", "Erase a person …")
    person.sees("Erase a person", "Nobody was erased from this scope")
    person.write("#f-person", name)
    person.click("button", "Find")
    person.sees("What becomes unreadable", user["displayName"], user["id"], "User", "Delete and purge the user first.")
    assert serious(browser) == []
    person.write("#f-reason", REASON)
    person.write("#f-confirm", name)
    person.click("button", "Erase this person")
    person.sees(f"{user['id']} is erased: nobody can read the values any more (erasure 1)", REASON, "finished")
    assert person.clicks <= 6
    [made] = site.erased()
    assert (made["person"], made["by"], made["reason"]) == (user["id"], "ada@contoso.com", REASON)
    # What pages had read before is gone, too; and nothing that is kept of it names the person.
    with site.served.client(Role.viewer) as client:
        [point] = site.place.store("contoso").points()
        assert name not in client.get(f"/scopes/contoso/points/{point}/users").text
    event = events(site.served, "erase")[-1]
    assert (event.subject, event.result, event.details) == (user["id"], "finished", {"erasure": 1, "points": 1})
    assert name not in json.dumps(made) + repr(event)


def test_where_restores_take_two_so_does_an_erasure(site: Site) -> None:
    file, user = site.place.file, site.members[2]
    text, before = file.read_text(), len(site.erased())
    file.write_text(text.replace('erasure = "per-person"', 'erasure = "per-person"\napproval = true'))
    name = user["userPrincipalName"]
    try:
        with site.served.client(Role.administrator) as ada, site.served.client(Role.administrator, "grace") as grace:
            status, _ = send(site, ada, "erase", person=name, reason=REASON, confirm=name)
            assert status == 303 and len(site.erased()) == before
            assert user["id"] in ada.get(PAGE).text and "waits for approval" in grace.get(PAGE).text
            own = send(site, ada, "look", person=user["id"])[1]
            assert "Approve and erase" not in own and "Withdraw the request" in own
            status, page = send(site, ada, "approve", person=user["id"], confirm=name)
            assert status == 400 and "nobody approves what they asked for themselves" in page.lower()
            assert send(site, grace, "approve", person=user["id"], confirm="yes")[0] == 400
            assert len(site.erased()) == before
            assert send(site, grace, "approve", person=user["id"], confirm=name)[0] == 303
            # Once: the request is gone.
            assert send(site, grace, "approve", person=user["id"], confirm=name)[0] == 404
            other = site.members[3]
            send(site, ada, "erase", person=other["id"], reason=REASON, confirm=other["userPrincipalName"])
            assert send(site, grace, "withdraw", person=other["id"])[0] == 303
            assert "waits for approval" not in grace.get(PAGE).text
    finally:
        file.write_text(text)
    made = site.erased()[-1]
    assert (made["person"], made["by"]) == (user["id"], "administrator@contoso.com, approved by grace@contoso.com")
    assert len(site.erased()) == before + 1


def test_a_scope_that_is_not_encrypted_by_person_says_so(site: Site) -> None:
    text = site.place.file.read_text()
    site.place.file.write_text(text.replace('erasure = "per-person"\nlogs = false\n', "").replace("contoso]", "other]"))
    try:
        with site.served.client(Role.administrator) as client:
            assert "Nobody can be erased from this scope" in client.get("/scopes/other/erase").text
            assert "Erase a person …" not in client.get("/scopes/other").text
            answer = client.post("/scopes/other/erase", data={"act": "look", "person": "x"})
            assert answer.status_code == 400 and "not encrypted by person" in answer.text
    finally:
        site.place.file.write_text(text)


def test_an_operator_erases_nobody(site: Site) -> None:
    for role in (Role.viewer, Role.operator):
        with site.served.client(role) as client:
            assert client.get(PAGE).status_code == 403
            assert send(site, client, "look", person=site.members[4]["id"])[0] == 403
            assert "Erase a person" not in client.get("/scopes/contoso").text
