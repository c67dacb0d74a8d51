"""Checks the answers of Graph at the door: every body that is read comes through here.

1. `cleaned` takes a byte order mark away, and hides half surrogate pairs, which no decoder takes (`surrogates`).
2. `checked` makes of a decoder one that tells what is not JSON from what is JSON of another shape. Bodies and elements
   of bodies are decoded by nothing else.
3. `decode_page` splits a page into its objects without decoding them. Elements that are no objects, no UTF-8, or nested
   too deeply are put beside the others as `Unreadable`: they cost nobody else anything.
4. `salvage_page` does the same with a page that stays no JSON however often it is requested.
   `salvage_elements` splits any array so: one element costs itself.

What a body means for a table is no matter of this module.
"""

from __future__ import annotations

import re
import struct
from collections import Counter
from collections.abc import Callable, Iterable
from operator import itemgetter
from typing import Any, TypeVar

import msgspec
import pyarrow as pa

from entra_pipeline.errors import GraphProtocolError
from entra_pipeline.surrogates import hide, replace

_T = TypeVar("_T")
UNREADABLE = (msgspec.DecodeError, GraphProtocolError)
"""What a decoder made by `checked` raises."""
TOO_DEEP = "JSON that is nested too deeply to be read"
_MARK = b"\xef\xbb\xbf"
_OBJECT = ord("{")
_first = itemgetter(0)
_SHOWN = 60
# Graph's own objects have some ten levels. Decoders, DuckDB and Python bear different depths, the last a thousand less
# what is under way: what is stored has to be read by all of them.
_DEEPEST = 100
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


class Unreadable(msgspec.Struct, frozen=True):
    """An element of an answer that is not what Graph's documentation promises.

    Attributes:
        raw: The bytes that Graph sent.
        reason: What is wrong with it.
        id: Its id, where it has a legible one.
    """

    raw: bytes
    reason: str
    id: str = ""


class GraphPage(msgspec.Struct, frozen=True):
    """One page of a collection or of a delta query (Graph doc: paging, delta-query-overview).

    Attributes:
        value: The objects, each the bytes that Graph sent.
        next_link: URL of the next page, or None.
        delta_link: URL of the next round of a delta query, on the last page of a round, or None. Graph has been seen
            to give an empty text; `next_round` looks at what it gave.
        count: Objects in the whole collection, on the first page, where Graph was asked and tells.
        unreadable: Elements that are no objects, or no text.
    """

    value: list[msgspec.Raw]
    next_link: str | None = None
    delta_link: Any = None
    count: int | None = None
    unreadable: list[Unreadable] = []

    @property
    def next_round(self) -> str:
        """URL of the next round of a delta query; empty when Graph gives none, or something that is no text."""
        return self.delta_link if isinstance(self.delta_link, str) else ""


class _Body(msgspec.Struct):
    value: list[msgspec.Raw]
    next_link: str | None = msgspec.field(default=None, name="@odata.nextLink")
    delta_link: Any = msgspec.field(default=None, name="@odata.deltaLink")
    count: int | None = msgspec.field(default=None, name="@odata.count")


# A link that comes back this often is a circle, not a page served twice.
_SAME_LINK = 3
# A list may have grown since it was counted, and single pages may come twice; not more than this.
_COUNTED_TIMES, _COUNTED_MORE = 2, 1_000
# A list that comes without a count is counted after so many pages. Such a count is an answer of its own, which may be
# wrong while the list is right: only many times as many elements, and very many pages, have no end by it.
_COUNTED_AFTER, _ASKED_TIMES, _ASKED_PAGES = 100, 10, 1_000
# So many pages in a row that all came before are a circle. Graph repeats single pages, in a delta round above all.
_REPEATED = 10
# Where the elements of a page begin, and what shows where each of them ends.
_VALUE = re.compile(rb'"value"\s*:\s*\[')
_MARKS_AND_TEXTS = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[\]{},"]', re.DOTALL)
_CLOSED_BY = {b"[": b"]", b"{": b"}"}
_BEFORE_TEXT, _AFTER_TEXT, _BLANKS = {b"{", b"[", b",", b":"}, {b",", b":", b"]", b"}"}, 20
_TEXT_VALUE = re.compile(rb'\s*:\s*"([^"\\\x00-\x1f]+)"')
# After so many pages, an element is noted. When it comes again, pages that bring no new element are counted as well,
# whatever else is new in them. They may be as many in a row as the pages that did bring some: Graph may report objects
# of a delta round again. After so many times as many pages, another element is noted: a circle may begin late.
_NOTED_FROM, _NOTED_AGAIN = 100, 4
# Elements of a page whose bytes are compared, at most.
_COMPARED = 16
# So many empty pages in a row have no end. A delta round over a large tenant has hundreds (Graph doc:
# delta-query-overview, "an empty value array with a nextLink").
_EMPTY = 3_000


class PageCutError(GraphProtocolError):
    """A page breaks off and does not say how the list goes on.

    Attributes:
        page: What it has until then.
    """

    def __init__(self, message: str, page: GraphPage) -> None:
        super().__init__(message)
        self.page = page


class PagingBound:
    """Tells when the pages of a collection repeat themselves, so that paging has an end.

    A page counts as a repetition when it has the payload of an earlier one. In a list, whose elements have ids, that
    is a page with the same first and last id and as many elements: single properties may change between the two.

    Where Graph has counted a list, pages that show far more elements than that have no end either. A long list that it
    has not counted is counted meanwhile (`wants_count`).

    In long rounds, a page whose elements all came before counts too, even when each time something else changed in
    them or their order. These end a round when there are more of them in a row than other pages. To tell them from
    others takes longer than to read them: nobody does until one of a few elements, which are easily found, comes again.

    Args:
        is_delta: The pages are those of a delta round, where an object may come again with other links.
        counted: Elements of the list, where they were counted beside it.

    Attributes:
        pages: Pages so far.
    """

    def __init__(self, is_delta: bool = False, counted: int | None = None) -> None:
        self.pages = 0
        self._is_delta = is_delta
        self._seen: set[int] = set()
        self._links: Counter[str] = Counter()
        self._repeated = 0
        self._empty = 0
        self._most = None if counted is None else _COUNTED_TIMES * counted + _COUNTED_MORE
        self._free_pages = 0
        self._shown = 0
        self._noted: list[bytes] = []
        self._elements: _ElementFilter | None = None
        self._fresh = self._stale = 0

    @property
    def wants_count(self) -> bool:
        """Whether it is time to have Graph count the list.

        A delta round has no count: it repeats objects, and tells of deleted ones.
        """
        return self.pages == _COUNTED_AFTER and self._most is None and not self._is_delta

    def expect(self, counted: int) -> None:
        """Takes the number of elements that Graph counts beside the list, when asked meanwhile."""
        self._most, self._free_pages = _ASKED_TIMES * counted, _ASKED_PAGES

    def add(self, page: GraphPage) -> None:
        """Counts a page.

        Raises:
            GraphProtocolError: The pages have no end.
        """
        self.pages += 1
        self._shown += len(page.value)
        if self._most is None and page.count is not None and not self._is_delta:
            self._most = _COUNTED_TIMES * page.count + _COUNTED_MORE
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
            if self.pages >= _NOTED_FROM:
                self._watch(page.value, b",".join(page.value))
        endless = self._repeated >= _REPEATED or self._empty >= _EMPTY or self._stale >= max(_REPEATED, self._fresh)
        if self._most is not None and self.pages > self._free_pages:
            endless = endless or self._shown > self._most
        if endless or self._links[page.next_link] > _SAME_LINK:
            raise GraphProtocolError(
                f"Graph's pages have no end: after {self.pages} there is a next one, but nothing new",
                remedy="The next backup reads it again; if the problem persists, contact Microsoft support.",
            )

    def _watch(self, value: list[msgspec.Raw], text: bytes) -> None:
        """Counts a page by what is new in it, once a noted element has come again."""
        if self._elements is None and self._comes_again(value, text):
            self._elements = _ElementFilter()
        if self._elements is None:
            return
        if self._elements.add(_keys_of(value, text)):
            self._fresh, self._stale = self._fresh + 1, 0
        else:
            self._stale += 1

    def _comes_again(self, value: list[msgspec.Raw], text: bytes) -> bool:
        """Tells whether a page has an element that was noted; notes one when it is time to."""
        # The id alone may also be that of a link.
        came = [noted for noted in self._noted if noted in text]
        if any(noted in data and _id_of(data) == noted for noted in came for data in map(bytes, value)):
            return True
        if self.pages >= _NOTED_FROM * _NOTED_AGAIN ** len(self._noted):
            self._noted.append(_id_of(value[0]))
        # What has no id cannot be found.
        return b"" in self._noted

    def _payload(self, value: list[msgspec.Raw]) -> int:
        ends = [] if self._is_delta else [_id_of(value[0]), _id_of(value[-1])]
        if ends and all(ends):
            return hash((len(value), *ends))
        # Of many elements, the lengths of all and the bytes of some tell pages from each other as well.
        some = value[:: len(value) // _COMPARED + 1]
        lengths = map(len, map(memoryview, value))  # type: ignore[arg-type]
        return hash((*lengths, *map(bytes, some), bytes(value[-1])))


def _id_of(element: bytes | msgspec.Raw) -> bytes:
    """Returns the id of an element as it is written; empty when it has none."""
    try:
        return bytes(_members(element).get("id", b""))
    except UNREADABLE:
        return b""


def _keys_of(value: list[msgspec.Raw], text: bytes) -> Iterable[bytes | str]:
    """Returns what tells each element of a page from others, ids where there are no slices of links."""
    if b'@delta"' in text:
        return map(_key_of, value)
    try:
        return [one.id for one in _with_ids(b"[%s]" % text)]
    except UNREADABLE:
        return map(_key_of, value)


def _key_of(element: msgspec.Raw) -> bytes:
    """Returns the id of an element and, of each slice of links, the length and the ids at both ends."""
    try:
        members = _members(element)
        key = bytes(members.get("id", element))
        for name, payload in members.items():
            if name.endswith("@delta"):
                links = _elements(payload)
                ends = [_id_of(links[0]), _id_of(links[-1])] if links else []
                key = b" ".join([key, name.encode(), b"%d" % len(links), *ends])
        return key
    except UNREADABLE:
        return bytes(element)


class _ElementFilter:
    """Remembers millions of keys in 2 MB (a Bloom filter): may take a new key for an old one, never the reverse."""

    _BITS = (1 << 24) - 1
    # Of the 64 bits of a hash, each of these and the 23 that follow name a place.
    _SHIFTS = (3, 22, 40)
    # Of a page with many keys, one in eight is enough; which ones does not depend on the page.
    _SAMPLED, _MANY = 7, 64

    def __init__(self) -> None:
        self._held = bytearray((self._BITS + 1) // 8)

    def add(self, keys: Iterable[bytes | str]) -> bool:
        """Adds the keys of a page; tells whether one of them is new."""
        held, new = self._held, False
        numbers = list(map(hash, keys))
        if len(numbers) >= self._MANY:
            numbers = [number for number in numbers if not number & self._SAMPLED] or numbers
        for number in numbers:
            for shift in self._SHIFTS:
                place = (number >> shift) & self._BITS
                bit = 1 << (place & 7)
                if not held[place >> 3] & bit:
                    held[place >> 3] |= bit
                    new = True
        return new


def is_deep(data: bytes) -> bool:
    """Tells whether JSON is nested more than 100 levels deep, so that not everybody can read it."""
    brackets = data.translate(None, _NO_BRACKETS)
    # Each turn takes the innermost pairs away, one level or two: cheap for what is flat. What stays are brackets in
    # texts, or levels whose other bracket they took: each stands for a level at most.
    levels = 0
    while brackets and levels + len(brackets) > _DEEPEST:
        left = brackets.replace(b"{}", b"").replace(b"[]", b"")
        levels += 2
        if levels > _DEEPEST or len(left) == len(brackets):
            break
        brackets = left
    else:
        return False
    depth = 0
    for found in _MARKS_AND_TEXTS.finditer(data):
        depth += (found[0] in _CLOSED_BY) - (found[0] in {b"]", b"}"})
        if depth > _DEEPEST:
            return True
    return False


class _Count(msgspec.Struct):
    count: int | None = msgspec.field(default=None, name="@odata.count")


class _WithId(msgspec.Struct):
    id: str


def checked(decode: Callable[[bytes | msgspec.Raw], _T]) -> Callable[[bytes | msgspec.Raw], _T]:
    """Makes a decoder that says what is wrong with JSON of Graph.

    Args:
        decode: Decodes JSON, that of a whole body or of an element.

    Returns:
        A function that raises msgspec.DecodeError for what is not JSON (it was cut off, for example), and
        GraphProtocolError for what is JSON of another shape, no UTF-8, or nested too deeply.
    """

    def decoded(data: bytes | msgspec.Raw) -> _T:
        try:
            return decode(data)
        except msgspec.ValidationError as error:
            raise GraphProtocolError(f"Graph answered something of another shape: {error}") from error
        except UnicodeDecodeError as error:
            raise GraphProtocolError(f"Graph answered bytes that are no UTF-8: {error}") from error
        except RecursionError as error:
            raise GraphProtocolError(f"Graph answered {TOO_DEEP}") from error

    return decoded


_body = checked(msgspec.json.Decoder(_Body).decode)
_count = checked(msgspec.json.Decoder(_Count).decode)
_members = checked(msgspec.json.Decoder(dict[str, msgspec.Raw]).decode)
_elements = checked(msgspec.json.Decoder(list[msgspec.Raw]).decode)
_anything = checked(msgspec.json.Decoder().decode)
_with_id = checked(msgspec.json.Decoder(_WithId).decode)
_with_ids = checked(msgspec.json.Decoder(list[_WithId]).decode)


def cleaned(body: bytes) -> bytes:
    """Returns the JSON of a body that decoders take; `surrogates.reveal` makes of it what Graph sent."""
    return hide(body.removeprefix(_MARK))


def decoding(decode: Callable[[bytes | msgspec.Raw], _T]) -> Callable[[bytes], _T]:
    """Makes a decoder of whole bodies, in which half surrogate pairs are U+FFFD; see `checked`."""
    decoded = checked(decode)
    return lambda body: decoded(replace(body.removeprefix(_MARK)))


def decode_plain_count(body: bytes) -> int:
    """Returns the number that `/$count` answers. Raises msgspec.DecodeError for what is none."""
    try:
        return int(body.decode("utf-8-sig"))
    except ValueError as error:
        raise msgspec.DecodeError(f"not a count: {body[:40]!r}") from error


def decode_page(body: bytes) -> GraphPage:
    """Splits the body of a page.

    Raises:
        msgspec.DecodeError: The body is not JSON (it was cut off, for example): a passing failure.
        GraphProtocolError: The body is JSON but not a page.
    """
    text = cleaned(body)
    try:
        page = _body(text)
    except GraphProtocolError as error:
        if isinstance(error.__cause__, RecursionError):
            # That is one element, and the others may be read.
            return salvage_page(body)
        page = _other_shape(text, error)
    deep = is_deep(text)
    kinds = set(map(_first, map(memoryview, page.value)))  # type: ignore[arg-type]
    if not deep and kinds <= {_OBJECT} and (text.isascii() or _is_text(text)):
        return GraphPage(page.value, page.next_link, page.delta_link, page.count)
    readable: list[msgspec.Raw] = []
    unreadable: list[Unreadable] = []
    for raw in page.value:
        data = bytes(raw)
        if data[0] != _OBJECT:
            unreadable.append(Unreadable(data, f"{shown(data)} among the objects"))
        elif not _is_text(data):
            unreadable.append(Unreadable(data, "bytes that are no UTF-8", legible_id(data)))
        elif deep and is_deep(data):
            unreadable.append(Unreadable(data, TOO_DEEP, id_at_top(data)))
        else:
            readable.append(raw)
    return GraphPage(readable, page.next_link, page.delta_link, page.count, unreadable)


def salvage_page(body: bytes) -> GraphPage:
    """Splits the body of a page that is no JSON as a whole: the elements that are JSON, and the others as unreadable.

    Raises:
        PageCutError: It breaks off, and does not say how the list goes on.
        GraphProtocolError: It is no page.
    """
    text = cleaned(body)
    begin = _VALUE.search(text)
    if begin is None:
        raise GraphProtocolError(f"Graph answered what is not JSON: {shown(text)}")
    readable, unreadable, end = salvage_elements(text, begin.end())
    try:
        page = _body(text[: begin.end()] + (text[end:] if end else b"]}"))
    except UNREADABLE as error:
        raise GraphProtocolError(f"Graph answered what is not JSON ({error}): {shown(text)}") from error
    found = GraphPage(readable, page.next_link, page.delta_link, page.count, unreadable)
    if not end and page.next_link is None and not page.delta_link:
        raise PageCutError(f"Graph answered a page that breaks off, and no link to the next: {shown(text)}", found)
    return found


def salvage_elements(text: bytes, start: int) -> tuple[list[msgspec.Raw], list[Unreadable], int]:
    """Splits the elements of an array in a text that is no JSON as a whole.

    Args:
        text: JSON, more or less.
        start: Behind the bracket that opens the array.

    Returns:
        The elements that are objects; the others; and where the bracket is that closes the array. That is 0 when
        nobody can see where an element ends: the last of the others is then all that is left from that one on.
    """
    readable: list[msgspec.Raw] = []
    unreadable: list[Unreadable] = []
    pieces, end = _pieces(text, start)
    for place, piece in pieces:
        try:
            if not isinstance(_anything(piece), dict):
                raise GraphProtocolError(f"{shown(piece)} among the objects")
            if is_deep(piece):
                raise GraphProtocolError(TOO_DEEP)
            readable.append(msgspec.Raw(piece))
        except UNREADABLE as error:
            is_rest = not end and place == pieces[-1][0]
            if is_rest or not _has_whole_texts(piece):
                # Nobody can see where this element ends, and whether what follows are elements.
                return readable, [*unreadable, Unreadable(text[place:], str(error))], 0
            unreadable.append(Unreadable(piece, str(error), id_at_top(piece)))
    return readable, unreadable, end


def _pieces(text: bytes, start: int) -> tuple[list[tuple[int, bytes]], int]:
    """Splits the elements of an array by its brackets and texts alone.

    Args:
        text: JSON, more or less.
        start: Behind the bracket that opens the array.

    Returns:
        The elements with their places, and where the bracket is that closes the array; 0 when none does. Then the last
        element is all that is left from the first one whose end nobody can see.
    """
    ends = []
    open_brackets = bytearray()
    close = 0
    for found in _MARKS_AND_TEXTS.finditer(text, start):
        mark = found[0]
        if mark in _CLOSED_BY:
            open_brackets += _CLOSED_BY[mark]
        elif mark == b"," and not open_brackets:
            ends.append(found.start())
        elif mark == b"]" and not open_brackets:
            close = found.start()
            break
        elif mark == b'"' or (mark in {b"]", b"}"} and (not open_brackets or open_brackets.pop() != mark[0])):
            break
    begins = [start, *(end + 1 for end in ends)]
    pieces = [(begin, text[begin:end].strip()) for begin, end in zip(begins, [*ends, close or None], strict=True)]
    return [(begin, piece) for begin, piece in pieces if piece], close


def _has_whole_texts(piece: bytes) -> bool:
    """Tells whether every text of an element stands between marks; a quotation mark within one shifts the others."""
    held = b"{%s}" % piece
    return all(
        # Blanks are few between marks, and slices short: a piece may be long.
        held[max(0, found.start() + 1 - _BLANKS) : found.start() + 1].rstrip()[-1:] in _BEFORE_TEXT
        and held[found.end() + 1 : found.end() + 1 + _BLANKS].lstrip()[:1] in _AFTER_TEXT
        for found in _MARKS_AND_TEXTS.finditer(piece)
        if found[0][:1] == b'"'
    )


def id_at_top(piece: bytes) -> str:
    """Returns the id of an object that is no JSON: its own, not that of something within; empty without one."""
    depth = 0
    for found in _MARKS_AND_TEXTS.finditer(piece):
        mark = found[0]
        depth += (mark in _CLOSED_BY) - (mark in {b"]", b"}"})
        if depth == 1 and mark == b'"id"' and (value := _TEXT_VALUE.match(piece, found.end())):
            return value[1].decode("utf-8", "replace")
    return ""


def _other_shape(text: bytes, error: GraphProtocolError) -> _Body:
    """Returns the page of a body with a count of another kind; raises GraphProtocolError for anything else."""
    try:
        members: dict[str, Any] = _members(text)
        members.pop("@odata.count", None)
        return _body(msgspec.json.encode(members))
    except UNREADABLE:
        raise GraphProtocolError(f"{error.message}, and that is no page of a collection: {shown(text)}") from error


def decode_count(body: bytes) -> int | None:
    """`@odata.count` of a page, which Graph gives when it is asked to count; None when there is none."""
    try:
        return _count(cleaned(body)).count
    except UNREADABLE:
        return None


def shown(data: bytes) -> str:
    """Returns the beginning of some bytes, for a person to look at."""
    text = data[:_SHOWN].decode("utf-8", "replace")
    return f"{text} …" if len(data) > _SHOWN else text


def legible_id(data: bytes) -> str:
    """Returns the id of an object of which other members cannot be read; empty without one."""
    try:
        return _with_id(data).id
    except UNREADABLE:
        return ""


def _is_text(data: bytes) -> bool:
    # To decode it would make a text of up to four times its size, only to throw it away.
    ends = pa.py_buffer(struct.pack("=2q", 0, len(data)))
    text = pa.Array.from_buffers(pa.large_string(), 1, [None, ends, pa.py_buffer(data)])
    try:
        text.validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True
