"""The storage of a scope."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import dagster as dg
from pydantic import Field

from entra_pipeline.errors import EntraPipelineError
from entra_pipeline.project import Scope, load_project
from entra_pipeline.store.backends import ObjectStore, S3Storage, StorageSettings
from entra_pipeline.store.recovery_points import ScopeStore


class StorageResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Opens the stores of a project's scopes."""

    project_file: str = Field(description="The project's dagster_project.toml.")

    def open(self, scope: str | Scope) -> ScopeStore:
        """The store of a scope (or of the scope of that name); raises ConfigurationError when a setting is wrong."""
        project = load_project(self.project_file)
        scope = project.scope(scope) if isinstance(scope, str) else scope
        return ScopeStore(_open_place(project.storage[scope.storage]), scope.name, retention=scope.retention)

    def open_each(self, names: Iterable[str]) -> Iterator[tuple[str, ScopeStore | EntraPipelineError]]:
        """Opens the stores of many scopes; each storage profile is opened and checked once.

        Yields:
            The name of each scope, and its store or why it cannot be opened.
        """
        project = load_project(self.project_file)
        places: dict[str, ObjectStore | EntraPipelineError] = {}
        for name in names:
            try:
                scope = project.scope(name)
            except EntraPipelineError as error:
                yield name, error
                continue
            if scope.storage not in places:
                try:
                    places[scope.storage] = _open_place(project.storage[scope.storage])
                except EntraPipelineError as error:
                    places[scope.storage] = error
            place = places[scope.storage]
            found = (
                place if isinstance(place, EntraPipelineError) else ScopeStore(place, name, retention=scope.retention)
            )
            yield name, found


def _open_place(profile: StorageSettings) -> ObjectStore:
    """Opens the place of a storage profile; raises ConfigurationError or StoreError when it cannot be used."""
    files: ObjectStore
    if isinstance(profile, S3Storage):
        from resources.s3 import s3_client

        files = profile.protected(profile.place(s3_client(profile)))
    else:
        files = profile.open()
    files.check()
    files.check_key()
    return files
