"""SQL over everything that is stored."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg
from pydantic import Field

from entra_pipeline.analysis.sql import SqlSession
from entra_pipeline.project import load_project


class DuckDBResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Opens a DuckDB with the views and macros of docs/sql.md over a project's stores."""

    project_file: str = Field(description="The project's dagster_project.toml.")

    @contextmanager
    def session(self) -> Iterator[SqlSession]:
        """A session, closed when the block ends; raises ConfigurationError when a setting does not work."""
        with SqlSession.of(load_project(self.project_file)) as session:
            yield session
