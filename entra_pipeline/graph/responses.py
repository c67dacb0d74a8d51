"""What Graph's answers say besides their content: errors, pauses to make, and the parts of a batch.

What belongs here: what an answer means. What does not: requesting it, and requesting it again (`client`).
"""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from email.utils import parsedate_to_datetime
from time import time
from typing import Annotated, Any, TypeVar
from urllib.parse import urljoin

import httpx
import msgspec

from entra_pipeline.errors import (
    DeltaLinkExpired,
    GraphError,
    GraphNotFound,
    GraphPermissionDenied,
    GraphProtocolError,
    GraphUnavailable,
    RoundExpired,
)
from entra_pipeline.graph.pages import UNREADABLE, checked, cleaned, decoding, id_at_top, salvage_elements
from entra_pipeline.graph.retry import FailureKind
from entra_pipeline.graph.urls import check_continuation, smaller_page

_T = TypeVar("_T")


class _ErrorDetail(msgspec.Struct):
    code: str = ""
    message: str = ""
    inner: dict[str, Any] | None = msgspec.field(default=None, name="innerError")


class _ErrorBody(msgspec.Struct):
    error: _ErrorDetail = msgspec.field(default_factory=_ErrorDetail)


class BatchItem(msgspec.Struct):
    """The answer to one request of a batch (Graph doc: json-batching)."""

    id: str | int
    status: Annotated[int, msgspec.Meta(ge=200, le=599)]
    headers: dict[str, Any] | None = None
    body: msgspec.Raw = msgspec.Raw(b"")


class BatchBody(msgspec.Struct):
    """The answer to a batch; its items come in any order.

    Attributes:
        responses: The answers to its parts.
        spoilt: Ids of parts whose answers are no JSON, or nested too deeply: they spoil whatever batch they are in.
    """

    responses: list[BatchItem]
    spoilt: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class BatchRequest:
    """A request of a batch.

    Attributes:
        url: Path and query under the Graph root, without a leading slash.
        key: The caller's own mark, handed back with the result.
        headers: Added to those that every request carries.
    """

    url: str
    key: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BatchResult:
    """The final answer to a request of a batch: `status`, and the body as Graph sent it (empty when there is none)."""

    request: BatchRequest
    status: int
    body: bytes

    def decoded(self, decode: Callable[[bytes], _T]) -> _T:
        """Returns the decoded body.

        Args:
            decode: Decodes a whole body; raises as one that `pages.decoding` has made.

        Raises:
            GraphError: Graph refuses the request (see `explain`).
            GraphProtocolError: Graph has answered what is not JSON, or JSON of another shape.
        """
        if self.status >= 300:
            raise explain(self)
        try:
            return decode(self.body)
        except msgspec.DecodeError as error:
            raise GraphProtocolError(f"Graph answered what is not JSON: {error}") from error


class _Responses(msgspec.Struct):
    responses: list[msgspec.Raw]


_LINKS = re.compile(rb'"@odata\.(?:nextLink|deltaLink)"\s*:\s*"[^"]*"')
# Where the parts of a batch begin.
_PARTS = re.compile(rb'"responses"\s*:\s*\[')
# The claims that a protected action asks for.
_CLAIMS = re.compile(r'error="insufficient_claims".*?claims="([A-Za-z0-9+/_=-]+)"')
# Server errors that say nothing but "never": what is asked for is not implemented, or not in this version of HTTP.
_FOR_GOOD = {501, 505}
_TIMED_OUT, _THROTTLED = 408, 429
_INTERNAL_ERROR = 500
# The code of a 401 that a new token may mend (Graph doc: concepts/errors).
_TOKEN_REFUSED = "InvalidAuthenticationToken"  # noqa: S105 - Graph's word, and no password
_error_body = checked(msgspec.json.Decoder(_ErrorBody).decode)
_responses = decoding(msgspec.json.Decoder(_Responses).decode)
# Gateways have been seen to write numbers as texts, and texts as numbers.
_item = checked(msgspec.json.Decoder(BatchItem, strict=False).decode)
_anything = decoding(msgspec.json.Decoder().decode)


def decode_batch(body: bytes) -> BatchBody:
    """Splits the answer to a batch; a part without id or status is left out, as if it had not been answered.

    Raises:
        msgspec.DecodeError: The body is not JSON (it was cut off, for example): a passing failure.
        GraphProtocolError: The body is JSON but not the answer to a batch.
    """
    items = []
    for raw in _responses(body).responses:
        with suppress(*UNREADABLE):
            items.append(_item(raw))
    return BatchBody(items)


def decode_answers(body: bytes) -> BatchBody | None:
    """Splits the answer to a batch as `decode_batch` does; where one part spoils the JSON of all, as far as it goes.

    Returns:
        What can be read; None where one part is nested too deeply for all, and nobody can see which.

    Raises:
        msgspec.DecodeError: The body is not JSON, and no part of it can be read (it was cut off, for example).
        GraphProtocolError: The body is JSON but not the answer to a batch.
    """
    try:
        return decode_batch(body)
    except msgspec.DecodeError:
        if (found := _salvage(body)) is None:
            raise
        return found
    except GraphProtocolError as error:
        if isinstance(error.__cause__, RecursionError):
            return _salvage(body)
        raise


def _salvage(body: bytes) -> BatchBody | None:
    """Returns the parts of a batch that can be read although it is no JSON; None where that helps with none."""
    text = cleaned(body)
    begin = _PARTS.search(text)
    if begin is None:
        return None
    readable, unreadable, _ = salvage_elements(text, begin.end())
    items = []
    for raw in readable:
        with suppress(*UNREADABLE):
            items.append(_item(raw))
    # What was cut off is no part's fault.
    spoilt = frozenset(filter(None, (id_at_top(one.raw) for one in unreadable))) if _is_closed(body) else frozenset()
    return BatchBody(items, spoilt) if items or spoilt else None


def is_repeated(body: bytes, before: bytes) -> bool:
    """Tells whether a body that is no JSON came before, to its end: then it is what Graph has, and nothing was cut off.

    Links are written anew for each answer.
    """
    return _is_closed(body) and _LINKS.sub(b"", body) == _LINKS.sub(b"", before)


def _is_closed(body: bytes) -> bool:
    """Tells whether a body ends as JSON objects do: a connection that breaks seldom cuts it there."""
    return body.rstrip().endswith(b"}")


def transient(status: int) -> FailureKind | None:
    """Returns what an HTTP status says of another attempt; None when it succeeded, or would be refused again."""
    if status in {_TIMED_OUT, _THROTTLED}:
        return FailureKind.UNAVAILABLE
    if status < _INTERNAL_ERROR or status in _FOR_GOOD:
        return None
    return FailureKind.BAD_RESPONSE if status == _INTERNAL_ERROR else FailureKind.UNAVAILABLE


def step_up(status: int, headers: Mapping[str, str]) -> str:
    """Returns the claims that Graph asks a sign-in to satisfy before a protected action; empty when it asks for none.

    They stand in the header, Base64 of JSON: an authentication context is named in `acrs` (Entra doc:
    claims-challenge; protected-actions-overview).

    Args:
        status: HTTP status.
        headers: By lower-case name.
    """
    found = _CLAIMS.search(headers.get("www-authenticate", "")) if status in {401, 403} else None
    try:
        claims = base64.b64decode(found[1] + "=" * (-len(found[1]) % 4), altchars=b"-_").decode() if found else ""
        asked = _anything(claims.encode())["access_token"]["acrs"] if claims else None
    except (*UNREADABLE, ValueError, KeyError, TypeError):
        return ""
    return claims if asked else ""


def asks_step_up(response: httpx.Response) -> bool:
    """Tells whether Graph asks for claims that no new token of the same sign-in has (`step_up`)."""
    return bool(step_up(response.status_code, response.headers))


def refuses_token(status: int, body: bytes) -> bool:
    """Tells whether Graph refuses the access token itself, so that a new one may be accepted."""
    return status == 401 and refusal(status, body, {}).code == _TOKEN_REFUSED


def refusal(status: int, body: bytes, headers: Mapping[str, str]) -> GraphError:
    """The error that Graph's answer means (Graph doc: errors)."""
    try:
        detail = _error_body(cleaned(body)).error
    except UNREADABLE:
        detail = _ErrorDetail(message=body[:200].decode("utf-8", "replace"))
    kinds: dict[int, type[GraphError]] = {403: GraphPermissionDenied, 404: GraphNotFound, 410: DeltaLinkExpired}
    text = f"{status} {detail.code}: {detail.message}" if detail.code else f"{status} {detail.message}".rstrip()
    request_id = headers.get("request-id", "") or str((detail.inner or {}).get("request-id", ""))
    return kinds.get(status, GraphError)(
        f"Graph answered {text}", status=status, code=detail.code, request_id=request_id
    )


def part_refuses_token(item: BatchItem) -> bool:
    """Tells whether the answer to a request of a batch refuses the access token itself."""
    return refuses_token(item.status, bytes(item.body))


def error_targets(body: bytes) -> tuple[str, ...]:
    """Returns what the details of Graph's error are about: names of properties (Graph doc: errors)."""
    try:
        details = _anything(body)["error"].get("details") or ()
        return tuple(str(one["target"]) for one in details if one.get("target"))
    except (*UNREADABLE, KeyError, TypeError, AttributeError):
        return ()


def explain(result: BatchResult) -> GraphError:
    """The error that a refused request of a batch means."""
    refused = refusal(result.status, result.body, {})
    return unavailable(refused.message, result.status) if transient(result.status) else refused


def smaller_request(request: BatchRequest, item: BatchItem) -> BatchRequest | None:
    """Returns the request with a smaller page, where its size is what Graph refuses."""
    url = smaller_page(request.url, refusal(400, bytes(item.body), {}).message) if item.status == 400 else ""
    return replace(request, url=url) if url else None


def given_up(request: BatchRequest, item: BatchItem | None) -> BatchResult:
    """Returns the result of a request of a batch that has failed for as long as the patience goes."""
    if item is not None:
        return BatchResult(request, item.status, bytes(item.body))
    missing = {"error": {"code": "NoAnswer", "message": "Graph left the answer out of a batch."}}
    return BatchResult(request, 502, msgspec.json.encode(missing))


def item_headers(item: BatchItem) -> dict[str, str]:
    """Headers of the answer to one request of a batch, by lower-case name."""
    return {name.lower(): str(value) for name, value in (item.headers or {}).items()}


def retry_after(headers: Mapping[str, str]) -> float:
    """Returns the seconds to wait by `Retry-After`: a number, or an HTTP date (RFC 9110 §10.2.3).

    A date counts from the server's own `Date`, whose clock may differ from ours. 0 when the header is absent, in the
    past or unreadable.
    """
    value = (headers.get("retry-after", "") or "").strip()
    try:
        seconds = float(value)
    except ValueError:
        until, there = _moment(value), _moment(headers.get("date", "") or "")
        seconds = until - (there or time()) if until else 0.0
    return max(0.0, seconds) if math.isfinite(seconds) else 0.0


def _moment(value: str) -> float:
    """Returns an HTTP date as seconds since 1970; 0 when it is unreadable."""
    try:
        return parsedate_to_datetime(value).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError, OSError):
        return 0.0


def header_number(value: str | None) -> float:
    """Returns the number in a header; 0 when it is absent, unreadable, negative or not finite."""
    try:
        number = float(value or 0)
    except ValueError:
        return 0.0
    return number if math.isfinite(number) and number > 0 else 0.0


def redirected(url: str, location: str, root: str) -> str:
    """Returns where a redirect leads, as an absolute URL (RFC 9110 §10.2.2).

    Raises:
        GraphProtocolError: It is no URL, or `check_continuation` refuses it.
    """
    try:
        target = urljoin(url, location)
    except ValueError as error:
        raise GraphProtocolError(f"Graph redirects to an invalid URL: {location[:200]!r}") from error
    check_continuation(target, url, root, "a redirect of Graph")
    return target


def broken_off(error: GraphError, pages: int) -> RoundExpired:
    """Returns what the refusal of a link to the next page means, after so many pages."""
    return RoundExpired(
        f"Graph broke a list off after {pages} pages: {error.message}",
        status=410,
        code=error.code,
        request_id=error.request_id,
        remedy="The next backup reads it from the beginning.",
    )


def unavailable(failure: str, status: int) -> GraphUnavailable:
    """Returns the error of a request that has failed for as long as the patience goes."""
    return GraphUnavailable(
        f"Microsoft Graph kept failing, {failure}",
        status=status,
        remedy="The next backup resumes where this one stopped. If the problem persists, check Microsoft's service "
        "health.",
    )
