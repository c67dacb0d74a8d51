"""Signing in and out."""

from __future__ import annotations

import logging
import math
from http import HTTPStatus

from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response

from entra_pipeline.console.auditing import record
from entra_pipeline.console.auth.local import NAME, PASSWORD, LocalAccount
from entra_pipeline.console.auth.login_throttle import origin_of
from entra_pipeline.console.auth.openid import CALLBACK, SignInRefused
from entra_pipeline.console.auth.roles import Role
from entra_pipeline.console.auth.sessions import User
from entra_pipeline.console.routing import Area, Page, RequestContext, inside
from entra_pipeline.errors import ConfigurationError
from entra_pipeline.project import Console

_log = logging.getLogger(__name__)
# Seconds that a browser is known by after signing in: some browsers keep no cookie longer.
_KNOWN = 400 * 86_400
# Characters of a reason in the audit log: what a browser was sent with may be long.
_REASON = 300


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
    if context.state.sign_in.local is None:
        return context.go("/sign-in")
    # Few at a time: whoever tries again and again takes neither the threads of all pages nor the memory.
    async with context.state.checking:
        return await run_in_threadpool(_local, context, context.state.sign_in.local, target)


def _local(context: RequestContext, account: LocalAccount, target: str) -> Response:
    name, cookie = context.field("name"), _device_cookie(context)
    device = account.device(context.request.cookies.get(cookie, ""))
    tries, origin = context.state.tries, f"device {device}" if device else origin_of(_address(context))
    if wait := tries.begin(origin):
        return _too_often(context, target, wait)
    user = None
    try:
        user = account.sign_in(name, context.field("password"))
    finally:
        tries.end(origin, succeeded=user is not None)
    if user is None:
        record(context.state, name or "nobody", context.request, action="sign in", result="failed")
        return _page(
            context,
            target,
            status=HTTPStatus.UNAUTHORIZED,
            error="Wrong user name or password.",
            remedy=f"The account is {NAME}; its first password is in the file {PASSWORD} in DAGSTER_HOME.",
        )
    _signed_in(context, user)
    response = context.go(target)
    if not device:
        response.set_cookie(
            cookie,
            account.new_device(),
            max_age=_KNOWN,
            httponly=True,
            samesite="strict",
            secure=context.state.sign_in.secure,
            path="/",
        )
    return response


def _device_cookie(context: RequestContext) -> str:
    return "__Host-entra-device" if context.state.sign_in.secure else "entra-device"


def _too_often(context: RequestContext, target: str, wait: float) -> Response:
    response = _page(
        context,
        target,
        status=HTTPStatus.TOO_MANY_REQUESTS,
        error="Too many failed attempts.",
        remedy=f"Try again in {math.ceil(wait / 60)} minutes. A browser that has signed in before is not affected by "
        "what others enter.",
    )
    response.headers["Retry-After"] = str(math.ceil(wait))
    return response


async def callback(context: RequestContext) -> Response:
    """Back from the provider."""
    target = inside(str(context.session.data.get("next", "/")))
    openid = context.state.sign_in.openid
    if openid is None:
        return context.go("/sign-in")
    if context.request.method == "HEAD":
        # A sign-in is used up by looking at its result.
        return context.go("/sign-in")
    try:
        user = await openid.finish(context.request, context.session, _settings(context))
    except SignInRefused as refusal:
        await run_in_threadpool(_refused, context, refusal.message[:_REASON])
        return _page(context, target, status=HTTPStatus.FORBIDDEN, error=refusal.message, remedy=refusal.remedy)
    await run_in_threadpool(_signed_in, context, user)
    return context.go(target)


def _settings(context: RequestContext) -> Console:
    """What gives which role; raises SignInRefused, which tells a stranger no more than that."""
    try:
        return context.state.project().console
    except ConfigurationError:
        raise SignInRefused(
            "the configuration of the console has an error", remedy="An administrator corrects it, then try again."
        ) from None


def _refused(context: RequestContext, reason: str) -> None:
    """Records a sign-in that came to nothing; nobody is locked out by it, as no credential was tried here.

    Anybody can cause such events, so of one origin few are recorded one by one. The console's log says so.
    """
    refusals, origin = context.state.refusals, origin_of(_address(context))
    if refusals.begin(origin):
        _log.warning("refused sign-ins from %s are no longer in the audit log one by one: %s", origin, reason)
        return
    refusals.end(origin, succeeded=False)
    record(context.state, "nobody", context.request, action="sign in", result="refused", reason=reason)


def _signed_in(context: RequestContext, user: User) -> None:
    """A new session: whoever planted the one before does not share it."""
    sessions = context.state.sessions
    for token in context.request.cookies.values():
        sessions.end(token)
    context.token, _ = sessions.begin(user, _address(context))
    record(context.state, user, context.request, action="sign in", role=user.access.described)


def sign_out(context: RequestContext) -> Response:
    """Ends the session."""
    for token in context.request.cookies.values():
        context.state.sessions.end(token)
    record(context.state, context.user, context.request, action="sign out")
    return RedirectResponse("/sign-in", 303)


def sign_out_everywhere(context: RequestContext) -> Response:
    """Ends all sessions of the one who asks."""
    ended = context.state.sessions.end_all(context.user.person)
    record(context.state, context.user, context.request, action="sign out", sessions=ended)
    return RedirectResponse("/sign-in", 303)


def _address(context: RequestContext) -> str:
    return context.request.client.host if context.request.client else ""


PAGES = (
    Page("/sign-in", show, None),
    Page("/sign-in", sign_in, None, ("POST",)),
    Page(CALLBACK, callback, None),
    Page("/sign-out", sign_out, Role.viewer, ("POST",), area=Area.PERSON),
    Page("/sign-out/everywhere", sign_out_everywhere, Role.viewer, ("POST",), area=Area.PERSON),
)
