"""Sessions: who has signed in, and ending what somebody else has open."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.responses import Response

from entra_pipeline.console.auditing import record
from entra_pipeline.console.auth.roles import Role
from entra_pipeline.console.auth.sessions import User
from entra_pipeline.console.routing import Page, RequestContext
from entra_pipeline.errors import NotInStore


@dataclass(frozen=True, slots=True)
class SessionRow:
    """A session as the page shows it.

    Attributes:
        user: Whose it is.
        address: Where they signed in from.
        age: Seconds since they signed in.
        idle: Seconds since they used it last.
        own: Whether it is the one that looks.
    """

    user: User
    address: str
    age: float
    idle: float
    own: bool


def show(context: RequestContext) -> Response:
    """Who has signed in."""
    sessions = context.state.sessions
    rows = [
        SessionRow(one.user, one.address, *sessions.age(one), own=one is context.session)
        for one in sessions.signed_in()
        if one.user is not None
    ]
    return context.page("sessions.html", rows=rows)


def end(context: RequestContext) -> Response:
    """Ends all sessions of a person."""
    person = context.field("person")
    user = next(
        (one.user for one in context.state.sessions.signed_in() if one.user and one.user.person == person), None
    )
    if user is None:
        raise NotInStore("that user has no session any more", remedy="Reload the page.")
    ended = context.state.sessions.end_all(person)
    record(context.state, context.user, context.request, action="sessions end", subject=user.name, sessions=ended)
    return context.go("/sessions", f"The sessions of {user.name} have been ended. They can sign in again if they may.")


PAGES = (
    Page("/sessions", show, Role.administrator, label="Sessions", place=105, icon="monitor"),
    Page("/sessions/end", end, Role.administrator, ("POST",)),
)
