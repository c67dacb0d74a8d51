"""A request to Graph and its answer, independent of how they travel: alone over HTTP, or as an item of a batch."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, quote, unquote

import msgspec

from entra_pipeline.simulator.protocol.failures import Failure, bad_request

JSON = "application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8"


@dataclass(slots=True)
class GraphResponse:
    """A response: status, body, and headers besides the usual ones."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    units: int = 1


def json_answer(body: object, status: int = 200) -> GraphResponse:
    """Returns an answer with the body as JSON."""
    return GraphResponse(status, msgspec.json.encode(body), {"Content-Type": JSON})


@dataclass(frozen=True, slots=True)
class GraphRequest:
    """A request under /v1.0 or /beta.

    Attributes:
        path: Path below /v1.0, decoded, without slashes at the ends.
        options: Query options by lower-case name.
        headers: By lower-case name.
        root: `scheme://host:port/v1.0` (or `beta`), for links.
        arrived: When it came, by the monotonic clock.
        batched: It is an item of a batch.
    """

    method: str
    path: str
    options: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    root: str
    arrived: float = field(default_factory=time.monotonic)
    batched: bool = False

    @property
    def beta(self) -> bool:
        """Sent to Graph's beta."""
        return self.root.endswith("/beta")

    @property
    def advanced(self) -> bool:
        """Sent with ConsistencyLevel: eventual."""
        return self.headers.get("consistencylevel", "").lower() == "eventual"

    @property
    def counts(self) -> bool:
        """`$count=true` that is heard by the directory: without the header, Graph ignores it."""
        return self.advanced and self.wants_count

    @property
    def wants_count(self) -> bool:
        """`$count=true`, heard or not."""
        return self.options.get("$count", "").lower() == "true"

    def json(self) -> dict[str, Any]:
        """Returns the body as an object. Raises Failure (400)."""
        if "json" not in self.headers.get("content-type", ""):
            raise bad_request("Write requests (excluding DELETE) must contain the Content-Type header declaration.")
        try:
            decoded = msgspec.json.decode(self.body or b"{}")
        except msgspec.DecodeError as error:
            raise Failure(400, "BadRequest", "Unable to read JSON request payload.") from error
        if not isinstance(decoded, dict):
            raise Failure(400, "BadRequest", "Unable to read JSON request payload.")
        return decoded

    def link(self, path: str, drop: set[str], **add: str) -> str:
        """Returns an absolute link with this request's options, but for `drop`, and with `add` (keys without `$`)."""
        kept = [f"{name}={quote(value, safe=_SAFE)}" for name, value in self.options.items() if name not in drop]
        return f"{self.root}/{path}?{'&'.join([*kept, *(f'${name}={value}' for name, value in add.items())])}"


_SAFE = ",()$=;/:@'*"


def parse_options(query: str) -> dict[str, str]:
    """Returns query options by lower-case name. Graph takes the `$` as optional."""
    found = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        name = name.lower()
        found[name if name.startswith("$") else f"${name}"] = value
    return found


def clean_path(raw: str) -> str:
    """Returns a path as sent, decoded, without slashes at the ends."""
    return unquote(raw).strip("/")
