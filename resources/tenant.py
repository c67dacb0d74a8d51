"""The tenant of a scope, through Microsoft Graph."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

import dagster as dg
from pydantic import Field

from entra_pipeline.graph import Graph
from entra_pipeline.project import load_project
from entra_pipeline.tenants import open_graph


class TenantResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Opens the tenants of a project."""

    project_file: str = Field(description="The project's dagster_project.toml.")

    def open(self, scope: str) -> AbstractAsyncContextManager[Graph]:
        """The tenant of a scope, ready to be read while the context lasts."""
        project = load_project(self.project_file)
        return open_graph(project.tenants[project.scope(scope).tenant])
