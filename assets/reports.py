"""The reports as assets: their tables and charts to look at, made anew every morning.

What a report says is made where the command has it from (`entra_pipeline.reports`); Dagster keeps what it shows, and
the command writes the whole report to a file.
"""

from collections.abc import Sequence

import dagster as dg

from entra_pipeline.clock import system_clock
from entra_pipeline.orchestration.errors import explained
from entra_pipeline.orchestration.keys import REPORTS_GROUP, report_key
from entra_pipeline.orchestration.metadata.reports import report_metadata
from entra_pipeline.project import load_project
from entra_pipeline.project.secrets import needs_of_all_storages
from entra_pipeline.reports import REPORTS, ReportRequest, ReportType
from resources import StorageResource


def report_assets(project: str | None = None) -> Sequence[dg.AssetsDefinition]:
    """Returns an asset per report of the project of that name."""
    return [_asset(report_key(name, project), kind) for name, kind in REPORTS.items()]


def _asset(key: dg.AssetKey, kind: ReportType) -> dg.AssetsDefinition:
    @dg.asset(key=key, group_name=REPORTS_GROUP, description=kind.about, kinds={"table"})
    def report(context: dg.AssetExecutionContext, storage: StorageResource) -> dg.MaterializeResult:  # type: ignore[type-arg]
        with explained(context, storage.project_file, needs_of_all_storages):
            made = kind.build(ReportRequest.lately(load_project(storage.project_file), kind.days, system_clock()))
        for problem in made.problems:
            context.log.warning(problem)
        return dg.MaterializeResult(metadata=report_metadata(made))

    return report
