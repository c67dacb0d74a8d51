"""Signing in and out."""

from __future__ import annotations

import math
from http import HTTPStatus

from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response

from entra_pipeline.console.auditing import record
from entra_pipeline.console.auth.local import NAME
from entra_pipeline.console.auth.openid import CALLBACK, SignInRefused
from entra_pipeline.console.auth.roles import Role
from entra_pipeline.console.auth.sessions import User
from entra_pipeline.console.routing import Page, RequestContext, inside


def show(context: RequestContext) -> Response:
    """The page to sign in on."""
    target = inside(context.query("next", "/"))
    if context.session.user is not None:
        return context.go(target)
    return _page(context, target)


def _page(context: RequestContext, target: str, *, error: str = "", remedy: str = "", status: int = 200) -> Response:
    return context.page(
        "sign_in.html",
        status=status,
        target=target,
        error=error,
        remedy=remedy,
        openid=bool(context.state.sign_in.openid),
    )


async def sign_in(context: RequestContext) -> Response:
    """Signs in with the local account, or leads to the provider."""
    target = inside(context.field("next", "/"))
    if context.state.sign_in.openid is not None:
        context.session.data["next"] = target
        return RedirectResponse(await context.state.sign_in.openid.begin(context.session), 303)
    return await run_in_threadpool(_local, context, target)


def _local(context: RequestContext, target: str) -> Response:
    account = context.state.sign_in.local
    name = context.field("name")
    tries, address = context.state.tries, _address(context)
    if wait := tries.begin(address):
        return _too_often(context, target, wait)
    user = None
    try:
        user = account.sign_in(name, context.field("password")) if account else None
    finally:
        tries.end(address, succeeded=user is not None)
    if user is None:
        record(context.state, name or "nobody", context.request, action="sign in", result="failed")
        return _page(
            context,
            target,
            status=HTTPStatus.UNAUTHORIZED,
            error="Wrong user name or password.",
            remedy=f"The account is {NAME}; entra-pipeline serve printed its password when it started first.",
        )
    _signed_in(context, user)
    return context.go(target)


def _too_often(context: RequestContext, target: str, wait: float) -> Response:
    response = _page(
        context,
        target,
        status=HTTPStatus.TOO_MANY_REQUESTS,
        error="Too many failed attempts.",
        remedy=f"Try again in {math.ceil(wait / 60)} minutes.",
    )
    response.headers["Retry-After"] = str(math.ceil(wait))
    return response


async def callback(context: RequestContext) -> Response:
    """Back from the provider."""
    target = inside(str(context.session.data.pop("next", "/")))
    openid = context.state.sign_in.openid
    if openid is None:
        return context.go("/sign-in")
    tries, address = context.state.tries, _address(context)
    if wait := await run_in_threadpool(tries.begin, address):
        return _too_often(context, target, wait)
    succeeded = False
    try:
        user = await openid.finish(context.request, context.session)
        succeeded = True
    except SignInRefused as refusal:
        reason = refusal.message
        await run_in_threadpool(
            record, context.state, "nobody", context.request, action="sign in", result="refused", reason=reason
        )
        return _page(context, target, status=HTTPStatus.FORBIDDEN, error=refusal.message, remedy=refusal.remedy)
    finally:
        tries.end(address, succeeded=succeeded)
    await run_in_threadpool(_signed_in, context, user)
    return context.go(target)


def _signed_in(context: RequestContext, user: User) -> None:
    """A new session: whoever planted the one before does not share it."""
    sessions = context.state.sessions
    for token in context.request.cookies.values():
        sessions.end(token)
    context.token, _ = sessions.begin(user)
    record(context.state, user, context.request, action="sign in", role=user.role.name)


def sign_out(context: RequestContext) -> Response:
    """Ends the session."""
    for token in context.request.cookies.values():
        context.state.sessions.end(token)
    record(context.state, context.user, context.request, action="sign out")
    return RedirectResponse("/sign-in", 303)


def _address(context: RequestContext) -> str:
    return context.request.client.host if context.request.client else ""


PAGES = (
    Page("/sign-in", show, None),
    Page("/sign-in", sign_in, None, ("POST",)),
    Page(CALLBACK, callback, None),
    Page("/sign-out", sign_out, Role.viewer, ("POST",)),
)
