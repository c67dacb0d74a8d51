"""What Graph's answers say besides their content: errors, pauses to make, and the parts of a batch."""

from __future__ import annotations

from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from time import time
from typing import Any

import msgspec

from entra_pipeline.errors import DeltaLinkExpired, GraphError, GraphNotFound, GraphPermissionDenied


class _ErrorDetail(msgspec.Struct):
    code: str = ""
    message: str = ""
    inner: dict[str, Any] | None = msgspec.field(default=None, name="innerError")


class _ErrorBody(msgspec.Struct):
    error: _ErrorDetail = msgspec.field(default_factory=_ErrorDetail)


class BatchItem(msgspec.Struct):
    """The answer to one request of a batch (Graph doc: json-batching)."""

    id: str
    status: int
    headers: dict[str, Any] | None = None
    body: msgspec.Raw = msgspec.Raw(b"")


class BatchBody(msgspec.Struct):
    """The answer to a batch; its items come in any order."""

    responses: list[BatchItem]


_error_decoder = msgspec.json.Decoder(_ErrorBody)
decode_batch = msgspec.json.Decoder(BatchBody).decode
"""The answer to a batch; raises msgspec.DecodeError for a body that was cut off."""


def refusal(status: int, body: bytes, headers: Mapping[str, str]) -> GraphError:
    """The error that Graph's answer means (Graph doc: errors)."""
    try:
        detail = _error_decoder.decode(body).error
    except msgspec.DecodeError:
        detail = _ErrorDetail(message=body[:200].decode("utf-8", "replace"))
    kinds: dict[int, type[GraphError]] = {403: GraphPermissionDenied, 404: GraphNotFound, 410: DeltaLinkExpired}
    text = f"{status} {detail.code}: {detail.message}" if detail.code else f"{status} {detail.message}".rstrip()
    request_id = headers.get("request-id", "") or str((detail.inner or {}).get("request-id", ""))
    return kinds.get(status, GraphError)(
        f"Graph answered {text}", status=status, code=detail.code, request_id=request_id
    )


def item_headers(item: BatchItem) -> dict[str, str]:
    """Headers of the answer to one request of a batch, by lower-case name."""
    return {name.lower(): str(value) for name, value in (item.headers or {}).items()}


def retry_after(headers: Mapping[str, str]) -> float:
    """Seconds to wait by `Retry-After` (seconds or an HTTP date, RFC 9110 §10.2.3); 0 when absent or unreadable."""
    value = headers.get("retry-after", "") or ""
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time())
    except (ValueError, TypeError, IndexError):
        return 0.0


def header_number(value: str | None) -> float:
    """A number in a header; 0 when absent or unreadable."""
    try:
        return float(value or 0)
    except ValueError:
        return 0.0
