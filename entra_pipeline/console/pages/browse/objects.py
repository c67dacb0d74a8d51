"""The objects of a recovery point: search them, choose some, look at one with its links and its history."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import msgspec
from starlette.responses import Response

from entra_pipeline.analysis.browse import Related
from entra_pipeline.analysis.manifest_rows import category
from entra_pipeline.analysis.names import short, short_pair, title
from entra_pipeline.catalogue import CATALOGUE
from entra_pipeline.console.auth.roles import Role
from entra_pipeline.console.paging import Shown
from entra_pipeline.console.routing import Page, RequestContext
from entra_pipeline.console.workers import TooManyQuestions
from entra_pipeline.errors import UsageError

_OBJECT = msgspec.json.Decoder(dict[str, Any])

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


def show(context: RequestContext) -> Response:
    """The rows of a table of a recovery point."""
    store = context.store()
    manifest = context.state.manifest(store, context.path("point"))
    table = context.path("table")
    search, where, offset = context.query("search").strip(), context.query("where").strip(), context.number("offset")
    found, total, problem = [], 0, None
    try:
        some = context.read(
            "page",
            point=manifest.recovery_point,
            table=table,
            search=search,
            where=where,
            limit=_PAGE,
            offset=offset,
        )
        found, total = [_OBJECT.decode(row) for row in some["rows"]], some["total"]
    except TooManyQuestions:
        raise
    except UsageError as error:
        if not where:
            raise
        problem = error
    entry = CATALOGUE.get(table)
    known = sorted({key for row in found for key, value in row.items() if not isinstance(value, dict | list)} - {"id"})
    columns = [name for name in context.request.query_params.getlist("columns") if name in known]
    return context.page(
        "objects.html",
        scope=context.scope(),
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
        shown=Shown(offset, _PAGE, total, context.request.url),
        short=short,
    )


def _columns(known: Sequence[str], identity: Sequence[str]) -> list[str]:
    if "source_id" in known:
        return ["source_id", "target_id", "target_type"]
    # Most people's mail address is the name they sign in with.
    besides = {"displayName", "mail"} if "userPrincipalName" in known else {"displayName"}
    wanted = [name for name in dict.fromkeys((*identity, *_USUAL)) if name in known and name not in besides]
    return wanted[:_COLUMNS]


def one(context: RequestContext) -> Response:
    """An object: its properties. For what it is linked with, and how it came to be so, the page asks afterwards."""
    store = context.store()
    manifest = context.state.manifest(store, context.path("point"))
    table, identifier = context.path("table"), context.query("id")
    raw = context.read("one", point=manifest.recovery_point, table=table, identifier=identifier)
    body = _OBJECT.decode(raw)
    entry = CATALOGUE[table]
    return context.page(
        "object.html",
        scope=context.scope(),
        manifest=manifest,
        table=table,
        entry=entry,
        category=category(table),
        id=identifier,
        name=title(entry, body),
        body={key: value for key, value in body.items() if value not in (None, [], {})},
        empty=sorted(key for key, value in body.items() if value in (None, [], {})),
        raw=msgspec.json.format(raw, indent=2),
    )


def links(context: RequestContext) -> Response:
    """What an object is linked with."""
    store = context.store()
    manifest = context.state.manifest(store, context.path("point"))
    table, identifier, offset = context.path("table"), context.query("id"), context.number("offset")

    def find() -> Related:
        told = context.read(
            "related",
            point=manifest.recovery_point,
            table=table,
            identifier=identifier,
            limit=_LINKS,
            offset=offset,
        )
        return Related({(one, way, kind): number for one, way, kind, number in told["counts"]}, told["rows"])

    asked = ("links", store.scope, manifest.recovery_point, table, identifier, offset)
    found: Related = context.found(asked, find)
    return context.page(
        "links.html",
        scope=context.scope(),
        manifest=manifest,
        links=found,
        shown=Shown(offset, _LINKS, found.total, context.request.url),
        tables=set(manifest.tables),
    )


def history(context: RequestContext) -> Response:
    """What changed of an object from point to point, newest first."""
    store = context.store()
    table, identifier = context.path("table"), context.query("id")
    points = [point for point in store.points() if point <= context.path("point")][-_BACK:]
    told: list[dict[str, Any]] = []
    manifests = [context.state.manifest(store, point) for point in points]
    # A point that never read the type says nothing of the object.
    manifests = [one for one in manifests if table in one.tables and one.tables[table].read != "never"]
    points = [one.recovery_point for one in manifests]
    found = context.read("states", points=points, table=table, identifier=identifier)
    bodies = [_OBJECT.decode(raw) if raw else None for raw in found]
    for (_, was), (point, now) in pairwise(zip(points, bodies, strict=True)):
        if was == now:
            continue
        if was is None or now is None:
            told.append({"point": point, "what": "removed" if now is None else "added", "properties": {}})
            continue
        properties = {
            key: short_pair(was.get(key), now.get(key))
            for key in was.keys() | now.keys()
            if was.get(key) != now.get(key)
        }
        told.append({"point": point, "what": "modified", "properties": dict(sorted(properties.items()))})
    return context.page("history.html", scope=context.scope(), told=told[::-1], looked=len(points), first=points[:1])


PAGES = (
    Page("/scopes/{scope}/points/{point}/{table}", show, Role.viewer),
    Page("/scopes/{scope}/points/{point}/{table}/object", one, Role.viewer),
    Page("/scopes/{scope}/points/{point}/{table}/links", links, Role.viewer),
    Page("/scopes/{scope}/points/{point}/{table}/history", history, Role.viewer),
)
