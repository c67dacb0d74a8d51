"""Saving and deleting filters of lists; each person has their own."""

from __future__ import annotations

from starlette.responses import Response

from entra_pipeline.console.auth.roles import Role
from entra_pipeline.console.editing.saved_filters import SavedFilters
from entra_pipeline.console.routing import Area, Page, RequestContext, inside
from entra_pipeline.errors import UsageError


def change(context: RequestContext) -> Response:
    """Saves the filter of a list under a name, or deletes one, and leads back to the list."""
    saved = SavedFilters(context.state.preferences, context.person, context.field("list"))
    if name := context.field("delete"):
        saved.delete(name)
        notice = f"The filter {name} has been deleted."
    else:
        try:
            saved.save(context.field("filter_name"), context.field("query"))
            notice = "The filter has been saved. It is above this list, for you alone."
        except UsageError as error:
            notice = f"{error.message[:1].upper()}{error.message[1:]}. {error.remedy}"
    return context.go(inside(context.field("back")), notice)


PAGES = (Page("/filters", change, Role.viewer, ("POST",), area=Area.PERSON),)
