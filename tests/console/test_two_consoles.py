"""Two consoles over one place: whoever signs in at one is signed in at both, and after a restart."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from entra_pipeline.clock import system_clock
from entra_pipeline.console.app_state import AppState
from entra_pipeline.console.approving.erasures import ErasureRequest
from entra_pipeline.console.auth import SignIn
from entra_pipeline.console.auth import sessions as sessions_module
from entra_pipeline.console.auth.roles import Role
from entra_pipeline.console.auth.sessions import LOOK, Sessions, User
from entra_pipeline.console.dagster.client import Dagster
from entra_pipeline.console.editing.basket import Basket
from entra_pipeline.console.rendering import templates
from entra_pipeline.console.server import records, sign_in
from entra_pipeline.console.shared.records import PREFIX, ConsoleRecords
from entra_pipeline.console.shared.sealing import Sealer, key_of
from entra_pipeline.errors import ConfigurationError, StoreError
from entra_pipeline.project import load_project
from entra_pipeline.store.backends.local import LocalObjectStore
from tests.console.test_openid import SECRET, Provider, go_to_provider, provider
from tests.console.test_openid import SETTINGS as OPENID
from tests.console.two_points import NOWHERE, csrf_of, serving
from tests.support.patience import FRESH

__all__ = ["provider"]

SETTINGS = """
[storage.shared]
kind = "local"
path = "shared"

[console]
storage = "shared"

[console.dagster]
url = "http://127.0.0.1:9"
read_only_url = "http://127.0.0.1:9"
"""
KEY = key_of(b"a secret that all consoles have")


@contextmanager
def serve(file: Path) -> Iterator[str]:
    """The command `serve` as a process; its address."""
    command = [sys.executable, "-c", "from entra_pipeline.cli import main; main()"]
    command += ["--project", str(file), "serve", "--port", "0"]
    environment = {**os.environ, "DAGSTER_HOME": str(file.parent / "home")}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stdout is not None
            told = process.stdout.readline()
            found = re.search(r"http://127\.0\.0\.1:\d+", told)
            assert found, told
            yield found[0]
        finally:
            process.terminate()
            process.wait(20)


def until_signed_out(client: httpx.Client, url: str) -> None:
    end = time.monotonic() + LOOK + 5
    while client.get(f"{url}/").status_code != 303:
        assert time.monotonic() < end, "the session has not ended there"
        time.sleep(0.2)


def test_two_processes_know_the_same_people_and_a_restart_forgets_nobody(tmp_path: Path) -> None:
    file = tmp_path / "dagster_project.toml"
    file.write_text(SETTINGS)
    client = httpx.Client(trust_env=False, timeout=30, limits=FRESH)
    with client, serve(file) as one:
        password = (tmp_path / "home" / "console-password").read_text().strip()
        with serve(file) as other:
            # The form of the one is sent to the other, as by a proxy that takes turns.
            form = {"csrf_token": csrf_of(client.get(f"{one}/sign-in")), "name": "admin", "password": password}
            assert client.post(f"{other}/sign-in", data=form).status_code == 303
            pages = [client.get(f"{url}/") for url in (one, other)]
            assert [page.status_code for page in pages] == [200, 200]
            tokens = {csrf_of(page) for page in pages}
            assert len(tokens) == 1
            token = tokens.pop()
            saved = {
                "csrf_token": token,
                "list": "jobs",
                "back": "/jobs",
                "filter_name": "mine",
                "query": "kind=Backup",
            }
            assert client.post(f"{one}/filters", data=saved).headers["location"] == "/jobs"
            # What the one has to say, the other says, and once.
            page = client.get(f"{other}/jobs").text
            assert "The filter has been saved" in page and ">mine</a>" in page
            assert "The filter has been saved" not in client.get(f"{one}/jobs").text
        with serve(file) as again:
            assert client.get(f"{again}/").status_code == 200
            assert client.get(f"{again}/sessions").text.count("Administrator") >= 1
            cookie = client.cookies["entra-session"]
            client.post(f"{again}/sign-out", data={"csrf_token": token})
            client.cookies.set("entra-session", cookie, domain="127.0.0.1", path="/")
            assert client.get(f"{again}/").status_code == 303
            until_signed_out(client, one)
    kept = b"".join(one.read_bytes() for one in (tmp_path / "shared" / PREFIX).rglob("*.json"))
    assert b"admin" not in kept


def test_a_sign_in_begun_at_one_console_ends_at_the_other(provider: Provider, tmp_path: Path) -> None:
    """With the provider in between: its state is in the browser, sealed."""
    (tmp_path / "oidc-secret").write_text(SECRET)
    file = tmp_path / "dagster_project.toml"
    file.write_text(OPENID.format(url="http://127.0.0.1:1", issuer=provider.url))
    project = load_project(file)
    ways = [sign_in(project, "0.0.0.0")[0] for _ in range(2)]
    assert ways[0].key == ways[1].key
    dagster = Dagster(NOWHERE, NOWHERE)
    sites = [
        AppState(file, sign_in=way, dagster=dagster, templates=templates(), records=records(project, way))
        for way in ways
    ]
    with serving(sites[0]) as one, serving(sites[1]) as other, one.client() as browser:
        for way in ways:
            assert way.openid is not None
            way.openid.redirect_uri = other.url + "/sign-in/callback"
        assert browser.get(go_to_provider(browser)).headers["location"] == "/scopes"
        assert [browser.get(f"{served.url}/").status_code for served in (one, other)] == [200, 200]
        # An administrator ends all of somebody's sessions, wherever these were begun.
        token = csrf_of(browser.get(f"{one.url}/sessions"))
        identity = f"{provider.url} anna"
        browser.post(f"{one.url}/sessions/end", data={"csrf_token": token, "person": identity})
        until_signed_out(browser, other.url)
    dagster.close()


# --- What is shared --------------------------------------------------------------------------------------------------


class Away(LocalObjectStore):
    """A place that cannot be reached while `away` is set."""

    away = False

    def read(self, key: str) -> bytes:
        self._reach()
        return super().read(key)

    def replace(self, key: str, data: bytes) -> None:
        self._reach()
        super().replace(key, data)

    def list(self, prefix: str):  # type: ignore[no-untyped-def]
        self._reach()
        return super().list(prefix)

    def delete(self, keys) -> None:  # type: ignore[no-untyped-def]
        self._reach()
        super().delete(keys)

    def _reach(self) -> None:
        if self.away:
            raise StoreError("the storage is away", remedy="Wait.")


@pytest.fixture
def place(tmp_path: Path) -> Away:
    return Away(tmp_path / "place")


def sessions_over(place: LocalObjectStore, key: bytes = KEY) -> Sessions:
    sealer = Sealer(key)
    return Sessions(sealer=sealer, records=ConsoleRecords(sealer, place))


ADA = User("ada@example.com", Role.viewer, identity="issuer ada")


def test_a_session_ends_in_every_process(place: Away, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions_module, "LOOK", 0.0)
    one, other = sessions_over(place), sessions_over(place)
    token, session = one.begin(ADA, "192.0.2.1")
    met = other.find(token)
    assert met is not None and met is not session
    assert (met.user, met.csrf, met.address, met.started) == (ADA, session.csrf, "192.0.2.1", session.started)
    assert [len(each.signed_in()) for each in (one, other)] == [1, 1]
    other.end(token)
    assert one.find(token) is None and other.find(token) is None
    tokens = [each.begin(ADA)[0] for each in (one, other, one)]
    assert other.end_all(ADA.person) == 3
    assert not [token for token in tokens if one.find(token)]


def test_who_writes_to_the_storage_makes_no_session(place: Away) -> None:
    """Records are sealed with a key that is not there, each for its own name; a token is made by a console only."""
    one = sessions_over(place)
    token, _ = one.begin(ADA)
    [file] = place.list(PREFIX)
    thief, _ = sessions_over(place, key_of(b"another")).begin(User("eve", Role.administrator))
    # Somebody else's record under the name of a session, and another session's record.
    assert sessions_over(place).find(thief) is None
    again, other = one.begin(User("eve@example.com", Role.viewer))
    place.replace(f"{PREFIX}sessions/{other.id}.json", place.read(file.key))
    assert sessions_over(place).find(again) is None
    assert sessions_over(place).find(token) is not None
    place.replace(file.key, b"{}")
    assert sessions_over(place).find(token) is None


def test_a_storage_that_is_away_signs_nobody_out_or_in(place: Away, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions_module, "LOOK", 0.0)
    one, other = sessions_over(place), sessions_over(place)
    token, _ = one.begin(ADA)
    place.away = True
    assert one.find(token) is not None
    assert other.find(token) is None
    late, _ = one.begin(ADA)
    assert one.find(late) is not None
    one.end(token)
    place.away = False
    assert one.find(token) is None, "what has ended here stays so"
    assert one.find(late) is not None
    assert other.find(token) is not None, "it could not be told elsewhere"


def test_use_in_one_process_keeps_a_session_in_the_other(place: Away) -> None:
    class Clock:
        now = 1_000_000.0

        def __call__(self) -> float:
            return self.now

    clock, sealer = Clock(), Sealer(KEY)
    one, other = (Sessions(clock, sealer=sealer, records=ConsoleRecords(sealer, place)) for _ in range(2))
    token, _ = one.begin(ADA)
    assert other.find(token)
    for _ in range(3):
        clock.now += sessions_module.IDLE / 2
        assert one.find(token)
    assert other.find(token), "the other process believes what the record says"
    clock.now += sessions_module.IDLE + 1
    assert one.find(token) is None and other.find(token) is None
    assert list(place.list(PREFIX)) == []


def test_a_selection_and_a_request_to_erase_are_seen_at_both(place: Away) -> None:
    sites = [
        AppState(
            place.root / "dagster_project.toml",
            sign_in=SignIn(key=KEY),
            dagster=Dagster(NOWHERE, NOWHERE),
            templates=templates(),
            records=ConsoleRecords(Sealer(KEY), place),
        )
        for _ in range(2)
    ]
    token, session = sites[0].sessions.begin(ADA)
    there = sites[1].sessions.find(token)
    assert there is not None
    basket = Basket(sites[0].records, session, "contoso", "p")
    basket.add("users\tu1\tAnna")
    basket.keep()
    assert [item.name for item in Basket(sites[1].records, there, "contoso", "p").items] == ["Anna"]
    assert Basket(sites[1].records, there, "contoso", "another point").items == []
    request = ErasureRequest("contoso", "u1", ADA, "asked", True, system_clock())
    sites[0].erasures.add(request)
    assert sites[1].erasures.of("contoso") == [request] == [sites[1].erasures.find("contoso", "u1")]
    assert sites[1].erasures.of("conto") == []
    sites[1].erasures.remove("contoso", "u1")
    assert sites[0].erasures.of("contoso") == []
    sites[0].preferences.keep("ada", "columns of users", ["city"])
    assert sites[1].preferences.of("ada", "columns of users") == ["city"]
    sites[0].sessions.end(token)
    assert not [file.key for file in place.list(PREFIX) if "preferences" not in file.key]
    for site in sites:
        site.dagster.close()


@pytest.mark.pure
def test_a_storage_that_is_none_is_told(tmp_path: Path) -> None:
    file = tmp_path / "dagster_project.toml"
    file.write_text(SETTINGS.replace('storage = "shared"', 'storage = "shard"'))
    with pytest.raises(ConfigurationError, match=r"console.storage.*\[storage.shard\]; did you mean"):
        load_project(file)
