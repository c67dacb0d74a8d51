"""A tenant: clocks, sign-in and permissions of its app registrations."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from email.utils import parsedate_to_datetime

import httpx

from entra_pipeline.catalogue import hiding, lacking
from entra_pipeline.clock import Clock
from entra_pipeline.doctor.diagnosis import Diagnosis, failed
from entra_pipeline.errors import EntraPipelineError
from entra_pipeline.graph.credentials import NoteToken, trust
from entra_pipeline.graph.factory import is_just_in_time, open_graph, open_owner
from entra_pipeline.graph.just_in_time import HeldCredentials
from entra_pipeline.graph.retry import RetryPolicy
from entra_pipeline.operations.token_journal import journal_of_tenant
from entra_pipeline.project import Project, Tenant
from entra_pipeline.runtime import run_async
from entra_pipeline.text import pluralize

# A person waits for the answer.
_PATIENCE = RetryPolicy(timeout=20.0, bad_response_timeout=10.0)
# Entra takes no client assertion from a clock that is five minutes off (Entra doc: certificate-credentials).
_MOST_SKEW = 60.0
_GRANT = "Grant them in Entra as application permissions, with admin consent."


def examine_tenant(project: Project, name: str, clock: Clock, *, types: list[str] | None = None) -> Iterator[Diagnosis]:
    """Yields what is found of a tenant.

    Args:
        project: The project.
        name: Name of the tenant.
        clock: The clock of this machine.
        types: Object types that its app registrations are to be able to read and restore; those that scopes protect
            when None.
    """
    tenant, subject = project.tenants[name], f"tenant {name}"
    types = project.protected_types(name) if types is None else types
    note = journal_of_tenant(project, name, "doctor")
    yield from _app(subject, tenant, types, clock, note, writing=False)
    if is_just_in_time(tenant):
        yield _owner(subject, tenant, note)
    elif tenant.restore is not None or tenant.simulator is not None:
        yield from _app(subject, tenant, types, clock, note, writing=True)
    else:
        yield Diagnosis(
            subject,
            "app that restores",
            "skipped",
            "none is set: restores can be planned, and not applied",
            f"Register a second app, and describe it in [tenants.{tenant.name}.restore].",
        )


def _app(
    subject: str, tenant: Tenant, types: list[str], clock: Clock, note: NoteToken | None, *, writing: bool
) -> Iterator[Diagnosis]:
    app = "app that restores" if writing else "app that backs up"
    try:
        granted, theirs = run_async(_write_sign_in(tenant, note) if writing else _read_sign_in(tenant, note))
    except EntraPipelineError as error:
        found = failed(subject, f"sign-in, {app}", error)
        yield found._replace(outcome="warning") if writing else found
        return
    yield Diagnosis(subject, f"sign-in, {app}", "ok", "Entra gives it a token")
    if not granted:
        yield Diagnosis(subject, f"permissions, {app}", "warning", "the token does not say which it has")
    elif missing := lacking(types, granted, restoring=writing):
        yield Diagnosis(subject, f"permissions, {app}", "warning", f"it lacks {', '.join(missing)}", _GRANT)
    else:
        hidden = "" if writing else ", ".join(hiding(types, granted))
        told = f"; without {hidden} it sees no members of groups with hidden membership" if hidden else ""
        yield Diagnosis(subject, f"permissions, {app}", "ok", f"it has what the scopes require{told}")
    if theirs is not None:
        yield _clocks(subject, theirs, clock())


def _owner(subject: str, tenant: Tenant, note: NoteToken | None) -> Diagnosis:
    """Tells whether the app that restores can be given a credential, and has none now."""
    what = "credentials, app that restores"
    try:
        found = run_async(_standing(tenant, note))
    except EntraPipelineError as error:
        return failed(subject, what, error)._replace(outcome="warning")
    if found.others:
        return Diagnosis(
            subject,
            what,
            "warning",
            f"it is just_in_time, and has {pluralize(found.others, 'credential')} that stands",
            "Remove it in Entra, under Certificates & secrets: whoever has it can write to the tenant.",
        )
    if found.ours:
        left = ", ".join(f"{one.key_id} (made {one.made}, expires {one.expires})" for one in found.ours)
        return Diagnosis(
            subject,
            what,
            "warning",
            f"it has one of a restore that runs, or was killed: {left}",
            "Nobody knows its value any more where the restore was killed. The next restore removes it; or remove it "
            "in Entra, under Certificates & secrets.",
        )
    return Diagnosis(subject, what, "ok", "it has none; its owner can give it one when a restore begins")


async def _standing(tenant: Tenant, note: NoteToken | None) -> HeldCredentials:
    async with open_owner(tenant, retry=_PATIENCE, note=note) as passwords:
        return await passwords.standing()


async def _write_sign_in(tenant: Tenant, note: NoteToken | None) -> tuple[frozenset[str], None]:
    """Signs in as the app that restores; returns the permissions of the token."""
    async with open_graph(tenant, writing=True, retry=_PATIENCE, note=note) as graph:
        return await graph.sign_in(), None


async def _read_sign_in(tenant: Tenant, note: NoteToken | None) -> tuple[frozenset[str], datetime | None]:
    """Signs in as the app that backs up; returns the permissions of the token, and what Graph takes for the time."""
    async with open_graph(tenant, retry=_PATIENCE, note=note) as graph:
        granted = await graph.sign_in()
        async with httpx.AsyncClient(verify=trust(graph.tenant.ca_file), timeout=10.0) as client:
            try:
                date = (await client.get(graph.root)).headers.get("date", "")
                return granted, parsedate_to_datetime(date)
            except (httpx.HTTPError, ValueError):
                # Whether Graph can be reached is for backups to find out, which are patient.
                return granted, None


def _clocks(subject: str, theirs: datetime, ours: datetime) -> Diagnosis:
    seconds = (ours - theirs).total_seconds()
    if abs(seconds) <= _MOST_SKEW:
        return Diagnosis(subject, "clocks", "ok", "the clocks of this machine and of Graph agree")
    way = "ahead of" if seconds > 0 else "behind"
    return Diagnosis(
        subject,
        "clocks",
        "warning",
        f"this machine is {abs(seconds):.0f} seconds {way} Graph",
        "Let it keep time (NTP): sign-ins fail at five minutes, and recovery points carry its time.",
    )
