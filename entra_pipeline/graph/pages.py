"""A page of a Graph collection, split into its objects without decoding them."""

from __future__ import annotations

import msgspec

from entra_pipeline.errors import GraphProtocolError


class GraphPage(msgspec.Struct, frozen=True):
    """One page of a collection or of a delta query (Graph doc: paging, delta-query-overview).

    Attributes:
        value: The objects, each the bytes that Graph sent.
        next_link: URL of the next page, or None.
        delta_link: URL of the next round of a delta query, on the last page of a round, or None.
        count: Objects in the whole collection, on the first page, where Graph was asked and tells.
    """

    value: list[msgspec.Raw]
    next_link: str | None = msgspec.field(default=None, name="@odata.nextLink")
    delta_link: str | None = msgspec.field(default=None, name="@odata.deltaLink")
    count: int | None = msgspec.field(default=None, name="@odata.count")


_decoder = msgspec.json.Decoder(GraphPage)


def decode_page(body: bytes) -> GraphPage:
    """Splits the body of a page.

    Raises:
        msgspec.DecodeError: The body is not JSON (it was cut off, for example): a passing failure.
        GraphProtocolError: The body is JSON but not a page.
    """
    try:
        return _decoder.decode(body)
    except msgspec.ValidationError as error:
        raise GraphProtocolError(f"Graph answered something that is not a page of a collection: {error}") from error


def decode_count(body: bytes) -> int | None:
    """`@odata.count` of a page, which Graph gives when it is asked to count; None when there is none."""
    try:
        return _decoder.decode(body).count
    except msgspec.DecodeError:
        return None
