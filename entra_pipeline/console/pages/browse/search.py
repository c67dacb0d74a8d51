"""The search over everything: pages, scopes, recovery points, and the objects of the newest ones."""

from __future__ import annotations

from time import monotonic
from typing import NamedTuple, cast
from urllib.parse import unquote, urlsplit

from starlette.responses import Response

from entra_pipeline.analysis.manifest_rows import category
from entra_pipeline.catalogue import CATALOGUE
from entra_pipeline.console.auth.roles import Role
from entra_pipeline.console.display.icons import category_icon_name
from entra_pipeline.console.navigation import Navigation
from entra_pipeline.console.rendering import point
from entra_pipeline.console.routing import Area, Page, RequestContext, address
from entra_pipeline.errors import EntraPipelineError
from entra_pipeline.project import Scope
from entra_pipeline.text import pluralize

_LONGEST = 200
_SHORTEST = 2
# Of each kind, in the list; of a type, in each scope.
_OF_EACH, _OF_TYPE = 6, 4
_MOST = 24
# Recovery points that a date is looked for in, and how long scopes are looked through for objects, seconds.
_SCOPES_OF_POINTS, _PATIENCE = 20, 4.0


class SearchHit(NamedTuple):
    """A line of what was found: where it leads, its name, what tells it from others, its icon, an id in the page."""

    path: str
    name: str
    detail: str
    icon: str
    id: str


def find(context: RequestContext) -> Response:
    """Pages, scopes and recovery points with a text; the objects are asked for afterwards."""
    text = context.query("text").strip()[:_LONGEST]
    groups = [
        ("Pages", _pages(context, text)),
        ("Scopes", _scopes(context, text)),
        ("Recovery points", _points(context, text)),
    ]
    groups = [(title, hits) for title, hits in groups if hits]
    return context.page(
        "found.html",
        groups=groups,
        objects=address("find", "objects", text=text) if len(text) >= _SHORTEST else "",
        nothing="Nothing of this name.",
        note="",
    )


def _pages(context: RequestContext, text: str) -> list[SearchHit]:
    """The entries of the navigation with a text; all of them for none."""
    entries = cast(Navigation, context.state.templates.globals["navigation"])(context)
    found = [one for one in entries if text.lower() in one.label.lower()]
    return [SearchHit(one.path, one.label, "", one.icon, f"page-{number}") for number, one in enumerate(found)]


def _scopes(context: RequestContext, text: str) -> list[SearchHit]:
    needle = text.lower()
    found = [one for one in _in_order(context) if needle in f"{one.name} {one.description}".lower()]
    return [
        SearchHit(address("scopes", one.name), one.name, one.description, "shield-check", f"scope-{number}")
        for number, one in enumerate(found[:_OF_EACH])
    ]


def _points(context: RequestContext, text: str) -> list[SearchHit]:
    """Recovery points whose moment begins with a text, such as `2026-11-28` or `11-28`."""
    if not any(letter.isdecimal() for letter in text) or len(text) < _SHORTEST:
        return []
    hits: list[SearchHit] = []
    for scope in _in_order(context)[:_SCOPES_OF_POINTS]:
        try:
            keys = context.state.store(scope.name).points()[::-1]
        except EntraPipelineError:
            # Its own page says what is wrong with it.
            continue
        for key in keys:
            if text.replace(" ", "T").replace(":", "-") in key or text in point(key):
                path = address("scopes", scope.name, "points", key)
                hits.append(SearchHit(path, point(key), scope.name, "history", f"point-{len(hits)}"))
            if len(hits) == _OF_EACH:
                return hits
    return hits


def _in_order(context: RequestContext) -> list[Scope]:
    """The scopes, the one of the page that is open first."""
    parts = urlsplit(context.request.headers.get("hx-current-url", "")).path.split("/")
    here = unquote(parts[2]) if len(parts) > 2 and parts[1] == "scopes" else ""
    return sorted(context.project.scopes.values(), key=lambda scope: scope.name != here)


def find_objects(context: RequestContext) -> Response:
    """Objects of the newest recovery points, scope after scope, as long as somebody waits."""
    text = context.query("text").strip()[:_LONGEST]
    hits: list[SearchHit] = []
    scopes, searched, until = _in_order(context), 0, monotonic() + _PATIENCE
    notes = []
    for scope in scopes:
        if monotonic() > until or len(hits) >= _MOST:
            break
        searched += 1
        try:
            hits += _objects(context, scope, text, len(hits))
        except EntraPipelineError:
            # Its own page says why.
            notes.append(f"{scope.name} cannot be searched.")
    if left := len(scopes) - searched:
        notes.append(f"{pluralize(left, 'scope')} not searched: open one to search in it.")
    return context.page(
        "found.html",
        groups=[("Objects", hits)] if hits else [],
        objects="",
        nothing="No object of this name in the newest recovery points.",
        note=" ".join(notes),
    )


def _objects(context: RequestContext, scope: Scope, text: str, number: int) -> list[SearchHit]:
    """Objects of a scope's newest recovery point. Raises EntraPipelineError when it cannot be read."""
    points = context.state.store(scope.name).points()
    if not points:
        return []
    key = points[-1]
    asked = {"point": key, "text": text, "types": [], "limit": _OF_TYPE}
    found, _ = context.found(("anywhere", scope.name, key, text), lambda: context.ask("find", scope.name, **asked))
    hits = []
    for place, (table, identifier, name, detail) in enumerate(found[: _MOST - number], number):
        told = (CATALOGUE[table].title, detail if detail != name else "", scope.name)
        path = address("scopes", scope.name, "points", key, table, "object", id=identifier)
        icon = category_icon_name(category(table))
        hits.append(SearchHit(path, name or identifier, ", ".join(one for one in told if one), icon, f"object-{place}"))
    return hits


PAGES = (
    Page("/find", find, Role.viewer, area=Area.OWN_SCOPES),
    Page("/find/objects", find_objects, Role.viewer, area=Area.OWN_SCOPES),
)
