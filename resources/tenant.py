"""The tenant of a scope, through Microsoft Graph."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

import dagster as dg
from pydantic import Field

from entra_pipeline.graph import Graph
from entra_pipeline.graph.factory import open_graph
from entra_pipeline.operations.token_journal import journal_of_scope
from entra_pipeline.project import Project, Scope, load_project


class TenantResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Opens the tenants of a project."""

    project_file: str = Field(description="The project's dagster_project.toml.")

    def project(self) -> Project:
        """The project, as it is configured now."""
        return load_project(self.project_file)

    def open(self, scope: str | Scope, *, writing: bool = False, job: str) -> AbstractAsyncContextManager[Graph]:
        """The tenant of a scope, ready while the context lasts.

        Args:
            scope: The scope, or its name.
            writing: As the app registration that may write, instead of the one that reads; there may be none, which is
                a ConfigurationError.
            job: What takes the tokens, for their records.
        """
        project = self.project()
        scope = project.scope(scope) if isinstance(scope, str) else scope
        note = journal_of_scope(project, scope, job)
        return open_graph(project.tenants[scope.tenant], writing=writing, note=note)
