"""A console that serves in a process of its own, as `entra-pipeline serve` does, and somebody who is signed in.

What belongs here: starting it, and asking it. What does not: what is asked.
"""

from __future__ import annotations

import html
import os
import re
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import httpx

from benchmarks.processes import command
from entra_pipeline.console.auth.local import PASSWORD

CSRF = re.compile(r'name="csrf_token" value="([^"]+)"')
_ROOT = Path(__file__).parent.parent
_PATIENCE = 600
# Of a whole answer: a page that takes longer has failed.
_TIMEOUT = 60


class Console(NamedTuple):
    """A console that serves: its address, and the password of `admin`; empty where people sign in elsewhere."""

    url: str
    password: str


class Answer(NamedTuple):
    """What came of a request: seconds until the whole page was there, and the page."""

    seconds: float
    page: httpx.Response


class Visitor:
    """Somebody who has signed in to a console; a context manager.

    Args:
        console: The console.
        person: Who signs in at the sign-in service of the console; empty: the console's own account.
    """

    def __init__(self, console: Console, person: str = "") -> None:
        self._client = httpx.Client(base_url=console.url, trust_env=False, timeout=_TIMEOUT)
        token = _found(CSRF, self.get("/sign-in").page.text)
        if person:
            begun = self._client.post("/sign-in", data={"csrf_token": token})
            agreed = self._client.post(begun.headers["location"], data={"sub": person})
            self._client.get(agreed.headers["location"], follow_redirects=True).raise_for_status()
        else:
            sent = {"csrf_token": token, "name": "admin", "password": console.password}
            self._client.post("/sign-in", data=sent, follow_redirects=True).raise_for_status()
        self._token = _found(CSRF, self.get("/").page.text)

    def __enter__(self) -> Visitor:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def get(self, path: str) -> Answer:
        """Opens a page; raises RuntimeError when that does not work."""
        started = time.perf_counter()
        page = self._client.get(path, follow_redirects=True)
        seconds = time.perf_counter() - started
        if page.status_code != 200:
            raise RuntimeError(f"{path} answers {page.status_code}: {page.text[:500]}")
        return Answer(seconds, page)

    def may_send(self, path: str, fields: dict[str, str | list[str]]) -> bool:
        """Sends a form; tells whether it was taken."""
        return self._sent(path, fields).status_code == httpx.codes.OK

    def _sent(self, path: str, fields: dict[str, str | list[str]]) -> httpx.Response:
        return self._client.post(path, data={"csrf_token": self._token, **fields}, follow_redirects=True)

    def send(self, path: str, fields: dict[str, str | list[str]]) -> httpx.Response:
        """Sends a form; the page that follows. Raises RuntimeError when it is refused."""
        sent = self._sent(path, fields)
        if sent.status_code != 200:
            raise RuntimeError(f"{path} answers {sent.status_code}: {sent.text[:500]}")
        return sent

    def run(self, path: str, fields: dict[str, str | list[str]]) -> httpx.Response:
        """Sends a form that starts a job, and waits until the job has succeeded; its page.

        Raises:
            RuntimeError: It does not start, does not succeed, or takes too long.
        """
        deadline = time.monotonic() + _PATIENCE
        # Dagster starts with the console, and takes longer.
        while 'role="alert"' in self.get("/jobs").page.text and time.monotonic() < deadline:
            time.sleep(0.5)
        sent = self.send(path, fields)
        while "/progress" in (page := self.get(sent.url.path).page).text:
            if time.monotonic() > deadline:
                raise RuntimeError(f"{path}: the job does not end")
            time.sleep(0.5)
        if not re.search(r"<h1>[^\n]*finished</span>", page.text):
            raise RuntimeError(f"{path}: the job has not succeeded: {page.text[-2000:]}")
        return page


@contextmanager
def console(project_file: Path, port: int = 0) -> Iterator[Console]:
    """Serves the console of a project, Dagster behind it, until the context ends; DAGSTER_HOME is beside the project.

    Args:
        project_file: The configuration.
        port: Where it listens; 0: at a free one.

    Raises:
        RuntimeError: It does not start.
    """
    home = project_file.parent / "dagster-home"
    home.mkdir(exist_ok=True)
    for kept in ("console-account.json", PASSWORD):
        (home / kept).unlink(missing_ok=True)
    environment = os.environ | {"DAGSTER_HOME": str(home), "PYTHONPATH": str(_ROOT), "PYTHONUNBUFFERED": "1"}
    serving = subprocess.Popen(
        command("--project", project_file, "serve", "--port", port),
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        if serving.stdout is None:
            raise RuntimeError("the console says nothing")
        said = serving.stdout.readline()
        url = re.search(r"(http://\S+)", said)
        if url is None:
            raise RuntimeError(f"the console does not start: {said}")
        password = home / PASSWORD
        yield Console(url[1], password.read_text().strip() if password.exists() else "")
    finally:
        serving.terminate()
        serving.communicate()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def links(page: httpx.Response, pattern: str) -> Sequence[str]:
    """The addresses in a page that match a pattern, each once."""
    found = (html.unescape(one) for one in re.findall(r'href="([^"]+)"', page.text))
    return list(dict.fromkeys(one for one in found if re.fullmatch(pattern, one)))


def _found(pattern: re.Pattern[str], text: str) -> str:
    found = pattern.search(text)
    if found is None:
        raise RuntimeError(f"no {pattern.pattern} in {text[:500]}")
    return found[1]
