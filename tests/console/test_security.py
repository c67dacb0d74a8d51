"""Who gets in, and what can be done to those who are."""

from __future__ import annotations

import re
import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import date
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import quote, urlsplit
from uuid import uuid4

import httpx
import pytest
import uvicorn
from starlette.requests import HTTPConnection

from entra_pipeline.audit import AuditEvent, AuditLog
from entra_pipeline.clock import system_clock
from entra_pipeline.console import auth
from entra_pipeline.console.access_control import AccessControl
from entra_pipeline.console.app import build
from entra_pipeline.console.auth import login_throttle, sessions
from entra_pipeline.console.auth.local import PASSWORD, LocalAccount
from entra_pipeline.console.auth.openid import CALLBACK
from entra_pipeline.console.auth.roles import Role
from entra_pipeline.console.auth.sessions import Sessions
from entra_pipeline.console.dagster.processes import DagsterProcesses
from entra_pipeline.console.pages import PAGES
from entra_pipeline.console.pages import sign_in as sign_in_page
from entra_pipeline.console.routing import Page, RequestContext, inside
from entra_pipeline.console.server import serve
from entra_pipeline.console.server import sign_in as way_to_sign_in
from entra_pipeline.errors import UsageError
from entra_pipeline.project import load_project
from tests.console.conftest import HTML, PASSWORD_FILE, Browser, Served, listening

HOSTILE = (
    "..",
    "../../secret",
    "%2e%2e%2f%2e%2e%2fsecret",
    "x'; DROP TABLE users; --",
    "<script>",
    "\x00",
    "a\nb",
    "é",
)


class Ticking:
    """Seconds that a test lets pass."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def filled(page: Page, console: Served, **values: str) -> str:
    """A page's address with everything in it that its path asks for."""
    store = console.site.store("contoso")
    given = {
        "scope": "contoso",
        "point": store.points()[-1],
        "table": "users",
        "run": str(uuid4()),
        "report": "audit",
        "plan": "20261101T000000Z",
        "tenant": "contoso",
        "storage": "disk",
        "profile": "operations",
        "name": "jobs",
        "job": "x",
    } | values
    return re.sub(r"{(\w+)(:\w+)?}", lambda found: quote(given[found[1]], safe="%"), page.path)


def events(console: Served, action: str) -> list[AuditEvent]:
    """What the audit log says about an act today, oldest first."""
    log = AuditLog(console.site.project().storage["disk"].open())
    today: date = system_clock().date()
    return [event for event in log.events(today, today) if event.action == action and event.channel == "console"]


# --- Nothing without a session ---------------------------------------------------------------------------------------


def test_only_the_sign_in_is_open() -> None:
    assert {page.path for page in PAGES if page.role is None} == {"/sign-in", CALLBACK}


@pytest.mark.parametrize("cookie", ["", "nobody-s"])
def test_no_page_without_a_session(console: Served, cookie: str) -> None:
    browser = console.browser()
    if cookie:
        browser.keep(cookie)
    for page in PAGES:
        if page.role is None:
            continue
        for method in page.methods:
            answer = browser.client.request(method, filled(page, console))
            assert answer.status_code == 303, page.path
            assert urlsplit(answer.headers["location"]).path == "/sign-in"
            assert not answer.content


def test_no_page_that_there_is_not(console: Served) -> None:
    """Whoever has not signed in does not learn which pages there are."""
    assert console.browser().get("/nowhere").headers["location"].startswith("/sign-in")
    assert console.browser().client.delete("/").headers["location"].startswith("/sign-in")
    assert console.browser(Role.viewer).get("/nowhere").status_code == 404


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_no_dagster_without_a_session(console: Served, method: str) -> None:
    for path in (
        "/dagster",
        "/dagster/",
        "/dagster/graphql",
        "/dagster/runs",
        "/dagster/server_info",
        "/dagster/logs/x",
    ):
        answer = console.browser().client.request(method, path)
        assert answer.status_code in {303, 401, 405}
        if answer.status_code == 303:
            assert answer.headers["location"] in {"/dagster/", f"/sign-in?next={quote(path, safe='')}", "/sign-in"}


# --- What a role may not ---------------------------------------------------------------------------------------------


def test_whatever_does_something_takes_an_operator() -> None:
    # Whoever signs in has a session and saved filters of their own.
    own = {"/sign-in", "/sign-out", "/sign-out/everywhere", "/filters"}
    assert not [page.path for page in PAGES if "POST" in page.methods and page.path not in own and page.role < 2]


@pytest.mark.parametrize("role", [Role.viewer, Role.operator])
def test_a_role_does_no_more_than_it_may(console: Served, role: Role) -> None:
    browser = console.browser(role)
    for page in PAGES:
        if page.role is not None and page.role > role:
            for method in page.methods:
                path = filled(page, console)
                answer = browser.post(path) if method == "POST" else browser.get(path)
                assert answer.status_code == 403, page.path
                assert f"requires the role {page.role.name}" in answer.text


# --- Forged requests -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("token", "headers"),
    [
        ("", {}),
        ("guessed", {}),
        ("another's", {}),
        ("own", {"origin": "https://evil.example"}),
        ("own", {"origin": "null"}),
        ("own", {"origin": "http://127.0.0.1:1"}),
        ("own", {"sec-fetch-site": "cross-site"}),
        ("own", {"sec-fetch-site": "same-site"}),
    ],
)
def test_forged_forms(console: Served, token: str, headers: dict[str, str]) -> None:
    browser = console.browser(Role.administrator)
    other = console.browser(Role.administrator).session
    assert browser.session and other
    sent = {"own": browser.session.csrf, "another's": other.csrf}.get(token, token)
    for page in PAGES:
        if "POST" in page.methods:
            answer = browser.post(filled(page, console), {"csrf_token": sent}, headers=headers)
            assert answer.status_code == 403, page.path
            assert "This form has expired or was not sent by the console" in answer.text
    assert browser.get("/").status_code == 200, "signed out by a forged form"


def test_what_is_no_form(console: Served) -> None:
    browser = console.browser(Role.viewer)
    assert browser.session
    headers = {"x-csrf-token": browser.session.csrf, "content-type": "text/plain"}
    assert browser.client.post("/sign-out", content="a=b", headers=headers).status_code == 400
    assert browser.get("/").status_code == 200


def test_over_https_only_https_is_the_same_origin(console: Served) -> None:
    def comes_from(origin: str, *, secure: bool) -> bool:
        headers = [(b"host", b"console.example"), (b"origin", origin.encode())]
        return AccessControl(console.site, secure=secure).same_origin(
            HTTPConnection({"type": "http", "headers": headers})
        )

    assert comes_from("https://console.example", secure=True)
    assert not comes_from("http://console.example", secure=True)
    assert comes_from("http://console.example", secure=False)


def test_another_host_name(console: Served) -> None:
    """A name that somebody lets point to this machine (DNS rebinding)."""
    answer = console.browser(Role.viewer).get("/", headers={"host": "evil.example"})
    assert answer.status_code == 400


@pytest.mark.parametrize(
    ("head", "statuses"),
    [
        # Another host, in each place where one may stand.
        ("GET / HTTP/1.1\r\nHost: evil.example\r\n", {400}),
        ("GET / HTTP/1.1\r\nHost: evil.example\r\nHost: {host}\r\n", {400}),
        ("GET / HTTP/1.1\r\nHost: {host}.evil.example\r\n", {400}),
        ("GET / HTTP/1.1\r\nHost: {host}@evil.example\r\n", {400}),
        ("GET / HTTP/1.1\r\nHost: \r\n", {400}),
        ("GET / HTTP/1.0\r\n", {400}),
        # Nothing that only a proxy says changes where somebody is led, or who they are.
        ("GET http://evil.example/ HTTP/1.1\r\nHost: {host}\r\n", {303, 400}),
        ("GET //evil.example/ HTTP/1.1\r\nHost: {host}\r\n", {303}),
        ("GET / HTTP/1.1\r\nHost: {host}\r\nX-Forwarded-Host: evil.example\r\n", {303}),
        ("GET / HTTP/1.1\r\nHost: {host}\r\nX-Original-URL: /static/console.css\r\n", {303}),
        ("GET / HTTP/1.1\r\nHost: {host}\r\nX-HTTP-Method-Override: POST\r\n", {303}),
        ("GET / HTTP/1.1\r\nHost: {host}\r\nRemote-User: admin\r\nAuthorization: Basic YWRtaW46\r\n", {303}),
        ("GET /dagster/ HTTP/1.1\r\nHost: {host}\r\nX-Dagster-Authenticated: 1\r\n", {401}),
        # A body that ends in two places.
        ("POST /sign-in HTTP/1.1\r\nHost: {host}\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n", {400}),
        ("POST /sign-in HTTP/1.1\r\nHost: {host}\r\nContent-Length: 4\r\nContent-Length: 5\r\n", {400}),
        ("POST /sign-in HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: x, chunked\r\n", {400, 403}),
        ("GET / HTTP/1.1\r\nHost: {host}\r\nX: a\r\n Folded: b\r\n", {303, 400}),
    ],
)
def test_requests_that_are_not_what_they_seem(console: Served, head: str, statuses: set[int]) -> None:
    """Sent as they stand: clients tidy requests up."""
    address = urlsplit(console.url)
    with socket.create_connection((address.hostname, address.port), timeout=20) as connection:
        sent = head.format(host=address.netloc) + "Connection: close\r\n\r\n0\r\n\r\nGET /stolen HTTP/1.1\r\n\r\n"
        connection.sendall(sent.encode())
        answer = b""
        with suppress(ConnectionResetError):
            while data := connection.recv(65536):
                answer += data
    assert int(answer.split(b" ", 2)[1]) in statuses, answer
    assert answer.count(b"HTTP/1.1 ") == 1, "a second request was read out of the first"
    lines = answer.lower().split(b"\r\n")
    assert all(b"/sign-in" in line for line in lines if line.startswith(b"location:"))
    assert not any(b"evil.example" in line and not line.startswith(b"location: /") for line in lines)


# --- Sessions --------------------------------------------------------------------------------------------------------


def test_cookie(console: Served) -> None:
    page = console.browser().get("/sign-in")
    cookie = page.headers["set-cookie"].lower()
    assert cookie.startswith("entra-session=")
    assert {"httponly", "samesite=lax", "path=/"} <= set(cookie.split("; "))
    assert "domain" not in cookie and "expires" not in cookie and "max-age" not in cookie


def test_cookie_over_https(console: Served) -> None:
    console.site.sign_in = auth.SignIn(local=console.site.sign_in.local, secure=True)
    with listening(build(console.site)) as url:
        cookie = httpx.get(f"{url}/sign-in", trust_env=False).headers["set-cookie"]
    assert cookie.startswith("__Host-entra-session=")
    assert {"Secure", "HttpOnly", "Path=/"} <= set(cookie.split("; "))


def test_a_planted_session_is_worth_nothing(console: Served) -> None:
    """Session fixation: somebody has their own cookie set in the victim's browser before the sign-in."""
    attacker = console.browser()
    attacker.get("/sign-in")
    planted = attacker.client.cookies["entra-session"]
    victim = console.browser()
    victim.keep(planted)
    assert victim.sign_in(console.password).status_code == 303
    assert victim.get("/").status_code == 200
    assert victim.client.cookies["entra-session"] != planted
    assert attacker.get("/").status_code == 303


def test_a_planted_session_while_signing_in(console: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """The new session goes to nobody who waits with the old one's cookie."""
    attacker = console.browser()
    token = attacker.token_of(attacker.get("/sign-in"))
    victim = console.browser()
    victim.keep(attacker.client.cookies["entra-session"])
    body = f"csrf_token={token}&name=admin&password=wrong".encode()
    address = urlsplit(console.url)
    waiting = socket.create_connection((address.hostname, address.port))
    cookie = attacker.client.cookies["entra-session"]
    waiting.sendall(
        f"POST /sign-in HTTP/1.1\r\nHost: {address.netloc}\r\nCookie: entra-session={cookie}\r\nConnection: close\r\n"
        f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    )
    answers: list[bytes] = []
    recording = sign_in_page.record

    def while_recorded(*arguments: object, **more: object) -> None:
        if not answers and more.get("result", "finished") == "finished":
            answers.append(b"")
            waiting.sendall(body)
            while data := waiting.recv(65536):
                answers[0] += data
        recording(*arguments, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(sign_in_page, "record", while_recorded)
    with waiting:
        assert victim.sign_in(console.password).status_code == 303
    assert answers[0].startswith(b"HTTP/1.1 401")
    assert b"set-cookie" not in answers[0].lower()
    assert victim.get("/").status_code == 200


def test_idle_session_ends(console: Served) -> None:
    clock = Ticking()
    console.site.sessions = Sessions(clock)
    browser = console.browser(Role.viewer)
    for _ in range(3):
        clock.now += sessions.IDLE - 1
        assert browser.get("/").status_code == 200
    clock.now += sessions.IDLE + 1
    assert browser.get("/").status_code == 303


@pytest.mark.parametrize(
    ("seen", "target"),
    [
        ("/jobs?status=FAILURE", "/sign-in?next=%2Fjobs%3Fstatus%3DFAILURE"),
        ("/", "/sign-in"),
        ("//evil.example.com", "/sign-in"),
    ],
)
def test_a_page_left_open_leads_to_the_sign_in_and_back(seen: str, target: str, console: Served) -> None:
    """What asks by itself is a part of a page: what is to be seen again is the page."""
    told = {"HX-Request": "true", "HX-Current-URL": console.url + seen}
    answer = console.browser().get("/dashboard/jobs", headers=told)
    assert answer.status_code == 401
    assert answer.headers["hx-redirect"] == target
    odd = console.browser().get("/dashboard/jobs", headers=told | {"HX-Current-URL": "http://["})
    assert odd.headers["hx-redirect"] == "/sign-in"


def test_every_session_ends(console: Served) -> None:
    clock = Ticking()
    console.site.sessions = Sessions(clock)
    browser = console.browser(Role.viewer)
    end = clock.now + sessions.ABSOLUTE
    while clock.now < end - sessions.IDLE:
        clock.now += sessions.IDLE / 2
        assert browser.get("/").status_code == 200
    clock.now = end + 1
    assert browser.get("/").status_code == 303


def test_a_page_left_open_does_not_keep_its_session(console: Served) -> None:
    """Pages ask for news by themselves; that is not somebody who uses them."""
    polled = [page for page in PAGES if page.polled]
    assert polled
    for page in polled:
        clock = Ticking()
        console.site.sessions = Sessions(clock)
        browser = console.browser(Role.administrator)
        clock.now += sessions.IDLE - 10
        assert browser.get(filled(page, console)).status_code != 303, page.path
        clock.now += 11
        assert browser.get("/").status_code == 303, page.path


def test_signing_out(console: Served) -> None:
    browser = console.browser(Role.viewer)
    token = browser.client.cookies["entra-session"]
    assert browser.post("/sign-out").status_code == 303
    browser.keep(token)
    assert browser.get("/").status_code == 303


def test_signing_out_everywhere(console: Served) -> None:
    here, there = console.browser(Role.viewer), console.browser(Role.viewer)
    other = console.browser(Role.viewer, "somebody@contoso.com")
    assert here.post("/sign-out/everywhere").headers["location"] == "/sign-in"
    assert [one.get("/").status_code for one in (here, there, other)] == [303, 303, 200]
    assert events(console, "sign out")[-1].details == {"sessions": 2}


def test_an_administrator_ends_somebodys_sessions(console: Served) -> None:
    browsers = [console.browser(Role.operator, "olga@contoso.com") for _ in range(2)]
    administrator = console.browser(Role.administrator)
    page = administrator.get("/sessions").text
    assert page.count("olga@contoso.com") and "operator" in page
    assert administrator.post("/sessions/end", {"person": "olga@contoso.com"}).headers["location"] == "/sessions"
    assert [one.get("/").status_code for one in browsers] == [303, 303]
    assert administrator.get("/sessions").status_code == 200
    ended = events(console, "sessions end")[-1]
    assert (ended.subject, ended.details) == ("olga@contoso.com", {"sessions": 2})
    assert administrator.post("/sessions/end", {"person": "nobody"}).status_code == 404


def test_who_has_not_signed_in_takes_no_memory() -> None:
    """Whoever asks for cookie after cookie fills nothing: what is known of them is in the cookie, for a while."""
    clock = Ticking()
    all_of_them = Sessions(clock)
    visitor = all_of_them.visitor()
    visitor.data["next"] = "/jobs"
    cookie = all_of_them.cookie_of(visitor)
    again = all_of_them.find(cookie)
    assert again is not None and again is not visitor
    assert (again.user, again.csrf, again.data) == (None, visitor.csrf, {"next": "/jobs"})
    assert all_of_them.cookie_of(again) == "", "what has not changed is not sent again"
    assert Sessions(clock).find(cookie) is None, "another console has sealed it"
    assert all_of_them.find(cookie[:-2]) is None
    assert all_of_them.signed_in() == []
    clock.now += sessions.ANONYMOUS + 1
    assert all_of_them.find(cookie) is None


# --- Signing in ------------------------------------------------------------------------------------------------------


def test_account(console: Served, tmp_path: Path) -> None:
    browser = console.browser()
    assert browser.sign_in("wrong").status_code == 401
    assert browser.sign_in(console.password, name="root").status_code == 401
    assert browser.sign_in(console.password).status_code == 303
    assert "Dashboard" in browser.get("/").text
    file = tmp_path / PASSWORD_FILE
    assert console.password not in file.read_text()
    assert file.stat().st_mode & 0o077 == 0
    assert LocalAccount.open(file)[1] == "", "the password is made once"
    given = file.with_name(PASSWORD)
    assert given.read_text().strip() == console.password
    assert given.stat().st_mode & 0o777 == 0o600


def test_the_password_is_not_printed(console: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a service prints is kept in a log."""
    told: list[str] = []
    home = tmp_path / "home"
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    monkeypatch.setattr(DagsterProcesses, "__enter__", lambda self: console.site.dagster)
    monkeypatch.setattr(DagsterProcesses, "__exit__", lambda *_: None)
    monkeypatch.setattr(uvicorn.Server, "run", lambda _, sockets: [one.close() for one in sockets])
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    serve(load_project(console.site.file), host="127.0.0.1", port=0, told=told.append)
    password = (home / PASSWORD).read_text().strip()
    assert len(password) == 24
    assert str(home / PASSWORD) in " ".join(told)
    assert password not in " ".join(told)


def test_a_new_account_replaces_the_old_password_file(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("not to be written to")
    (tmp_path / PASSWORD).symlink_to(tmp_path / "elsewhere")
    _, password = LocalAccount.open(tmp_path / "account.json")
    assert (tmp_path / PASSWORD).read_text() == f"{password}\n"
    assert not (tmp_path / PASSWORD).is_symlink()
    assert (tmp_path / "elsewhere").read_text() == "not to be written to"


def test_guessing(console: Served) -> None:
    """Many at once are as many as one after the other."""
    clock = Ticking()
    console.site.tries = login_throttle.LoginThrottle(clock)
    browsers = [console.browser() for _ in range(2 * login_throttle.PER_ORIGIN)]
    with ThreadPoolExecutor(len(browsers)) as pool:
        answers = [one.status_code for one in pool.map(lambda browser: browser.sign_in("wrong"), browsers)]
    assert sorted(answers) == [401] * login_throttle.PER_ORIGIN + [429] * login_throttle.PER_ORIGIN
    refused = browsers[0].sign_in(console.password)
    assert refused.status_code == 429
    clock.now += float(refused.headers["retry-after"])
    assert browsers[0].sign_in(console.password).status_code == 303


def test_guessing_from_everywhere_locks_out_nobody_else() -> None:
    tries = login_throttle.LoginThrottle(Ticking())
    for number in range(200):
        assert not tries.begin(f"192.0.2.{number}")
        tries.end(f"192.0.2.{number}", succeeded=False)
    assert not tries.begin("198.51.100.1")


def test_an_outsider_at_the_same_address_locks_out_no_known_browser(console: Served) -> None:
    """All come from one address where a proxy does not pass on theirs, or several people use one machine."""
    known = console.browser()
    assert known.sign_in(console.password).status_code == 303
    outsider = console.browser()
    while outsider.sign_in("wrong").status_code != 429:
        pass
    assert console.browser().sign_in(console.password).status_code == 429
    known.client.cookies.delete("entra-session")
    assert known.sign_in(console.password).status_code == 303
    # It has its own tries, and no more of them.
    known.client.cookies.delete("entra-session")
    tried = [known.sign_in("wrong").status_code for _ in range(login_throttle.PER_ORIGIN + 1)]
    assert tried == [401] * login_throttle.PER_ORIGIN + [429]


def test_a_device_that_nobody_made_is_no_way_round(tmp_path: Path) -> None:
    account, _ = LocalAccount.open(tmp_path / "account.json")
    made = account.new_device()
    assert account.device(made) == made.partition(".")[0]
    for cookie in ("", ".", "x", "x.y", "x.\u00e9", "a" * 4000, made + "0", "x" + made):
        assert account.device(cookie) == ""
    other, _ = LocalAccount.open(tmp_path / "other.json")
    assert other.device(made) == "", "another password, other devices"


@pytest.mark.parametrize(
    ("one", "another", "same"),
    [
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("", "testclient", False),
    ],
)
def test_origin(one: str, another: str, same: bool) -> None:
    assert (login_throttle.origin_of(one) == login_throttle.origin_of(another)) is same


def test_many_who_sign_in_at_once_are_no_guessers(console: Served) -> None:
    """All may come from one address, that of a proxy: whoever is late waits for those who are being looked at."""
    browsers = [console.browser() for _ in range(3 * login_throttle.PER_ORIGIN)]
    with ThreadPoolExecutor(len(browsers)) as pool:
        answers = [one.status_code for one in pool.map(lambda browser: browser.sign_in(console.password), browsers)]
    assert answers == [303] * len(browsers)


def test_nobody_waits_for_a_try_that_does_not_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(login_throttle, "_PATIENCE", 0.1)
    tries = login_throttle.LoginThrottle()
    assert not any(tries.begin("192.0.2.1") for _ in range(login_throttle.PER_ORIGIN))
    assert tries.begin("192.0.2.1") > 0
    assert tries.begin("192.0.2.2") == 0


def test_signing_in_is_in_the_audit_log(console: Served) -> None:
    browser = console.browser()
    before = len(events(console, "sign in"))
    browser.sign_in("wrong", name="somebody")
    browser.sign_in(console.password)
    browser.session = console.site.sessions.find(browser.client.cookies["entra-session"])
    browser.post("/sign-out")
    failed, finished = events(console, "sign in")[before:]
    assert (failed.actor, failed.result, failed.address) == ("somebody", "failed", "127.0.0.1")
    assert (finished.actor, finished.result, finished.details) == ("admin", "finished", {"role": "administrator"})
    assert events(console, "sign out")[-1].actor == "admin"
    assert console.password not in repr(failed) + repr(finished)


@pytest.mark.parametrize(
    "target",
    [
        "https://evil.example",
        "//evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "/\t/evil.example",
        "javascript:alert(1)",
        "evil",
    ],
)
def test_open_redirect(console: Served, target: str) -> None:
    assert inside(target) == "/"
    browser = console.browser()
    assert browser.sign_in(console.password, next=target).headers["location"] == "/"
    assert browser.get("/sign-in", params={"next": target}).headers["location"] == "/"


def test_back_to_where_one_wanted(console: Served) -> None:
    browser = console.browser()
    wanted = browser.get("/scopes/contoso?points=3").headers["location"]
    target = httpx.URL(wanted).params["next"]
    assert target == "/scopes/contoso?points=3"
    assert browser.sign_in(console.password, next=target).headers["location"] == target


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "console.example", ""])
def test_no_open_door(console: Served, host: str) -> None:
    with pytest.raises(UsageError, match="can be reached from other machines"):
        way_to_sign_in(load_project(console.site.file), host)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_door_of_this_machine(console: Served, host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    way, password = way_to_sign_in(load_project(console.site.file), host)
    assert way.local and way.local.sign_in("admin", password)


# --- What is sent ----------------------------------------------------------------------------------------------------


def every_answer(console: Served, browser: Browser) -> dict[str, httpx.Response]:
    """What every page that is only looking says, and some that there are not."""
    paths = [filled(page, console) for page in PAGES if "GET" in page.methods]
    others = ["/static/console.css", "/static/none", "/nowhere", "/dagster", "/dagster/", "/dagster/graphql"]
    return {path: browser.get(path) for path in [*paths, *others]}


@pytest.mark.parametrize("role", [None, Role.viewer, Role.administrator])
def test_headers_of_every_answer(console: Served, role: Role | None) -> None:
    browser = console.browser(role)
    answers = every_answer(console, browser) | {
        "wrong host": browser.get("/", headers={"host": "evil.example"}),
        "wrong method": browser.client.delete("/"),
        "forged": browser.post("/sign-out", {"csrf_token": "x"}),
    }
    for path, answer in answers.items():
        policy = answer.headers["content-security-policy"]
        assert "frame-ancestors 'none'" in policy, path
        assert answer.headers["x-content-type-options"] == "nosniff", path
        assert answer.headers["x-frame-options"] == "DENY", path
        if not path.startswith("/dagster"):
            assert "default-src 'none'" in policy and "unsafe" not in policy, path
            assert answer.headers["cache-control"] == ("no-cache" if path.startswith("/static/") else "no-store"), path


def test_headers_when_the_console_is_at_fault(console: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RequestContext, "page", lambda *_, **__: 1 / 0)
    answer = console.browser(Role.viewer).get("/")
    assert answer.status_code == 500
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "ZeroDivisionError" not in answer.text and "Traceback" not in answer.text


def test_secrets_stay_here(console: Served, secrets: list[str]) -> None:
    for path, answer in every_answer(console, console.browser(Role.administrator)).items():
        for secret in [*secrets, console.password]:
            assert secret not in answer.text, path
            assert secret not in str(answer.headers), path


class Elements(HTMLParser):
    """What a browser makes of a page: its elements, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def test_names_are_no_html(console: Served) -> None:
    shown = 0
    for path, answer in every_answer(console, console.browser(Role.administrator)).items():
        if not answer.headers.get("content-type", "").startswith("text/html"):
            continue
        page = Elements(answer.text)
        shown += "alert(1)" in page.text
        for tag, attributes in page.found:
            assert tag != "script" or (attributes.get("src") or "").startswith("/static/"), path
            assert not any(name.startswith("on") for name in attributes), path
    assert shown, f"no page shows {HTML}"


def test_hostile_paths(console: Served) -> None:
    browser = console.browser(Role.administrator)
    for page in PAGES:
        names = re.findall(r"{(\w+)", page.path)
        for name in names if "GET" in page.methods else ():
            for value in HOSTILE:
                path = filled(page, console, **{name: quote(value, safe="%")})
                answer = browser.get(path)
                assert answer.status_code < 500 or answer.status_code == 503, (page.path, value)


@pytest.mark.parametrize(
    "path",
    [
        "/static/../app.py",
        "/static/%2e%2e/app.py",
        "/static/..%2fapp.py",
        "/static/%2e%2e%2f%2e%2e%2f__init__.py",
        "/static//etc/passwd",
        "/static/%00",
    ],
)
def test_static_files_only(console: Served, path: str) -> None:
    """Sent as it stands: clients tidy paths up."""
    address = urlsplit(console.url)
    with socket.create_connection((address.hostname, address.port)) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {address.netloc}\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        while data := connection.recv(65536):
            answer += data
    assert answer.split(b" ", 2)[1] in {b"404", b"303", b"400"}
    assert b"import" not in answer and b"root:" not in answer
