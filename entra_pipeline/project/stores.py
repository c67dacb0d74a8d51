"""From a scope of the project to its store."""

from __future__ import annotations

from collections.abc import Iterator

from entra_pipeline.clock import Clock, system_clock
from entra_pipeline.errors import StoreError
from entra_pipeline.project import Project, Scope
from entra_pipeline.store.backends import ObjectStore
from entra_pipeline.store.commit import complete_index
from entra_pipeline.store.recovery_points import ScopeStore


def open_store(project: Project, scope: Scope | str, clock: Clock = system_clock) -> ScopeStore:
    """Returns the store of a scope (or of the scope of that name).

    Nothing is read or written yet; `ObjectStore.check` tells whether the place can be used.

    Raises:
        UsageError: There is no such scope.
        ConfigurationError: A secret cannot be found.
    """
    if isinstance(scope, str):
        scope = project.scope(scope)
    return ScopeStore(project.storage[scope.storage].open(), scope.name, clock, scope.retention)


def storages_of(project: Project, scope: str | None = None) -> dict[str, ObjectStore]:
    """Returns the places that scopes are stored in, by the name of their profile.

    Args:
        project: The project.
        scope: Only that of this scope; UsageError when there is none of the name.
    """
    scopes = [project.scope(scope)] if scope else project.scopes.values()
    return {name: project.storage[name].open() for name in sorted({one.storage for one in scopes})}


def complete_indexes(project: Project) -> Iterator[tuple[str, int, str]]:
    """Writes the indexes of recovery points that older releases did not; a place that may only be read goes without.

    Yields:
        The name of each scope, how many of its points were indexed, and what went wrong, if anything.
    """
    for name in project.scopes:
        try:
            yield name, len(complete_index(open_store(project, name))), ""
        except StoreError as error:
            yield name, 0, error.message
