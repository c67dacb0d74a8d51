"""What the pages show, and what the scope pages write."""

from __future__ import annotations

import html
import os
import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from entra_pipeline.analysis.unusual import UnusualFinding, UnusualVerdict
from entra_pipeline.channels import CHANNELS, Channel
from entra_pipeline.channels.message import Message
from entra_pipeline.clock import system_clock
from entra_pipeline.console.auth.roles import Role
from entra_pipeline.errors import StoreError
from entra_pipeline.orchestration.jobs.restore import RestoreConfig
from entra_pipeline.project import Project, load_project
from entra_pipeline.project.stores import open_store
from entra_pipeline.restore.objects.model import RestoreOptions
from entra_pipeline.settings.section import Section
from entra_pipeline.simulator import Simulator
from entra_pipeline.store.manifest import canonical
from entra_pipeline.store.running_jobs import recorded
from tests.console.two_points import HOSTILE, Served, _console, backed_up, points, project, served, simulator

__all__ = ["_console", "backed_up", "points", "project", "served", "simulator"]


def version_of(text: str) -> str:
    found = re.search(r'name="version" value="(\w+)"', text)
    assert found
    return found[1]


def earlier() -> datetime:
    return system_clock() - timedelta(minutes=5)


NEW = {
    "name": "second",
    "description": "Only groups",
    "tenant": "simulated",
    "storage": "disk",
    "protect": "chosen",
    "types": ["groups"],
    "when": "cron",
    "schedule": "0 */6 * * *",
    "timezone": "Europe/Stockholm",
    "keep": "2",
    "keep_unit": "years",
    "full": "1",
    "full_unit": "months",
}


def test_the_dashboard_tells_how_a_scope_is_also_without_dagster(served: Served) -> None:
    with served.client(Role.viewer) as client:
        page = client.get("/").text
    assert "Complete and verified." in page
    assert "Dagster does not answer" in page
    assert "Run backup now" not in page


def test_the_dashboard_tells_what_wants_attention(served: Served, project: Project, points: list[str]) -> None:
    store = open_store(project, "contoso")
    with served.client(Role.viewer) as client:
        page = client.get("/dashboard/attention").text
        assert "Needs attention" not in page and "no seats set" in page
        with pytest.raises(StoreError), recorded(store, "prune", trigger="a test", clock=earlier):
            raise StoreError("the bucket is <gone>")
        finding = UnusualFinding(rule="deletions", title="Many users deleted", columns=[], rows=[], total=1234)
        verdict = UnusualVerdict(
            scope="contoso", recovery_point=points[-1], parent=points[0], findings=[finding], problems=[], held=True
        )
        store.files.create(f"_unusual/contoso/{points[-1]}.json", canonical(verdict))
        text = project.file.read_text()
        project.file.write_text(text.replace("[tenants.simulated]", "[tenants.simulated]\nseats = 20", 1))
        page = client.get("/dashboard/attention").text
        assert "prune failed" in page and "The bucket is &lt;gone&gt;" in page
        assert "Many users deleted: 1,234" in page and "is on hold" in page
        assert f'href="/scopes/contoso/points/{points[-1]}"' in page
        assert ">over<" in page
        with recorded(store, "prune", trigger="a test") as job:
            job.status = "finished"
        store.files.delete([f"_unusual/contoso/{points[-1]}.json"])
        assert "Needs attention" not in client.get("/dashboard/attention").text


def test_points_are_shown_in_a_calendar_and_a_list(served: Served, points: list[str]) -> None:
    with served.client(Role.viewer) as client:
        page = client.get("/points", follow_redirects=True).text
        assert all(page.count(f"/scopes/contoso/points/{point}") >= 2 for point in points)
        assert client.get("/scopes/contoso/points?month=1999-01").status_code == 400


def test_a_point_is_browsed_down_to_an_object_and_its_history(served: Served, points: list[str]) -> None:
    with served.client(Role.operator) as client:
        point = client.get(f"/scopes/contoso/points/{points[-1]}", params={"category": "Groups"}).text
        assert f"/scopes/contoso/points/{points[-1]}/groups" in point
        assert f"/scopes/contoso/points/{points[-1]}/users" not in point
        comparison = client.get("/scopes/contoso/compare").text
        changed = next(
            html.unescape(path) for path in re.findall(r'href="([^"]+/groups/object\?id=[^"]+)"', comparison)
        )
        thing = client.get(changed).text
        assert HOSTILE not in thing
        assert "members" in client.get(changed.replace("/object", "/links")).text
        history = client.get(changed.replace("/object", "/history")).text
        assert "displayName" in history
        assert "modified" in history


def test_search_condition_columns_and_pages(served: Served, points: list[str]) -> None:
    where = f"/scopes/contoso/points/{points[-1]}/users"
    with served.client(Role.operator) as client:
        every = client.get(where).text
        assert "all 30 of this type" in every or "all 31 of this type" in every
        some = client.get(where, params={"where": "accountEnabled = false", "columns": ["city", "id"]}).text
        assert 'title="city"' in some and ">City<" in some
        assert "that match" in some
        assert "Clear" in some
        later = client.get(where, params={"offset": 25}).text
        assert len(re.findall('name="ids"', later)) < len(re.findall('name="ids"', every))


def test_what_is_chosen_arrives_in_the_restore_form(served: Served, points: list[str]) -> None:
    where = f"/scopes/contoso/points/{points[-1]}/restore"
    with served.client(Role.operator) as client:
        listed = client.get(where.replace("/restore", "/users")).text
        some = re.findall('name="ids" value="([^"]+)"', listed)[:2]
        two = client.get(where, params={"types": "users", "ids": some, "search": "x"}).text
        assert "2 selected" in two
        assert 'name="search" value=""' in two
        every = client.get(where, params={"types": "users", "ids": ["a"], "search": "x", "every": "1"}).text
        assert "all that match" in every
        assert 'name="ids"' not in every
        assert client.get(where, params={"types": "nonsense"}).status_code == 400
        assert client.post(where, data={"types": "users", "every": "1", "conflict": "nonsense"}).status_code == 400
        past = client.post(where, data={"types": "users", "every": "1", "ended_until": "2020-01-31"})
        assert (past.status_code, "Choose a day in the future" in past.text) == (400, True)
        # It is Dagster that plans.
        assert client.post(where, data={"types": "users", "every": "1"}).status_code == 503


def test_the_form_asks_dagster_for_all_that_was_chosen(
    served: Served, points: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, Any]] = []

    def launch(job: str, config: dict[str, Any], **_: Any) -> str:
        asked.append(config)
        return "run"

    monkeypatch.setattr(served.site.dagster, "launch", launch)
    how = {"conflict": "merge", "delete_added": "1", "enable_policies": "1", "taken": "match", "sign_in": "1"}
    with served.client(Role.operator) as client:
        where = f"/scopes/contoso/points/{points[-1]}/restore"
        form = client.get(where, params={"every": "point"}).text
        fields = {*how, "ended_until"}
        assert [name for name in fields if f'name="{name}"' not in form] == []
        client.post(where, data={"types": "users", "every": "1", **how, "ended_until": "2099-01-31"})
    (config,) = asked
    chosen = RestoreConfig(**config).options()
    assert chosen == RestoreOptions(
        conflict="merge",
        delete_added=True,
        enable_policies=True,
        taken="match",
        ended_until="2099-01-31",
        sign_in=True,
    )
    # What the command can say, the form can.
    assert set(RestoreOptions.__struct_fields__) == fields


def test_a_scope_is_created_edited_and_deleted(served: Served, project: Project, simulator: Simulator) -> None:
    with served.client(Role.administrator) as client:
        form = client.get("/scopes/new").text
        answer = client.post("/scopes/new", data={**NEW, "version": version_of(form)})
        assert answer.headers["location"] == "/scopes/second"
        shown = client.get("/scopes/second").text
        assert "has been saved" in shown and re.search(r"Its storage \w+ passed \d+ checks", shown)
        assert shown.count("CET</li>") + shown.count("CEST</li>") == 5
        scope = load_project(project.file).scope("second")
        assert (scope.types(), str(scope.full_backup_frequency)) == (["groups"], "1 month")

        form = client.get("/scopes/second/edit").text
        names = [one["userPrincipalName"] for one in simulator.control.dump("users")[:2]]
        edited = {**NEW, "keep": "30", "keep_unit": "days", "when": "", "protect": "all"}
        edited |= {"whom": "chosen", "users": "\n".join(names)}
        client.post("/scopes/second/edit", data={**edited, "version": version_of(form)})
        scope = load_project(project.file).scope("second")
        assert scope.select is not None
        assert scope.select.users == names
        assert (scope.full_backup_frequency, scope.schedule, scope.protect) == (None, None, "all")

        page = client.get("/scopes/second").text
        wrong = client.post("/scopes/second/delete", data={"version": version_of(page), "confirm": "contoso"})
        assert wrong.status_code == 400
        client.post("/scopes/second/delete", data={"version": version_of(page), "confirm": "second"})
        assert list(load_project(project.file).scopes) == ["contoso"]
    assert "# What stands here by hand stays." in project.file.read_text()


def test_wrong_settings_are_told_and_the_entries_stay(served: Served, project: Project) -> None:
    before = project.file.read_bytes()
    with served.client(Role.administrator) as client:
        version = version_of(client.get("/scopes/new").text)
        for key, value, told in (
            ("schedule", "every now and then", "not a cron expression"),
            ("keep", "2 yeers", "Enter how long recovery points are kept"),
            ("name", "contoso", "There is a scope contoso already"),
            ("name", "../x", "Use letters, digits, hyphens and underscores"),
            ("tenant", "elsewhere", "There is no [tenants.elsewhere]"),
        ):
            answer = client.post("/scopes/new", data={**NEW, key: value, "version": version})
            assert answer.status_code in {400, 409}
            assert told in html.unescape(answer.text)
            assert "Only groups" in answer.text
    assert project.file.read_bytes() == before


def test_the_second_of_two_who_edit_is_told(served: Served, project: Project) -> None:
    with served.client(Role.administrator) as one, served.client(Role.administrator) as other:
        forms = [client.get("/scopes/contoso/edit").text for client in (one, other)]
        sent = {"tenant": "simulated", "storage": "disk", "keep": "2", "keep_unit": "years"}
        first = one.post("/scopes/contoso/edit", data={**sent, "description": "mine", "version": version_of(forms[0])})
        assert first.status_code == 303
        second = other.post(
            "/scopes/contoso/edit", data={**sent, "description": "yours", "version": version_of(forms[1])}
        )
        assert second.status_code == 409
        assert "changed by somebody else" in second.text
        assert 'value="yours"' in second.text
        assert load_project(project.file).scope("contoso").description == "mine"
        # Having seen it, they may save.
        again = other.post(
            "/scopes/contoso/edit", data={**sent, "description": "yours", "version": version_of(second.text)}
        )
        assert again.status_code == 303


PROFILE = {
    "name": "operations",
    "to": "ada@example.com\n grace@example.com ",
    "webhook_format": "teams",
    "webhook_place": "env",
    "webhook_name": "CONSOLE_TEST_WEBHOOK",
    "backup": ["failed", "finished with exception"],
    "attach_report": "1",
    "digest": "1",
    "digest_at": "08:30",
    "timezone": "Europe/Stockholm",
}


def test_a_notification_profile_is_created_edited_and_deleted(
    served: Served, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONSOLE_TEST_WEBHOOK", "http://127.0.0.1:9/secret-9Vq")
    with project.file.open("a") as file:
        file.write('\n[mail]\nhost = "127.0.0.1"\nport = 9\nfrom = "entra@example.com"\n')
    with served.client(Role.administrator) as client:
        assert "No notifications yet" in client.get("/notifications").text
        form = client.get("/notifications/new").text
        created = client.post("/notifications/new", data={**PROFILE, "version": version_of(form)})
        assert created.status_code == 303, created.text
        made = load_project(project.file).profile("operations")
        assert made.to == ["ada@example.com", "grace@example.com"]
        assert made.webhook is not None and made.webhook.url.env == "CONSOLE_TEST_WEBHOOK"
        assert made.backup == ["failed", "finished with exception"] and made.restore == []
        assert (made.digest, made.digest_at, made.timezone) == ("daily", "08:30", "Europe/Stockholm")
        listed = client.get("/notifications").text
        assert "ada@example.com, grace@example.com" in listed and "has been saved" in listed
        form = client.get("/notifications/operations/edit").text
        assert 'value="CONSOLE_TEST_WEBHOOK"' in form
        tried = client.post("/notifications/operations/test").text
        assert 'role="alert"' in tried
        assert not any("secret-9Vq" in page for page in (listed, form, tried))

        # What an entry cannot be is told, and the entries stay; of two who edit, the second is told.
        wrong = client.post(
            "/notifications/operations/edit", data={**PROFILE, "to": "ada", "version": version_of(form)}
        )
        assert wrong.status_code == 400 and "is not a mail address" in wrong.text and ">ada</textarea>" in wrong.text
        nowhere = {**PROFILE, "webhook_name": "", "version": version_of(form)}
        assert client.post("/notifications/operations/edit", data=nowhere).status_code == 400
        changed = {"to": "ada@example.com", "restore": ["failed"], "unusual": "1", "version": version_of(form)}
        assert client.post("/notifications/operations/edit", data=changed).status_code == 303
        second = client.post("/notifications/operations/edit", data={**changed, "to": "eve@example.com"})
        assert second.status_code == 409 and "changed by somebody else" in second.text
        now = load_project(project.file).profile("operations")
        assert (now.to, now.webhook, now.backup, now.restore) == (["ada@example.com"], None, [], ["failed"])
        assert now.unusual and not now.attach_report and now.digest is None
        assert "# What stands here by hand stays." in project.file.read_text()

        stale = client.post("/notifications/operations/delete", data={"version": version_of(form)})
        assert stale.status_code == 409
        form = client.get("/notifications/operations/edit").text
        assert client.post("/notifications/operations/delete", data={"version": version_of(form)}).status_code == 303
        assert load_project(project.file).notifications == {}
        assert client.get("/notifications/operations/edit").status_code == 400


class _Pager(Channel[Section, Section]):
    name, setting, how = "pager", "pager", "`pager`"

    def recipients(self, profile: Section) -> list[str]:
        return ["night shift"]

    def shown(self, profile: Section) -> str:
        return "night shift"

    def send(self, profile: Section, shared: Section, message: Message, *, reference: str, now: datetime) -> str:
        return ""


def test_a_profile_is_listed_with_every_channel_of_the_registry(
    served: Served, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(CHANNELS, "pager", _Pager())
    with project.file.open("a") as file:
        file.write('\n[mail]\nhost = "127.0.0.1"\nport = 9\nfrom = "entra@example.com"\n')
        file.write('\n[notifications.nights]\nto = ["ada@example.com"]\nbackup = ["failed"]\n')
    with served.client(Role.viewer) as client:
        listed = client.get("/notifications").text
    assert "<dt>Mail</dt><dd>ada@example.com</dd>" in listed
    assert "<dt>Pager</dt><dd>night shift</dd>" in listed
    assert "<dt>Webhook</dt>" not in listed


def test_an_edit_by_hand_is_never_overwritten(served: Served, project: Project) -> None:
    with served.client(Role.administrator) as client:
        version = version_of(client.get("/scopes/new").text)
        project.file.write_text(project.file.read_text() + "# A word by hand.\n")
        assert client.post("/scopes/new", data={**NEW, "version": version}).status_code == 409
        project.file.write_text("nonsense = [")
        broken = client.get("/scopes")
        assert broken.status_code == 409
        assert "dagster_project.toml" in broken.text
    assert project.file.read_text() == "nonsense = ["


def test_a_read_only_file_makes_the_scope_pages_read_only(
    served: Served, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.file.chmod(0o444)
    # Root may write whatever the mode says; people who run services do not.
    real = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: real(path, mode) and Path(path).stat().st_mode & 0o200 != 0)
    before = project.file.read_bytes()
    with served.client(Role.administrator) as client:
        listed = client.get("/scopes").text
        assert "are read-only" in listed
        assert "is read-only for the console" in listed
        assert "Create a scope" not in listed
        form = client.get("/scopes/new").text
        answer = client.post("/scopes/new", data={**NEW, "version": version_of(form)})
        assert "is read-only for the console" in answer.text
        assert "is read-only for the console" in client.get("/notifications").text
        form = client.get("/notifications/new").text
        answer = client.post("/notifications/new", data={**PROFILE, "version": version_of(form)})
        assert "is read-only for the console" in answer.text
    assert project.file.read_bytes() == before


def test_the_form_tells_what_a_schedule_means(served: Served) -> None:
    with served.client(Role.administrator) as client:

        def preview(**asked: str) -> str:
            return client.get("/scopes/new/preview", params={"timezone": "Europe/Stockholm", **asked}).text

        shown = preview(when="daily", at="02:00")
        assert shown.count("<li>") == 5 and "<strong>daily at 02:00</strong>. Next: " in shown and "02:00 C" in shown
        assert "every Sunday at 23:30" in preview(when="weekly", at="23:30", weekday="0")
        assert "every 6 hours" in preview(when="six") and "every hour" in preview(when="hourly")
        assert "by cron 5 4 1 * *" in preview(when="cron", schedule="5 4 1 * *")
        assert "backups are started manually" in preview(when="")
        assert "not a cron expression" in preview(when="cron", schedule="nonsense")
        assert "is not a time zone" in preview(when="six", timezone="Mars/Base")


def test_people_and_groups_are_found_and_shown_by_name(served: Served, simulator: Simulator) -> None:
    user, group = simulator.control.dump("users")[0], simulator.control.dump("groups")[1]
    with served.client(Role.administrator) as client:

        def search(text: str) -> str:
            return client.get("/scopes/new/search", params={"tenant": "simulated", "find": text}).text

        assert f'data-add="{user["userPrincipalName"]}" data-kind="users"' in search(user["displayName"])
        assert f'data-add="{group["id"]}" data-kind="groups"' in search(group["displayName"])
        assert "No matching users or groups" in search("' or startswith(displayName,'")
        sent = {
            "tenant": "simulated",
            "users": ["nobody@x", user["userPrincipalName"]],
            "groups": [group["id"], "Sales"],
        }
        shown = re.findall(
            r'value="([^"]+)" checked> <span>(.*?) <small>(.*?)<', client.post("/scopes/new/named", data=sent).text
        )
    assert [(value, html.unescape(name)) for value, name, _ in shown] == [
        ("nobody@x", "nobody@x"),
        (user["userPrincipalName"], user["displayName"]),
        (group["id"], group["displayName"]),
        ("Sales", "Sales"),
    ]


def test_two_points_are_compared(served: Served, points: list[str]) -> None:
    with served.client(Role.viewer) as client:
        page = client.get("/scopes/contoso/compare", params={"from": points[0], "to": points[1]}).text
        assert "description" in page
        assert "displayName" in page
        none = client.get("/scopes/contoso/compare", params={"from": points[0], "to": points[1], "type": "users"}).text
        assert "No difference" in none
        assert client.get("/scopes/contoso/compare", params={"type": "nonsense"}).status_code == 400


def test_job_records_are_shown(served: Served, project: Project) -> None:
    # What fails early has no recovery point to tell of.
    with pytest.raises(StoreError), recorded(open_store(project, "contoso"), "backup", trigger="a test", clock=earlier):
        raise StoreError("nothing was read")
    with recorded(open_store(project, "contoso"), "backup", trigger="a test") as job:
        job.status = "finished"
    served.site.job_list.clear()
    with served.client(Role.viewer) as client:
        answer = client.get("/scopes/contoso/jobs", follow_redirects=True)
        assert "Nothing was read" in answer.text and answer.url.params["scope"] == "contoso"
        assert client.get("/restores").status_code == 200
        assert client.get("/jobs").status_code == 200


@pytest.mark.parametrize(
    "where",
    [
        "1=1); DROP TABLE x; --",
        "id IN (SELECT content FROM read_text('/etc/passwd'))",
        "EXISTS (SELECT 1 FROM read_parquet('s3://elsewhere/*'))",
        "EXISTS (SELECT 1 FROM glob('/*'))",
        "1=1) UNION SELECT getenv('HOME') --",
    ],
)
def test_a_condition_reads_nothing_else(where: str, served: Served, points: list[str]) -> None:
    with served.client(Role.viewer) as client:
        answer = client.get(f"/scopes/contoso/points/{points[-1]}/users", params={"where": where})
    assert answer.status_code == 200
    assert 'role="alert"' in answer.text
    assert "root:" not in answer.text


@pytest.mark.parametrize("text", ["' OR 1=1 --", "%", "');--", "\\x", ".*"])
def test_a_search_is_a_text_and_nothing_else(text: str, served: Served, points: list[str]) -> None:
    with served.client(Role.viewer) as client:
        answer = client.get(f"/scopes/contoso/points/{points[-1]}/groups", params={"search": text})
    assert answer.status_code == 200
    assert "No matches." in answer.text


def test_names_of_objects_are_text(served: Served, points: list[str], project: Project) -> None:
    with served.client(Role.operator) as client:
        listed = client.get(f"/scopes/contoso/points/{points[-1]}/groups")
        found = next(path for path in re.findall(r'href="([^"]+/object\?id=[^"]+)"', listed.text))
        pages = [
            listed,
            client.get("/scopes/contoso/compare"),
            client.get(f"/scopes/contoso/points/{points[-1]}/groups", params={"search": HOSTILE}),
            client.get(html.unescape(found)),
        ]
    assert sum(html.escape("<script>alert(") in page.text for page in pages) >= 3
    for page in pages:
        assert page.status_code == 200
        assert "<script>alert(" not in page.text
        assert "<img src=x" not in page.text
