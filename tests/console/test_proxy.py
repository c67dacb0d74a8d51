"""What the way to Dagster lets pass, and what it makes of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse
from starlette.types import Receive, Scope, Send

from entra_pipeline.console.app_state import AppState
from entra_pipeline.console.auth import SignIn
from entra_pipeline.console.auth.roles import Role
from entra_pipeline.console.auth.sessions import User
from entra_pipeline.console.dagster import mutations
from entra_pipeline.console.dagster.client import OPERATOR_TAG, Dagster
from entra_pipeline.console.dagster.proxy import ProxyRefusal, changes, signed
from entra_pipeline.console.dagster.webserver import WebserverAddress
from entra_pipeline.console.rendering import templates
from tests.console import two_points
from tests.console.conftest import SECRETS, Served, listening
from tests.console.test_security import events

LAUNCH = """mutation Launch($params: ExecutionParams!) { launchRun(executionParams: $params) {
  __typename ... on LaunchRunSuccess { run { runId tags { key value } } } ... on Error { message } } }"""


def start(query: str, **variables: Any) -> str:
    return json.dumps({"id": "1", "type": "start", "payload": {"query": query, "variables": variables}})


OLGA = User("olga", Role.operator)


def tags_of(body: dict[str, Any]) -> Any:
    return json.loads(signed(json.dumps(body).encode(), OLGA)[0])["variables"]


def test_signed_wherever_tags_are() -> None:
    tag = {"key": OPERATOR_TAG, "value": "olga"}
    again = "mutation R($p: ReexecutionParams) { launchRunReexecution(reexecutionParams: $p) { __typename } }"
    assert tags_of({"query": again, "variables": {"p": {"parentRunId": "x"}}})["p"]["extraTags"] == [tag]
    fill = "mutation B($p: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $p) { __typename } }"
    other = {"key": "x", "value": "y"}
    assert tags_of({"query": fill, "variables": {"p": {"tags": [other]}}})["p"]["tags"] == [other, tag]
    many = "mutation M($p: [ExecutionParams!]!) { launchMultipleRuns(executionParamsList: $p) { __typename } }"
    assert [
        one["executionMetadata"]["tags"] for one in tags_of({"query": many, "variables": {"p": [{}, {}]}})["p"]
    ] == [
        [tag],
        [tag],
    ]


def test_nobody_gives_a_run_the_tags_that_records_go_by() -> None:
    """What a run is about, who asked for it and whether it counts: a launch could hide a restore from all of them."""
    lies = {
        **{f"entra/{one}": "x" for one in ("scope", "plan", "dry-run", "operator", "operator-identity", "repairs")},
        **{f"dagster/{one}": "x" for one in ("schedule_name", "sensor_name", "will_retry")},
        ".dagster/repository": "other@elsewhere",
    }
    given = [{"key": key, "value": value} for key, value in {**lies, "dagster/partition": "p", "mine": "y"}.items()]
    params = {"executionMetadata": {"tags": given}}
    found = tags_of({"query": LAUNCH, "variables": {"params": params}})["params"]["executionMetadata"]["tags"]
    assert {one["key"]: one["value"] for one in found} == {
        "dagster/partition": "p",
        "mine": "y",
        OPERATOR_TAG: "olga",
    }


@cache
def every_mutation() -> set[str]:
    """The mutations of this release of Dagster."""
    from dagster_graphql.schema import create_schema

    schema = create_schema().graphql_schema.mutation_type
    assert schema is not None
    return set(schema.fields)


def test_somebody_has_decided_on_every_mutation() -> None:
    assert every_mutation() <= mutations.ROLES.keys() | mutations.REFUSED


@pytest.mark.parametrize(
    ("mutation", "least"),
    [
        ("launchRun", Role.operator),
        ("terminateRun", Role.operator),
        ("stopRunningSchedule", Role.administrator),
        ("stopSensor", Role.administrator),
        ("sensorDryRun", Role.administrator),
        ("deleteRun", Role.administrator),
        ("wipeAssets", Role.administrator),
        ("shutdownRepositoryLocation", Role.administrator),
        ("reportRunlessAssetEvents", Role.administrator),
        ("setAppManagedComponent", None),
        ("madeUp", None),
    ],
)
def test_what_a_mutation_takes(console: Served, mutation: str, least: Role | None) -> None:
    """What passes ends in 503: Dagster is not there. What is refused does not reach it."""
    query = f"mutation {{ harmless: {mutation} {{ __typename }} }}"
    for role in Role:
        client = console.browser(role).client
        passes = least is not None and role >= least
        # Beside another one, too.
        for sent in (query, f"mutation {{ setNuxSeen x: {mutation} {{ __typename }} }}"):
            answer = client.post("/dagster/graphql", json={"query": sent})
            assert answer.status_code == (503 if passes else 403), (role, answer.text)
    refused = [one for one in events(console, f"dagster {mutation}") if one.result == "refused"]
    assert {one.actor.partition("@")[0] for one in refused} == {one.name for one in Role if not least or one < least}


@pytest.mark.parametrize("role", Role)
def test_what_else_is_posted(console: Served, role: Role) -> None:
    client = console.browser(role).client
    wanted = 503 if role is Role.administrator else 403
    assert client.post("/dagster/report_asset_materialization/demo/users", json={}).status_code == wanted
    assert client.post("/dagster/anything", json={}).status_code == 404
    for method in ("PUT", "PATCH", "DELETE", "OPTIONS"):
        assert client.request(method, "/dagster/graphql", json={"query": "{ version }"}).status_code == 405


class Upstream:
    """A webserver that answers with what it was sent, and leads to another page from `/dagster/moved-own`."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        if scope["path"] == "/dagster/moved-own":
            await RedirectResponse(f"http://{request.headers['host']}/dagster/there?x=1")(scope, receive, send)
            return
        raw = [[name.decode(), value.decode()] for name, value in scope["headers"]]
        answer = JSONResponse({"headers": raw, "query": scope["query_string"].decode()})
        answer.headers["set-cookie"] = "entra-session=planted"
        await answer(scope, receive, send)


@pytest.fixture
def passing(project_file: Path) -> Iterator[two_points.Served]:
    """A console before a webserver that tells what has come through."""
    with listening(Upstream()) as url:
        dagster = Dagster(*[WebserverAddress(f"{url}/dagster")] * 2)
        with two_points.serving(
            AppState(project_file, sign_in=SignIn(), dagster=dagster, templates=templates())
        ) as one:
            yield one
        dagster.close()


def test_what_dagster_is_sent(passing: two_points.Served) -> None:
    """One content type, the one that was looked at; no credential of the console; nothing in the address."""
    headers = [
        ("content-type", "application/json"),
        ("content-type", "application/graphql"),
        ("authorization", "Bearer x"),
        ("transfer-encoding", "chunked"),
        ("te", "trailers"),
    ]
    body = iter([json.dumps({"query": "{ version }"}).encode()])
    with passing.client(Role.operator) as client:
        answer = client.post("/dagster/graphql?query=mutation", content=body, headers=headers)
    seen = answer.json()
    got = dict(seen["headers"])
    assert [value for name, value in seen["headers"] if name == "content-type"] == ["application/json"]
    assert not got.keys() & {"cookie", "authorization", "transfer-encoding", "te"}
    assert seen["query"] == ""
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("way", [str, quote])
def test_what_dagster_tells_has_no_secret(passing: two_points.Served, way: Callable[[str], str]) -> None:
    """Whatever wrote it: an op of somebody else, a library, a process that prints."""
    told = way(SECRETS["mail"])
    with passing.client(Role.operator) as client:
        seen = client.get("/dagster/logs/run/step/err", headers={"x-told": f"signed in with {told}"}).json()
    assert dict(seen["headers"])["x-told"] == "signed in with [secret]"


def test_dagster_leads_to_its_own_pages_by_the_consoles_address(passing: two_points.Served) -> None:
    with passing.client(Role.viewer) as client:
        assert client.get("/dagster/moved-own").headers["location"] == "/dagster/there?x=1"


def test_a_default_is_not_taken_for_what_is_given() -> None:
    query = (
        "mutation R($p: ReexecutionParams = {parentRunId: 1}) {"
        " launchRunReexecution(reexecutionParams: $p) { __typename } }"
    )
    assert tags_of({"query": query}) == {"p": None}


@pytest.mark.parametrize(
    "body",
    [
        "no JSON",
        json.dumps("text"),
        json.dumps({"query": 1}),
        json.dumps({"query": "mutation {"}),
        json.dumps({"query": "mutation { launchRun(executionParams: {selector: {}}) { __typename } }"}),
        json.dumps({"query": "mutation { ...F } fragment F on Mutation { launchRun { __typename } }"}),
        json.dumps({"query": LAUNCH, "variables": "{}"}),
        json.dumps({"query": LAUNCH, "variables": {"params": "text"}}),
        json.dumps({"query": LAUNCH, "variables": {"params": {"executionMetadata": "text"}}}),
    ],
)
def test_what_cannot_be_signed_is_not_passed_on(body: str) -> None:
    with pytest.raises(ProxyRefusal):
        signed(body.encode(), OLGA)


def test_changes() -> None:
    assert changes(start(LAUNCH))
    assert changes("no JSON")
    assert changes(start("{"))
    assert not changes(start("subscription { runs }"))
    assert not changes(json.dumps({"type": "connection_init", "payload": {}}))


@pytest.mark.parametrize("path", ["x/..%2fgraphql", "%2e%2e/graphql", "notebook", "dagit/notebook"])
def test_paths_that_are_not_what_they_seem(console: Served, path: str) -> None:
    operator = console.browser(Role.operator)
    url = f"{console.url}/dagster/{path}?query={{version}}"
    assert operator.client.get(url).status_code == 404
    assert operator.client.post(url, json={"query": LAUNCH}).status_code == 404


@pytest.mark.parametrize("path", ["graphql", "graphql/", "/graphql", "%67raphql", "graphql%0A"])
def test_graphql_is_posted_as_json(console: Served, path: str) -> None:
    """However it is written: Starlette, of which Dagster's webserver is made, overlooks the end of a line."""
    operator = console.browser(Role.operator)
    url = f"{console.url}/dagster/{path}"
    assert operator.client.get(url, params={"query": LAUNCH}).status_code == 405
    assert operator.client.head(url, params={"query": LAUNCH}).status_code == 405
    assert operator.client.post(url, params={"query": LAUNCH}).status_code == 415
    assert operator.client.post(url, data={"query": LAUNCH}).status_code == 415
    text = {"content-type": "application/graphql"}
    assert operator.client.post(url, content=LAUNCH, headers=text).status_code == 415
    forged = {"origin": "https://evil.example"}
    assert operator.client.post(url, json={"query": LAUNCH}, headers=forged).status_code == 403
