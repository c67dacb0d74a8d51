"""The storage of a scope."""

from __future__ import annotations

import dagster as dg
from pydantic import Field

from entra_pipeline.project import S3Storage, load_project
from entra_pipeline.store.opening import open_files
from entra_pipeline.store.recovery_points import ScopeStore


class StorageResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Opens the stores of a project's scopes."""

    project_file: str = Field(description="The project's dagster_project.toml.")

    def open(self, scope: str) -> ScopeStore:
        """The store of a scope; raises ConfigurationError when a setting does not work."""
        project = load_project(self.project_file)
        profile = project.storage[project.scope(scope).storage]
        client = None
        if isinstance(profile, S3Storage):
            from resources.s3 import s3_client

            client = s3_client(profile)
        store = ScopeStore(open_files(profile, client), scope)
        store.files.check()
        return store
