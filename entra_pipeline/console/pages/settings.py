"""Settings: tenants and storage, and whether they work. Secrets are never shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from entra_pipeline.catalogue import hiding, lacking
from entra_pipeline.console.auditing import record
from entra_pipeline.console.auth.roles import Role
from entra_pipeline.console.routing import Page, RequestContext
from entra_pipeline.errors import EntraPipelineError, StoreError, UsageError
from entra_pipeline.graph.factory import is_just_in_time, open_graph, open_owner
from entra_pipeline.project import Project, Tenant
from entra_pipeline.store.backends.promise import StoragePromise
from entra_pipeline.store.backends.promises import StoragePromises


def show(context: RequestContext) -> Response:
    """What there is."""
    return _page(context)


def _page(
    context: RequestContext,
    what: str = "",
    good: str = "",
    problem: EntraPipelineError | None = None,
    promises: Sequence[StoragePromise] = (),
) -> Response:
    """The page, with the outcome of a check below what was checked."""
    project = context.project
    return context.page(
        "settings.html",
        tenants=[(one, _protected(project, one)) for one in project.tenants.values()],
        storages=project.storage,
        checked=what,
        good=good,
        problem=problem,
        promises=promises,
        read_only=context.state.not_writable(),
    )


def _protected(project: Project, tenant: Tenant) -> list[str]:
    """Names of the object types that scopes of a tenant protect."""
    return sorted({name for scope in project.scopes.values() if scope.tenant == tenant.name for name in scope.types()})


async def check_tenant(context: RequestContext) -> Response:
    """Signs in to a tenant as its app registrations do, and names the permissions that they lack."""
    project, name = context.project, context.path("tenant")
    tenant = project.tenants.get(name)
    if tenant is None:
        raise UsageError(f"there is no tenant {name[:100]!r}", remedy="See Settings for the existing ones.")
    types = _protected(project, tenant)
    problem: EntraPipelineError | None = None
    said = []
    try:
        said.append(await _granted(tenant, types, writing=False))
        if is_just_in_time(tenant):
            async with open_owner(tenant) as passwords:
                await passwords.standing()
            said.append("The app registration that restores can be given a credential.")
        elif tenant.restore is not None or tenant.simulator is not None:
            said.append(await _granted(tenant, types, writing=True))
    except EntraPipelineError as error:
        problem = error
    return await run_in_threadpool(_recorded_outcome, context, "tenant check", name, " ".join(said), problem)


async def _granted(tenant: Tenant, types: list[str], *, writing: bool) -> str:
    """What is well with an app registration.

    Raises:
        UsageError: It lacks permissions, which are named.
        ConfigurationError: Entra refuses it, or cannot be reached.
    """
    app = "The app registration that restores" if writing else "The app registration that backs up"
    async with open_graph(tenant, writing=writing) as graph:
        granted = await graph.sign_in()
    if not granted:
        return f"{app} signs in; the token lists no permissions."
    if missing := lacking(types, granted, restoring=writing):
        raise UsageError(
            f"{app[:1].lower()}{app[1:]} lacks {', '.join(missing)}",
            remedy="Grant them in Entra as application permissions, with admin consent.",
        )
    said = f"{app} has all permissions the scopes require."
    if not writing and (hidden := hiding(types, granted)):
        said += (
            f" Without {', '.join(hidden)}, members of groups and administrative units with hidden membership cannot "
            "be read: grant it if the tenant has any."
        )
    return said


def check_storage(context: RequestContext) -> Response:
    """Tries what a storage can promise."""
    name = context.path("storage")
    storage = context.project.storage.get(name)
    if storage is None:
        raise UsageError(f"there is no storage {name[:100]!r}", remedy="See Settings for the existing ones.")
    erasure = any(scope.erasure for scope in context.project.scopes.values() if scope.storage == name)
    promises = list(StoragePromises(storage, erasure=erasure).check())
    broken = [one for one in promises if one.outcome == "failed"]
    problem = StoreError(broken[0].told, remedy=broken[0].remedy) if broken else None
    return _recorded_outcome(context, "storage check", name, "All checks passed.", problem, promises)


def _recorded_outcome(
    context: RequestContext,
    act: str,
    subject: str,
    good: str,
    problem: EntraPipelineError | None,
    promises: Sequence[StoragePromise] = (),
) -> Response:
    details: dict[str, Any] = {"error": problem.message} if problem else {}
    result = "failed" if problem else "finished"
    record(context.state, context.user, context.request, action=act, subject=subject[:200], result=result, **details)
    return _page(context, f"{act} {subject}", good, problem, promises)


PAGES = (
    Page("/settings", show, Role.viewer, label="Settings", place=110),
    Page("/settings/tenants/{tenant}/check", check_tenant, Role.operator, ("POST",)),
    Page("/settings/storage/{storage}/check", check_storage, Role.operator, ("POST",)),
)
