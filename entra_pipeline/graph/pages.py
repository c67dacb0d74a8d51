"""A page of a Graph collection, split into its objects without decoding them."""

from __future__ import annotations

from collections import Counter
from hashlib import blake2b
from typing import Any

import msgspec

from entra_pipeline.errors import GraphProtocolError


class GraphPage(msgspec.Struct, frozen=True):
    """One page of a collection or of a delta query (Graph doc: paging, delta-query-overview).

    Attributes:
        value: The objects, each the bytes that Graph sent.
        next_link: URL of the next page, or None.
        delta_link: URL of the next round of a delta query, on the last page of a round, or None. Graph has been seen
            to give an empty text; `next_round` looks at what it gave.
        count: Objects in the whole collection, on the first page, where Graph was asked and tells.
    """

    value: list[msgspec.Raw]
    next_link: str | None = msgspec.field(default=None, name="@odata.nextLink")
    delta_link: Any = msgspec.field(default=None, name="@odata.deltaLink")
    count: int | None = msgspec.field(default=None, name="@odata.count")

    @property
    def next_round(self) -> str:
        """URL of the next round of a delta query; empty when Graph gives none, or something that is no text."""
        return self.delta_link if isinstance(self.delta_link, str) else ""


# A link that comes back this often is a circle, not a page served twice.
_SAME_LINK = 3
# So many pages in a row that all came before are a circle. Graph repeats single pages, in a delta round above all.
_REPEATED = 10
# So many empty pages in a row have no end. A delta round over a large tenant has hundreds (Graph doc:
# delta-query-overview, "an empty value array with a nextLink").
_EMPTY = 3_000
_element = msgspec.json.Decoder(dict[str, msgspec.Raw])


class PagingBound:
    """Tells when the pages of a collection repeat themselves, so that paging has an end.

    A page counts as a repetition when it has the payload of an earlier one. In a list, whose elements have ids, that
    is a page with the same first and last id and as many elements: single properties may change between the two.

    Args:
        is_delta: The pages are those of a delta round, where an object may come again with other links.

    Attributes:
        pages: Pages so far.
    """

    def __init__(self, *, is_delta: bool = False) -> None:
        self.pages = 0
        self._is_delta = is_delta
        self._seen: set[bytes] = set()
        self._links: Counter[str] = Counter()
        self._repeated = 0
        self._empty = 0

    def add(self, page: GraphPage) -> None:
        """Counts a page.

        Raises:
            GraphProtocolError: The pages have no end.
        """
        self.pages += 1
        if page.next_link is None:
            return
        self._links[page.next_link] += 1
        if not page.value:
            self._empty += 1
        else:
            self._empty = 0
            payload = self._payload(page.value)
            self._repeated = self._repeated + 1 if payload in self._seen else 0
            self._seen.add(payload)
        if self._links[page.next_link] > _SAME_LINK or self._repeated >= _REPEATED or self._empty >= _EMPTY:
            raise GraphProtocolError(
                f"Graph's pages have no end: after {self.pages} it names a next one and brings nothing new",
                remedy="The next backup reads it again; if it stays, tell Microsoft support.",
            )

    def _payload(self, value: list[msgspec.Raw]) -> bytes:
        found = blake2b(len(value).to_bytes(8), digest_size=16)
        ends = [] if self._is_delta else [_id_of(value[0]), _id_of(value[-1])]
        for one in ends if ends and all(ends) else value:
            found.update(bytes(one))
        return found.digest()


def _id_of(element: msgspec.Raw) -> bytes:
    """Returns the id of an element as it is written; empty when it has none."""
    try:
        return bytes(_element.decode(element).get("id", b""))
    except msgspec.DecodeError:
        return b""


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
