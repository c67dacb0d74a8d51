"""Signing in and out."""

from __future__ import annotations

import math
from http import HTTPStatus

from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response

from entra_pipeline.console.auditing import record
from entra_pipeline.console.roles import Role
from entra_pipeline.console.routing import Page, Visit, inside
from entra_pipeline.console.sessions import User
from entra_pipeline.console.signing_in.local import NAME
from entra_pipeline.console.signing_in.openid import CALLBACK, SignInRefused


def show(visit: Visit) -> Response:
    """The page to sign in on."""
    target = inside(visit.query("next", "/"))
    if visit.session.user is not None:
        return visit.go(target)
    return _page(visit, target)


def _page(visit: Visit, target: str, *, error: str = "", remedy: str = "", status: int = 200) -> Response:
    return visit.page(
        "sign_in.html", status=status, target=target, error=error, remedy=remedy, openid=bool(visit.site.sign_in.openid)
    )


async def sign_in(visit: Visit) -> Response:
    """Signs in with the local account, or leads to the provider."""
    target = inside(visit.field("next", "/"))
    if visit.site.sign_in.openid is not None:
        visit.session.data["next"] = target
        return RedirectResponse(await visit.site.sign_in.openid.begin(visit.session), 303)
    return await run_in_threadpool(_local, visit, target)


def _local(visit: Visit, target: str) -> Response:
    account = visit.site.sign_in.local
    name = visit.field("name")
    tries, address = visit.site.tries, _address(visit)
    if wait := tries.begin(address):
        return _too_often(visit, target, wait)
    user = None
    try:
        user = account.sign_in(name, visit.field("password")) if account else None
    finally:
        tries.end(address, succeeded=user is not None)
    if user is None:
        record(visit.site, name or "nobody", visit.request, action="sign in", result="failed")
        return _page(
            visit,
            target,
            status=HTTPStatus.UNAUTHORIZED,
            error="That is not the name and the password.",
            remedy=f"The account is {NAME}; entra-pipeline serve printed its password when it started first.",
        )
    _signed_in(visit, user)
    return visit.go(target)


def _too_often(visit: Visit, target: str, wait: float) -> Response:
    response = _page(
        visit,
        target,
        status=HTTPStatus.TOO_MANY_REQUESTS,
        error="Too many tries have failed.",
        remedy=f"Try again in {math.ceil(wait / 60)} minutes.",
    )
    response.headers["Retry-After"] = str(math.ceil(wait))
    return response


async def callback(visit: Visit) -> Response:
    """Back from the provider."""
    target = inside(str(visit.session.data.pop("next", "/")))
    openid = visit.site.sign_in.openid
    if openid is None:
        return visit.go("/sign-in")
    tries, address = visit.site.tries, _address(visit)
    if wait := await run_in_threadpool(tries.begin, address):
        return _too_often(visit, target, wait)
    succeeded = False
    try:
        user = await openid.finish(visit.request, visit.session)
        succeeded = True
    except SignInRefused as refusal:
        reason = refusal.message
        await run_in_threadpool(
            record, visit.site, "nobody", visit.request, action="sign in", result="refused", reason=reason
        )
        return _page(visit, target, status=HTTPStatus.FORBIDDEN, error=refusal.message, remedy=refusal.remedy)
    finally:
        tries.end(address, succeeded=succeeded)
    await run_in_threadpool(_signed_in, visit, user)
    return visit.go(target)


def _signed_in(visit: Visit, user: User) -> None:
    """A new session: whoever planted the one before does not share it."""
    sessions = visit.site.sessions
    for token in visit.request.cookies.values():
        sessions.end(token)
    visit.token, _ = sessions.begin(user)
    record(visit.site, user, visit.request, action="sign in", role=user.role.name)


def sign_out(visit: Visit) -> Response:
    """Ends the session."""
    for token in visit.request.cookies.values():
        visit.site.sessions.end(token)
    record(visit.site, visit.user, visit.request, action="sign out")
    return RedirectResponse("/sign-in", 303)


def _address(visit: Visit) -> str:
    return visit.request.client.host if visit.request.client else ""


PAGES = (
    Page("/sign-in", show, None),
    Page("/sign-in", sign_in, None, ("POST",)),
    Page(CALLBACK, callback, None),
    Page("/sign-out", sign_out, Role.viewer, ("POST",)),
)
