"""Recovery points for notebooks and programs: open a project, pick a scope and a moment, get Arrow or pandas.

    with open_project("dagster_project.toml") as project:
        users = project.scope("contoso").at("2026-11-20T12:00:00Z").table("users").pandas()

docs/sql.md has more, and what can be asked for with `sql`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from entra_pipeline.analysis.sql import Relations, SqlSession
from entra_pipeline.clock import iso
from entra_pipeline.errors import UsageError
from entra_pipeline.project import load_project
from entra_pipeline.project.stores import open_store
from entra_pipeline.text import did_you_mean

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


def open_project(file: str | Path | None = None) -> OpenProject:
    """Opens a project.

    Args:
        file: Its dagster_project.toml; the one that ENTRA_PIPELINE_PROJECT names, or that of this folder, when None.

    Raises:
        ConfigurationError: The file, or a setting in it, cannot be used.
    """
    return OpenProject(file)


@dataclass(frozen=True)
class Answer:
    """What a question comes to; it is asked when the rows are fetched.

    Attributes:
        query: The question.
    """

    _session: SqlSession
    query: str
    _parameters: tuple[Any, ...] = ()

    def arrow(self) -> pa.Table:
        """The rows as an Arrow table; raises UsageError, StoreError."""
        return self._session.ask(self.query, list(self._parameters)).fetch_arrow_table()

    def pandas(self) -> pd.DataFrame:
        """The rows as a pandas data frame; raises UsageError, StoreError."""
        return self.arrow().to_pandas()


@dataclass(frozen=True)
class Moment:
    """A scope at a moment."""

    _session: SqlSession
    scope: str
    moment: str

    def table(self, name: str) -> Answer:
        """An object type, relation or view; raises UsageError when there is none of this name."""
        known = Relations.names_at_moments()
        if name not in known:
            raise UsageError(
                f"there is no object type, relation or view {name!r}{did_you_mean(name, known)}",
                remedy="entra-pipeline sql --tables lists them.",
            )
        return Answer(self._session, f"FROM {name}_at($1, $2)", (self.scope, self.moment))


@dataclass(frozen=True)
class OpenScope:
    """A scope of an open project.

    Attributes:
        name: Its name.
    """

    _project: OpenProject
    name: str

    def points(self) -> list[str]:
        """Keys of its recovery points, oldest first; raises StoreError."""
        return open_store(self._project.project, self.name).points()

    def at(self, moment: datetime | str = "latest") -> Moment:
        """The scope at a moment.

        Args:
            moment: A moment with its zone; or a text: a recovery point, an RFC 3339 time, or `latest`.
        """
        return Moment(self._project.session, self.name, iso(moment) if isinstance(moment, datetime) else moment)


class OpenProject:
    """A project and a session over its stores; see `open_project`.

    Attributes:
        project: Its configuration.
        session: Answers questions.
    """

    def __init__(self, file: str | Path | None = None) -> None:
        self.project = load_project(file)
        self.session = SqlSession.of(self.project)

    def __enter__(self) -> OpenProject:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.session.close()

    def scopes(self) -> list[str]:
        """Names of the scopes."""
        return list(self.project.scopes)

    def scope(self, name: str) -> OpenScope:
        """A scope; raises UsageError when there is none of this name."""
        return OpenScope(self, self.project.scope(name).name)

    def sql(self, query: str) -> Answer:
        """A question in SQL over all scopes (docs/sql.md)."""
        return Answer(self.session, query)
