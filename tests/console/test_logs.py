"""A run's log, as pages ask for it: again and again."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest

from entra_pipeline.console.dagster import client
from entra_pipeline.console.dagster.client import Dagster, Run
from entra_pipeline.console.dagster.webserver import WebserverAddress

STARTED = Run("r", "backup_now_demo", "started", time.time(), time.time(), None, {})


class Webserver:
    """Dagster's webserver, as far as it has the log of a run.

    Attributes:
        events: How many there are.
        asked: After which event more were asked for.
    """

    def __init__(self) -> None:
        self.events = 3
        self.asked: list[int] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        after = int(json.loads(request.content)["variables"]["cursor"] or 0)
        self.asked.append(after)
        some = range(after, min(after + 2, self.events))
        events = [
            {"__typename": "LogMessageEvent", "message": f"line {number}", "timestamp": "0", "level": "INFO"}
            for number in some
        ]
        last = some.stop if some else after
        log = {"cursor": str(last), "hasMore": last < self.events, "events": events, "__typename": "EventConnection"}
        return httpx.Response(200, json={"data": {"logsForRun": log}})


@pytest.fixture
def webserver() -> Webserver:
    return Webserver()


@pytest.fixture
def dagster(webserver: Webserver) -> Iterator[Dagster]:
    one = Dagster(*[WebserverAddress("http://dagster.example")] * 2)
    one._client = httpx.Client(transport=httpx.MockTransport(webserver))
    yield one
    one.close()


def lines(dagster: Dagster, run: Run) -> list[Any]:
    return [line.text for line in dagster.log(run)]


def test_only_what_has_come_since_is_asked_for(dagster: Dagster, webserver: Webserver) -> None:
    assert lines(dagster, STARTED) == ["line 0", "line 1", "line 2"]
    webserver.events = 4
    just_ended = replace(STARTED, status="success", finished=time.time())
    for run in (STARTED, just_ended, just_ended):
        assert lines(dagster, run)[3:] == ["line 3"]
    assert webserver.asked == [0, 2, 3, 4, 4]


def test_of_a_run_that_ended_a_while_ago_nothing_more(
    dagster: Dagster, webserver: Webserver, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = replace(STARTED, status="failure", finished=time.time() - 2 * client._TRAILING)
    for _ in range(3):
        assert len(lines(dagster, ended)) == 3
    assert webserver.asked == [0, 2]
    monkeypatch.setattr(client, "_LINES_KEPT", 2)
    for _ in range(2):
        assert len(lines(dagster, replace(ended, id="long"))) == 3
    assert webserver.asked[2:] == [0, 2, 0, 2]
