"""Settings: tenants and storage, and whether they work. Secrets are never shown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from starlette.responses import Response

from entra_pipeline.console.auditing import record
from entra_pipeline.console.auth.roles import Role
from entra_pipeline.console.routing import Page, RequestContext
from entra_pipeline.doctor import Diagnosis, examine_storage, examine_tenant
from entra_pipeline.errors import UsageError


def show(context: RequestContext) -> Response:
    """What there is."""
    return _page(context)


def _page(context: RequestContext, checked: str = "", found: Sequence[Diagnosis] = ()) -> Response:
    """The page, with what a check has found below what was checked."""
    project = context.project
    return context.page(
        "settings.html",
        tenants=[(one, project.protected_types(one.name)) for one in project.tenants.values()],
        storages=project.storage,
        checked=checked,
        found=found,
        unwell=_unwell(found),
        read_only=context.state.not_writable(),
    )


def check_tenant(context: RequestContext) -> Response:
    """Tries a tenant as `doctor` does: clocks, sign-in and permissions of its app registrations."""
    name = context.path("tenant")
    if name not in context.project.tenants:
        raise UsageError(f"there is no tenant {name[:100]!r}", remedy="See Settings for the existing ones.")
    found = examine_tenant(context.project, name, context.state.clock)
    return _recorded(context, "tenant check", name, found)


def check_storage(context: RequestContext) -> Response:
    """Tries what a storage can promise."""
    name = context.path("storage")
    if name not in context.project.storage:
        raise UsageError(f"there is no storage {name[:100]!r}", remedy="See Settings for the existing ones.")
    return _recorded(context, "storage check", name, examine_storage(context.project, name))


def _recorded(context: RequestContext, act: str, subject: str, checks: Iterable[Diagnosis]) -> Response:
    """Carries out checks, records what came of them, and shows it."""
    found = list(checks)
    unwell = _unwell(found)
    details: dict[str, Any] = {"error": f"{unwell[0].check}: {unwell[0].told}"} if unwell else {}
    result = "failed" if unwell else "finished"
    record(context.state, context.user, context.request, action=act, subject=subject[:200], result=result, **details)
    return _page(context, f"{act} {subject}", found)


def _unwell(found: Sequence[Diagnosis]) -> list[Diagnosis]:
    """What is not well, what backups cannot do without first."""
    order = ("failed", "warning")
    return sorted((one for one in found if one.outcome in order), key=lambda one: order.index(one.outcome))


PAGES = (
    Page("/settings", show, Role.viewer, label="Settings", place=110, icon="settings"),
    Page("/settings/tenants/{tenant}/check", check_tenant, Role.operator, ("POST",)),
    Page("/settings/storage/{storage}/check", check_storage, Role.operator, ("POST",)),
)
