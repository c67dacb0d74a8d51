"""Writes to a tenant: gathered into `$batch`, within Graph's write limits, repeated where that cannot double anything.

What belongs here: what an answer to a write means for the request itself: done, refused, to be repeated, or unknown.
What does not: what it means for the object (`restore`).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Literal

import httpx
import msgspec

from entra_pipeline.catalogue import Lane
from entra_pipeline.errors import EntraPipelineError, GraphError, GraphUnavailable
from entra_pipeline.graph.client import BATCH_SIZE, Graph
from entra_pipeline.graph.pacing import ONE_BY_ONE, WriteBudget
from entra_pipeline.graph.pages import decoding
from entra_pipeline.graph.request_stats import RequestStats
from entra_pipeline.graph.responses import (
    decode_batch,
    error_targets,
    header_number,
    item_headers,
    refusal,
    refuses_token,
    retry_after,
    step_up,
    transient,
)
from entra_pipeline.graph.retry import Attempts, FailureKind

_decode_object = decoding(msgspec.json.Decoder(dict[str, Any]).decode)

Method = Literal["POST", "PUT", "PATCH", "DELETE"]

# Answers that say, without a doubt, that nothing was done: throttled; a write at the same time on the same object
# (`Directory_ConcurrencyViolation`, Graph doc: resource-and-throttling errors).
_CONCURRENCY = "Directory_ConcurrencyViolation"
# A batch that is not full waits this long, in seconds, for more to come.
_LINGER = 0.01
# Batches under way at once: with an answer in two seconds, four times Graph's write limit.
_BATCHES_AT_ONCE = 8
_HEADERS = {
    # A restore is what the tenant is waiting for (Graph doc: throttling, x-ms-throttle-priority).
    "x-ms-throttle-priority": "normal",
}


@dataclass(frozen=True, slots=True)
class Write:
    """A request that changes something.

    Attributes:
        method: HTTP method.
        url: Path under the Graph root, without a leading slash.
        body: JSON value; None for none.
        content: Bytes to send instead of JSON, of the type that `headers` says; they go in a request of their own.
        headers: Added to those that every request carries.
        repeatable: Whether sending it twice does no more than sending it once. By itself, that is true of everything
            but POST (RFC 9110 §9.2.2); of a POST where Graph refuses the second (`$ref`, assignLicense).
    """

    method: Method
    url: str
    body: Any = None
    content: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    repeatable: bool = False

    @property
    def again(self) -> bool:
        """Whether it may be sent again though nobody knows whether it took effect."""
        return self.repeatable or self.method != "POST"


@dataclass(frozen=True, slots=True)
class WriteResult:
    """What became of a write.

    Attributes:
        write: The request.
        status: HTTP status; 0 when no answer came.
        body: As Graph sent it; empty when there is none.
        headers: By lower-case name.
        lost: Nobody knows whether it took effect: the answer was lost, or says that the service failed under way. Only
            of requests that must not be repeated; the others are.
    """

    write: Write
    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    lost: bool = False

    @property
    def done(self) -> bool:
        """Whether Graph says that it is done."""
        return HTTPStatus.OK <= self.status < HTTPStatus.MULTIPLE_CHOICES

    @property
    def claims(self) -> str:
        """What a person's sign-in has to satisfy before the write is allowed (`responses.step_up`); empty as a rule."""
        return step_up(self.status, self.headers)

    def json(self) -> dict[str, Any]:
        """The body; empty when there is none. Raises GraphProtocolError for one that is no object."""
        return _decode_object(self.body) if self.body else {}

    def targets(self) -> tuple[str, ...]:
        """What Graph's refusal says it is about: names of properties; none where it says nothing."""
        return error_targets(self.body)

    def error(self) -> GraphError:
        """What Graph's refusal means."""
        return refusal(self.status, self.body, self.headers)


@dataclass(slots=True, eq=False)
class _Pending:
    write: Write
    lane: Lane
    answer: asyncio.Future[WriteResult]
    attempts: Attempts


class GraphWriter:
    """Writes to one tenant. Use as an asynchronous context manager.

    Requests that are sent at the same time travel together, up to 20 to a `$batch`; the parts of a batch have no order
    (Graph doc: json-batching), so who needs one waits for the answer.

    Args:
        graph: The tenant, as the app registration that may write; its retry policy counts for writes as well.
        stats: Counts what is sent.
    """

    def __init__(self, graph: Graph, *, stats: RequestStats) -> None:
        self.graph = graph
        self.stats = stats
        self.budget = WriteBudget()
        self.sent = 0
        """Writes that were sent, repeated ones included."""
        self.requests = 0
        """HTTP requests that carried them."""
        self._waiting: dict[Lane, deque[_Pending]] = {lane: deque() for lane in Lane}
        self._slots = asyncio.Semaphore(_BATCHES_AT_ONCE)
        self._dispatching: dict[Lane, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> GraphWriter:
        return self

    async def __aexit__(self, *_: object) -> None:
        tasks = [*self._tasks, *self._dispatching.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def send(self, write: Write, *, lane: Lane = Lane.DIRECTORY) -> WriteResult:
        """Sends one write, and repeats it as often as it takes and may be.

        Returns:
            The final answer: done, refused for good, or lost.

        Raises:
            GraphUnavailable: Graph cannot be reached, or kept failing.
            ConfigurationError: Entra refuses the credential.
        """
        pending = _Pending(write, lane, asyncio.get_running_loop().create_future(), Attempts(self.graph.retry))
        self._queue(pending)
        return await pending.answer

    def _queue(self, pending: _Pending) -> None:
        lane = pending.lane
        self._waiting[lane].append(pending)
        if lane not in self._dispatching:
            self._dispatching[lane] = asyncio.create_task(self._dispatch(lane))

    async def _dispatch(self, lane: Lane) -> None:
        """Sends what waits in a lane, until nothing does."""
        waiting = self._waiting[lane]
        try:
            while waiting:
                await self._slots.acquire()
                most = 1 if lane in ONE_BY_ONE or waiting[0].write.content is not None else BATCH_SIZE
                if len(waiting) < most:
                    await asyncio.sleep(_LINGER)
                together = [waiting.popleft()]
                while waiting and len(together) < most and waiting[0].write.content is None:
                    together.append(waiting.popleft())
                self._run(self._carry_out(together, lane))
        finally:
            del self._dispatching[lane]

    def _run(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _carry_out(self, together: list[_Pending], lane: Lane) -> None:
        try:
            await (self._alone(together[0], lane) if len(together) == 1 else self._batch(together, lane))
        except EntraPipelineError as error:
            for pending in together:
                _settle(pending, error)
        finally:
            self._slots.release()

    async def _alone(self, pending: _Pending, lane: Lane) -> None:
        write = pending.write
        body = write.content
        if body is None and write.body is not None:
            body = msgspec.json.encode(write.body)
        kind = {} if body is None else {"Content-Type": "application/json"}
        headers = {**_HEADERS, **kind, **write.headers}
        answer = await self._once(write.method, write.url, body, headers, lane, 1)
        if isinstance(answer, httpx.HTTPError):
            self._unanswered([pending], answer)
        else:
            self._judge(pending, answer.status_code, answer.content, answer.headers)

    async def _batch(self, together: list[_Pending], lane: Lane) -> None:
        requests = [
            {
                "id": str(position),
                "method": pending.write.method,
                "url": f"/{pending.write.url}",
                "headers": {**_HEADERS, **pending.write.headers},
            }
            for position, pending in enumerate(together)
        ]
        for request, pending in zip(requests, together, strict=True):
            if pending.write.body is not None:
                request["body"] = pending.write.body
                request["headers"] = {**request["headers"], "Content-Type": "application/json"}  # type: ignore[dict-item]
        body = msgspec.json.encode({"requests": requests})
        outer = {**_HEADERS, "Content-Type": "application/json"}
        token = self.graph.token
        answer = await self._once("POST", "$batch", body, outer, lane, len(together))
        if isinstance(answer, httpx.HTTPError):
            self._unanswered(together, answer)
            return
        if answer.status_code >= HTTPStatus.MULTIPLE_CHOICES:
            for pending in together:
                self._judge(pending, answer.status_code, answer.content, answer.headers)
            return
        try:
            items = {str(item.id): item for item in decode_batch(answer.content).responses}
        except msgspec.DecodeError as error:
            self._unanswered(together, error)
            return
        self.stats.items += len(together)
        if any(
            refuses_token(item.status, bytes(item.body)) and not step_up(item.status, item_headers(item))
            for item in items.values()
        ):
            await self.graph.renew(token)
        units = 0
        for position, pending in enumerate(together):
            item = items.get(str(position))
            if item is None:
                self._unanswered([pending], GraphError("Graph left the answer out of a batch"))
                continue
            headers = item_headers(item)
            units += int(header_number(headers.get("x-ms-resource-unit", "1")))
            self._judge(pending, item.status, bytes(item.body), headers)
        self.stats.resource_units += units
        self.graph.pacer.spend(units, len(together))

    async def _once(
        self, method: str, url: str, body: bytes | None, headers: Mapping[str, str], lane: Lane, writes: int
    ) -> httpx.Response | httpx.HTTPError:
        async with self.budget.turn(writes):
            self.sent += writes
            self.requests += 1
            return await self.graph.once(
                method, url, stats=self.stats, lane=lane, headers=headers, body=body, weight=writes
            )

    def _judge(self, pending: _Pending, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        """Settles a write by its answer, or sends it again."""
        written = WriteResult(pending.write, status, body, headers)
        if written.claims:
            _settle(pending, written)
            return
        asked = retry_after(headers)
        if status == HTTPStatus.TOO_MANY_REQUESTS or (status == HTTPStatus.SERVICE_UNAVAILABLE and asked):
            self.stats.throttled += status == HTTPStatus.TOO_MANY_REQUESTS
            self._heed(pending.lane, min(asked, self.graph.retry.longest_wait), headers)
            if self._again(pending, FailureKind.UNAVAILABLE, asked=asked):
                return
        elif (status == HTTPStatus.CONFLICT and written.error().code == _CONCURRENCY) or refuses_token(status, body):
            if self._again(pending, FailureKind.BAD_RESPONSE):
                return
        elif failure := transient(status):
            if not pending.write.again:
                written = WriteResult(pending.write, status, body, headers, lost=True)
            elif self._again(pending, failure, asked=asked):
                return
        _settle(pending, written)

    def _heed(self, lane: Lane, pause: float, headers: Mapping[str, str]) -> None:
        if headers.get("x-ms-throttle-information") == "WriteLimitExceeded":
            # Reads have limits of their own.
            self.budget.exceeded(pause)
        else:
            self.graph.pacer.heed(lane, pause, header_number(headers.get("x-ms-throttle-limit-percentage")))

    def _unanswered(self, together: list[_Pending], error: Exception) -> None:
        """Settles writes whose answer never came, or sends them again."""
        unsent = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)
        for pending in together:
            if not unsent and not pending.write.again:
                _settle(pending, WriteResult(pending.write, 0, lost=True))
            elif not self._again(pending, FailureKind.UNAVAILABLE, f"{type(error).__name__}: {error}".rstrip(": ")):
                _settle(
                    pending,
                    GraphUnavailable(
                        f"Microsoft Graph kept failing, {pending.attempts}",
                        remedy="Start it again: completed writes are not repeated.",
                    ),
                )

    def _again(self, pending: _Pending, kind: FailureKind, last: str = "", *, asked: float = 0.0) -> bool:
        """Sends a write again after a pause; False when the patience is over."""
        pause = pending.attempts.failed(kind, last, asked=asked)
        if pause is None:
            return False
        self.stats.retries += 1
        self._run(self._later(pending, pause))
        return True

    async def _later(self, pending: _Pending, pause: float) -> None:
        await asyncio.sleep(pause)
        self._queue(pending)


def _settle(pending: _Pending, result: WriteResult | EntraPipelineError) -> None:
    if pending.answer.done():
        return
    if isinstance(result, WriteResult):
        pending.answer.set_result(result)
    else:
        pending.answer.set_exception(result)


__all__ = ["GraphWriter", "Method", "Write", "WriteResult"]
