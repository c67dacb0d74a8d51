"""The scheduled restore drill: a job of its own, and a check that shows what came back."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest

from entra_pipeline.definitions import build_definitions
from entra_pipeline.orchestration.keys import DRILL_CHECK
from entra_pipeline.project import Project, load_project
from entra_pipeline.project.stores import open_store
from entra_pipeline.restore.check.drill import drill_text, drills
from entra_pipeline.simulator import Simulator

SETTINGS = """
[storage.disk]
kind = "local"
path = "backup"

[scopes.people]
tenant = "simulated"
storage = "disk"
protect = ["users", "domains", "applications", "extension_properties", "attribute_sets",
  "custom_security_attribute_definitions"]
drill = "0 5 * * 0"
timezone = "Europe/Stockholm"
"""


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    with Simulator(users=12, groups=3, seed=11) as simulator:
        file = tmp_path / "dagster_project.toml"
        file.write_text(simulator.tenant_table() + SETTINGS)
        yield load_project(file)


def evaluations(result: dg.ExecuteInProcessResult) -> dict[str, dg.AssetCheckEvaluation]:
    found = [
        one.asset_check_evaluation_data for one in result.all_events if one.event_type_value == "ASSET_CHECK_EVALUATION"
    ]
    return {one.check_name: one for one in found}


def test_a_drill_is_a_check_with_its_score(project: Project, instance: dg.DagsterInstance) -> None:
    definitions = build_definitions(project)
    backed_up = definitions.resolve_job_def("backup_now_people").execute_in_process(instance=instance)
    assert DRILL_CHECK not in evaluations(backed_up)
    result = definitions.resolve_job_def("drill_people").execute_in_process(instance=instance)
    assert result.success
    check = evaluations(result)[DRILL_CHECK]
    store = open_store(project, "people")
    [drill] = drills(store)
    assert (check.passed, drill.status) == (True, "finished")
    assert drill.point == store.points()[-1] == check.metadata["recovery_point"].value
    assert check.description == drill_text(drill)
    shown = check.metadata["scores"]
    assert isinstance(shown, dg.TableMetadataValue)
    scores = {str(one.data["table"]): one.data for one in shown.records}
    users = next(one for one in drill.scores if one.table == "users")
    assert scores["users"]["compared"] == f"{users.compared:,} properties"
    assert scores["user_manager"]["came_back"] == "100 %"
    [record] = [one for one in store.jobs.all() if one.type == "drill"]
    assert (record.trigger, record.status) == ("dagster: drill", "finished")


def test_a_drill_comes_by_its_own_schedule_and_not_with_a_backup(project: Project) -> None:
    repository = build_definitions(project).get_repository_def()
    schedule = repository.get_schedule_def("schedule_drill_people")
    assert schedule.job_name == "drill_people"
    assert (schedule.cron_schedule, schedule.execution_timezone) == ("0 5 * * 0", "Europe/Stockholm")
    moment = datetime(2026, 11, 29, 4, 0, tzinfo=UTC)
    with dg.build_schedule_context(scheduled_execution_time=moment) as context:
        [request] = schedule.evaluate_tick(context).run_requests or ()
    assert request.run_key == "2026-11-29T04-00-00Z"
    backup = repository.get_job("backup_people")
    assert DRILL_CHECK not in {key.name for key in backup.asset_layer.asset_graph.asset_check_keys}
