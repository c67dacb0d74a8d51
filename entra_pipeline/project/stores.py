"""From a scope of the project to its store."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from entra_pipeline.clock import Clock, system_clock
from entra_pipeline.errors import EntraPipelineError, StoreError
from entra_pipeline.project import Project, Scope
from entra_pipeline.store.backends import ObjectStore
from entra_pipeline.store.commit import complete_index
from entra_pipeline.store.points.keys import is_key
from entra_pipeline.store.recovery_points import ScopeStore


class PointsWithoutScope(NamedTuple):
    """Recovery points of a scope that the project does not have: its name, its storage profile, its keys."""

    scope: str
    storage: str
    points: list[str]


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


def open_stores(
    project: Project, names: Iterable[str], clock: Clock = system_clock
) -> Iterator[tuple[str, ScopeStore | EntraPipelineError]]:
    """Opens the stores of many scopes; each storage profile is opened once, and nothing is read or written yet.

    Yields:
        The name of each scope, and its store or why it cannot be opened.
    """
    places: dict[str, ObjectStore | EntraPipelineError] = {}
    for name in names:
        scope = project.scope(name)
        if scope.storage not in places:
            try:
                places[scope.storage] = project.storage[scope.storage].open()
            except EntraPipelineError as error:
                places[scope.storage] = error
        place = places[scope.storage]
        yield name, place if isinstance(place, EntraPipelineError) else ScopeStore(place, name, clock, scope.retention)


def storages_of(project: Project, scope: str | None = None) -> dict[str, ObjectStore]:
    """Returns the places that scopes are stored in, by the name of their profile.

    Args:
        project: The project.
        scope: Only that of this scope; UsageError when there is none of the name.
    """
    scopes = [project.scope(scope)] if scope else project.scopes.values()
    return {name: project.storage[name].open() for name in sorted({one.storage for one in scopes})}


def points_without_scope(project: Project) -> tuple[list[PointsWithoutScope], dict[str, EntraPipelineError]]:
    """Finds the recovery points that scopes left which are not in the project any more, oldest first.

    Returns:
        What was found, by scope and storage; and why storages, by the name of their profile, could not be read.
    """
    found: list[PointsWithoutScope] = []
    problems: dict[str, EntraPipelineError] = {}
    known = {(scope.storage, scope.name) for scope in project.scopes.values()}
    for storage, profile in project.storage.items():
        by_scope: dict[str, list[str]] = defaultdict(list)
        try:
            for file in profile.open().list("_recovery_points/"):
                _, scope, *rest = file.key.split("/")
                point = "/".join(rest).removesuffix(".json")
                if is_key(point):
                    by_scope[scope].append(point)
        except EntraPipelineError as error:
            problems[storage] = error
            continue
        for scope, points in sorted(by_scope.items()):
            if (storage, scope) not in known:
                found.append(PointsWithoutScope(scope, storage, sorted(points)))
    return found, problems


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
