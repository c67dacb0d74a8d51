"""Reports as text: JSON, CSV, and values as people read them."""

from __future__ import annotations

import csv
import io
from typing import Any

import msgspec

from entra_pipeline.clock import parse_iso
from entra_pipeline.reports.model import Column, Report, ReportTable
from entra_pipeline.text import spreadsheet_text


def as_json(report: Report) -> str:
    """An object: `report`, `title`, `subtitle`, `made`, `facts`, `problems`, and each table's rows under its key."""
    head = {name: getattr(report, name) for name in ("title", "subtitle", "made", "facts", "problems")}
    tables = {
        table.key: [{column.key: row.get(column.key) for column in table.columns} for row in table.rows]
        for table in report.tables
    }
    data = msgspec.json.encode({"report": report.name, **head, **tables})
    return msgspec.json.format(data, indent=2).decode() + "\n"


def as_csv(report: Report) -> str:
    """The rows of the table that `csv_table` names, else of the first, with the keys of its columns.

    What is nested is JSON.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    if report.tables:
        table = next((one for one in report.tables if one.key == report.csv_table), report.tables[0])
        writer.writerow([_cell(column.key) for column in table.columns])
        writer.writerows([_cell(row.get(column.key)) for column in table.columns] for row in table.rows)
    return out.getvalue()


def _cell(value: Any) -> Any:
    return spreadsheet_text(value) if isinstance(value, str) else scalar(value)


def shown(value: Any, kind: str) -> str:
    """A value as people read it."""
    if value is None or value == "":
        return ""
    if kind == "percent":
        # Never rounded up to all.
        return f"{int(value * 1000) / 10:g} %"
    if kind == "seconds":
        return duration(value)
    if kind == "moment":
        return f"{parse_iso(value):%Y-%m-%d %H:%M:%S}"
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f"{value:,}"
    return str(scalar(value))


def duration(seconds: float) -> str:
    """A duration in its two largest units."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, hours, days = int(seconds // 60), int(seconds // 3600), int(seconds // 86400)
    if minutes < 60:
        return f"{minutes} min {seconds % 60:.0f} s"
    return f"{hours} h {minutes % 60} min" if hours < 48 else f"{days} d {hours % 24} h"


def shown_fact(name: str, value: Any) -> str:
    """The value of a fact as people read it."""
    if name in ("started", "finished") and isinstance(value, str):
        return shown(value, "moment")
    return shown(value, "seconds" if name == "duration" else "text")


def scalar(value: Any) -> Any:
    """A value as a cell holds it: what is nested as JSON."""
    plain = value is None or (isinstance(value, str | int | float) and not isinstance(value, bool))
    return value if plain else msgspec.json.encode(value).decode()


def used_columns(table: ReportTable) -> list[Column]:
    """The columns that say something."""
    return [column for column in table.columns if any(row.get(column.key) not in (None, "") for row in table.rows)]
