"""What a report is made of, whatever it is shown as: tables, charts, and what it could not find out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Literal

from entra_pipeline.project import Project, Scope

ColumnKind = Literal[
    "text", "key", "number", "percent", "moment", "seconds", "status", "type", "types", "properties", "prose"
]


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table.

    Attributes:
        key: Its name in rows, JSON and CSV.
        heading: What people read.
        kind: What it holds: `key` is a name that is not broken into lines, `moment` is RFC 3339, `percent` a share
            between 0 and 1, `seconds` a number, `status` a word that is coloured, `type` the name of an object type or
            relation where a row is about one object, `types` where it is about all of them, `properties` names of
            properties with commas between them, `prose` a text that may name either: pages and workbooks show these in
            words.
        detail: Left out where there is little room: a terminal.
    """

    key: str
    heading: str
    kind: ColumnKind = "text"
    detail: bool = False


@dataclass(frozen=True, slots=True)
class ReportTable:
    """Rows.

    Attributes:
        key: Its name in JSON.
        title: What people read.
        columns: Its columns.
        rows: Its rows; what a row lacks is empty.
        empty: What is said when there are no rows.
        newest_last: Its rows come in the order of time: where there is room for some only, it is the last ones.
    """

    key: str
    title: str
    columns: Sequence[Column]
    rows: Sequence[Mapping[str, Any]]
    empty: str = "nothing"
    newest_last: bool = False


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart.

    Attributes:
        title: What it shows, with the unit.
        labels: What stands below, for example days.
        series: Name → a value per label; None where there is none.
        kind: Bars stacked upon each other, bars side by side, or lines.
        limit: A line across; None when there is none.
        colours: Name of a series → what it means, when that is good or bad.
    """

    title: str
    labels: Sequence[str]
    series: Mapping[str, Sequence[float | None]]
    kind: Literal["stacked", "bars", "lines"] = "stacked"
    limit: float | None = None
    colours: Mapping[str, Literal["good", "warning", "bad"]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Report:
    """A report.

    Attributes:
        name: Its name.
        title: What people read.
        subtitle: What it is about: days, scope, job.
        made: When it was made, RFC 3339.
        tables: Its tables.
        charts: Its charts.
        facts: Heading → value, above the tables.
        problems: What could not be found out, and why.
        csv_table: Key of the table that CSV has; the first one when there is none of this key.
    """

    name: str
    title: str
    subtitle: str
    made: str
    tables: Sequence[ReportTable]
    charts: Sequence[Chart] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    problems: Sequence[str] = ()
    csv_table: str = ""


@dataclass(frozen=True, slots=True)
class ReportRequest:
    """What a report is asked for.

    Attributes:
        project: The project.
        now: The present moment.
        first, last: The days, in UTC.
        scope: Only this scope; all when empty.
        only: Column → the value that its rows must have.
    """

    project: Project
    now: datetime
    first: date
    last: date
    scope: str = ""
    only: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def lately(cls, project: Project, days: int, now: datetime) -> ReportRequest:
        """The last days, the present one included."""
        return cls(project, now, now.date() - timedelta(days=max(days - 1, 0)), now.date())

    def scopes(self) -> list[Scope]:
        """The scopes that it is about; raises UsageError for one that is not there."""
        return [self.project.scope(self.scope)] if self.scope else list(self.project.scopes.values())

    @property
    def begin(self) -> datetime:
        """The first moment of the days."""
        return datetime.combine(self.first, time(), UTC)

    @property
    def end(self) -> datetime:
        """The first moment after the days."""
        return datetime.combine(self.last, time(), UTC) + timedelta(days=1)

    def days(self) -> list[date]:
        """The days."""
        return [self.first + timedelta(days=number) for number in range((self.last - self.first).days + 1)]

    def subtitle(self) -> str:
        """The days and the scope in words."""
        days = str(self.first) if self.first == self.last else f"{self.first} to {self.last}"
        return f"{days} (UTC){f', scope {self.scope}' if self.scope else ''}"

    def wanted(self, row: Mapping[str, Any]) -> bool:
        """Whether a row has what was asked for; a value is found in a text whatever the case."""
        return all(value.lower() in str(row.get(key, "")).lower() for key, value in self.only.items())
