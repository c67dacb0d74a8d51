"""Notification profiles: who is notified of what; creating, editing, deleting and testing them.

Where a webhook's address is, is shown and chosen; the address itself is a secret and stays on the server.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, get_args

from starlette.responses import Response

from entra_pipeline.channels import CHANNELS
from entra_pipeline.console.auditing import record
from entra_pipeline.console.auth.roles import Role
from entra_pipeline.console.editing.form_errors import InvalidEntries, at_fields, check_name
from entra_pipeline.console.editing.secret_rules import RefusedChange, accept
from entra_pipeline.console.routing import Page, RequestContext
from entra_pipeline.errors import EntraPipelineError, UsageError
from entra_pipeline.notifications.listing import profile_rows
from entra_pipeline.notifications.testing import send_test, send_test_mail
from entra_pipeline.project import NotificationProfile
from entra_pipeline.project.editing import delete_table, save_table
from entra_pipeline.project.models import JobStatus

KINDS = ("backup", "restore", "prune", "drill")
"""Kinds of jobs whose outcomes somebody can be told of."""

_OUTCOMES = get_args(JobStatus)
_FORMATS = (("", "none"), ("teams", "Microsoft Teams"), ("slack", "Slack"))
# Settings of a profile, and the fields of its form.
_FIELDS = {
    "": "to",
    "to": "to",
    "webhook": "webhook_name",
    "digest_at": "digest_at",
    "timezone": "timezone",
}
_PLACES = (("env", "environment variable"), ("file", "file"))


def show(context: RequestContext) -> Response:
    """The profiles."""
    return _list(context)


def _list(
    context: RequestContext,
    tried: str = "",
    good: str = "",
    problem: EntraPipelineError | None = None,
    *,
    tried_mail: str = "",
) -> Response:
    """The profiles and the mail server, with the outcome of a try below what was tried."""
    try:
        profiles, unread = profile_rows(context.project), None
    except EntraPipelineError as error:
        profiles, unread = [], error
    return context.page(
        "notifications.html",
        profiles=profiles,
        unread=unread,
        kinds=KINDS,
        channels=CHANNELS.values(),
        mail=context.project.mail,
        tried=tried,
        tried_mail=tried_mail,
        good=good,
        problem=problem,
        locked=context.state.not_writable(),
    )


def try_one(context: RequestContext) -> Response:
    """Sends a test message by every channel of a profile."""
    name = context.path("profile")
    good, problem = _tried(context, name, lambda: send_test(context.project, name, context.state.clock))
    return _list(context, name, good, problem)


def try_mail(context: RequestContext) -> Response:
    """Sends a test message to one address by the mail server."""
    to = context.field("address")
    good, problem = _tried(context, to, lambda: send_test_mail(context.project, to, context.state.clock))
    if isinstance(problem, UsageError):
        context.wrong = {"address": f"{problem.message[:1].upper()}{problem.message[1:]}. {problem.remedy}"}
        problem = None
    return _list(context, good=good, problem=problem, tried_mail=to)


def _tried(
    context: RequestContext, subject: str, send: Callable[[], list[str]]
) -> tuple[str, EntraPipelineError | None]:
    """Sends a message; returns to whom, or what was wrong."""
    problem: EntraPipelineError | None = None
    good = ""
    try:
        good = f"Sent to {', '.join(send())}."
    except EntraPipelineError as error:
        problem = error
    details: dict[str, Any] = {"error": problem.message} if problem else {}
    result = "failed" if problem else "finished"
    record(
        context.state,
        context.user,
        context.request,
        action="notification test",
        subject=subject[:200],
        result=result,
        **details,
    )
    return good, problem


# --- Changing --------------------------------------------------------------------------------------------------------


def new(context: RequestContext) -> Response:
    """The form for a new profile."""
    return _form(context, None, {"backup": ["finished with exception", "failed"], "attach_report": True})


def edit(context: RequestContext) -> Response:
    """The form for a profile that there is."""
    profile = context.project.profile(context.path("profile"))
    return _form(context, profile, _values(profile))


def _values(profile: NotificationProfile) -> dict[str, Any]:
    """A profile as its form shows it."""
    values = profile.model_dump(include={"to", *KINDS, "unusual", "attach_report", "digest_at", "timezone"})
    webhook = profile.webhook
    return {
        **values,
        "name": profile.name,
        "digest": bool(profile.digest),
        "webhook_format": webhook.format if webhook else "",
        "webhook_place": "file" if webhook and webhook.url.file else "env",
        "webhook_name": str(webhook.url.file or webhook.url.env) if webhook else "",
    }


def _form(
    context: RequestContext,
    profile: NotificationProfile | None,
    values: Mapping[str, Any],
    error: EntraPipelineError | None = None,
) -> Response:
    empty = {
        "name": "",
        "to": [],
        **{kind: [] for kind in KINDS},
        "unusual": False,
        "attach_report": False,
        "digest": False,
        "digest_at": "07:00",
        "timezone": "UTC",
        "webhook_format": "",
        "webhook_place": "env",
        "webhook_name": "",
    }
    return context.form_page(
        "notification_form.html",
        error,
        profile=profile,
        values={**empty, **values},
        kinds=KINDS,
        outcomes=_OUTCOMES,
        formats=_FORMATS,
        places=_PLACES,
    )


def save_new(context: RequestContext) -> Response:
    """Creates a profile."""
    return _save(context, None)


def save(context: RequestContext) -> Response:
    """Changes a profile."""
    return _save(context, context.project.profile(context.path("profile")))


def _save(context: RequestContext, profile: NotificationProfile | None) -> Response:
    values = _sent(context)
    name = profile.name if profile else context.field("name")
    settings = _settings(values)
    keys, table = ("notifications", name), f"notifications.{name}"
    try:
        if wrong := _wrong(context, values, None if profile else name):
            raise InvalidEntries(wrong)
        with context.state.changing(context.field("version")) as file:
            save_table(file, keys, settings, new=profile is None, accept=partial(accept, table=table))
    except EntraPipelineError as error:
        if isinstance(error, RefusedChange):
            error = InvalidEntries({"webhook_name": error.message}) if error.settings else error
        found = at_fields(error, table, _FIELDS)
        return _form(context, profile, {**values, "name": name}, found)
    action = f"notification profile {'edit' if profile else 'create'}"
    told = {key: value for key, value in settings.items() if value is not None}
    record(context.state, context.user, context.request, action=action, subject=name, **told)
    return context.go("/notifications", f"The profile {name} has been saved. Send a test message to check delivery.")


def _wrong(context: RequestContext, values: Mapping[str, Any], new: str | None) -> dict[str, str]:
    """What is wrong with the entries, by field; `new` is the name of a profile that is to be made."""
    project = context.project
    wrong = check_name(new, project.notifications, "profile") if new is not None else {}
    if values["webhook_format"] and not values["webhook_name"]:
        wrong["webhook_name"] = "Enter the name of an environment variable or file."
    if not values["to"] and not values["webhook_format"]:
        wrong["to"] = "Enter a mail address, or choose a webhook."
    elif values["to"] and project.mail is None:
        wrong["to"] = "Mail cannot be sent yet: no mail server is configured. Remove the addresses, or set it up first."
    elif values["digest"] and not values["to"]:
        wrong["to"] = "A daily digest is sent by mail: enter a mail address."
    return wrong


def _sent(context: RequestContext) -> dict[str, Any]:
    """The form as it was sent."""
    texts = ("webhook_format", "webhook_place", "webhook_name", "digest_at", "timezone")
    return {
        "to": context.lines("to"),
        **{kind: context.form.get(kind, []) for kind in KINDS},
        **{key: bool(context.field(key)) for key in ("unusual", "attach_report", "digest")},
        **{key: context.field(key) for key in texts},
    }


def _settings(values: Mapping[str, Any]) -> dict[str, Any]:
    """What is to stand in the file; None for what is not to stand there."""
    webhook = {"url": {values["webhook_place"]: values["webhook_name"]}, "format": values["webhook_format"]}
    digest = {"digest": "daily", "digest_at": values["digest_at"], "timezone": values["timezone"] or "UTC"}
    return {
        "to": values["to"] or None,
        "webhook": webhook if values["webhook_format"] else None,
        **{kind: values[kind] or None for kind in KINDS},
        "unusual": True if values["unusual"] else None,
        "attach_report": None if values["attach_report"] else False,
        **(digest if values["digest"] else dict.fromkeys(digest)),
    }


def delete(context: RequestContext) -> Response:
    """Deletes a profile."""
    profile = context.project.profile(context.path("profile"))
    try:
        with context.state.changing(context.field("version")) as file:
            keys = ("notifications", profile.name)
            delete_table(file, keys, accept=partial(accept, table=".".join(keys)))
            record(
                context.state, context.user, context.request, action="notification profile delete", subject=profile.name
            )
    except EntraPipelineError as error:
        return _form(context, profile, _values(profile), error)
    return context.go("/notifications", f"The profile {profile.name} has been deleted.")


PAGES = (
    Page("/notifications", show, Role.viewer, label="Notifications", place=100, icon="bell"),
    Page("/notifications/new", new, Role.administrator),
    Page("/notifications/new", save_new, Role.administrator, ("POST",)),
    Page("/notifications/{profile}/test", try_one, Role.operator, ("POST",)),
    Page("/settings/mail/test", try_mail, Role.administrator, ("POST",)),
    Page("/notifications/{profile}/edit", edit, Role.administrator),
    Page("/notifications/{profile}/edit", save, Role.administrator, ("POST",)),
    Page("/notifications/{profile}/delete", delete, Role.administrator, ("POST",)),
)
