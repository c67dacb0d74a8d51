"""Answers that are legal bytes and senseless: they cost a request or a table, never the run."""

from __future__ import annotations

import msgspec
import pytest

from entra_pipeline.errors import GraphProtocolError
from entra_pipeline.graph.pages import decode_page, decoding, is_deep, salvage_page
from entra_pipeline.graph.responses import decode_answers, decode_batch, header_number, redirected

pytestmark = pytest.mark.pure

ROOT = "https://graph.microsoft.com/v1.0"


@pytest.mark.parametrize("text", [None, "", "x", "NaN", "inf", "1e999", "-3", "-inf"])
def test_a_header_without_a_sensible_number_counts_as_none(text: str | None) -> None:
    assert header_number(text) == 0.0


def test_a_number_in_a_header_is_read() -> None:
    assert header_number("2.5") == 2.5


@pytest.mark.parametrize("text", [b"", b"}", b"{", b"]}", b"[[[", b"}" * 300, b"[" * 300])
def test_brackets_in_texts_do_not_hide_how_deep_json_is(text: bytes) -> None:
    def nested(levels: int) -> bytes:
        return b'{"t":"%s","x":' % text * levels + b"0" + b"}" * levels

    assert not is_deep(nested(100))
    assert is_deep(nested(101))
    assert is_deep(b'{"value":[%s],"t":"%s"}' % (nested(99), text))
    assert not is_deep(b'{"value":[%s]}' % b",".join([nested(98)] * 20))


def test_json_that_is_nested_too_deeply_is_an_answer_of_another_shape() -> None:
    deep = b"[" * 200_000 + b"]" * 200_000
    page = decode_page(b'{"value":[{"id":"a","x":' + deep + b'},{"id":"b"}],"@odata.nextLink":"n"}')
    assert [bytes(one) for one in page.value] == [b'{"id":"b"}']
    assert [(one.id, "nested too deeply" in one.reason) for one in page.unreadable] == [("a", True)]
    with pytest.raises(GraphProtocolError, match="nested too deeply"):
        decoding(msgspec.json.Decoder().decode)(deep)


GOOD = b'{"id":"g","members@delta":[{"id":"m"},{"id":"n"}]}'


@pytest.mark.parametrize(
    ("bad", "known"),
    [
        (b'{"id":"b","x":NaN}', "b"),
        (b'{"m":[{"id":"no"}],"id":"b","x":"\\x"}', "b"),
        (b'{"id":"b","x":"a "," b"}', "b"),
        (b'{"id":"b","x":"\x01"}', "b"),
        (b'{"x":tru,"m":{"id":"no"}}', ""),
        (b'{"id":"b",}', "b"),
        (b'{"displayName":"id","id":7,}', ""),
    ],
)
def test_an_element_that_is_no_json_costs_itself(bad: bytes, known: str) -> None:
    for body in (
        b'{"@odata.nextLink":"n","value":[%s, %s ,%s]}' % (GOOD, bad, GOOD),
        b'{"value":[%s,%s,%s],"@odata.nextLink":"n"}' % (GOOD, bad, GOOD),
    ):
        with pytest.raises(msgspec.DecodeError):
            decode_page(body)
        page = salvage_page(body)
        assert ([bytes(one) for one in page.value], page.next_link) == ([GOOD, GOOD], "n")
        assert [(one.raw, one.id) for one in page.unreadable] == [(bad, known)]


@pytest.mark.parametrize(
    "rest",
    [
        b'{"id":"b","x":"never closed},{"id":"c"}]}',
        b'{"id":"b","x":"a "quoted" word"},{"id":"c"}]}',
        b'{"id":"b","x":"one " more"},{"id":"c","x":"says \\"no\\""},{"id":"d"}]}',
        b'{"id":"b","x":[}},{"id":"c"}]}',
        b'{"id',
    ],
)
def test_what_follows_an_element_without_an_end_is_not_guessed(rest: bytes) -> None:
    page = salvage_page(b'{"@odata.nextLink":"n","value":[%s,%s' % (GOOD, rest))
    assert ([bytes(one) for one in page.value], page.next_link) == ([GOOD], "n")
    assert [(one.raw, one.id) for one in page.unreadable] == [(rest, "")]
    with pytest.raises(GraphProtocolError, match="breaks off"):
        salvage_page(b'{"value":[%s,%s' % (GOOD, rest))


@pytest.mark.parametrize("body", [b"<html>", b"", b'{"value":', b'{"x":NaN,"value":[]}'])
def test_what_is_no_page_at_all_is_refused(body: bytes) -> None:
    with pytest.raises(GraphProtocolError):
        salvage_page(body)


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


def part(number: int, value: bytes = b"1", levels: int = 0) -> bytes:
    nested = b"[" * levels + value + b"]" * levels
    return b'{"id":"%d","status":200,"body":{"value":[{"id":"x","name":%s}]}}' % (number, nested)


def batch(*parts: bytes) -> bytes:
    return b'{"responses":[%s]}' % b",".join(parts)


@pytest.mark.parametrize(
    ("body", "read", "spoilt"),
    [
        (batch(part(1), part(2, b'"\\x"'), part(3)), {"1", "3"}, {"2"}),
        (batch(part(1), part(2, b"1", 5_000), part(3)), {"1", "3"}, {"2"}),
        # Behind a mark too many nobody can see where a part ends.
        (batch(part(1), part(2, b'"a " b"'), part(3)), {"1"}, {"2"}),
        (batch(part(1, b"NaN")), set(), {"1"}),
        # Of what a connection has cut, no part is to blame.
        (batch(part(1), part(2), part(3))[:-20], {"1", "2"}, set()),
    ],
)
def test_a_part_that_is_no_json_costs_a_batch_itself_only(body: bytes, read: set[str], spoilt: set[str]) -> None:
    answer = decode_answers(body)
    assert answer is not None
    assert ({str(item.id) for item in answer.responses}, answer.spoilt) == (read, spoilt)


@pytest.mark.parametrize("body", [b"", b"<html>", batch(part(1))[:-20], b'{"responses":[}'])
def test_a_batch_of_which_nothing_can_be_read_is_asked_again(body: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        decode_answers(body)
