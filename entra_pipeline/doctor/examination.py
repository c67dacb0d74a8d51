"""The examination of an installation, from the configuration to Dagster."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from entra_pipeline.channels import CHANNELS
from entra_pipeline.clock import Clock, system_clock
from entra_pipeline.doctor.dagster_check import examine_dagster
from entra_pipeline.doctor.diagnosis import Diagnosis, Outcome, failed
from entra_pipeline.doctor.tenant_check import examine_tenant
from entra_pipeline.errors import EntraPipelineError
from entra_pipeline.project import Project, load_project
from entra_pipeline.store.backends.promises import StoragePromises
from entra_pipeline.text import pluralize


def examine(file: Path | None, clock: Clock = system_clock) -> Iterator[Diagnosis]:
    """Yields each thing as it is tried; every failure is one of them.

    Args:
        file: The configuration; None looks for it as every command does.
        clock: The clock of this machine.
    """
    try:
        project = load_project(file)
    except EntraPipelineError as error:
        yield failed("configuration", "read", error)
        return
    yield _read(project)
    yield from _files(project)
    for name in project.tenants:
        yield from examine_tenant(project, name, clock)
    for name in project.storage:
        yield from examine_storage(project, name)
    yield from _channels(project)
    yield from examine_dagster(project, clock)


def examine_storage(project: Project, name: str) -> Iterator[Diagnosis]:
    """Yields what a storage promises or lacks, as it is tried.

    Args:
        project: The project.
        name: Name of the storage profile.
    """
    for one in StoragePromises(project.storage[name], erasure=project.erases_in(name)).check():
        broken: Outcome = "failed" if one.needed_for == "backup" else "warning"
        outcome = "ok" if one.outcome == "passed" else broken
        yield Diagnosis(f"storage {name}", one.check, outcome, one.told, one.remedy, one.configuration)


def _files(project: Project) -> Iterator[Diagnosis]:
    """Yields what is wrong in files of `scopes.d`."""
    for problem in project.problems:
        yield Diagnosis("configuration", problem.file.name, "failed", problem.error.message, problem.error.remedy)


def _read(project: Project) -> Diagnosis:
    numbers = [
        pluralize(len(project.tenants), "tenant"),
        pluralize(len(project.storage), "storage", "storages"),
        pluralize(len(project.scopes), "scope"),
    ]
    told = f"{project.file}: {', '.join(numbers)}"
    if not project.scopes:
        return Diagnosis("configuration", "read", "warning", told, "Make a scope: entra-pipeline scope create NAME.")
    return Diagnosis("configuration", "read", "ok", told)


def _channels(project: Project) -> Iterator[Diagnosis]:
    """Yields what is found of the servers of notification channels; webhooks can only be tried by a message."""
    if not project.notifications:
        told, remedy = "there are none: nobody is told of failures", "Add a [notifications.NAME] table."
        yield Diagnosis("notifications", "profiles", "skipped", told, remedy)
    for channel in CHANNELS.values():
        if not any(channel.recipients(profile) for profile in project.notifications.values()):
            continue
        try:
            yield Diagnosis("notifications", channel.name, "ok", channel.reach(project))
        except EntraPipelineError as error:
            # Backups go on without messages.
            yield failed("notifications", channel.name, error)._replace(outcome="warning")
