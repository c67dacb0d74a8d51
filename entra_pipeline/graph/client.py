"""One tenant seen by one app registration: requests that are paced, retried and counted."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar
from urllib.parse import quote, urlsplit

import httpx
import msgspec

from entra_pipeline.catalogue import Lane
from entra_pipeline.errors import (
    DeltaLinkExpired,
    EntraPipelineError,
    GraphError,
    GraphProtocolError,
    GraphUnavailable,
)
from entra_pipeline.graph.connection import HEADERS, Connection
from entra_pipeline.graph.credentials import CLOUDS, graph_root, token_scope
from entra_pipeline.graph.pacing import CONCURRENT_REQUESTS, ONE_BY_ONE, Pacer, Priority
from entra_pipeline.graph.pages import GraphPage, decode_page
from entra_pipeline.graph.request_stats import RequestStats
from entra_pipeline.graph.responses import decode_batch, header_number, item_headers, refusal, retry_after
from entra_pipeline.graph.retry import RetryPolicy, default_policy

if TYPE_CHECKING:
    from entra_pipeline.project import Tenant

_T = TypeVar("_T")

BATCH_SIZE = 20
"""Requests in a `$batch` at the most (Graph doc: json-batching)."""

_TRANSIENT = {408, 429, 500, 502, 503, 504, 509}
# A link that comes back this often is a circle, not a page served twice.
_SAME_LINK = 3
# Turns of the event loop that a request takes from its start until it is written to the socket, and some to spare.
_TURNS_TO_SEND = 20
# Answers that one reader holds at the most, half of all, so that memory stays bounded and others get their turn.
_BATCHES_AT_ONCE = CONCURRENT_REQUESTS // 2


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


@dataclass(slots=True)
class _Tries:
    """How often, and how long, one request has been tried."""

    limit: int
    started: float = field(default_factory=monotonic)
    count: int = 0
    renewals: int = 0
    last: str = ""


class Graph:
    """Reads a tenant through Microsoft Graph v1.0.

    Use as an asynchronous context manager. One object, with one pacing budget, serves all concurrent reads of a run.

    Args:
        tenant: The tenant and its app registration.
        retry: How requests that failed are sent again; the process's default when None.
    """

    def __init__(self, tenant: Tenant, *, retry: RetryPolicy | None = None) -> None:
        self.tenant = tenant
        self.root = graph_root(tenant)
        self.pacer = Pacer()
        self.retry = retry or default_policy()
        self._connection = Connection(tenant, self.root)
        self._answered = False

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
        await self._connection.credential.get_token(token_scope(self.tenant))
        return self._connection.credential.granted()

    async def registration(self) -> frozenset[str]:
        """The ids that the tenant knows this app registration under: its appId, and the id of its service principal.

        Raises:
            ConfigurationError: Entra refuses the credential or cannot be reached.
        """
        await self._connection.credential.get_token(token_scope(self.tenant))
        return self._connection.credential.registration()

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

        Raises:
            GraphPermissionDenied, GraphNotFound, GraphError: Graph refused for good.
            GraphUnavailable: Graph kept failing for passing reasons.
            ConfigurationError: Entra refuses the credential, or Graph cannot be reached at all.
        """
        tries = _Tries(self.retry.attempts)
        while True:
            tries.count += 1
            response = await self._send(method, url, headers, body, stats, lane, weight, priority)
            if isinstance(response, httpx.HTTPError):
                tries.last = f"{type(response).__name__}: {response}".rstrip(": ")
                if not self._answered:
                    tries.limit = min(tries.limit, self.retry.attempts_unanswered)
                await self._again(tries, stats, lane, 0.0)
                continue
            self._answered = True
            status = response.status_code
            if status < 300:
                try:
                    return decode(response.content)
                except msgspec.DecodeError as error:
                    tries.last = f"the body was cut off or is not JSON ({error})"
                    await self._again(tries, stats, lane, 0.0)
                    continue
            if status == 401 and tries.renewals < 2:
                tries.renewals += 1
                stats.retries += 1
                await self._connection.credential.renew(_bearer(response.request))
                continue
            refused = refusal(status, response.content, response.headers)
            if status not in _TRANSIENT:
                raise refused
            tries.last = refused.message
            stats.throttled += status == 429
            await self._again(tries, stats, lane, retry_after(response.headers))

    async def pages(
        self,
        url: str,
        *,
        stats: RequestStats,
        lane: Lane = Lane.DIRECTORY,
        headers: Mapping[str, str] | None = None,
        many: bool = False,
    ) -> AsyncIterator[GraphPage]:
        """The pages of a collection, or of one round of a delta query, in order, until Graph names no next page.

        While a page is worked on, the next one is under way.

        Args:
            url: Of the first page.
            stats: Counts the requests.
            lane: Throttling lane.
            headers: Added to those that every request carries.
            many: There may be many pages: the first one goes before requests that stand alone.

        Raises:
            GraphProtocolError: A link leads to another host, or in a circle.
            And what `fetch` raises.
        """

        def ask(link: str, priority: Priority) -> asyncio.Task[GraphPage]:
            page = self.fetch(link, decode_page, stats=stats, lane=lane, headers=headers, priority=priority)
            return asyncio.create_task(page)

        seen: Counter[str] = Counter()
        under_way: asyncio.Task[GraphPage] | None = ask(url, Priority.PAGE if many else Priority.SINGLE)
        try:
            while under_way is not None:
                page = await under_way
                under_way = None
                stats.pages += 1
                if (link := page.next_link) is not None:
                    check_link(link, self.tenant, self.root)
                    seen[link] += 1
                    if seen[link] > _SAME_LINK:
                        raise GraphProtocolError("Graph's next links lead in a circle: the collection has no end")
                    under_way = ask(link, Priority.PAGE)
                    await _to_the_wire(under_way)
                yield page
        finally:
            if under_way is not None:
                under_way.cancel()
                await asyncio.gather(under_way, return_exceptions=True)

    async def count(self, path: str, *, stats: RequestStats) -> int:
        """The number of objects in a collection, by `$count` (Graph doc: aad-advanced-queries).

        Counts come from an index that lags behind the directory by seconds to minutes.
        """
        return await self.fetch(
            f"{path}/$count",
            _decode_count,
            stats=stats,
            headers={"ConsistencyLevel": "eventual", "Accept": "text/plain"},
        )

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
        try:
            body = await self.fetch(request.url, bytes, stats=stats, lane=lane, headers=request.headers)
        except GraphUnavailable:
            raise
        except GraphError as error:
            if not error.status:
                raise
            body = msgspec.json.encode({"error": {"code": error.code, "message": error.message}})
            return BatchResult(request, error.status, body)
        return BatchResult(request, 200, body)

    async def _answers(self, requests: Sequence[BatchRequest], stats: RequestStats, lane: Lane) -> list[BatchResult]:
        """The answers to at most `BATCH_SIZE` requests."""
        results: list[BatchResult] = []
        waiting = list(requests)
        tries = _Tries(self.retry.attempts)
        while waiting:
            now = waiting
            body = msgspec.json.encode(
                {
                    "requests": [
                        {
                            "id": str(number),
                            "method": "GET",
                            "url": f"/{request.url}",
                            "headers": {**HEADERS, **request.headers},
                        }
                        for number, request in enumerate(now)
                    ]
                }
            )
            answer = await self.fetch(
                "$batch",
                decode_batch,
                stats=stats,
                lane=lane,
                method="POST",
                body=body,
                headers={"Content-Type": "application/json"},
                weight=len(now),
                priority=Priority.BATCH,
            )
            items = {item.id: item for item in answer.responses}
            units = sum(
                int(header_number(item_headers(item).get("x-ms-resource-unit", "1"))) for item in answer.responses
            )
            stats.items += len(now)
            stats.resource_units += units
            self.pacer.spend(units, len(now))
            waiting = []
            pause = 0.0
            for number, request in enumerate(now):
                item = items.get(str(number))
                if item is not None and item.status not in _TRANSIENT:
                    results.append(BatchResult(request, item.status, bytes(item.body)))
                    continue
                waiting.append(request)
                if item is not None:
                    stats.throttled += item.status == 429
                    pause = max(pause, retry_after(item_headers(item)))
                    tries.last = f"status {item.status} in a batch"
            if waiting:
                tries.count = tries.count + 1 if len(waiting) == len(now) else 0
                stats.retries += len(waiting) - 1
                await self._again(tries, stats, lane, pause)
        return results

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
            if isinstance(response, httpx.HTTPError) or response.status_code != 401:
                break
            stats.retries += 1
            await self._connection.credential.renew(_bearer(response.request))
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
            retry_after(response.headers) if throttled else 0.0,
            header_number(response.headers.get("x-ms-throttle-limit-percentage")),
        )
        return response

    async def _again(self, tries: _Tries, stats: RequestStats, lane: Lane, retry_after: float) -> None:
        """Waits before the next try; raises when the policy allows none."""
        if tries.count >= tries.limit or monotonic() - tries.started > self.retry.timeout:
            raise self._gave_up(tries)
        stats.retries += 1
        if retry_after > 0:
            self.pacer.heed(lane, retry_after, 0.0)
        else:
            await asyncio.sleep(self.retry.pause(tries.count))

    def _gave_up(self, tries: _Tries) -> EntraPipelineError:
        if not self._answered:
            return self.tenant.error(
                "graph_url",
                f"Microsoft Graph cannot be reached at {self.root} ({tries.last})",
                remedy="Check the network, the proxy and the `graph_url` and `cloud` settings of the tenant.",
            )
        return GraphUnavailable(
            f"Microsoft Graph kept failing, {tries.count} times in {monotonic() - tries.started:.0f} s: {tries.last}",
            remedy="The next backup takes up where this one stopped; if it stays, look at Microsoft's service health.",
        )


def check_link(link: str, tenant: Tenant, root: str) -> None:
    """Refuses to carry the token to another host than Graph's own.

    Raises:
        GraphProtocolError: The link leads elsewhere.
    """
    there, here = urlsplit(link), urlsplit(root)
    own = urlsplit(CLOUDS[tenant.cloud][1])
    if (there.scheme, there.netloc) not in {(here.scheme, here.netloc), (own.scheme, own.netloc)}:
        raise GraphProtocolError(
            f"a next link of Graph leads to another host: {there.scheme}://{there.netloc}",
            remedy="If a proxy or gateway stands before Graph, let it rewrite @odata.nextLink to its own address.",
        )


def query(path: str, **options: str | int | None) -> str:
    """`path` with OData query options: `query("users", select="id", top=999)` → `users?$select=id&$top=999`.

    Options that are None or empty are left out; a path that has options already gets more. The separators of OData stay
    readable in logs.
    """
    given = [f"${name}={quote(str(value), safe=',()$=;/:@')}" for name, value in options.items() if value]
    return f"{path}{'&' if '?' in path else '?'}{'&'.join(given)}" if given else path


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


def _bearer(request: httpx.Request) -> str:
    return str(request.headers.get("Authorization", "")).removeprefix("Bearer ")


def _decode_count(body: bytes) -> int:
    try:
        return int(body.decode("utf-8-sig"))
    except ValueError as error:
        raise msgspec.DecodeError(f"not a count: {body[:40]!r}") from error


def explain(result: BatchResult) -> GraphError:
    """The error that a refused request of a batch means."""
    return refusal(result.status, result.body, {})


__all__ = ["BATCH_SIZE", "BatchRequest", "BatchResult", "Graph", "expired", "explain", "query"]
