"""The objects of a recovery point: search them, choose some, look at one with its links and its history."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from itertools import pairwise
from typing import Any

import msgspec
from starlette.responses import Response

from entra_pipeline.analysis.linking.mentions import mentioned
from entra_pipeline.analysis.linking.related import Related
from entra_pipeline.analysis.manifest_rows import category
from entra_pipeline.analysis.names import guids_of, named_text, short, short_pair, title
from entra_pipeline.catalogue import CATALOGUE, ObjectType
from entra_pipeline.clock import parse_iso
from entra_pipeline.console.auth.roles import Role
from entra_pipeline.console.display.states import object_states
from entra_pipeline.console.editing.saved_filters import SavedFilters
from entra_pipeline.console.paging import Shown
from entra_pipeline.console.routing import Area, Page, RequestContext
from entra_pipeline.console.workers import TooManyQuestions
from entra_pipeline.errors import UsageError
from entra_pipeline.store.manifest import Manifest
from entra_pipeline.store.points.keys import moment_of

Names = dict[str, tuple[str, str, str]]
"""What people call objects: their id or alias → type, id, name."""

_OBJECT = msgspec.json.Decoder(dict[str, Any])

_PAGE = 50
_LINKS = 100
# Recovery points that a history looks back over, and entries of the tenant's log that it tells of a change.
_BACK, _AUTHORS = 20, 5
# Columns that people look for first, where a type has them.
_USUAL = (
    *("userPrincipalName", "mail", "description", "appId", "accountEnabled", "state", "department", "jobTitle"),
    *("groupTypes", "principalId", "roleDefinitionId", "resourceDisplayName", "createdDateTime"),
)
_COLUMNS = 4
# What a list may be sorted by, and from how many objects on that takes longer than people expect of a page.
_SORTED, _LARGE = re.compile(r"-?[A-Za-z][A-Za-z0-9_]{0,99}"), 20_000
# What a passport tells of an object besides its name, where it has it; and how much of that at the most.
_TELLING = (
    "userPrincipalName",
    "mail",
    "jobTitle",
    "department",
    "appId",
    "description",
    "deviceId",
    "createdDateTime",
)
_TOLD = 6


def show(context: RequestContext) -> Response:
    """The rows of a table of a recovery point."""
    store = context.store()
    manifest = context.state.manifest(store, context.path("point"))
    table = context.path("table")
    search, where, offset = context.query("search").strip(), context.query("where").strip(), context.number("offset")
    entry = CATALOGUE.get(table)
    order = _order(context, manifest, table)
    found, total, problem = [], 0, None
    try:
        some = context.read(
            "page",
            point=manifest.recovery_point,
            table=table,
            search=search,
            where=where,
            order=order,
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
    known = sorted({key for row in found for key, value in row.items() if not isinstance(value, dict | list)} - {"id"})
    chosen = [name for name in _chosen_columns(context, table) if name in known]
    columns = chosen or _columns(known, entry.identity if entry else ())
    rows = [{"id": row.get("id", ""), "name": title(entry, row) if entry else "", "body": row} for row in found]
    names = _names_in_list(context, manifest, entry, rows, columns)
    called = {text: name for text, (_, _, name) in names.items()}
    rows = [{**row, "name": called.get(row["id"]) or named_text(row["name"], called)} for row in rows]
    saved = SavedFilters(context.state.preferences, context.person, f"objects of {table}")
    return context.page(
        "objects.html",
        saved=saved,
        query=saved.query(context.request.query_params.multi_items(), chosen),
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
        order=order,
        sorted_by=lambda name: str(context.request.url.include_query_params(sort=name, offset=0).query),
        columns=columns,
        rows=rows,
        names=names,
        referring={name for name in columns if any(str(row["body"].get(name)) in names for row in rows)},
        shown=Shown(offset, _PAGE, total, context.request.url),
        short=short,
    )


def _names_in_list(
    context: RequestContext,
    manifest: Manifest,
    entry: ObjectType | None,
    rows: Sequence[Mapping[str, Any]],
    columns: Sequence[str],
) -> Names:
    """What people call the objects whose ids are in a list, those without a name of their own included."""
    # An id by which an object is known itself is shown as it is.
    others = [name for name in columns if not entry or name not in entry.aliases]
    values = [row["body"].get(name) for row in rows for name in others]
    nameless = {row["id"] for row in rows if entry and row["name"] in ("", row["id"])}
    return _names(context, manifest, guids_of(*values, *(row["name"] for row in rows)) | nameless)


def _names(context: RequestContext, manifest: Manifest, texts: set[str]) -> Names:
    """Which objects some ids and aliases are: text → type, id, what people call it."""
    found: Names = context.read("called", point=manifest.recovery_point, texts=sorted(texts)) if texts else {}
    return found


def _order(context: RequestContext, manifest: Manifest, table: str) -> str:
    """The order that is asked for; by name where nobody asks and the table is not large."""
    if table not in CATALOGUE:
        return ""
    asked = context.query("sort")
    live = manifest.tables[table].live if table in manifest.tables else 0
    return asked if _SORTED.fullmatch(asked) else "name" if live < _LARGE else ""


def _chosen_columns(context: RequestContext, table: str) -> list[str]:
    """The columns that a person has chosen for a type, now or before; an empty one chooses the usual ones again.

    Those of a saved filter are shown with the filter, and not kept for the type.
    """
    preferences, name = context.state.preferences, f"columns of {table}"
    if "columns" in context.request.query_params:
        chosen = [one for one in context.request.query_params.getlist("columns") if one]
        if context.query("filter"):
            return chosen
        preferences.keep(context.person, name, chosen)
        return chosen
    return preferences.of(context.person, name)


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
    name = title(entry, body)
    others = {text for _, text in mentioned(entry, body)} - {str(body.get(key)) for key in entry.aliases}
    unnamed = {identifier} if name in ("", identifier) else guids_of(name)
    names = _names(context, manifest, others | unnamed)
    return context.page(
        "object.html",
        scope=context.scope(),
        manifest=manifest,
        table=table,
        entry=entry,
        category=category(table),
        id=identifier,
        name=names.pop(identifier)[2]
        if identifier in names
        else named_text(name, {text: one for text, (_, _, one) in names.items()}),
        names=names,
        panel=context.query("panel") == "1",
        states=object_states(body),
        known_by=_known_by(entry, body),
        body={key: value for key, value in body.items() if value not in (None, [], {})},
        empty=sorted(key for key, value in body.items() if value in (None, [], {})),
        raw=msgspec.json.format(raw, indent=2),
    )


def _known_by(entry: ObjectType, body: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What tells an object from others of its name, the best first."""
    names = dict.fromkeys((*entry.identity, *_TELLING))
    told: list[tuple[str, str]] = []
    for name in names:
        value = body.get(name)
        if name not in ("id", "displayName") and isinstance(value, str) and value and value not in dict(told).values():
            told.append((name, value))
    return told[:_TOLD]


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
        groups=_by_relation(found.rows),
        category=category,
        shown=Shown(offset, _LINKS, found.total, context.request.url),
        tables=set(manifest.tables),
    )


def _by_relation(rows: Sequence[dict[str, str]]) -> dict[tuple[str, str], list[dict[str, str]]]:
    """Links by relation and direction, in the order in which they came."""
    groups: dict[tuple[str, str], list[dict[str, str]]] = {}
    for row in rows:
        groups.setdefault((row["relation"], row["direction"]), []).append(row)
    return groups


def history(context: RequestContext) -> Response:
    """What changed of an object from point to point, newest first, with who did it where the tenant's log is kept."""
    store = context.store()
    table, identifier = context.path("table"), context.query("id")
    points = [point for point in store.points() if point <= context.path("point")][-_BACK:]
    manifests = [context.state.manifest(store, point) for point in points]
    # A point that never read the type says nothing of the object.
    manifests = [one for one in manifests if table in one.tables and one.tables[table].read != "never"]
    points = [one.recovery_point for one in manifests]
    found = context.read("states", points=points, table=table, identifier=identifier)
    bodies = [_OBJECT.decode(raw) if raw else None for raw in found]
    told = _events(points, bodies)
    _name(context, manifests, told)
    kept = False
    if told:
        audited = context.read("authors", identifier=identifier, first=told[0]["from"], end=told[-1]["point"])
        kept = audited["kept"]
        # A point has what changed until it was read; moments are without fractions of a second.
        read = {one.recovery_point: parse_iso(one.finished) + timedelta(seconds=1) for one in manifests}
        for event in told:
            event["authors"] = [
                one
                for one in audited["found"]
                if moment_of(event["from"]) <= parse_iso(one["moment"]) <= read[event["point"]]
            ][-_AUTHORS:]
    return context.page(
        "history.html",
        scope=context.scope(),
        told=told[::-1],
        looked=len(points),
        table=table,
        id=identifier,
        kept=kept,
        restorable=table in CATALOGUE and CATALOGUE[table].restore.possible,
    )


def _name(context: RequestContext, manifests: Sequence[Manifest], events: Sequence[dict[str, Any]]) -> None:
    """Words the values of changes: ids in them as what their objects are called now, or were at first."""
    left = guids_of(*(value for event in events for pair in event["properties"].values() for value in pair))
    names: dict[str, str] = {}
    for manifest in (manifests[-1], manifests[0]) if left else ():
        names |= {text: name for text, (_, _, name) in _names(context, manifest, left - names.keys()).items()}
    for event in events:
        event["properties"] = {key: short_pair(was, now, names) for key, (was, now) in event["properties"].items()}


def _events(points: Sequence[str], bodies: Sequence[dict[str, Any] | None]) -> list[dict[str, Any]]:
    """The changes from each point to the next, oldest first."""
    told: list[dict[str, Any]] = []
    for (before, was), (point, now) in pairwise(zip(points, bodies, strict=True)):
        if was == now:
            continue
        properties = {}
        if was is not None and now is not None:
            properties = {
                key: (was.get(key), now.get(key))
                for key in sorted(was.keys() | now.keys())
                if was.get(key) != now.get(key)
            }
        what = "removed" if now is None else "added" if was is None else "modified"
        told.append({"point": point, "from": before, "what": what, "properties": properties, "authors": []})
    return told


PAGES = (
    Page("/scopes/{scope}/points/{point}/{table}", show, Role.viewer, area=Area.SCOPE),
    Page("/scopes/{scope}/points/{point}/{table}/object", one, Role.viewer, area=Area.SCOPE),
    Page("/scopes/{scope}/points/{point}/{table}/links", links, Role.viewer, area=Area.SCOPE),
    Page("/scopes/{scope}/points/{point}/{table}/history", history, Role.viewer, area=Area.SCOPE),
)
