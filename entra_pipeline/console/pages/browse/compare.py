"""Comparing two recovery points, or one with the tenant as it is."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from entra_pipeline.catalogue import CATALOGUE
from entra_pipeline.console.auth.roles import Role
from entra_pipeline.console.paging import Shown
from entra_pipeline.console.reading.worker import KINDS
from entra_pipeline.console.routing import Area, Page, RequestContext

_PAGE = 100


def scopes(context: RequestContext) -> Response:
    """The scopes whose points can be compared; the only one's at once."""
    return context.choose_scope("Compare", "compare")


def show(context: RequestContext) -> Response:
    """What differs between two points."""
    scope, store = context.scope(), context.store()
    points = store.points()[::-1]
    after = context.query("to") or (points[0] if points else "")
    before = context.query("from") or next((point for point in points if point < after), "")
    chosen = context.query("type")
    kind = context.query("change")
    found: dict[str, Any] = {"rows": [], "summary": [], "notes": [], "shown": None}
    if before and after:
        offset = context.number("offset")
        asked = {"before": before, "after": after, "chosen": chosen, "kind": kind, "offset": offset, "limit": _PAGE}
        key = ("differences", store.scope, *asked.values())
        found = dict(context.found(key, lambda: context.read("differences", **asked)))
        found["shown"] = Shown(offset, _PAGE, found.pop("total"), context.request.url)
    return context.page(
        "compare.html",
        scope=scope,
        points=points,
        before=before,
        after=after,
        chosen=chosen,
        kind=kind,
        kinds=KINDS,
        types=[CATALOGUE[name] for name in scope.types()],
        **found,
    )


PAGES = (
    Page("/compare", scopes, Role.viewer, area=Area.OWN_SCOPES, label="Compare", place=40, icon="git-compare"),
    Page("/scopes/{scope}/compare", show, Role.viewer, area=Area.SCOPE),
)
