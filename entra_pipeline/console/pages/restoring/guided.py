"""Restoring step by step: a point in time, what to find in it, what is selected; then the plan, and what came of it."""

from __future__ import annotations

from datetime import date
from typing import Any

from starlette.responses import Response

from entra_pipeline.analysis.manifest_rows import category, tables_in_order
from entra_pipeline.catalogue import CATALOGUE
from entra_pipeline.console.auth.roles import Role
from entra_pipeline.console.display.moments import local
from entra_pipeline.console.editing.basket import Basket
from entra_pipeline.console.pages.restores import CONFLICTS, TAKEN
from entra_pipeline.console.paging import Shown
from entra_pipeline.console.routing import Area, Page, RequestContext, address, inside
from entra_pipeline.errors import UsageError
from entra_pipeline.store.manifest import IN_PASSING, Manifest

_DAYS = 14
_OF_EACH = 8
_PAGE = 50
# Characters of a text that is looked for.
_LONGEST = 200


def scopes(context: RequestContext) -> Response:
    """The scopes that can be restored from; the only one's at once."""
    return context.choose_scope("Restore", "restore")


def points(context: RequestContext) -> Response:
    """The first step: the recovery points by day, the last days, or those up to a day that was asked for."""
    scope, store = context.scope(), context.store()
    keys = store.points()[::-1]
    asked = _day(context.query("day"))
    if asked is not None:
        keys = [one for one in keys if local(one, context.zone).date() <= asked]
    days: dict[date, list[Manifest]] = {}
    for key in keys:
        day = local(key, context.zone).date()
        if len(days) == _DAYS and day not in days:
            break
        manifest = context.state.manifest(store, key)
        if manifest.taken_for not in IN_PASSING:
            days.setdefault(day, []).append(manifest)
    today = context.state.clock().astimezone(context.zone).date()
    return context.page("restore_points.html", scope=scope, days=days, asked=asked, now=today)


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise UsageError(f"{text[:40]!r} is not a date", remedy="Write it as 2026-11-30.") from None


def select(context: RequestContext) -> Response:
    """The second step: objects of all types by name, and those that are selected."""
    scope, store = context.scope(), context.store()
    manifest = context.state.manifest(store, context.path("point"))
    text, chosen, offset = context.query("find").strip()[:_LONGEST], context.query("type"), context.number("offset")
    basket = Basket(context.state.records, context.session, scope.name, manifest.recovery_point)
    types = _types(manifest)
    found: list[Any] = []
    totals: dict[str, int] = {}
    if chosen and chosen not in types:
        raise UsageError("this type cannot be restored from this recovery point", remedy="Choose one of the list.")
    if text or chosen:
        asked = {
            "text": text,
            "types": [chosen] if chosen else [],
            "limit": _PAGE if chosen else _OF_EACH,
            "offset": offset if chosen else 0,
        }
        key = ("found", scope.name, manifest.recovery_point, text, chosen, asked["offset"])
        found, totals = context.found(key, lambda: context.read("find", point=manifest.recovery_point, **asked))
    groups: dict[str, list[dict[str, Any]]] = {}
    for table, identifier, name, detail in found:
        groups.setdefault(table, []).append(
            {
                "id": identifier,
                "name": name or identifier,
                "detail": detail,
                "text": "\t".join((table, identifier, (name or identifier).replace("\t", " "))),
                "selected": (table, identifier) in basket,
            }
        )
    return context.page(
        "restore_select.html",
        scope=scope,
        manifest=manifest,
        find=text,
        chosen=chosen,
        types=types,
        groups=groups,
        totals=totals,
        titles={name: CATALOGUE[name].plural for name in types},
        shown=Shown(offset, _PAGE, totals.get(chosen, 0), context.request.url),
        here=context.here(),
        **_basket_values(context, basket),
    )


def _types(manifest: Manifest) -> dict[str, dict[str, Any]]:
    """The object types of a point that have objects and can be restored."""
    return {
        name: {"plural": CATALOGUE[name].plural, "category": category(name), "rows": entry.live}
        for name, entry in tables_in_order(manifest).items()
        if name in CATALOGUE and entry.live and CATALOGUE[name].restore.possible
    }


def _basket_values(context: RequestContext, basket: Basket, problem: UsageError | None = None) -> dict[str, Any]:
    tenant = context.project.tenants[context.scope().tenant]
    return {
        "items": basket.items,
        "problem": problem,
        "conflicts": CONFLICTS,
        "taken": TAKEN,
        "writable": bool(tenant.restore or tenant.simulator),
    }


def change(context: RequestContext) -> Response:
    """Puts objects into the basket, or takes them out."""
    scope = context.scope()
    point = context.state.manifest(context.store(), context.path("point"))
    basket = Basket(context.state.records, context.session, scope.name, point.recovery_point)
    # A page sends all that it shows, and what of it is selected: the last one that arrives counts.
    ticked = context.form.get("item", [])
    for one in [*context.form.get("shown", []), *context.form.get("remove", [])]:
        if one not in ticked:
            basket.remove(one)
    live, problem = context.request.headers.get("hx-request"), None
    try:
        for one in ticked:
            basket.add(one)
    except UsageError as error:
        if not live:
            raise
        problem = error
    if context.field("empty"):
        basket.clear()
    basket.keep()
    if not live:
        return context.go(
            inside(context.field("back") or address("scopes", scope.name, "restore", point.recovery_point))
        )
    return context.page(
        "restore_basket.html",
        scope=scope,
        manifest=point,
        here=inside(context.field("back") or "/"),
        **_basket_values(context, basket, problem),
    )


PAGES = (
    Page("/restore", scopes, Role.operator, area=Area.OWN_SCOPES),
    Page("/scopes/{scope}/restore", points, Role.operator, area=Area.SCOPE),
    Page("/scopes/{scope}/restore/{point}", select, Role.operator, area=Area.SCOPE),
    Page("/scopes/{scope}/restore/{point}/basket", change, Role.operator, ("POST",), area=Area.SCOPE),
)
