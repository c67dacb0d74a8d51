"""What the way to Dagster lets pass, and what it makes of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from entra_pipeline.console.auth.roles import Role
from entra_pipeline.console.auth.sessions import User
from entra_pipeline.console.dagster.client import OPERATOR_TAG
from entra_pipeline.console.dagster.proxy import ProxyRefusal, changes, signed
from tests.console.conftest import Served

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
