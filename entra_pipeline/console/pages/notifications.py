"""Notification profiles: who is told of what; creating, editing, deleting and trying them.

Where a webhook's address is, is shown and chosen; the address itself is a secret and stays on the server.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

from starlette.responses import Response

from entra_pipeline.console.auditing import record
from entra_pipeline.console.roles import Role
from entra_pipeline.console.routing import Page, Visit
from entra_pipeline.errors import EntraPipelineError, UsageError
from entra_pipeline.notifications.listing import profile_rows
from entra_pipeline.notifications.testing import send_test
from entra_pipeline.project import NotificationProfile, create_profile, delete_profile, edit_profile
from entra_pipeline.project.models import Status

KINDS = ("backup", "restore", "prune", "drill")
"""Kinds of jobs whose outcomes somebody can be told of."""

_OUTCOMES = get_args(Status)
_FORMATS = (("", "none"), ("teams", "Microsoft Teams"), ("slack", "Slack"))
_PLACES = (("env", "environment variable"), ("file", "file"))


def show(visit: Visit) -> Response:
    """The profiles."""
    return _list(visit)


def _list(visit: Visit, tried: str = "", good: str = "", problem: EntraPipelineError | None = None) -> Response:
    """The profiles, with the outcome of a try below the one that was tried."""
    try:
        profiles, unread = profile_rows(visit.project), None
    except EntraPipelineError as error:
        profiles, unread = [], error
    return visit.page(
        "notifications.html",
        profiles=profiles,
        unread=unread,
        kinds=KINDS,
        mail=visit.project.mail,
        tried=tried,
        good=good,
        problem=problem,
        locked=visit.site.not_writable(),
    )


def try_one(visit: Visit) -> Response:
    """Sends a test message by every channel of a profile."""
    name = visit.path("profile")
    problem: EntraPipelineError | None = None
    good = ""
    try:
        good = f"Sent to {', '.join(send_test(visit.project, name, visit.site.clock))}."
    except EntraPipelineError as error:
        problem = error
    details: dict[str, Any] = {"error": problem.message} if problem else {}
    result = "failed" if problem else "finished"
    record(
        visit.site,
        visit.user,
        visit.request,
        action="notification test",
        subject=name[:200],
        result=result,
        **details,
    )
    return _list(visit, name, good, problem)


# --- Changing --------------------------------------------------------------------------------------------------------


def new(visit: Visit) -> Response:
    """The form for a new profile."""
    return _form(visit, None, {"backup": ["finished with exception", "failed"], "attach_report": True})


def edit(visit: Visit) -> Response:
    """The form for a profile that there is."""
    profile = visit.project.profile(visit.path("profile"))
    return _form(visit, profile, _values(profile))


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
    visit: Visit,
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
    return visit.form_page(
        "notification_form.html",
        error,
        profile=profile,
        values={**empty, **values},
        kinds=KINDS,
        outcomes=_OUTCOMES,
        formats=_FORMATS,
        places=_PLACES,
    )


def save_new(visit: Visit) -> Response:
    """Creates a profile."""
    return _save(visit, None)


def save(visit: Visit) -> Response:
    """Changes a profile."""
    return _save(visit, visit.project.profile(visit.path("profile")))


def _save(visit: Visit, profile: NotificationProfile | None) -> Response:
    values = _sent(visit)
    name = profile.name if profile else visit.field("name")
    settings = _settings(values)
    try:
        if values["webhook_format"] and not values["webhook_name"]:
            raise UsageError(
                "it is not said where the webhook's address is", remedy="Name an environment variable, or a file."
            )
        with visit.site.changing(visit.field("version")) as file:
            if profile is None:
                create_profile(file, name, settings)
            else:
                edit_profile(file, name, settings)
    except EntraPipelineError as error:
        return _form(visit, profile, {**values, "name": name}, error)
    action = f"notification profile {'edit' if profile else 'create'}"
    told = {key: value for key, value in settings.items() if value is not None}
    record(visit.site, visit.user, visit.request, action=action, subject=name, **told)
    return visit.go("/notifications", f"The profile {name} has been saved. A test message shows whether it arrives.")


def _sent(visit: Visit) -> dict[str, Any]:
    """The form as it was sent."""
    texts = ("webhook_format", "webhook_place", "webhook_name", "digest_at", "timezone")
    return {
        "to": visit.lines("to"),
        **{kind: visit.form.get(kind, []) for kind in KINDS},
        **{key: bool(visit.field(key)) for key in ("unusual", "attach_report", "digest")},
        **{key: visit.field(key) for key in texts},
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


def delete(visit: Visit) -> Response:
    """Deletes a profile."""
    profile = visit.project.profile(visit.path("profile"))
    with visit.site.changing(visit.field("version")) as file:
        record(visit.site, visit.user, visit.request, action="notification profile delete", subject=profile.name)
        delete_profile(file, profile.name)
    return visit.go("/notifications", f"The profile {profile.name} has been deleted.")


PAGES = (
    Page("/notifications", show, Role.viewer),
    Page("/notifications/new", new, Role.administrator),
    Page("/notifications/new", save_new, Role.administrator, ("POST",)),
    Page("/notifications/{profile}/test", try_one, Role.operator, ("POST",)),
    Page("/notifications/{profile}/edit", edit, Role.administrator),
    Page("/notifications/{profile}/edit", save, Role.administrator, ("POST",)),
    Page("/notifications/{profile}/delete", delete, Role.administrator, ("POST",)),
)
