"""What a launch may not decide: values of environment variables, and which project it works on."""

from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._config import ConfigTypeKind

from entra_pipeline.definitions import build_definitions
from entra_pipeline.errors import UsageError
from entra_pipeline.orchestration.errors import require_plain_config
from entra_pipeline.orchestration.jobs.restore import OPS
from entra_pipeline.orchestration.jobs.retention import OP
from entra_pipeline.project import Project

SECRET = "s3cr3t-of-the-process"
VARIABLE = {"env": "ONE_OF_THE_PROCESS"}
CONFIGS: dict[str, dict[str, Any]] = {
    "prune": {"ops": {OP: {"config": {"scope": VARIABLE}}}},
    "restore": {"scope": VARIABLE, "point": "latest"},
    "restore, in a list": {"scope": "contoso-eu", "point": "latest", "ids": ["1", VARIABLE]},
    "backup_now_contoso_eu": {"ops": {"backup_now_contoso_eu": {"config": {"types": [VARIABLE]}}}},
}


@pytest.mark.parametrize("name", CONFIGS)
def test_a_launch_shows_nobody_an_environment_variable(
    name: str, project: Project, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE["env"], SECRET)
    job = build_definitions(project).resolve_job_def(name.partition(",")[0])
    config = CONFIGS[name]
    if name == "backup_now_contoso_eu":
        (op,) = (node.name for node in job.nodes)
        config = {"ops": {op: config["ops"][name]}}
    result = job.execute_in_process(instance=instance, run_config=config, raise_on_error=False)
    assert not result.success
    events = str(result.all_events) + str([one.user_message for one in instance.all_logs(result.run_id)])
    assert "is taken from an environment variable" in events
    assert SECRET not in events


def test_a_launch_works_on_no_other_project(project: Project, instance: dg.DagsterInstance, tmp_path: Path) -> None:
    config = {
        "ops": {OP: {"config": {"scope": "contoso-eu"}}},
        "resources": {"storage": {"config": {"project_file": str(tmp_path / "other.toml")}}},
    }
    job = build_definitions(project).resolve_job_def("prune")
    result = job.execute_in_process(instance=instance, run_config=config, raise_on_error=False)
    assert not result.success
    assert "the launch configures resources" in str(result.all_events)


def test_no_resource_takes_anything_from_a_launch(project: Project) -> None:
    """What Dagster adds by itself, such as a folder that outputs are written to, included."""
    definitions = build_definitions(project)
    for job in definitions.get_repository_def().get_all_jobs():
        configurable = [
            name
            for name, one in job.resource_defs.items()
            if one.config_field is not None and one.config_field.config_type.kind is not ConfigTypeKind.ANY
        ]
        assert configurable == [], job.name


def test_plain_values_are_taken() -> None:
    require_plain_config({"ops": {OPS[0]: {"config": {"scope": "env", "ids": ["env"], "domains": {"a": "b"}}}}})
    require_plain_config({})


def test_the_place_of_a_variable_is_named() -> None:
    with pytest.raises(UsageError, match=r"^ops\.x\.config\.ids\[1\] is taken"):
        require_plain_config({"ops": {"x": {"config": {"ids": ["1", {"env": "A"}]}}}})
