"""Checks objects: whether they are of the type, which one a single object is, and whether all of it is there.

What belongs here: what one object says. What does not: splitting pages into objects (`graph.pages`, `page_parser`).
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from functools import cache, lru_cache

import msgspec

from entra_pipeline.backup.rows.page_parser import identify
from entra_pipeline.catalogue import BY_GRAPH_TYPE, CATALOGUE, ObjectType
from entra_pipeline.errors import GraphProtocolError
from entra_pipeline.graph import BatchResult
from entra_pipeline.graph.pages import TOO_DEEP, UNREADABLE, checked, cleaned, is_deep, shown
from entra_pipeline.store.manifest import Gap
from entra_pipeline.surrogates import hide_text

_decode_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_members = checked(_decode_members)
# As text, because a decoder does not look whether what stays JSON is UTF-8.
_text_members = checked(lambda body: _decode_members(bytes(body).decode()))
# What Graph adds to a single object's answer (Graph doc: best-practices).
_CONTEXT = {"@odata.context", "@microsoft.graph.tips"}
_ERROR = "error"


def without_context(body: bytes) -> bytes:
    """Returns a single object as a list would show it, without the annotations of a single response.

    Raises:
        msgspec.DecodeError: The body is not JSON.
        GraphProtocolError: The body is no object, or an error that came with a status of success.
    """
    body = cleaned(body)
    if is_deep(body):
        raise GraphProtocolError(f"Graph answered {TOO_DEEP}")
    members = _text_members(body)
    if _ERROR in members and not members.keys() - _CONTEXT - {_ERROR}:
        detail = bytes(members[_ERROR])[:200].decode("utf-8", "replace")
        raise GraphProtocolError(f"Graph answered an error with a status of success: {detail}")
    if not members.keys() & _CONTEXT:
        return body
    return msgspec.json.encode({name: value for name, value in members.items() if name not in _CONTEXT})


def single_object(entry: ObjectType, result: BatchResult, identifier: str) -> bytes:
    """Returns an object that was requested by its id.

    Raises:
        GraphError: Graph refuses it, or has answered something else.
    """
    body = result.decoded(without_context)
    check_single(entry, body, identifier)
    return body


def check_single(entry: ObjectType, body: bytes, identifier: str = "") -> None:
    """Checks that a single object is one of its type.

    Args:
        entry: The type.
        body: The object, without the annotations of a single response.
        identifier: The id that it must have; empty where it is not known.

    Raises:
        GraphProtocolError: It is another object, none, or nothing but an id.
    """
    members = _members(body)
    own = {*entry.properties, *entry.inline}
    # An id alone is no object of a type that has more than an id.
    if not members.keys() & (own - {entry.key, "id"} or {entry.key}):
        raise GraphProtocolError(f"Graph answered something that is no {entry.title.lower()}: {shown(body)}")
    kind = bytes(members.get("@odata.type", msgspec.Raw(b'""'))).decode("utf-8", "replace").strip('"')
    other = BY_GRAPH_TYPE.get(kind.rpartition(".")[2])
    if other is not None and entry.graph_type in BY_GRAPH_TYPE and other.graph_type != entry.graph_type:
        raise GraphProtocolError(f"Graph answered a {other.title.lower()}, not a {entry.title.lower()}: {shown(body)}")
    check_kind(entry, [msgspec.Raw(body)])
    if identifier and identify(body, entry.key).lower() != identifier.lower():
        raise GraphProtocolError(f"Graph answered another object than {identifier}: {shown(body)}")


# Properties by which another type has to explain an object better than its own.
_BETTER = 2


def check_kind(entry: ObjectType, page: Sequence[msgspec.Raw]) -> None:
    """Checks that a page shows objects of its type: the first and the last one, as an answer is mixed up as a whole.

    Raises:
        GraphProtocolError: What it shows has the properties of another type.
    """
    for raw in (page[0], page[-1]) if page else ():
        try:
            names = tuple(_members(raw))
        except UNREADABLE:
            # It is set aside.
            continue
        if other := _better_explained(entry.name, names):
            raise GraphProtocolError(
                f"Graph answered a {other.title.lower()} where a {entry.title.lower()} was requested: "
                f"{shown(bytes(raw))}"
            )


# The objects of a list have few sets of names.
@lru_cache(maxsize=1_000)
def _better_explained(name: str, members: tuple[str, ...]) -> ObjectType | None:
    """Returns another type that explains an object of these members better than its own; None when none does."""
    names = {member for member in members if "@" not in member}
    own = names & _own_names(name)
    if len(names) < len(own) + _BETTER:
        return None
    model = CATALOGUE[name].model
    return next(
        (
            other
            for other in CATALOGUE.values()
            if other.model != model and len(names & {*other.properties, "id"}) >= len(own) + _BETTER
        ),
        None,
    )


@cache
def _own_names(name: str) -> frozenset[str]:
    entry = CATALOGUE[name]
    return frozenset({*entry.properties, *entry.not_listable, *entry.gated, "id"})


def laid_over(entry: ObjectType, body: bytes, known: str, expected: Set[str]) -> tuple[bytes, list[str]]:
    """Lays an object over what was known of it, so that an answer that is cut takes nothing away.

    Graph shows a property that has lost its value as null (Graph doc: user-delta; OData 4.01 part 1, 8.2.8.6, without
    `omit-values`). So one that had a value is there: where it is missing, the answer is not whole.

    Args:
        entry: The type.
        body: The object, without the annotations of a single response.
        known: The same object as it is stored.
        expected: Names that every object has (`TableReader.expected`).

    Returns:
        The object to store, and the properties whose known values are kept, sorted.
    """
    members, before = _members(body), _members(hide_text(known).encode())
    if {"@odata.type"} <= members.keys() & before.keys() and members["@odata.type"] != before["@odata.type"]:
        # Of another type, it has other properties.
        return body, []
    lacking = sorted(name for name in before.keys() & expected if _is_lost(entry, name, members, before[name]))
    if not lacking:
        return body, []
    return msgspec.json.encode({**members, **{name: before[name] for name in lacking}}), lacking


def _is_lost(entry: ObjectType, name: str, members: dict[str, msgspec.Raw], known: msgspec.Raw) -> bool:
    """Tells whether a property that is known is left out of an object."""
    if bytes(known) == b"null":
        return False
    streams = entry.streams
    if streams is not None and name in streams.names:
        # Its address says whether there is one.
        return name not in members and bytes(members.get(streams.given_by.format(name=name), b"null")) != b"null"
    if bytes(known)[:1] == b"[" and name in {one.partition("(")[0] for one in entry.expand}:
        # What is expanded is a list, if an empty one.
        return bytes(members.get(name, b"null")) == b"null"
    return name not in members


def not_whole(entry: ObjectType, identifier: str, lacking: Sequence[str], owner: str = "") -> list[Gap]:
    """Returns the gap of an object that Graph has shown without properties that it had; none where it lacks nothing.

    Args:
        entry: Its type.
        identifier: Its id.
        lacking: The properties.
        owner: Id of the object that it belongs to, for child types: the next backup reads that one's again.
    """
    if not lacking:
        return []
    return [
        Gap(
            what=f"{entry.title.lower()} {identifier}",
            reason=f"Graph answered it without {', '.join(lacking)}, which it had; the known values are kept",
            remedy=f"The next backup reads it again. If it really has them no more, take it over as Graph shows it: "
            f"entra-pipeline backup SCOPE --full --types {entry.name}.",
            object=owner or identifier,
        )
    ]
