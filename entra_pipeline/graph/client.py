"""One tenant seen by one app registration: requests that are paced, retried and counted."""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

import httpx
import msgspec

from entra_pipeline.catalogue import Lane
from entra_pipeline.errors import (
    ConfigurationError,
    DeltaLinkExpired,
    EntraPipelineError,
    GraphError,
    GraphUnavailable,
    RoundExpired,
)
from entra_pipeline.graph.connection import HEADERS, Connection, MakeCredential, bearer
from entra_pipeline.graph.credentials import Credential, graph_root, token_scope
from entra_pipeline.graph.pacing import CONCURRENT_REQUESTS, ONE_BY_ONE, Pacer, Priority
from entra_pipeline.graph.pages import (
    GraphPage,
    PageCutError,
    PagingBound,
    decode_page,
    decode_plain_count,
    salvage_page,
)
from entra_pipeline.graph.request_stats import RequestStats
from entra_pipeline.graph.responses import (
    BatchItem,
    BatchRequest,
    BatchResult,
    asks_step_up,
    broken_off,
    decode_answers,
    given_up,
    header_number,
    is_repeated,
    item_headers,
    part_refuses_token,
    redirected,
    refusal,
    refuses_token,
    retry_after,
    smaller_request,
    transient,
    unavailable,
)
from entra_pipeline.graph.retry import Attempts, FailureKind, RetryPolicy, default_policy
from entra_pipeline.graph.urls import (
    below_root,
    check_continuation,
    count_of,
    is_delta,
    is_next_page,
    query,
    smaller_page,
    too_long,
)

if TYPE_CHECKING:
    from entra_pipeline.project import Tenant

_T = TypeVar("_T")

BATCH_SIZE = 20
"""Requests in a `$batch` at the most (Graph doc: json-batching)."""

# Refusals of a link to a next page that say: begin anew.
_BROKEN_OFF = {400, 404, 410}
_REDIRECTS = {301, 302, 303, 307, 308}
_MOST_REDIRECTS = 3
# New tokens that are tried one after the other before a refusal counts as a failure like any other.
_RENEWALS = 2
# Turns of the event loop that a request takes from its start until it is written to the socket, and some to spare.
_TURNS_TO_SEND = 20
# Answers that one reader holds at the most, half of all, so that memory stays bounded and others get their turn.
_BATCHES_AT_ONCE = CONCURRENT_REQUESTS // 2


class _Requests:
    """Sends requests one by one: paced, retried and counted."""

    def __init__(
        self, tenant: Tenant, *, retry: RetryPolicy | None = None, sign_in: MakeCredential = Credential
    ) -> None:
        self.tenant = tenant
        self.root = graph_root(tenant)
        self.pacer = Pacer()
        self.retry = retry or default_policy()
        self._connection = Connection(tenant, self.root, self.retry, sign_in)
        self.credential = self._connection.credential
        self._answered = False
        # When requests began to fail of which none has succeeded since.
        self._failing_since: float | None = None
        # A URL of this length has been refused.
        self._longest_url = sys.maxsize

    @property
    def token(self) -> str:
        """The access token in use; empty before the first."""
        return self.credential.token

    async def renew(self, refused: str) -> None:
        """Forgets an access token that Graph refuses, unless somebody has renewed it meanwhile."""
        await self.credential.renew(refused)

    async def fetch(
        self,
        url: str,
        decode: Callable[[bytes], _T],
        *,
        stats: RequestStats,
        lane: Lane = Lane.DIRECTORY,
        headers: Mapping[str, str] | None = None,
        method: str = "GET",
        body: bytes | None = None,
        weight: int = 1,
        priority: Priority = Priority.SINGLE,
        salvage: Callable[[bytes], _T] | None = None,
    ) -> _T:
        """The decoded answer to one request, after as many tries as it takes.

        Args:
            url: Absolute, or a path under the Graph root.
            decode: Turns the body into the result; `msgspec.DecodeError` counts as a passing failure, because a body
                that was cut off decodes badly.
            stats: Counts the request.
            lane: Throttling lane.
            headers: Added to those that every request carries.
            method: HTTP method.
            body: JSON body of a request that has one.
            weight: Requests that it stands for: those in a `$batch` count one by one.
            priority: Who goes first when many wait for their turn.
            salvage: Makes the result of a body that `decode` still refuses when the patience is over, or that has come
                again as it was (`is_repeated`).

        Raises:
            GraphPermissionDenied, GraphNotFound, GraphError: Graph refused for good.
            GraphUnavailable: Graph kept failing for passing reasons.
            ConfigurationError: Entra refuses the credential, or Graph cannot be reached at all.
        """
        attempts = Attempts(self.retry)
        renewals = redirects = 0
        refused_body = b""
        while True:
            try:
                response = await self._send(method, url, headers, body, stats, lane, weight, priority)
            except ConfigurationError as error:
                if not self._answered:
                    raise
                # The credential was good when the run began: what has been read until now is kept.
                raise GraphError(error.message, remedy=error.remedy) from error
            if isinstance(response, httpx.HTTPError):
                kind = FailureKind.UNAVAILABLE if self._answered else FailureKind.UNREACHABLE
                await self._again(attempts, kind, f"{type(response).__name__}: {response}".rstrip(": "), stats)
                continue
            self._answered = True
            status = response.status_code
            if status < 300:
                try:
                    decoded = decode(response.content)
                except msgspec.DecodeError as error:
                    last = f"the body was cut off or is not JSON ({error})"
                    before, refused_body = refused_body, response.content
                    if salvage is None or not is_repeated(refused_body, before):
                        try:
                            await self._again(attempts, FailureKind.BAD_RESPONSE, last, stats)
                            continue
                        except GraphUnavailable:
                            if salvage is None:
                                raise
                    decoded = salvage(refused_body)
                self._failing_since = None
                return decoded
            if status in _REDIRECTS and method == "GET" and redirects < _MOST_REDIRECTS:
                redirects += 1
                url = redirected(str(response.request.url), response.headers.get("location", ""), self.root)
                continue
            refused = refusal(status, response.content, response.headers)
            if status == 401 and (renewals < _RENEWALS or refuses_token(status, response.content)):
                await self.renew(bearer(response.request))
                renewals += 1
                if renewals <= _RENEWALS:
                    stats.retries += 1
                else:
                    await self._again(attempts, FailureKind.BAD_RESPONSE, refused.message, stats, status=status)
                continue
            failure = transient(status)
            if failure is None:
                raise refused
            stats.throttled += status == 429
            asked = retry_after(response.headers)
            await self._again(attempts, failure, refused.message, stats, asked=asked, status=status)

    async def once(
        self,
        method: str,
        url: str,
        *,
        stats: RequestStats,
        lane: Lane,
        headers: Mapping[str, str],
        body: bytes | None = None,
        weight: int = 1,
    ) -> httpx.Response | httpx.HTTPError:
        """One try of a request not to be repeated blindly: the response, whatever its status, or why there is none.

        Only a token that Graph refuses is renewed: then nothing was done. For the parameters see `fetch`.

        Raises:
            ConfigurationError: Entra refuses the credential.
        """
        for _ in range(2):
            response = await self._send(method, url, headers, body, stats, lane, weight, Priority.BATCH)
            if isinstance(response, httpx.HTTPError) or response.status_code != 401 or asks_step_up(response):
                break
            stats.retries += 1
            await self.renew(bearer(response.request))
        self._answered = self._answered or isinstance(response, httpx.Response)
        return response

    async def _send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None,
        body: bytes | None,
        stats: RequestStats,
        lane: Lane,
        weight: int,
        priority: Priority,
    ) -> httpx.Response | httpx.HTTPError:
        """One try: the response whatever its status, or the reason why there is none."""
        async with self.pacer.turn(lane, weight, priority):
            stats.requests += 1
            response = await self._connection.send(method, url, headers or {}, body)
        if isinstance(response, httpx.HTTPError):
            return response
        stats.bytes_read += len(response.content)
        units = header_number(response.headers.get("x-ms-resource-unit"))
        stats.resource_units += int(units)
        self.pacer.spend(int(units), 0 if weight > 1 else 1)
        throttled = response.status_code in {429, 503}
        self.pacer.heed(
            lane,
            min(retry_after(response.headers), self.retry.longest_wait) if throttled else 0.0,
            header_number(response.headers.get("x-ms-throttle-limit-percentage")),
        )
        return response

    async def _again(
        self,
        attempts: Attempts,
        kind: FailureKind,
        last: str,
        stats: RequestStats,
        *,
        asked: float = 0.0,
        status: int = 0,
    ) -> None:
        """Waits before the next attempt; raises when the patience is over.

        Where nothing succeeds any more, all requests share one patience: an outage is borne once, not by each.
        """
        self._failing_since = monotonic() if self._failing_since is None else self._failing_since
        attempts.since = min(self._failing_since, monotonic() if attempts.since is None else attempts.since)
        pause = attempts.failed(kind, last, asked=asked)
        if pause is None:
            raise self._gave_up(attempts, status)
        stats.retries += 1
        await asyncio.sleep(pause)

    def _gave_up(self, attempts: Attempts, status: int) -> EntraPipelineError:
        if not self._answered:
            return self.tenant.error(
                "graph_url",
                f"Microsoft Graph cannot be reached at {self.root} ({attempts.last})",
                remedy="Check the network, the proxy and the `graph_url` and `cloud` settings of the tenant.",
            )
        return unavailable(str(attempts), status)


class Graph(_Requests):
    """Reads a tenant through Microsoft Graph v1.0.

    Use as an asynchronous context manager. One object, with one pacing budget, serves all concurrent reads of a run.

    Args:
        tenant: The tenant and its app registration.
        retry: How requests that failed are sent again; the process's default when None.
        sign_in: Makes the credential of tenant, TLS context and patience.
    """

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._connection.close()

    async def sign_in(self) -> frozenset[str]:
        """Gets a token, so that a wrong credential is told before anything else happens.

        Returns:
            The application permissions the token carries; empty when it does not tell.

        Raises:
            ConfigurationError: Entra refuses the credential or cannot be reached.
        """
        await self.credential.get_token(token_scope(self.tenant))
        return self.credential.granted()

    async def registration(self) -> frozenset[str]:
        """The ids that the tenant knows this app registration under: its appId, and the id of its service principal.

        Raises:
            ConfigurationError: Entra refuses the credential or cannot be reached.
        """
        await self.credential.get_token(token_scope(self.tenant))
        return self.credential.registration()

    async def pages(
        self,
        url: str,
        *,
        stats: RequestStats,
        lane: Lane = Lane.DIRECTORY,
        headers: Mapping[str, str] | None = None,
        many: bool = False,
        anew: str = "",
        counted: int | None = None,
    ) -> AsyncIterator[GraphPage]:
        """The pages of a collection, or of one round of a delta query, in order, until Graph names no next page.

        While a page is worked on, the next one is under way.

        Args:
            url: Of the first page.
            stats: Counts the requests.
            lane: Throttling lane.
            headers: Added to those that every request carries.
            many: There may be many pages: the first one goes before requests that stand alone.
            anew: Where to begin anew when Graph breaks the list off, for a caller that takes the same pages twice.
            counted: How many elements Graph counts, where the pages do not tell it themselves.

        Raises:
            GraphProtocolError: A link leads to another place than the tenant's Graph, or to another set, or the pages
                have no end.
            PageCutError: A page breaks off; what it has until then was yielded.
            RoundExpired: Graph refuses a next link that it gave itself, and the caller has to begin anew.
            And what `fetch` raises.
        """

        def ask(link: str, priority: Priority) -> asyncio.Task[GraphPage]:
            return asyncio.create_task(self._page(link, stats, lane, headers or {}, priority))

        bound, reduced, broken = PagingBound(is_delta(url), counted), False, Attempts(self.retry)
        under_way: asyncio.Task[GraphPage] | None = ask(url, Priority.PAGE if many else Priority.SINGLE)
        counting: asyncio.Task[None] | None = None
        try:
            while under_way is not None:
                try:
                    page = await under_way
                except PageCutError as error:
                    yield error.page
                    raise
                except GraphError as error:
                    if error.status in _BROKEN_OFF and (bound.pages or is_next_page(url)):
                        pause = broken.failed(FailureKind.BAD_RESPONSE) if anew else None
                        if pause is None:
                            raise broken_off(error, bound.pages) from error
                        await asyncio.sleep(pause)
                        url, bound, reduced = anew, PagingBound(is_delta(anew), counted), False
                        under_way = ask(url, Priority.PAGE)
                        continue
                    smaller = "" if reduced or bound.pages or error.status != 400 else smaller_page(url, error.message)
                    if not smaller:
                        raise
                    reduced = True
                    under_way = ask(smaller, Priority.PAGE)
                    continue
                under_way = None
                stats.pages += 1
                bound.add(page)
                if page.next_link is not None and bound.wants_count:
                    counting = asyncio.create_task(self._expect(bound, anew or url, stats, lane))
                if (link := page.next_link) is not None:
                    check_continuation(link, anew or url, self.root, "a link to the next page")
                    under_way = ask(link, Priority.PAGE)
                    await _to_the_wire(under_way)
                yield page
        finally:
            left = [task for task in (under_way, counting) if task is not None]
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)

    async def _expect(self, bound: PagingBound, url: str, stats: RequestStats, lane: Lane) -> None:
        """Tells the bound of a list Graph's count of it, where Graph counts it (Graph doc: aad-advanced-queries)."""
        headers = {"ConsistencyLevel": "eventual", "Accept": "text/plain"}
        with suppress(GraphError):
            bound.expect(await self.fetch(count_of(url), decode_plain_count, stats=stats, lane=lane, headers=headers))

    async def _page(
        self, link: str, stats: RequestStats, lane: Lane, headers: Mapping[str, str], priority: Priority
    ) -> GraphPage:
        """Requests one page; in a batch, where a URL has no limit, when it is too long (Graph doc: json-batching)."""
        if len(link) < self._longest_url:
            try:
                return await self.fetch(
                    link,
                    decode_page,
                    stats=stats,
                    lane=lane,
                    headers=headers,
                    priority=priority,
                    salvage=salvage_page,
                )
            except GraphError as error:
                if not too_long(error, link):
                    raise
                self._longest_url = len(link)
        request = BatchRequest(below_root(link, self.root), headers=headers)
        (result,) = await self._answers([request], stats, lane)
        return result.decoded(decode_page)

    async def begun_anew(self, read: Callable[[], Awaitable[_T]]) -> _T:
        """Awaits a read of pages, and begins it anew when Graph breaks it off.

        Args:
            read: Reads from the first page on; what an earlier call has gathered is not used.

        Raises:
            RoundExpired: Graph has broken it off until the patience was over.
            And what `read` raises.
        """
        attempts = Attempts(self.retry)
        while True:
            try:
                return await read()
            except RoundExpired as error:
                pause = attempts.failed(FailureKind.BAD_RESPONSE, error.message)
                if pause is None:
                    raise
                await asyncio.sleep(pause)

    async def batch(
        self, requests: Sequence[BatchRequest], *, stats: RequestStats, lane: Lane = Lane.DIRECTORY
    ) -> AsyncIterator[BatchResult]:
        """The answers to many GET requests, 20 to a `$batch`; parts that fail for passing reasons are asked again.

        Yields results in no particular order, one per request. A refusal of one request is a result with its status,
        not an error.

        Raises:
            GraphUnavailable: A request kept failing for passing reasons.
            And what `fetch` raises.
        """
        if lane in ONE_BY_ONE:
            for request in requests:
                yield await self._answer(request, stats, lane)
            return
        chunks = [requests[start : start + BATCH_SIZE] for start in range(0, len(requests), BATCH_SIZE)]
        under_way: deque[asyncio.Task[list[BatchResult]]] = deque()
        try:
            while chunks or under_way:
                while chunks and len(under_way) < _BATCHES_AT_ONCE:
                    under_way.append(asyncio.create_task(self._answers(chunks.pop(0), stats, lane)))
                for result in await under_way.popleft():
                    yield result
        finally:
            for task in under_way:
                task.cancel()
            await asyncio.gather(*under_way, return_exceptions=True)

    async def _answer(self, request: BatchRequest, stats: RequestStats, lane: Lane) -> BatchResult:
        """The answer to a request that a batch would only get throttled."""
        url = request.url
        while True:
            try:
                body = await self.fetch(url, bytes, stats=stats, lane=lane, headers=request.headers)
            except GraphError as error:
                smaller = smaller_page(url, error.message) if error.status == 400 and url == request.url else ""
                if smaller:
                    url = smaller
                    continue
                if not error.status:
                    raise
                body = msgspec.json.encode({"error": {"code": error.code, "message": error.message}})
                return BatchResult(request, error.status, body)
            return BatchResult(request, 200, body)

    async def _answers(self, requests: Sequence[BatchRequest], stats: RequestStats, lane: Lane) -> list[BatchResult]:
        """The answers to at most `BATCH_SIZE` requests."""
        results: list[BatchResult] = []
        waiting = dict(enumerate(requests))
        failing: dict[int, Attempts] = {}
        while waiting:
            token = self.token
            items, spoilt = await self._batched(waiting, stats, lane)
            # A part that spoils the answers of others is requested singly.
            for number in spoilt:
                del waiting[number]
                results.append(await self._answer(requests[number], stats, lane))
            pause = asked = 0.0
            for number, request in list(waiting.items()):
                item = items.get(number)
                if item is None and spoilt:
                    # Its answer was lost with that of another one.
                    continue
                kind = FailureKind.BAD_RESPONSE if item is None or part_refuses_token(item) else transient(item.status)
                if item is not None and kind is None:
                    smaller = smaller_request(request, item) if request is requests[number] else None
                    if smaller is not None:
                        waiting[number] = smaller
                        continue
                    results.append(BatchResult(requests[number], item.status, bytes(item.body)))
                    del waiting[number]
                    continue
                wanted = retry_after(item_headers(item)) if item is not None else 0.0
                wait = failing.setdefault(number, Attempts(self.retry)).failed(
                    kind or FailureKind.BAD_RESPONSE, asked=wanted
                )
                stats.throttled += item is not None and item.status == 429
                if wait is None:
                    results.append(given_up(requests[number], item))
                    del waiting[number]
                    continue
                pause, asked = max(pause, wait), max(asked, wanted)
            if any(part_refuses_token(item) for item in items.values()):
                await self.renew(token)
            if waiting:
                stats.retries += len(waiting)
                self.pacer.heed(lane, min(asked, self.retry.longest_wait), 0.0)
                await asyncio.sleep(pause)
        return results

    async def _batched(
        self, requests: Mapping[int, BatchRequest], stats: RequestStats, lane: Lane
    ) -> tuple[dict[int, BatchItem], list[int]]:
        """Sends requests as one `$batch`; returns the answers by the requests' numbers, as far as there are any.

        Beside them are the numbers of parts that make the answer unreadable: all, where nobody can see which it is.
        """
        parts = [
            {"id": str(number), "method": "GET", "url": f"/{one.url}", "headers": {**HEADERS, **one.headers}}
            for number, one in requests.items()
        ]
        answer = await self.fetch(
            "$batch",
            decode_answers,
            stats=stats,
            lane=lane,
            method="POST",
            body=msgspec.json.encode({"requests": parts}),
            headers={"Content-Type": "application/json"},
            weight=len(parts),
            priority=Priority.BATCH,
            salvage=lambda body: None,
        )
        if answer is None:
            return {}, list(requests)
        units = sum(int(header_number(item_headers(item).get("x-ms-resource-unit", "1"))) for item in answer.responses)
        stats.items += len(parts)
        stats.resource_units += units
        self.pacer.spend(units, len(parts))
        items = {str(item.id): item for item in answer.responses}
        answered = {number: items[str(number)] for number in requests if str(number) in items}
        return answered, [number for number in requests if str(number) in answer.spoilt - items.keys()]


def expired(error: GraphError) -> bool:
    """Whether an error on a delta link means that the link can no longer be followed.

    Documented: 410, or a 40x such as syncStateNotFound (Graph doc: delta-query-overview). Seen on users: 400
    `Request_UnsupportedQuery`, "DeltaLink older than 30 days is not supported."
    """
    return isinstance(error, DeltaLinkExpired) or error.status in {400, 404, 410}


async def _to_the_wire(request: asyncio.Task[GraphPage]) -> None:
    """Lets a request get out before whoever has the page at hand works on it and keeps the loop."""
    for _ in range(_TURNS_TO_SEND):
        if request.done():
            return
        await asyncio.sleep(0)


__all__ = ["BATCH_SIZE", "BatchRequest", "BatchResult", "Graph", "expired", "query"]
