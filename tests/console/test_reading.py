"""What pages find is found in bounded processes, which end when it takes too long or nobody waits any more."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread

import httpx
import pytest

from entra_pipeline.console.auth.roles import Role
from entra_pipeline.console.auth.sessions import Session, User
from entra_pipeline.console.reading import ReadingPool, bounds
from entra_pipeline.console.reading.bounds import READ_OUTCOME_DECODER, ReadOutcome
from entra_pipeline.console.reading.worker import encoded
from entra_pipeline.console.routing import RequestContext
from entra_pipeline.console.workers import TooManyQuestions, Turns, VisitorGone
from entra_pipeline.errors import NotInStore
from entra_pipeline.project import load_project
from entra_pipeline.project.stores import open_store
from tests.console.conftest import Served


def _until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)


def _worker(pool: ReadingPool) -> int:
    """The process that is asked next."""
    [one] = pool._idle
    return one._process.pid or 0


@pytest.fixture
def page(console: Served) -> str:
    store = open_store(console.site.project(), "contoso")
    return f"/scopes/contoso/points/{store.points()[-1]}/users"


def test_a_condition_that_makes_large_texts_never_runs(console: Served, page: str) -> None:
    viewer = console.browser(Role.viewer)
    assert viewer.get(page, params={"where": "accountEnabled"}).status_code == 200
    answer = viewer.get(page, params={"where": "length(repeat(_raw, 500000)) > 0"})
    assert "condition calls repeat" in answer.text
    assert "Max address space" in (limits := Path(f"/proc/{_worker(console.site.reading)}/limits").read_text())
    assert str(bounds.ADDRESS_SPACE) in limits


def test_a_question_ends_when_nobody_waits_for_the_answer(
    console: Served, page: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounds, "GRACE", 0.1)
    viewer = console.browser(Role.viewer)
    assert viewer.get(page).status_code == 200
    worker = _worker(console.site.reading)
    os.kill(worker, signal.SIGSTOP)
    with pytest.raises(httpx.ReadTimeout):
        viewer.get(page, params={"search": "nobody"}, timeout=0.5)
    _until(lambda: not Path(f"/proc/{worker}").exists())
    _until(lambda: not console.site.reading._turns._present)
    assert viewer.get(page, params={"search": "nobody"}).status_code == 200


def test_a_question_that_takes_too_long_is_given_up(
    console: Served, page: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    viewer = console.browser(Role.viewer)
    assert viewer.get(page).status_code == 200
    os.kill(worker := _worker(console.site.reading), signal.SIGSTOP)
    with monkeypatch.context() as patch:
        patch.setattr(bounds, "SECONDS", 0.2)
        answer = viewer.get(f"{page}/object", params={"id": "x"})
    assert answer.status_code == 400 and "cancelled" in answer.text
    assert not Path(f"/proc/{worker}").exists()


@pytest.mark.parametrize(
    "path",
    [
        "/reports/subscription",
        "/reports/audit?format=xlsx",
        "/dashboard/attention",
        "/scopes/new/search?tenant=contoso&find=a",
    ],
)
def test_whatever_takes_long_is_not_done_by_the_console_itself(
    console: Served, page: str, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    administrator = console.browser(Role.administrator)
    assert administrator.get(page).status_code == 200
    os.kill(worker := _worker(console.site.reading), signal.SIGSTOP)
    with monkeypatch.context() as patch:
        patch.setattr(bounds, "SECONDS", 0.2)
        answer = administrator.get(path)
    assert "cancelled" in answer.text
    assert not Path(f"/proc/{worker}").exists()
    assert "cancelled" not in administrator.get(path).text


def test_an_answer_that_is_too_large_is_refused_where_it_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "BYTES", 50)
    assert READ_OUTCOME_DECODER.decode(encoded(ReadOutcome(answer="x"))).answer == "x"
    told = READ_OUTCOME_DECODER.decode(encoded(ReadOutcome(answer="x" * 50)))
    assert told.kind == "UsageError" and "more than" in told.message and told.remedy


def test_a_process_that_died_is_replaced_and_leaves_nothing(project_file: Path) -> None:
    pool, project = ReadingPool(), load_project(project_file)
    point = open_store(project, "contoso").points()[-1]
    asked = {"point": point, "table": "users", "search": "", "where": "", "limit": 5, "offset": 0}
    assert len(pool.ask(project, "a", "page", "contoso", **asked)["rows"]) == 5
    [worker] = pool._idle
    os.kill(_worker(pool), signal.SIGKILL)
    _until(lambda: not worker.alive)
    assert len(pool.ask(project, "a", "page", "contoso", **asked)["rows"]) == 5
    assert not worker._folder.exists()
    with pytest.raises(NotInStore) as error:
        pool.ask(project, "a", "one", "contoso", point=point, table="users", identifier="nobody")
    assert error.value.remedy
    pool.clear()
    assert not pool._idle


def test_one_person_has_few_questions_at_a_time() -> None:
    turns, nobody = Turns(3, per_person=2, waiting=1, patience=20), Event()
    begun = Event()
    with turns.taking("a", nobody), turns.taking("a", nobody):
        with turns.taking("b", nobody):
            pass
        gone = Event()

        def wait() -> None:
            begun.set()
            with pytest.raises(VisitorGone), turns.taking("a", gone):
                pytest.fail("three at a time")

        waiting = Thread(target=wait)
        waiting.start()
        begun.wait()
        _until(lambda: turns._present["a"] == 3)
        with pytest.raises(TooManyQuestions, match="3 of your questions"), turns.taking("a", nobody):
            pytest.fail("four")
        gone.set()
        waiting.join()
    with turns.taking("a", nobody):
        pass
    assert not turns._present and not turns._answered


def test_who_leaves_stops_nobody_else(console: Served) -> None:
    """Two visitors of one page share what is found: the second goes on when the first one leaves."""
    tries: list[int] = []

    def find() -> int:
        tries.append(1)
        if len(tries) == 1:
            raise VisitorGone("the client has closed the connection")
        return 7

    session = Session(User("v", Role.viewer), 0, 0)
    context = RequestContext(httpx.Request("GET", "http://x"), console.site, session)  # type: ignore[arg-type]
    assert context.found("key", find) == 7
    context.gone.set()
    tries.clear()
    with pytest.raises(VisitorGone):
        context.found("another", find)
