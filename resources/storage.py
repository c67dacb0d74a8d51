"""The storage of a scope."""

from __future__ import annotations

import dagster as dg
from pydantic import Field

from entra_pipeline.project import S3Storage, Scope, load_project
from entra_pipeline.store.opening import open_files
from entra_pipeline.store.recovery_points import ScopeStore


class StorageResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Opens the stores of a project's scopes."""

    project_file: str = Field(description="The project's dagster_project.toml.")

    def open(self, scope: str | Scope) -> ScopeStore:
        """The store of a scope (or of the scope of that name); raises ConfigurationError when a setting is wrong."""
        project = load_project(self.project_file)
        scope = project.scope(scope) if isinstance(scope, str) else scope
        profile = project.storage[scope.storage]
        client = None
        if isinstance(profile, S3Storage):
            from resources.s3 import s3_client

            client = s3_client(profile)
        store = ScopeStore(open_files(profile, client), scope.name, retention=scope.retention)
        store.files.check()
        return store
