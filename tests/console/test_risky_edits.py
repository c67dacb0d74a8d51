"""Edits that lead to something the form does not show: each is asked, with its numbers, and nothing is saved before."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from datetime import timedelta

import httpx
import pytest

from entra_pipeline.clock import system_clock
from entra_pipeline.console.auth.roles import Role
from entra_pipeline.console.dagster.client import Run
from entra_pipeline.project import Project, load_project
from entra_pipeline.project.stores import open_store
from entra_pipeline.simulator import Simulator
from entra_pipeline.store.retention.holds import hold, release
from tests.console.test_pages import NEW, version_of
from tests.console.two_points import Served, _console, backed_up, points, project, served, simulator

__all__ = ["_console", "backed_up", "points", "project", "served", "simulator"]

EDIT = {"tenant": "simulated", "storage": "disk", "protect": "chosen", "types": ["users", "groups"], "timezone": "UTC"}
DAYS = {"keep": "30", "keep_unit": "days"}


def asked(answer: httpx.Response) -> dict[str, str]:
    """What has to be agreed to: sentence by key."""
    found = re.findall(r'name="agreed" value="(\w+)"[^>]*> <span>(.*?)</span>', answer.text)
    return {key: html.unescape(text) for key, text in found}


@pytest.fixture
def in_two_months(served: Served) -> Iterator[None]:
    """The console, two months after the recovery points were taken."""
    served.site.clock = lambda: system_clock() + timedelta(days=60)
    served.site._stores.clear()
    yield
    served.site.clock = system_clock
    served.site._stores.clear()


@pytest.mark.usefixtures("in_two_months")
def test_a_shorter_retention_says_how_many_points_go_and_when(
    served: Served, project: Project, points: list[str]
) -> None:
    with served.client(Role.administrator) as client:
        sent = {**EDIT, **DAYS, "version": version_of(client.get("/scopes/contoso/edit").text)}
        answer = client.post("/scopes/contoso/edit", data=sent)
        assert answer.status_code == 400
        [(key, text)] = asked(answer).items()
        # The newest point stays whatever its age.
        assert text == (
            f"1 recovery point of {points[0][:10]} is older than 30 days and will be deleted with the next run of "
            "retention, daily at 03:20 UTC."
        )
        assert str(load_project(project.file).scope("contoso").retention) == "2 years"
        # What was agreed to is that, and nothing else.
        other = client.post("/scopes/contoso/edit", data={**sent, "keep": "29", "agreed": key})
        assert other.status_code == 400
        assert client.post("/scopes/contoso/edit", data={**sent, "agreed": key}).status_code == 303
    assert str(load_project(project.file).scope("contoso").retention) == "30 days"


def test_a_retention_that_deletes_nothing_is_not_asked_and_an_empty_one_refused(
    served: Served, project: Project
) -> None:
    with served.client(Role.administrator) as client:
        form = client.get("/scopes/contoso/edit").text
        assert '<option value="forever">forever</option>' in form
        empty = client.post("/scopes/contoso/edit", data={**EDIT, **DAYS, "keep": " ", "version": version_of(form)})
        assert empty.status_code == 400 and "Enter how long recovery points are kept" in empty.text
        assert str(load_project(project.file).scope("contoso").retention) == "2 years"
        sent = {**EDIT, "keep_unit": "forever", "version": version_of(form)}
        assert client.post("/scopes/contoso/edit", data=sent).status_code == 303
    assert load_project(project.file).scope("contoso").retention.forever


def test_deleting_a_scope_says_what_it_has(
    served: Served, project: Project, points: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(project, "contoso")
    hold(store, points[0], reason="a case", by="a test")
    running = [
        Run("1", "backup_contoso", "started", 1.0, 1.0, None, {"entra/scope": "contoso"}),
        Run("2", "restore", "queued", 1.0, 1.0, None, {"entra/scope": "contoso", "entra/dry-run": "false"}),
    ]
    monkeypatch.setattr(served.site.dagster, "runs", lambda **_: running)
    served.site.backups.forget()
    try:
        with served.client(Role.administrator) as client:
            page = client.get("/scopes/contoso")
            found = asked(page)
            assert [text.partition(".")[0] for text in found.values()] == [
                f"It has {len(points)} recovery points",
                "It has 1 hold",
                "A backup of it is running or queued, and will come to its end or fail",
                "A restore from it is running or queued, and will come to its end or fail",
            ]
            sent = {"version": version_of(page.text), "confirm": "contoso"}
            for agreed in ([], list(found)[:2]):
                refused = client.post("/scopes/contoso/delete", data={**sent, "agreed": agreed})
                assert refused.status_code == 409 and "has not been deleted" in refused.text
            assert "contoso" in load_project(project.file).scopes
            assert client.post("/scopes/contoso/delete", data={**sent, "agreed": list(found)}).status_code == 303
            # Nothing else is on that storage: the page says where its points are, and opens them again.
            page = client.get("/scopes").text
            assert "Its recovery points stay in the storage disk." in page
            left = client.get("/scopes/new/again").text
            assert "Recovery points of deleted scopes" in left and "/scopes/new?name=contoso&amp;storage=disk" in left
            form = client.get("/scopes/new", params={"name": "contoso", "storage": "disk"}).text
            again = {**NEW, "name": "contoso", "version": version_of(form)}
            assert 'value="contoso"' in form
            assert "contoso" not in load_project(project.file).scopes
            assert client.post("/scopes/new", data=again).status_code == 303
            assert points[0] in client.get("/scopes/contoso/points").text
            assert "Recovery points of deleted scopes" not in client.get("/scopes/new/again").text
    finally:
        release(store, points[0])
        served.site.backups.forget()


def test_a_name_that_differs_by_its_case_is_asked(served: Served, project: Project) -> None:
    with served.client(Role.administrator) as client:
        sent = {**NEW, "name": "Contoso", "version": version_of(client.get("/scopes/new").text)}
        answer = client.post("/scopes/new", data=sent)
        [(key, text)] = asked(answer).items()
        assert text == "The scope contoso exists: Contoso differs from it by capital letters only."
        assert 'value="Contoso"' in answer.text and "Contoso" not in load_project(project.file).scopes
        assert client.post("/scopes/new", data={**sent, "agreed": key}).status_code == 303
    assert "Contoso" in load_project(project.file).scopes


def test_users_and_groups_that_do_not_exist_are_refused(
    served: Served, project: Project, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    user, group = simulator.control.dump("users")[0], simulator.control.dump("groups")[1]
    there = {"whom": "chosen", "users": f"{user['userPrincipalName']}\n{user['id']}", "groups": group["displayName"]}
    with served.client(Role.administrator) as client:
        sent = {**NEW, "protect": "all", "types": [], "version": version_of(client.get("/scopes/new").text)}
        answer = client.post("/scopes/new", data={**sent, **there, "groups": "Nobody's"})
        assert answer.status_code == 400
        assert "Not found in tenant simulated: Nobody's (group)" in html.unescape(answer.text)
        assert user["id"] in answer.text and "second" not in load_project(project.file).scopes
        # Where nobody can tell, it is asked.
        simulator.control.deny("users", 403)
        try:
            answer = client.post("/scopes/new", data={**sent, **there})
        finally:
            simulator.control.deny("users", 0)
        [text] = asked(answer).values()
        assert text.startswith("Whether the entered users and groups exist cannot be checked in tenant simulated: ")
        assert client.post("/scopes/new", data={**sent, **there}).status_code == 303
    select = load_project(project.file).scope("second").select
    assert select is not None and select.groups == [group["displayName"]]
