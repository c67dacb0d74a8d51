"""`entra-pipeline serve` out of the box: Dagster behind it, and the way from signing in to a restored group."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from entra_pipeline.console.app_state import AppState
from entra_pipeline.console.auth import SignIn
from entra_pipeline.console.auth.local import PASSWORD
from entra_pipeline.console.auth.roles import Role
from entra_pipeline.console.auth.sessions import User
from entra_pipeline.console.dagster.client import OPERATOR_TAG, UNDER_WAY, Dagster
from entra_pipeline.console.dagster.webserver import WebserverAddress
from entra_pipeline.console.rendering import templates
from entra_pipeline.project import load_project
from entra_pipeline.project.stores import open_store
from entra_pipeline.simulator import Simulator
from tests.console.two_points import Served, serving, until
from tests.support.browser import browser

__all__ = ["browser"]

ROOT = Path(__file__).parents[2]
# Seconds from signing in to a restored group.
JOURNEY = 180
SETTINGS = """
[storage.disk]
kind = "local"
path = "backup"

[mail]
host = "127.0.0.1"
port = 9
from = "entra-pipeline@example.com"
username = "console"
password = { env = "WORKING_CONSOLE_MAIL" }

[scopes.demo]
tenant = "simulated"
storage = "disk"
protect = ["users", "groups"]
"""
SECRET = "mail-secret-of-the-environment-7Xq2"
"""What the environment of every process has, and none writes."""
LAUNCH = """mutation Launch($executionParams: ExecutionParams!) { launchRun(executionParams: $executionParams) {
  __typename ... on LaunchRunSuccess { run { runId } } ... on Error { message } } }"""
TOLD = """query Told($id: ID!) {
  runOrError(runId: $id) { ... on Run { status runConfigYaml } }
  logsForRun(runId: $id) { ... on EventConnection { events {
    ... on MessageEvent { message } ... on LogsCapturedEvent { fileKey }
    ... on ExecutionStepFailureEvent { error { message stack causes { message stack } } failureMetadata {
      description metadataEntries { label ... on TextMetadataEntry { text } } } } } } } }"""
INLINE = """mutation { launchRun(executionParams: { selector: { repositoryLocationName: "entra-pipeline",
  repositoryName: "__repository__", jobName: "backup_now_demo" } }) { __typename } }"""


@dataclass
class Running:
    """A running `entra-pipeline serve`."""

    url: str
    password: str
    file: Path
    home: Path


def start(file: Path, home: Path) -> tuple[subprocess.Popen[str], str, str]:
    """Starts the command; its process, the console's address, and the password."""
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "from entra_pipeline.cli import main; main()",
            "--project",
            file,
            "serve",
            "--port",
            "0",
        ],
        cwd=ROOT,
        env=os.environ
        | {"DAGSTER_HOME": str(home), "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", "WORKING_CONSOLE_MAIL": SECRET},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    url = process.stdout.readline().split()[-1]
    return process, url, (home / PASSWORD).read_text().strip()


def pids(home: Path) -> dict[str, int]:
    return dict(json.loads((home / "console.json").read_text())["pids"])


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except FileNotFoundError:
        return False


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    with Simulator(users=12, groups=3, seed=5) as one:
        yield one


@pytest.fixture(scope="module")
def running(simulator: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("serve")
    file, home = folder / "dagster_project.toml", folder / "home"
    file.write_text(simulator.tenant_table() + SETTINGS)
    home.mkdir()
    first, _, password = start(file, home)
    before = pids(home)
    # Whoever kills the console does not take Dagster with it; the next one finds it.
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate()
    process, url, _ = start(file, home)
    assert pids(home) == before
    yield Running(url, password, file, home)
    process.send_signal(signal.SIGTERM)
    told, _ = process.communicate(timeout=60)
    assert "stopping" in told
    assert not any(alive(pid) for pid in before.values())


@pytest.fixture
def served(running: Running) -> Iterator[Served]:
    """A console beside the first, on the same Dagster, for whoever is to have a role."""
    folder = Path(json.loads((running.home / "console.json").read_text())["sockets"])
    addresses = (WebserverAddress("http://dagster/dagster", str(folder / name)) for name in ("webserver", "read-only"))
    dagster = Dagster(*addresses)
    until(lambda: ready(dagster), 120)
    with serving(AppState(running.file, sign_in=SignIn(), dagster=dagster, templates=templates())) as one:
        yield one
    dagster.close()


def ready(dagster: Dagster) -> bool:
    """Whether both webservers know the jobs."""
    query = {"query": "{ repositoriesOrError { ... on RepositoryConnection { nodes { name } } } }"}
    try:
        for one in (dagster.webserver, dagster.read_only):
            with one.client(10) as client:
                answer = client.post(f"{one.url}/graphql", json=query)
            if not answer.json()["data"]["repositoriesOrError"]["nodes"]:
                return False
    except (httpx.HTTPError, KeyError):
        return False
    return True


def listening(pids: Iterable[int]) -> list[int]:
    """The TCP ports on which processes, or those that they started, listen."""
    groups = {os.getpgid(pid) for pid in pids}
    inodes = set()
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if os.getpgid(int(process.name)) in groups:
                inodes |= {str(one.readlink()) for one in (process / "fd").iterdir()}
    rows = [line.split() for file in ("tcp", "tcp6") for line in Path("/proc/net", file).read_text().splitlines()[1:]]
    return [int(row[1].rpartition(":")[2], 16) for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in inodes]


def test_dagster_has_no_port_and_its_sockets_are_private(running: Running, served: Served) -> None:
    """Whoever reached a port would be nobody in particular, and could do everything."""
    assert listening(pids(running.home).values()) == []
    folder = Path(json.loads((running.home / "console.json").read_text())["sockets"])
    assert {one.name for one in folder.iterdir()} == {"code-server", "webserver", "read-only"}
    assert folder.stat().st_mode & 0o777 == 0o700


def launching(job: str = "backup_now_demo", **tags: str) -> dict[str, Any]:
    selector = {"repositoryLocationName": "entra-pipeline", "repositoryName": "__repository__", "jobName": job}
    given = [{"key": key, "value": value} for key, value in tags.items()]
    params = {"selector": selector, "executionMetadata": {"tags": given}, "runConfigData": {}}
    return {"query": LAUNCH, "variables": {"executionParams": params}}


def count(served: Served) -> int:
    return len(served.site.dagster.runs(limit=100))


def test_a_viewer_launches_nothing_by_any_way(served: Served) -> None:
    before = count(served)
    with served.client(Role.viewer) as client:
        assert client.post("/dagster/graphql", json={"query": "{ version }"}).json()["data"]["version"]
        assert client.post("/dagster/graphql", json=launching()).status_code == 403
        body = json.dumps(launching())
        for kind in ("text/plain", "application/graphql", "application/x-www-form-urlencoded"):
            assert client.post("/dagster/graphql", content=body, headers={"Content-Type": kind}).status_code == 415
        for method in ("GET", "HEAD"):
            assert client.request(method, "/dagster/graphql", params={"query": INLINE}).status_code == 405
        answer = client.post("/dagster/graphql", params={"query": INLINE}, json={"query": "{ version }"})
        assert "LaunchRunSuccess" not in answer.text
        assert client.post("/dagster/report_asset_materialization/demo/users", json={}).status_code in {
            401,
            403,
            404,
            405,
        }
        assert client.post("/scopes/demo/backup").status_code == 403
    assert count(served) == before


@pytest.mark.parametrize("role", [Role.viewer, Role.operator])
def test_nothing_is_changed_over_websockets(role: Role, served: Served) -> None:
    before = count(served)
    token, _ = served.site.sessions.begin(User("anna", role))
    asyncio.run(_mutation_over_websocket(served.url, token, subscription=True))
    asyncio.run(_mutation_over_websocket(served.url, token, subscription=False))
    assert count(served) == before


async def _mutation_over_websocket(url: str, token: str, *, subscription: bool) -> None:
    """Asks something that is allowed first, so that it is the mutation that is refused."""
    headers = {"Cookie": f"entra-session={token}"}
    address = "ws" + url.removeprefix("http") + "/dagster/graphql"
    protocol = [Subprotocol("graphql-ws")]
    async with connect(address, subprotocols=protocol, origin=url, additional_headers=headers, proxy=None) as socket:
        await socket.send(json.dumps({"type": "connection_init"}))
        assert "connection_ack" in str(await socket.recv())
        if subscription:
            query = "subscription { locationStateChangeEvents { event { message } } }"
            await socket.send(json.dumps({"type": "start", "id": "1", "payload": {"query": query}}))
        await socket.send(json.dumps({"type": "start", "id": "2", "payload": {"query": INLINE}}))
        with pytest.raises(ConnectionClosed):
            while True:
                assert "LaunchRunSuccess" not in str(await socket.recv())


def test_no_websocket_without_a_session_or_from_elsewhere(served: Served) -> None:
    token, _ = served.site.sessions.begin(User("anna", Role.administrator))
    address = "ws" + served.url.removeprefix("http") + "/dagster/graphql"

    async def opened(cookie: str, origin: str | None) -> None:
        headers = {"Cookie": f"entra-session={cookie}"}
        async with connect(address, origin=origin, additional_headers=headers, proxy=None):  # type: ignore[arg-type]
            pass

    for cookie, origin in (("guessed", served.url), (token, "https://evil.example.com"), (token, None)):
        with pytest.raises(InvalidStatus):
            asyncio.run(opened(cookie, origin))


def test_runs_carry_the_operators_name_whatever_the_request_says(served: Served) -> None:
    with served.client(Role.operator) as client:
        lies = {OPERATOR_TAG: "somebody else", "entra/scope": "elsewhere", "entra/plan": "mine"}
        sent = launching("restore", **lies)
        sent["variables"]["executionParams"]["runConfigData"] = {"scope": "demo", "point": "latest"}
        answer = client.post("/dagster/graphql", json=sent).json()["data"]["launchRun"]
        run = served.site.dagster.run(answer["run"]["runId"])
        assert (run.operator, run.scope) == ("operator@contoso.com", "")
        assert client.post("/dagster/graphql", json={"query": INLINE}).status_code == 400
        spread = "mutation { ...Hidden } fragment Hidden on Mutation { __typename }"
        assert client.post("/dagster/graphql", json={"query": spread}).status_code == 400
        elsewhere = {"Origin": "https://evil.example.com"}
        assert client.post("/dagster/graphql", json=launching(), headers=elsewhere).status_code == 403
        served.site.dagster.terminate(run.id)


def test_dagsters_pages_are_served(served: Served) -> None:
    with served.client(Role.viewer) as client:
        page = client.get("/dagster/", headers={"Accept": "text/html"})
        assert page.status_code == 200
        script = re.search(r'src="(/dagster/[^"]+\.js)"', page.text)
        assert script
        assert client.get(script[1]).headers["content-type"].startswith(("text/javascript", "application/javascript"))


@pytest.mark.browser
def test_from_signing_in_to_a_restored_group(running: Running, browser: webdriver.Chrome, simulator: Simulator) -> None:
    page = Journey(browser, running.url)
    group = next(one for one in simulator.control.dump("groups") if "Unified" in (one.get("groupTypes") or []))
    # Whoever the scope does not protect is no member: the restore could not tell who that was.
    for relation in ("members", "owners"):
        edges = simulator.control.edges("groups", relation)
        others = [target for source, target, kind in edges if source == group["id"] and kind != "user"]
        simulator.control.remove_link(f"groups/{group['id']}/{relation}", *others)
    page.open("/")
    begun = time.monotonic()
    page.write("password", running.password)
    page.press("Sign in")
    page.shows("Dashboard", "never backed up")
    page.press("Run backup now")
    page.shows("finished", seconds=120)
    page.press("View the recovery points")
    [point] = open_store(load_project(running.file), "demo").points()
    members = {edge for edge in simulator.control.edges("groups", "members") if edge[0] == group["id"]}
    simulator.control.delete(f"groups/{group['id']}")

    page.open(f"/scopes/demo/points/{point}/groups")
    page.shows(group["displayName"])
    page.follow(group["displayName"])
    page.shows("members", "No change in the")
    page.press("Restore …")
    page.press("Create the plan")
    page.shows("from the recycle bin, with its original id", group["displayName"], seconds=120)
    page.press("Apply the plan")
    browser.switch_to.alert.accept()
    page.shows("finished", seconds=120)
    page.press("View the plan and its outcome")
    page.shows("Outcome", "Verified against the tenant", "Plan to undo this restore")
    assert time.monotonic() - begun < JOURNEY
    assert "Exceptions" not in page.text()
    assert group["id"] in {one["id"] for one in simulator.control.dump("groups")}
    assert {edge for edge in simulator.control.edges("groups", "members") if edge[0] == group["id"]} == members

    for path in ("/jobs", "/restores", "/scopes/demo", "/scopes/demo/compare", "/scopes/demo/jobs"):
        page.open(path)
        assert not browser.execute_script("return document.documentElement.scrollWidth > window.innerWidth")
    page.open("/jobs")
    page.shows("admin")
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []


def test_nothing_that_a_working_console_keeps_has_a_secret_or_is_for_others(
    running: Running, served: Served, simulator: Simulator
) -> None:
    """Everything below the project: DAGSTER_HOME with its databases and logs, sockets, the store, records."""
    with served.client(Role.operator) as client:
        assert client.post("/scopes/demo/backup").status_code == 303
        under_way = {"statuses": list(UNDER_WAY)}
        until(lambda: not served.site.dagster.runs(limit=1, filters=under_way), 120)
        cookie, csrf = client.cookies["entra-session"], client.headers["X-CSRF-Token"]
    kept = [one for one in running.file.parent.rglob("*") if one != running.file]
    files = [one for one in kept if one.is_file()]
    # What there is to be found, if there were any: each kind of thing that a console leaves.
    for part in ("console-daemon.log", "console-account.json", "runs.db", "_recovery_points", "_audit", "_tokens"):
        assert any(part in str(one) for one in kept), part
    secrets = [running.password, SECRET, cookie, csrf, simulator.client_secret, simulator.restore_client_secret]
    written = {form: secret for secret in secrets for form in forms(secret)}
    # A token of Entra is a JWT: the Base64 of `{"`, and its parts, between dots.
    token = re.compile(rb"eyJ[A-Za-z0-9_-]{20,}\.eyJ[A-Za-z0-9_-]{20,}\.")
    found = {}
    for file in files:
        data = file.read_bytes()
        told = [secret for form, secret in written.items() if form in data]
        if (told and file.name != PASSWORD) or token.search(data):
            found[str(file)] = told
    assert found == {}
    # Sockets are in a folder of their own, which is as narrow as all others.
    wide = {str(one): oct(one.stat().st_mode) for one in kept if not one.is_socket() and one.stat().st_mode & 0o077}
    assert wide == {}
    assert (running.home / PASSWORD).stat().st_mode & 0o777 == 0o600


def test_a_run_that_fails_over_a_secret_shows_it_nowhere(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the test of what is kept: Dagster keeps what a run was launched with."""
    monkeypatch.setenv("WORKING_CONSOLE_MAIL", SECRET)
    sent = launching()
    config = {"ops": {"take_recovery_point_demo": {"config": {"types": [SECRET]}}}}
    sent["variables"]["executionParams"]["runConfigData"] = config
    with served.client(Role.operator) as client:
        run_id = client.post("/dagster/graphql", json=sent).json()["data"]["launchRun"]["run"]["runId"]
        until(lambda: not served.site.dagster.run(run_id).under_way, 120)
        shown = client.post("/dagster/graphql", json={"query": TOLD, "variables": {"id": run_id}})
        page = client.get(f"/jobs/{run_id}")
        [files] = [one["fileKey"] for one in shown.json()["data"]["logsForRun"]["events"] if one.get("fileKey")]
        printed = client.get(f"/dagster/logs/{run_id}/compute_logs/{files}/err")
    assert shown.json()["data"]["runOrError"]["status"] == "FAILURE"
    assert "[secret]" in shown.text and SECRET not in shown.text
    assert page.status_code == 200 and "[secret]" in page.text and SECRET not in page.text
    assert printed.status_code == 200 and SECRET not in printed.text
    # Without the console's way: the events themselves.
    with served.site.dagster.webserver.client(30) as direct:
        url = f"{served.site.dagster.webserver.url}/graphql"
        events = direct.post(url, json={"query": TOLD, "variables": {"id": run_id}}).json()["data"]["logsForRun"]
    assert SECRET not in json.dumps(events) and "[secret]" in json.dumps(events)


def forms(secret: str) -> list[bytes]:
    """A secret as files may have it: as it is, in JSON or an address, in Base64 from any place in it."""
    inner = [base64.b64encode(b" " * place + secret.encode())[4 * (place > 0) + 2 : -4] for place in range(3)]
    return [secret.encode(), quote(secret, safe="").encode(), *inner]


class Journey:
    """What a person does."""

    def __init__(self, driver: webdriver.Chrome, url: str) -> None:
        self._driver = driver
        self._url = url

    def open(self, path: str) -> None:
        self._driver.get(self._url + path)

    def text(self) -> str:
        return str(self._driver.execute_script("return document.body ? document.body.innerText : ''"))

    def shows(self, *words: str, seconds: float = 30) -> None:
        until(lambda: all(word in self.text() for word in words), seconds, self.text)

    def write(self, name: str, text: str) -> None:
        self._driver.find_element(By.NAME, name).send_keys(text)

    def press(self, label: str) -> None:
        self._click(f"//*[self::button or contains(@class, 'button')][normalize-space()='{label}']")

    def follow(self, label: str) -> None:
        self._click(f'//main//a[normalize-space()="{label}"]')

    def _click(self, path: str) -> None:
        until(lambda: self._driver.find_elements(By.XPATH, path), 20, lambda: f"{path} not in {self.text()}")
        # The page may be put anew while it is looked at.
        until(lambda: self._clicked(path), 10)

    def _clicked(self, path: str) -> bool:
        from selenium.common.exceptions import StaleElementReferenceException

        try:
            self._driver.find_element(By.XPATH, path).click()
        except StaleElementReferenceException:
            return False
        return True
