"""Reads the bytes of streams (logos, images) that belong to child objects."""

from __future__ import annotations

import base64

import msgspec

from entra_pipeline.backup.read.child_tables import ChildCollection
from entra_pipeline.backup.read.reader import ObjectReader
from entra_pipeline.backup.rows.page_parser import identify
from entra_pipeline.errors import GraphError, GraphNotFound
from entra_pipeline.graph import RequestStats
from entra_pipeline.graph.pages import Unreadable, checked
from entra_pipeline.surrogates import hide_text

_members = checked(msgspec.json.Decoder(dict[str, msgspec.Raw]).decode)


async def with_streams(
    reader: ObjectReader, children: ChildCollection, owner_id: str, items: list[msgspec.Raw], stats: RequestStats
) -> list[msgspec.Raw]:
    """Adds the bytes of their streams to items, as Base64."""
    streams = children.entry.streams
    if streams is None:
        return items
    whole = []
    for raw in items:
        members = _members(raw)
        for name in sorted(streams.names):
            if bytes(members.get(streams.given_by.format(name=name), b"null")) == b"null":
                continue
            url = streams.path.format(owner=owner_id, id=identify(raw), name=name)
            try:
                content = await reader.graph.fetch(
                    url, bytes, stats=stats, lane=children.entry.lane, headers={"Accept": "*/*"}
                )
                members[name] = msgspec.Raw(msgspec.json.encode(base64.b64encode(content).decode()))
            except GraphNotFound:
                continue
            except GraphError as error:
                reader.aside.add(children.table, owner_id, [Unreadable(b"", f"{name}: {error.message}")])
                if known := await _known_member(reader, children, owner_id, identify(raw), name):
                    members[name] = known
        whole.append(msgspec.Raw(msgspec.json.encode(members)))
    return whole


async def _known_member(
    reader: ObjectReader, children: ChildCollection, owner: str, identifier: str, name: str
) -> msgspec.Raw | None:
    """Returns a member of a child object as the parent's state has it."""
    for key, _, _, raw in await reader.states.known_of(children.table, [owner]):
        if key in {identifier, f"{owner}/{identifier}"}:
            return _members(hide_text(str(raw)).encode()).get(name)
    return None
