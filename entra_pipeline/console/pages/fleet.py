"""The fleet: how all scopes stand, what needs attention first, page by page. For people who look after many tenants."""

from __future__ import annotations

from collections import Counter
from typing import Any

from starlette.responses import Response

from entra_pipeline.console.auth.roles import Role
from entra_pipeline.console.pages.dashboard import CARDS
from entra_pipeline.console.paging import Shown
from entra_pipeline.console.routing import Area, Page, RequestContext, address
from entra_pipeline.project import Project
from entra_pipeline.reports.fleet import STATES

_PAGE = 50
# Characters of a name that is looked for.
_LONGEST = 100


def show(context: RequestContext) -> Response:
    """The scopes with their filter."""
    states = [("", "All"), *((one, one.capitalize()) for one in STATES)]
    return context.page("fleet.html", **_listed(context), states=states)


def listed(context: RequestContext) -> Response:
    """The list alone, which the page asks for again and again."""
    return context.page("fleet_list.html", **_listed(context))


def _listed(context: RequestContext) -> dict[str, Any]:
    """A page of the scopes that match, and how many there are in each state."""
    look, only = context.state.fleet.look(context.state.project()), context.only
    text, tenant = (context.query(name).strip()[:_LONGEST] for name in ("text", "tenant"))
    state = context.query("state") if context.query("state") in STATES else ""
    offset = context.number("offset")
    named = [
        one
        for one in look.found
        if (only is None or one.scope in only)
        and text.lower() in one.scope.lower()
        and tenant.lower() in one.tenant.lower()
    ]
    rows = [one for one in named if state in ("", one.state)]
    counts = Counter(one.state for one in named)
    chosen = {"state": state, "text": text, "tenant": tenant}
    return {
        "rows": rows[offset : offset + _PAGE],
        "counts": [(one, counts[one], address("fleet", **chosen | {"state": one})) for one in STATES if counts[one]],
        "everything": (len(named), address("fleet", **chosen | {"state": ""})),
        "chosen": chosen,
        "moment": look.moment,
        "live": address("fleet", "list", **chosen, offset=offset or ""),
        "shown": Shown(offset, _PAGE, len(rows), context.request.url.replace(path="/fleet")),
    }


def _many(project: Project) -> bool:
    """Whether there are more scopes than the dashboard shows, or will be: the layout is that for many."""
    return len(project.scopes) > CARDS or (project.dagster.fleet and not project.partial)


PAGES = (
    Page(
        "/fleet",
        show,
        Role.viewer,
        area=Area.OWN_SCOPES,
        label="Fleet",
        place=15,
        icon="building-2",
        useful=_many,
    ),
    Page("/fleet/list", listed, Role.viewer, polled=True, area=Area.OWN_SCOPES),
)
