"""Comparing two recovery points, or one with the tenant as it is."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from typing import Any

from starlette.responses import Response

from entra_pipeline.analysis.change_rows import change_rows, summary_rows
from entra_pipeline.analysis.changes import bases
from entra_pipeline.analysis.names import short_pair
from entra_pipeline.catalogue import CATALOGUE, table_names, with_children
from entra_pipeline.console.auth.roles import Role
from entra_pipeline.console.paging import Shown
from entra_pipeline.console.routing import Page, RequestContext
from entra_pipeline.errors import UsageError

_PAGE = 100
_KINDS = ("added", "removed", "modified")


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
        asked = (before, after, chosen, kind, context.number("offset"))
        key = ("differences", store.scope, *asked)
        found = dict(context.state.findings.get(key, lambda: _found(context, *asked)))
        found["shown"] = Shown(asked[-1], _PAGE, found.pop("total"), context.request.url)
    return context.page(
        "compare.html",
        scope=scope,
        points=points,
        before=before,
        after=after,
        chosen=chosen,
        kind=kind,
        kinds=_KINDS,
        types=[CATALOGUE[name] for name in scope.types()],
        **found,
    )


def _found(context: RequestContext, before: str, after: str, chosen: str, kind: str, offset: int) -> dict[str, Any]:
    store = context.store()
    then, now = context.state.manifest(store, before), context.state.manifest(store, after)
    if chosen and chosen not in table_names():
        raise UsageError(f"there is no object type {chosen!r}", remedy="Choose one of the list.")
    tables = table_names(with_children([chosen])) if chosen in CATALOGUE else [chosen] if chosen else None
    counted: Counter[tuple[str, str]] = Counter()

    def read_rows() -> Any:
        for row in change_rows(store, then, now, tables):
            counted[row["table"], row["change"]] += 1
            if row["change"] != "volatile" and kind in ("", row["change"]):
                yield row

    rows = read_rows()
    # Counted are all; kept are those that the page shows.
    passed = sum(1 for _ in islice(rows, offset))
    some = list(islice(rows, _PAGE))
    total = passed + len(some) + sum(1 for _ in rows)
    summary = summary_rows(bases(then, now, tables), counted)
    return {
        "rows": [_line(row) for row in some],
        "summary": [row for row in summary if any(row[one] for one in _KINDS)],
        "notes": [row for row in summary if row["notes"]],
        "total": total,
    }


def _line(row: dict[str, Any]) -> dict[str, Any]:
    """A change as a line for people."""
    properties = [(key, *short_pair(one["before"], one["after"])) for key, one in row.get("properties", {}).items()]
    return {**{key: value for key, value in row.items() if key != "object"}, "properties": properties}


PAGES = (
    Page("/compare", scopes, Role.viewer, label="Compare", place=40),
    Page("/scopes/{scope}/compare", show, Role.viewer),
)
