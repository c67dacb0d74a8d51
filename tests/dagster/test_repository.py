"""The repository that Dagster loads: whole in its servers, a job's part of it in the process of a run."""

import os
import subprocess
import sys

import dagster as dg
import pytest

from entra_pipeline import definitions as module
from entra_pipeline.definitions import ProjectRepository, build_definitions
from entra_pipeline.project import Project, load_project

SCOPES = """
[scopes.contoso-eu-2]
tenant = "contoso"
storage = "disk"
protect = ["users", "domains"]
schedule = "0 3 * * *"
drill = "0 5 * * 0"
logs = true

[scopes.eu-2]
tenant = "contoso"
storage = "disk"
protect = ["users"]
"""


@pytest.fixture(autouse=True)
def _pytest_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is in this process besides is pytest's, and is to be collected."""
    monkeypatch.setattr("gc.freeze", lambda: None)


@pytest.fixture
def three(project: Project) -> Project:
    """Three scopes; the name of one ends as that of another, and each asks for other jobs."""
    project.file.write_text(project.file.read_text() + SCOPES)
    return load_project(project.file)


def test_a_job_is_the_same_alone_as_among_all(three: Project) -> None:
    whole = build_definitions(three).get_repository_def()
    names = [name for name in whole.job_names if name != "__ASSET_JOB"]
    assert {"backup_contoso_eu", "backup_now_eu_2", "logs_contoso_eu_2", "drill_contoso_eu_2", "reports"} < set(names)
    for name in names:
        alone = ProjectRepository(lambda: three)
        assert alone.get_job(name).get_job_snapshot_id() == whole.get_job(name).get_job_snapshot_id(), name
        assert "_whole" not in vars(alone), name


def test_dagster_is_given_everything(three: Project) -> None:
    whole = build_definitions(three).get_repository_def()
    given = dg.RepositoryDefinition(name="given", repository_data=ProjectRepository(lambda: three))
    given.load_all_definitions()
    assert set(given.job_names) == set(whole.job_names)
    assert {one.name for one in given.schedule_defs} == {one.name for one in whole.schedule_defs}
    assert {one.name for one in given.sensor_defs} == {one.name for one in whole.sensor_defs}
    assert given.assets_defs_by_key.keys() == whole.assets_defs_by_key.keys()
    assert given.asset_checks_defs_by_key.keys() == whole.asset_checks_defs_by_key.keys()
    assert given.get_top_level_resources().keys() == whole.get_top_level_resources().keys()
    assert {str(key) for key in given.asset_graph.get_all_asset_keys()} == {
        str(key) for key in whole.asset_graph.get_all_asset_keys()
    }
    assert given.get_job("backup_eu_2") is given.get_job("backup_eu_2")


def test_a_process_of_a_run_builds_the_definitions_of_its_scope_only(
    three: Project,
) -> None:
    made = """
import sys
from entra_pipeline import definitions
made = []
scope_assets = definitions.scope_assets
definitions.scope_assets = lambda scope: made.append(scope.name) or scope_assets(scope)
definitions.defs.get_job(sys.argv[1])
print(made)
"""
    done = subprocess.run(
        [sys.executable, "-c", made, "backup_contoso_eu_2"],
        env=os.environ | {"ENTRA_PIPELINE_PROJECT": str(three.file)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "['contoso-eu-2']"


def test_what_dagster_remembers_of_schedules_and_sensors_stays_under_its_name(three: Project) -> None:
    assert module.defs.name == build_definitions(three).get_repository_def().name
