"""A report as one HTML page that needs nothing else: no script, no network, light and dark."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

from entra_pipeline.reports.model import Column, Report
from entra_pipeline.reports.rendering.charts import page_svg
from entra_pipeline.reports.rendering.plain import shown, shown_fact, used_columns
from entra_pipeline.reports.rendering.words import cell_in_words

# Words that are coloured; all else is neutral.
_GOOD = {"finished", "fresh", "ready", "ok", "restored", "yes"}
_BAD = {
    "failed",
    "no good point",
    "missing",
    "never backed up",
    "over",
    "missing backup",
    "refused",
    "unresolved",
    "unknown",
}
_WARNING = {
    "finished with exception",
    "late",
    "late backup",
    "gaps",
    "warning",
    "drill fell short",
    "never rehearsed",
    "no right to write",
    "cancelled",
    "restored with differences",
    "not reached",
}


def as_html(report: Report) -> str:
    """The page. Every text is escaped: names of objects may hold HTML."""
    charts = [{"title": chart.title, "svg": Markup(page_svg(chart))} for chart in report.charts]  # noqa: S704 - our own
    return _template().render(report=report, charts=charts, cell=_cell, used=used_columns, tone=_tone, fact=shown_fact)


@cache
def _template() -> Template:
    source = files("entra_pipeline.reports.rendering").joinpath("report.html.j2").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(source)


def _cell(column: Column, value: Any) -> str:
    return cell_in_words(column.kind, shown(value, column.kind))


def _tone(value: Any) -> str:
    """The class of a word that is coloured."""
    return "good" if value in _GOOD else "bad" if value in _BAD else "warning" if value in _WARNING else "neutral"
