"""Reports and freshness in Dagster."""

import dagster as dg

from entra_pipeline.definitions import build_definitions
from entra_pipeline.orchestration.jobs.overview import FRESHNESS_JOB, REPORTS_JOB
from entra_pipeline.orchestration.keys import freshness_key, report_key
from entra_pipeline.project import Project, load_project
from entra_pipeline.reports import REPORTS
from entra_pipeline.simulator import Simulator
from tests.dagster.test_runs import now, run_backup


def run(definitions: dg.Definitions, instance: dg.DagsterInstance, job: str) -> dg.ExecuteInProcessResult:
    return definitions.resolve_job_def(job).execute_in_process(instance=instance, raise_on_error=False)


def test_reports_are_assets_with_tables_and_charts(definitions: dg.Definitions, instance: dg.DagsterInstance) -> None:
    assert run_backup(definitions, instance, now()).success
    assert run(definitions, instance, REPORTS_JOB).success
    shown = {}
    for name in REPORTS:
        event = instance.get_latest_materialization_event(report_key(name))
        assert event is not None
        shown[name] = event.asset_materialization.metadata  # type: ignore[union-attr]
    assert shown["backup-analysis"]["recovery points"].value == 1
    users = [
        row.data for row in shown["backup-analysis"]["days table"].value.records if row.data["category"] == "Users"
    ]
    assert users[0]["objects"] == "30"
    assert "data:image/svg+xml;base64," in shown["jobs"]["charts"].value
    assert len(shown["backup-analysis"]["charts"].value) < 100_000
    assert [row.data["verdict"] for row in shown["readiness"]["scopes table"].value.records] == ["no right to write"]


def test_two_projects_share_a_dagster_each_with_reports_of_its_own(
    project: Project, definitions: dg.Definitions, instance: dg.DagsterInstance
) -> None:
    text = project.file.read_text().replace("contoso-eu", "contoso-us")
    (other := project.file.with_name("other.toml")).write_text(f'name = "us"\n{text}')
    second = build_definitions(load_project(other))

    def keys(of: dg.Definitions) -> set[dg.AssetKey]:
        return {spec.key for spec in of.resolve_all_asset_specs()}

    assert not keys(definitions) & keys(second)
    assert report_key("jobs") in keys(definitions)
    assert run(second, instance, REPORTS_JOB).success
    assert instance.get_latest_materialization_event(dg.AssetKey(["us", "reports", "jobs"])) is not None
    assert instance.get_latest_materialization_event(report_key("jobs")) is None


def test_freshness_is_that_of_the_last_good_point(
    definitions: dg.Definitions, instance: dg.DagsterInstance, simulator: Simulator
) -> None:
    def fresh() -> tuple[bool, str]:
        result = run(definitions, instance, FRESHNESS_JOB)
        assert result.success
        [check] = result.get_asset_check_evaluations()
        assert check.asset_check_key == freshness_key("contoso-eu")
        return check.passed, check.description or ""

    assert fresh() == (False, "never backed up: last good point -, there is none")
    simulator.control.deny("domains", 403)
    assert run_backup(definitions, instance, now()).success
    simulator.control.deny("domains", 0)
    assert fresh()[1].startswith("no good point")
    definitions.resolve_job_def("backup_now_contoso_eu").execute_in_process(instance=instance)
    passed, text = fresh()
    assert passed and text.startswith("fresh: last good point 20")


def test_a_project_without_scopes_has_reports_and_nothing_to_be_fresh() -> None:
    definitions = build_definitions(Project())
    assert definitions.resolve_job_def(REPORTS_JOB)
    assert FRESHNESS_JOB not in {job.name for job in definitions.jobs or ()}
