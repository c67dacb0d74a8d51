"""The reports as assets: their tables and charts to look at, made anew every morning.

What a report says is made where the command has it from (`entra_pipeline.reports`); Dagster keeps what it shows, and
the command writes the whole report to a file.
"""

import base64
from collections.abc import Sequence
from typing import Any

import dagster as dg

from entra_pipeline.orchestration.partitions import explained
from entra_pipeline.orchestration.keys import identifier
from entra_pipeline.clock import system_clock
from entra_pipeline.project import load_project
from entra_pipeline.reports import REPORTS, Report, ReportRequest, ReportType
from entra_pipeline.reports.model import Chart, ReportTable
from entra_pipeline.reports.rendering.plain import shown, shown_fact, used_columns
from resources import StorageResource

GROUP = "reports"
MOST = 100
"""Rows that a table shows."""


def report_key(name: str, project: str | None = None) -> dg.AssetKey:
    """Returns the asset key of a report: `reports/<report>`, behind the project's name when it has one."""
    return dg.AssetKey([*([project] if project else []), GROUP, identifier(name)])


def report_assets(project: str | None = None) -> Sequence[dg.AssetsDefinition]:
    """Returns an asset per report of the project of that name."""
    return [_asset(report_key(name, project), kind) for name, kind in REPORTS.items()]


def _asset(key: dg.AssetKey, kind: ReportType) -> dg.AssetsDefinition:
    @dg.asset(key=key, group_name=GROUP, description=kind.about, kinds={"table"})
    def report(context: dg.AssetExecutionContext, storage: StorageResource) -> dg.MaterializeResult:  # type: ignore[type-arg]
        with explained(context):
            made = kind.build(ReportRequest.lately(load_project(storage.project_file), kind.days, system_clock()))
        for problem in made.problems:
            context.log.warning(problem)
        return dg.MaterializeResult(metadata=report_metadata(made))

    return report


def report_metadata(report: Report) -> dict[str, Any]:
    """What Dagster shows of a report: what could not be found out, charts, facts, and the beginning of its tables."""
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
