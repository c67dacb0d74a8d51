"""Properties that have to be asked for by name, although no catalogue can know them.

Directory extensions are registered by applications for users, groups and others. Graph returns them only when they are
selected by name, and then nothing else that is not.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import msgspec

from entra_pipeline.catalogue import ObjectType
from entra_pipeline.errors import GraphError, GraphProtocolError
from entra_pipeline.graph import Graph, GraphPage, RequestStats
from entra_pipeline.graph.client import query
from entra_pipeline.graph.pages import checked, decode_page, decoding

# All extensions of the tenant in one answer (Graph doc: directoryobject-getavailableextensionproperties).
_AVAILABLE = "directoryObjects/getAvailableExtensionProperties"


class _Extension(msgspec.Struct):
    name: str
    targets: list[str] = msgspec.field(default_factory=list, name="targetObjects")


class _Available(msgspec.Struct):
    value: list[_Extension]


class _Application(msgspec.Struct):
    extensions: list[_Extension] = msgspec.field(default_factory=list, name="extensionProperties")


_members = checked(msgspec.json.Decoder(dict[str, msgspec.Raw]).decode)
_available = decoding(msgspec.json.Decoder(_Available).decode)
_application = decoding(msgspec.json.Decoder(_Application).decode)


async def extension_names(graph: Graph, stats: RequestStats) -> dict[str, tuple[str, ...]]:
    """Names of the directory extensions, sorted, by the type they target (`User`, `Group` …).

    Where the one request for all is refused, those registered by the tenant's own applications are listed.

    Raises:
        GraphError: Both ways are refused.
    """
    try:
        return await available_extensions(graph, stats)
    except GraphError:
        url = query("applications", select="id", expand="extensionProperties", top=999)
        pages = graph.pages(url, stats=stats, anew=url)
        return _by_target(
            [one async for page in pages for raw in _all_of(page) for one in _application(bytes(raw)).extensions]
        )


async def available_extensions(graph: Graph, stats: RequestStats) -> dict[str, tuple[str, ...]]:
    """The same of all that the tenant takes: also those of other tenants' applications, and of Active Directory.

    Raises:
        GraphError: Graph refuses.
    """
    answer = await graph.fetch(
        _AVAILABLE,
        _available,
        stats=stats,
        method="POST",
        body=b"{}",
        headers={"Content-Type": "application/json"},
    )
    return _by_target(answer.value)


async def new_properties(graph: Graph, entry: ObjectType, stats: RequestStats) -> tuple[str, ...]:
    """Properties of an object type that Graph returns by itself and the catalogue does not know (yet), sorted.

    Once extensions of the type are selected, these would no longer come by themselves. Graph returns each property that
    it returns by default with every object of a list, if only as null: one object tells all.

    Raises:
        GraphError: Graph refuses.
    """
    url = query(entry.path, top=1 if entry.page_size else None)
    page = await graph.fetch(url, decode_page, stats=stats, lane=entry.lane)
    names = {name for raw in _all_of(page) for name in _members(raw) if "@" not in name}
    return tuple(sorted(names - entry.properties.keys()))


def _all_of(page: GraphPage) -> list[msgspec.Raw]:
    """Returns the objects of a page; raises GraphProtocolError when some cannot be read."""
    if page.unreadable:
        raise GraphProtocolError(f"Graph answered what cannot be read: {page.unreadable[0].reason}")
    return page.value


def _by_target(extensions: Iterable[_Extension]) -> dict[str, tuple[str, ...]]:
    names: dict[str, set[str]] = defaultdict(set)
    for extension in extensions:
        for target in extension.targets:
            names[target].add(extension.name)
    return {target: tuple(sorted(found)) for target, found in names.items()}
