"""The objects of a recovery point: search them, choose some, look at one with its links and its history."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import msgspec
from starlette.responses import Response

from entra_pipeline.analysis.browse import page, related
from entra_pipeline.analysis.names import short, title
from entra_pipeline.analysis.objects import one as one_object
from entra_pipeline.analysis.points import category
from entra_pipeline.catalogue import CATALOGUE
from entra_pipeline.console.paging import Shown
from entra_pipeline.console.roles import Role
from entra_pipeline.console.routing import Page, Visit
from entra_pipeline.errors import NotInStore, UsageError
from entra_pipeline.store.manifest import Part
from entra_pipeline.store.recovery_points import ScopeStore

_PAGE = 50
_LINKS = 100
# Recovery points that a history looks back over.
_BACK = 20
# Columns that people look for first, where a type has them.
_USUAL = (
    *("userPrincipalName", "mail", "description", "appId", "accountEnabled", "state", "department", "jobTitle"),
    *("groupTypes", "principalId", "roleDefinitionId", "resourceDisplayName", "createdDateTime"),
)
_COLUMNS = 4


def show(visit: Visit) -> Response:
    """The rows of a table of a recovery point."""
    store = visit.store()
    manifest = visit.site.manifest(store, visit.path("point"))
    table = visit.path("table")
    search, where, offset = visit.query("search").strip(), visit.query("where").strip(), visit.number("offset")
    found, total, problem = [], 0, None
    try:
        some = page(store, manifest, table, search=search, where=where, limit=_PAGE, offset=offset)
        found, total = [msgspec.json.decode(row, type=dict[str, Any]) for row in some.rows], some.total
    except UsageError as error:
        if not where:
            raise
        problem = error
    entry = CATALOGUE.get(table)
    known = sorted({key for row in found for key, value in row.items() if not isinstance(value, dict | list)} - {"id"})
    columns = [name for name in visit.request.query_params.getlist("columns") if name in known]
    return visit.page(
        "objects.html",
        scope=visit.scope(),
        manifest=manifest,
        table=table,
        entry=entry,
        category=category(table),
        siblings=[name for name in manifest.tables if category(name) == category(table)],
        search=search,
        where=where,
        problem=problem,
        known=known,
        columns=columns or _columns(known, entry.identity if entry else ()),
        rows=[{"id": row.get("id", ""), "name": title(entry, row) if entry else "", "body": row} for row in found],
        shown=Shown(offset, _PAGE, total, visit.request.url),
        short=short,
    )


def _columns(known: Sequence[str], identity: Sequence[str]) -> list[str]:
    if "source_id" in known:
        return ["source_id", "target_id", "target_type"]
    wanted = [name for name in dict.fromkeys((*identity, *_USUAL)) if name in known and name != "displayName"]
    return wanted[:_COLUMNS]


def one(visit: Visit) -> Response:
    """An object: its properties, what it is linked with, and how it came to be so."""
    store = visit.store()
    manifest = visit.site.manifest(store, visit.path("point"))
    table, identifier = visit.path("table"), visit.query("id")
    raw = one_object(store, manifest, table, identifier)
    body = msgspec.json.decode(raw, type=dict[str, Any])
    entry = CATALOGUE[table]
    offset = visit.number("offset")
    links = related(store, manifest, table, identifier, limit=_LINKS, offset=offset)
    return visit.page(
        "object.html",
        scope=visit.scope(),
        manifest=manifest,
        table=table,
        entry=entry,
        category=category(table),
        id=identifier,
        name=title(entry, body),
        body={key: value for key, value in body.items() if value not in (None, [], {})},
        empty=sorted(key for key, value in body.items() if value in (None, [], {})),
        links=links,
        shown=Shown(offset, _LINKS, links.total, visit.request.url),
        raw=msgspec.json.format(raw, indent=2),
        tables=set(manifest.tables),
    )


def history(visit: Visit) -> Response:
    """What changed of an object from point to point, newest first; asked for after the page is there."""
    store = visit.store()
    table, identifier = visit.path("table"), visit.query("id")
    points = [point for point in store.points() if point <= visit.path("point")][-_BACK:]
    told: list[dict[str, Any]] = []
    for (_, was), (point, now) in pairwise(_states(visit, store, points, table, identifier)):
        if was == now:
            continue
        if was is None or now is None:
            told.append({"point": point, "what": "removed" if now is None else "added", "properties": {}})
            continue
        properties = {
            key: (short(was.get(key)), short(now.get(key)))
            for key in was.keys() | now.keys()
            if was.get(key) != now.get(key)
        }
        told.append({"point": point, "what": "modified", "properties": dict(sorted(properties.items()))})
    return visit.page("history.html", scope=visit.scope(), told=told[::-1], looked=len(points), first=points[:1])


def _states(
    visit: Visit, store: ScopeStore, points: Sequence[str], table: str, identifier: str
) -> Iterator[tuple[str, Mapping[str, Any] | None]]:
    """The object at each point; files that two points share are read once."""
    parts: Sequence[Part] | None = None
    state: Mapping[str, Any] | None = None
    for point in points:
        manifest = visit.site.manifest(store, point)
        entry = manifest.tables.get(table)
        if entry is None or entry.parts != parts:
            parts = entry.parts if entry else None
            try:
                state = msgspec.json.decode(one_object(store, manifest, table, identifier), type=dict[str, Any])
            except NotInStore:
                state = None
        yield point, state


PAGES = (
    Page("/scopes/{scope}/points/{point}/{table}", show, Role.viewer),
    Page("/scopes/{scope}/points/{point}/{table}/object", one, Role.viewer),
    Page("/scopes/{scope}/points/{point}/{table}/history", history, Role.viewer),
)
