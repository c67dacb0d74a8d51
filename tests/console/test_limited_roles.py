"""People who have a role for some scopes only: what is another scope's does not exist for them, by whichever route."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import msgspec
import pytest
from websockets.sync.client import connect

from entra_pipeline.audit import Act, AuditLog, Origin
from entra_pipeline.backup.run import backup
from entra_pipeline.console.app import build
from entra_pipeline.console.auth import SignIn
from entra_pipeline.console.auth.access import Access, ScopedRole, access_of
from entra_pipeline.console.auth.roles import Grants, Role
from entra_pipeline.console.auth.sessions import User
from entra_pipeline.console.dagster.client import Dagster, Run
from entra_pipeline.console.monitor import runs as monitored_runs
from entra_pipeline.console.pages import PAGES
from entra_pipeline.console.routing import Area, Page
from entra_pipeline.errors import ConfigurationError
from entra_pipeline.graph.factory import open_graph
from entra_pipeline.project import Project, load_project
from entra_pipeline.project.stores import open_store
from entra_pipeline.restore.objects.model import RestorePlan
from entra_pipeline.restore.plan.service import PlannedTenant, plan_restore
from entra_pipeline.restore.records.approval import sign_plan
from entra_pipeline.restore.records.plans import write_plan
from entra_pipeline.simulator import Simulator
from entra_pipeline.store.manifest import seal
from tests.console.conftest import NOWHERE, Browser, Served, served
from tests.console.test_job_list import leave, run, runs_of

SETTINGS = """\
[storage.disk]
kind = "local"
path = "backup"

[scopes.ours]
tenant = "ours"
storage = "disk"
protect = ["users", "groups"]
schedule = "0 5 * * *"

[scopes.foreign-one]
description = "foreign-description"
tenant = "foreign"
storage = "disk"
protect = ["users", "groups"]
approval = true

[notifications.foreign-profile]
to = ["foreign@example.com"]
backup = ["failed"]

[mail]
host = "127.0.0.1"
from = "entra-pipeline@example.com"
port = 9
"""
OWN_RUN, FOREIGN_RUN, PRUNE_RUN = (letter * 8 + f"-{letter * 4}" * 3 + f"-{letter * 12}" for letter in "abc")
ADA = "ada@example.com"


class TwoTenants(NamedTuple):
    """A console on two scopes, and what there is of the second one."""

    console: Served
    project: Project
    plan: RestorePlan
    across: RestorePlan
    point: str

    def browser(self, role: Role = Role.administrator, scope: str = "ours", everything: Role | None = None) -> Browser:
        """Somebody with a role in a scope, and perhaps one for everything."""
        user = User(f"{role.name}@example.com", everything, scoped=(ScopedRole(role, (scope,)),))
        browser = self.console.browser()
        token, browser.session = self.console.site.sessions.begin(user)
        browser.keep(token)
        return browser


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoTenants]:
    file = tmp_path_factory.mktemp("limited") / "dagster_project.toml"
    with Simulator(users=6, groups=2, seed=7) as simulator:
        tables = (simulator.tenant_table(name) for name in ("ours", "foreign"))
        file.write_text("\n".join([*tables, SETTINGS]))
        project = load_project(file)

        async def prepare() -> RestorePlan:
            async with open_graph(project.tenants["ours"]) as graph:
                for name in project.scopes:
                    point = await backup(project.scope(name), open_store(project, name), graph)
                user = next(one for one in simulator.control.dump("users") if not one.get("onPremisesSyncEnabled"))
                simulator.control.delete(f"users/{user['id']}")
                scope, store = project.scope("foreign-one"), open_store(project, "foreign-one")
                tenant = PlannedTenant(scope=scope, store=store, reading=graph)
                return await plan_restore(store, point, tenant, trigger="a test")

        plan = asyncio.run(prepare())
        # As if somebody who may had planned to restore the one into the other.
        across = seal(msgspec.structs.replace(plan, id=plan.id[:-6] + "abcdef", scope="ours"))
        write_plan(open_store(project, "ours"), across)
        for name in project.scopes:
            store = open_store(project, name)
            leave(store, "backup", "finished", timedelta(hours=1))
            act = Act(action="backup", scope=name, subject=f"subject-of-{name}", result="finished", details={})
            AuditLog(store.files).write(act, Origin(actor=f"{name}@example.com", channel="command", host="h"))
        nothing = Act(action="settings", scope="", subject="foreign-setting", result="finished", details={})
        AuditLog(store.files).write(nothing, Origin(actor="foreign-admin", channel="command", host="h"))
        nowhere = Dagster(NOWHERE, NOWHERE)
        with served(file, sign_in=SignIn(), dagster=nowhere) as console:
            yield TwoTenants(console, project, plan, across, store.points()[-1])
        nowhere.close()


@pytest.fixture
def runs(two: TwoTenants, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs of both scopes, and one of none."""
    runs_of(
        two.console,  # type: ignore[arg-type]
        monkeypatch,
        run(OWN_RUN, "backup_ours", "started", 30, entra_scope="ours"),
        run(FOREIGN_RUN, "backup_foreign-one", "started", 20, entra_scope="foreign-one"),
        run(PRUNE_RUN, "prune", "started", 10),
    )


def filled(path: str, two: TwoTenants, scope: str) -> str:
    """An address with everything that its path asks for, of the second scope."""
    given = {
        "scope": scope,
        "point": two.point,
        "table": "users",
        "run": FOREIGN_RUN,
        "report": "jobs",
        "plan": two.plan.id,
        "tenant": "foreign",
        "storage": "disk",
        "profile": "foreign-profile",
        "job": open_store(two.project, "foreign-one").jobs.files()[0].key.rpartition("/")[2].removesuffix(".json"),
        "path": "runs",
    }
    return re.sub(r"{(\w+)(:\w+)?}", lambda found: given[found[1]], path)


def ask(browser: Browser, method: str, path: str, **values: str) -> httpx.Response:
    return browser.post(path, values) if method == "POST" else browser.get(path, params=values)


ROUTES = [(method, page) for page in PAGES for method in page.methods]
LIMITED = [one for one in ROUTES if one[1].role is not None]


@pytest.mark.usefixtures("runs")
def test_no_route_shows_or_does_anything_of_another_scope(two: TwoTenants) -> None:
    """An administrator of one scope, at every route of the console, with everything in the address that is foreign."""
    wanted, found, told = {}, {}, []
    for method, page in LIMITED:
        # A browser each: some routes end the session.
        answer = ask(two.browser(), method, filled(page.path, two, "foreign-one"))
        route = f"{method} {page.path}"
        found[route] = answer.status_code
        # What is asked for comes back: the name that they have put into the address.
        text = answer.text.replace("here is no scope &#39;foreign-one&#39;", "")
        text = text.replace(f"here is no plan {two.plan.id}", "")
        told += [route] if "foreign" in text or two.plan.id in text else []
        match page.area:
            case Area.INSTALLATION:
                wanted[route] = 403
            case Area.SCOPE:
                wanted[route] = 404
            case _:
                wanted[route] = 404 if "{run}" in page.path else answer.status_code
    assert found == wanted
    assert told == []
    assert {answer for route, answer in found.items() if "{" not in route} <= {200, 303, 400, 403}


@pytest.mark.usefixtures("runs")
def test_no_route_takes_another_scope_as_a_parameter(two: TwoTenants) -> None:
    """Neither in the query of the address nor in a form, where the path names the own scope, or none."""
    for method, page in LIMITED:
        if page.area is Area.INSTALLATION or "{run}" in page.path:
            continue
        answer = ask(two.browser(), method, filled(page.path, two, "ours"), scope="foreign-one")
        assert answer.status_code == 404, f"{method} {page.path}"


def test_what_no_page_answers_is_closed_too(two: TwoTenants) -> None:
    """Every route of the application, not only pages: Dagster's own UI and the metrics are about all scopes."""
    others = {getattr(route, "path", "") for route in build(two.console.site).routes} - {page.path for page in PAGES}
    found = {path: two.browser().get(filled(path, two, "foreign-one")).status_code for path in others}
    assert found == {"/static": 307, "/healthz": 200, "/metrics": 404, "/dagster": 303, "/dagster/{path:path}": 403}
    browser = two.browser()
    for method in ("GET", "POST"):
        more: dict[str, Any] = {"json": {"query": "{ version }"}} if method == "POST" else {}
        assert browser.client.request(method, "/dagster/graphql", **more).status_code == 403
    cookie = f"entra-session={browser.client.cookies['entra-session']}"
    url = two.console.url.replace("http", "ws", 1)
    with (
        pytest.raises(Exception, match="403"),
        connect(
            f"{url}/dagster/graphql",
            additional_headers={"Cookie": cookie},
            origin=two.console.url,  # type: ignore[arg-type]
        ),
    ):
        pass


def test_a_new_route_is_for_the_whole_installation_until_it_says_what_it_is() -> None:
    page = Page("/new", lambda _: None, Role.viewer)  # type: ignore[arg-type,return-value]
    limited = Access(None, (ScopedRole(Role.administrator, ("*",)),))
    assert not page.takes(limited)
    assert page.takes(Access(Role.viewer))
    for path, area in (("/new", Area.SCOPE), ("/scopes/{scope}/new", Area.OWN_SCOPES), ("/x/{scope}", Area.PERSON)):
        with pytest.raises(ValueError, match="does not fit"):
            Page(path, lambda _: None, Role.viewer, area=area)  # type: ignore[arg-type,return-value]


def test_their_own_scope_is_theirs(two: TwoTenants) -> None:
    viewer, operator = two.browser(Role.viewer), two.browser(Role.operator)
    for path in ("/", "/scopes", "/scopes/ours", "/scopes/ours/points", "/restores", "/jobs?scope=ours", "/reports"):
        for browser in (viewer, operator):
            answer = browser.get(path)
            assert answer.status_code == 200, path
            assert "foreign" not in answer.text
    assert "Run backup now" in operator.get("/scopes").text
    assert "Run backup now" not in viewer.get("/scopes").text
    refused = viewer.post("/scopes/ours/backup")
    assert refused.status_code == 403 and "requires the role operator in ours" in refused.text
    # What is missing is Dagster.
    assert operator.post("/scopes/ours/backup").status_code == 503
    menu = operator.get("/").text
    assert "operator in some scopes" in menu
    assert not [label for label in ("Settings", "Sessions", "Notifications", "/dagster/") if label in menu]
    assert "for everything" in operator.get("/settings").text


def test_a_role_for_everything_and_another_for_some(two: TwoTenants) -> None:
    """Sees all, and acts where they may."""
    browser = two.browser(Role.operator, everything=Role.viewer)
    page = browser.get("/scopes").text
    assert "foreign-one" in page and page.count("Run backup now") == 1
    assert browser.get("/settings").status_code == 200
    assert browser.post("/scopes/foreign-one/backup").status_code == 403
    assert browser.post("/scopes/ours/backup").status_code == 503
    # The page takes an operator: it offers the scopes in which they are one.
    assert browser.get("/restore").headers["location"] == "/scopes/ours/restore"
    asked = browser.post("/sql", {"query": "SELECT DISTINCT scope FROM users", "format": "csv"})
    assert asked.text.split() == ["scope", "ours"]


def test_sql_knows_their_scopes_only(two: TwoTenants) -> None:
    browser = two.browser(Role.operator)
    tables = ("users", "group_members_history", "recovery_points", "recovery_point_tables", "jobs")
    for table in tables:
        answer = browser.post("/sql", {"query": f"SELECT DISTINCT scope FROM {table}", "format": "csv"})
        assert answer.text.split() == ["scope", "ours"], table
    moment = "'ours', 'latest'"
    answer = browser.post("/sql", {"query": f"SELECT DISTINCT scope FROM users_at({moment})", "format": "csv"})
    assert answer.text.split() == ["scope", "ours"]
    asked = (
        browser.post("/sql", {"query": f"FROM users_at('{name}', 'latest')"}) for name in ("foreign-one", "no-one")
    )
    foreign, absent = (re.sub("foreign-one|no-one", "", re.sub(r"csrf.*", "", one.text)) for one in asked)
    assert foreign == absent, "a scope of others is one that there is not"
    # Events of several scopes are in one file: the page Audit log has theirs.
    answer = browser.post("/sql", {"query": "SELECT count(*) AS events FROM audit_events", "format": "csv"})
    assert answer.text.split() == ["events", "0"]


def test_reports_and_their_files_are_about_their_scopes(two: TwoTenants) -> None:
    browser = two.browser(Role.viewer)
    everything = two.console.browser(Role.viewer)
    for name in ("audit", "jobs", "readiness", "subscription", "backup-analysis"):
        for format_ in ("", "csv", "json"):
            path = f"/reports/{name}?format={format_}"
            answer = browser.get(path)
            assert answer.status_code == 200 and "foreign" not in answer.text, path
        assert "foreign" in everything.get(f"/reports/{name}?format=json").text, name
    assert "subject-of-ours" in browser.get("/reports/audit").text
    assert browser.get("/reports/jobs?scope=foreign-one&format=csv").status_code == 404


@pytest.mark.usefixtures("runs")
def test_jobs_and_the_search_are_those_of_their_scopes(two: TwoTenants) -> None:
    browser, everything = two.browser(Role.operator), two.console.browser(Role.operator)
    for path in ("/jobs?period=all", "/dashboard/jobs", "/restores", "/find?text=o", "/find/objects?text=a"):
        assert "foreign" not in browser.get(path).text, path
    assert OWN_RUN in browser.get("/jobs?period=all").text
    for hidden in (FOREIGN_RUN, PRUNE_RUN):
        assert hidden not in browser.get("/jobs?period=all").text
        assert hidden in everything.get("/jobs?period=all").text
        assert browser.get(f"/jobs/{hidden}").status_code == 404
        assert browser.post(f"/jobs/{hidden}/stop").status_code == 404
    assert browser.get(f"/jobs/{OWN_RUN}").status_code == 200
    # Of many scopes, runs are looked through instead of asked for by scope.
    everywhere = two.browser(Role.operator, scope="o*")
    assert OWN_RUN in everywhere.get("/dashboard/jobs").text


def test_a_plan_is_seen_by_who_may_see_both_ends(two: TwoTenants) -> None:
    """A plan lies in the storage of its scope, beside those of others: its id alone opens nothing."""
    ours = two.browser()
    for plan in (two.plan, two.across):
        for leaf in ("", "/apply", "/approve", "/undo"):
            method = "POST" if leaf else "GET"
            assert ask(ours, method, f"/scopes/ours/restores/{plan.id}{leaf}").status_code == 404
    both = two.browser(scope="*")
    assert both.get(f"/scopes/foreign-one/restores/{two.plan.id}").status_code == 200
    assert both.get(f"/scopes/ours/restores/{two.plan.id}").status_code == 404
    assert both.get(f"/scopes/ours/restores/{two.across.id}").status_code == 200


def test_who_approves_has_to_be_an_administrator_of_each_scope_that_asks(two: TwoTenants) -> None:
    store = open_store(two.project, "foreign-one")
    sign_plan(store, two.plan, ADA)
    path = f"/scopes/foreign-one/restores/{two.plan.id}/approve"
    assert two.browser(Role.operator, "foreign-*").post(path, {"seal": two.plan.seal}).status_code == 403
    assert two.browser(Role.administrator).post(path, {"seal": two.plan.seal}).status_code == 404
    # A plan that is theirs, and whose tenant belongs to another scope as well that asks for approval.
    file = two.project.file
    text = file.read_text()
    try:
        second = text.split("[scopes.foreign-one]")[1].split("[notifications")[0]
        file.write_text(f"{text}\n[scopes.foreign-two]{second}")
        answer = two.browser(Role.administrator, "foreign-one").post(path, {"seal": two.plan.seal})
        assert answer.status_code == 400 and "not an administrator of every scope" in answer.text
        assert two.browser(Role.administrator, "foreign-*").post(path, {"seal": two.plan.seal}).status_code == 303
    finally:
        file.write_text(text)


# --- Who gets such a role --------------------------------------------------------------------------------------------

ASSIGNED = """
[console.role_assignments.helpdesk]
role = "operator"
members = ["Helpdesk", "11111111-1111-1111-1111-11111111111A"]
scopes = ["our*"]
tenants = ["branch-?"]

[console.role_assignments.auditors]
role = "viewer"
members = ["Auditors"]
scopes = ["*"]
"""


@pytest.mark.pure
def test_what_gives_a_role_for_some_scopes(tmp_path: Path) -> None:
    file = tmp_path / "dagster_project.toml"
    file.write_text(ASSIGNED)
    console = load_project(file).console
    helpdesk = ScopedRole(Role.operator, ("our*",), ("branch-?",))
    identifier = "11111111-1111-1111-1111-11111111111a"
    for grants in (Grants(("Helpdesk",)), Grants((), (identifier,)), Grants((), (), identifier)):
        assert access_of(grants, console) == Access(None, (helpdesk,))
    assert access_of(Grants(("Helpdesk", "Auditors", "EntraPipeline.Viewer")), console).role is Role.viewer
    assert access_of(Grants((identifier,), ("Helpdesk",), "Helpdesk"), console).highest is None
    setting = console.role_assignments["helpdesk"].setting("role")
    assert setting == (file.resolve(), "console.role_assignments.helpdesk.role")


@pytest.mark.pure
@pytest.mark.parametrize(
    ("settings", "key", "told"),
    [
        ('role = "operator"\nmembers = ["A"]\n', "", "is for no scope"),
        ('role = "operator"\nmembers = []\nscopes = ["*"]\n', "", "has no members"),
        ('role = "operator"\nmembers = [""]\nscopes = ["*"]\n', "", "has an empty name"),
        ('role = "owner"\nmembers = ["A"]\nscopes = ["*"]\n', ".role", "'owner' is not accepted"),
        ('role = "viewer"\nmembers = ["A"]\nscope = ["*"]\n', ".scope", "scopes"),
    ],
)
def test_an_assignment_that_cannot_work_is_told(settings: str, key: str, told: str, tmp_path: Path) -> None:
    file = tmp_path / "dagster_project.toml"
    file.write_text(f"[console.role_assignments.helpdesk]\n{settings}")
    with pytest.raises(ConfigurationError) as failure:
        load_project(file)
    text = str(failure.value)
    assert told in text and f"console.role_assignments.helpdesk{key}" in text and file.name in text
    assert failure.value.remedy


def test_a_role_for_some_scopes_follows_the_configuration(two: TwoTenants) -> None:
    """At once: a session ends when nothing is left of what its person may."""
    file = two.project.file
    text = file.read_text()
    grants = Grants(("Helpdesk",))
    browser = two.console.browser()
    user = User("h@example.com", None, grants=grants, scoped=(ScopedRole(Role.viewer),))
    token, _ = two.console.site.sessions.begin(user)
    browser.keep(token)
    try:
        file.write_text(text + ASSIGNED)
        assert browser.get("/scopes/ours").status_code == 200
        assert browser.get("/scopes/foreign-one").status_code == 404
        file.write_text(text + ASSIGNED.replace("our*", "foreign-*"))
        assert browser.get("/scopes/ours").status_code == 404
        assert browser.get("/scopes/foreign-one").status_code == 200
        file.write_text(text)
        assert browser.get("/scopes/foreign-one").status_code == 303
    finally:
        file.write_text(text)


def test_runs_of_many_scopes_are_looked_through(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dagster's API filters by one scope only: of many, the newest runs are read until there are enough."""
    made = [
        Run(str(number), "backup", "success", time.time() - number, None, None, {"entra/scope": f"s{number % 40}"})
        for number in range(900)
    ]
    dagster = Dagster(NOWHERE, NOWHERE)

    def listed(*, limit: int, after: str = "", filters: dict[str, Any] | None = None) -> list[Run]:
        first = int(after) + 1 if after else 0
        return made[first : first + limit]

    monkeypatch.setattr(dagster, "runs", listed)
    scopes = {f"s{number}" for number in range(monitored_runs.FEW + 1)}
    found = monitored_runs.runs_of(dagster, scopes, limit=100)
    dagster.close()
    assert len(found) == 100 and {one.scope for one in found} == scopes
    assert [one.id for one in found] == [one.id for one in made if one.scope in scopes][:100]
