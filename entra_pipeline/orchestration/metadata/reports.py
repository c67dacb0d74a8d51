"""Makes the metadata of a report: its charts, facts and the beginning of its tables."""

import base64
from typing import Any

import dagster as dg

from entra_pipeline.reports import Report
from entra_pipeline.reports.model import Chart, ReportTable
from entra_pipeline.reports.rendering.plain import shown, shown_fact, used_columns

MOST = 100
"""Rows that a table shows."""


def report_metadata(report: Report) -> dict[str, Any]:
    """Makes the metadata of a report: what could not be found out, charts, facts, and the beginning of its tables."""
    problems = "\n".join(f"- {problem}" for problem in report.problems)
    numbers = {name: value for name, value in report.facts.items() if isinstance(value, int | float)}
    texts = {name: shown_fact(name, value) for name, value in report.facts.items() if name not in numbers}
    return {
        **({"problems": dg.MetadataValue.md(problems)} if problems else {}),
        **({"charts": dg.MetadataValue.md("\n\n".join(map(_chart, report.charts)))} if report.charts else {}),
        **texts,
        **numbers,
        **{f"{table.key} table": _table(table) for table in report.tables if table.rows},
        "whole report": f"entra-pipeline report {report.name} --output report.html",
    }


def _chart(chart: Chart) -> str:
    # With charts comes a library that nothing else here needs.
    from entra_pipeline.reports.rendering.charts import lone_svg

    data = base64.b64encode(lone_svg(chart).encode()).decode()
    return f"**{chart.title}**\n\n![{chart.title}](data:image/svg+xml;base64,{data})"


def _table(table: ReportTable) -> dg.TableMetadataValue:
    columns = used_columns(table)
    records = [
        dg.TableRecord({column.heading: shown(row.get(column.key), column.kind) for column in columns})
        for row in table.rows[-MOST:]
    ]
    return dg.MetadataValue.table(records, dg.TableSchema([dg.TableColumn(column.heading) for column in columns]))
