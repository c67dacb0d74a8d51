"""A report in each of its formats."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from entra_pipeline.reports.model import Report


def _html(report: Report) -> bytes:
    from entra_pipeline.reports.rendering.html import as_html

    return as_html(report).encode()


def _xlsx(report: Report) -> bytes:
    from entra_pipeline.reports.rendering.xlsx import as_xlsx

    return as_xlsx(report)


def _json(report: Report) -> bytes:
    from entra_pipeline.reports.rendering.plain import as_json

    return as_json(report).encode()


def _csv(report: Report) -> bytes:
    from entra_pipeline.reports.rendering.plain import as_csv

    return as_csv(report).encode()


# Format → the bytes of its file. What makes them is imported when it is used: charts take half a second.
FORMATS: Mapping[str, Callable[[Report], bytes]] = {"csv": _csv, "html": _html, "json": _json, "xlsx": _xlsx}
