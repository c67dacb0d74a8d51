"""Answers that are legal bytes and senseless: they cost a request or a table, never the run."""

from __future__ import annotations

import pytest

from entra_pipeline.errors import GraphProtocolError
from entra_pipeline.graph.pages import decode_page
from entra_pipeline.graph.responses import decode_batch, header_number, redirected

pytestmark = pytest.mark.pure

ROOT = "https://graph.microsoft.com/v1.0"


@pytest.mark.parametrize("text", [None, "", "x", "NaN", "inf", "1e999", "-3", "-inf"])
def test_a_header_without_a_sensible_number_counts_as_none(text: str | None) -> None:
    assert header_number(text) == 0.0


def test_a_number_in_a_header_is_read() -> None:
    assert header_number("2.5") == 2.5


def test_json_that_is_nested_too_deeply_is_an_answer_of_another_shape() -> None:
    body = b'{"value":' + b"[" * 200_000 + b"]" * 200_000 + b"}"
    with pytest.raises(GraphProtocolError, match="nested too deeply"):
        decode_page(body)


@pytest.mark.parametrize("location", ["https://[bad/x", "https://graph.example.net/v1.0/users", "//elsewhere/users"])
def test_a_redirect_that_leads_nowhere_or_elsewhere_is_refused(location: str) -> None:
    with pytest.raises(GraphProtocolError):
        redirected(f"{ROOT}/organization", location, ROOT)


def test_a_redirect_within_graph_is_followed() -> None:
    assert redirected(f"{ROOT}/organization", "/v1.0/organization?x=1", ROOT) == f"{ROOT}/organization?x=1"


@pytest.mark.parametrize(("id_", "status"), [('"1"', "200"), ('"1"', '"200"'), ("1", "200"), ("1", '"200"')])
def test_a_part_of_a_batch_is_known_by_its_number_however_it_is_written(id_: str, status: str) -> None:
    [item] = decode_batch(f'{{"responses":[{{"id":{id_},"status":{status},"body":{{}}}}]}}'.encode()).responses
    assert (str(item.id), item.status) == ("1", 200)


@pytest.mark.parametrize("status", ["0", "-1", "99", "true", '"ok"', "null", "100000"])
def test_a_part_of_a_batch_without_an_http_status_has_not_been_answered(status: str) -> None:
    assert decode_batch(f'{{"responses":[{{"id":"1","status":{status},"body":{{}}}}]}}'.encode()).responses == []
