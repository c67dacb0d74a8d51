"""What is relied on of Dagster's unexported parts: a Dagster that changes one fails here, and says which."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin

from entra_pipeline.orchestration import dagster_internals as internals

ROOT = Path(__file__).parents[2]
MODULE = "entra_pipeline/orchestration/dagster_internals.py"
# The command and the reports, which know nothing of Dagster's runs, ask for the moments of its ticks.
TICKS = "entra_pipeline/ticks.py"
CHANGED = f"Dagster {version('dagster')} has changed what {MODULE} relies on: "


def imports(file: Path) -> Iterator[str]:
    """The modules that a file imports from, whenever it does."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def test_two_modules_alone_import_what_dagster_does_not_export() -> None:
    found = {
        str(file.relative_to(ROOT))
        for folder in ("entra_pipeline", "assets", "resources")
        for file in (ROOT / folder).rglob("*.py")
        if any(name.split(".")[0] == "dagster" and "._" in name for name in imports(file))
    }
    assert found == {MODULE, TICKS}


@pytest.mark.parametrize(
    ("kind", "members"),
    [
        (internals.InstigatorStatus, {"RUNNING", "STOPPED", "DECLARED_IN_CODE"}),
        (internals.InstigatorType, {"SCHEDULE", "SENSOR"}),
        (internals.TickStatus, {"STARTED", "SKIPPED", "SUCCESS", "FAILURE"}),
        (internals.AssetPartitionStatus, {"FAILED", "IN_PROGRESS", "MATERIALIZED"}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_states_have_the_names_that_are_asked_for(kind: type, members: set[str]) -> None:
    assert members <= set(kind.__members__), f"{CHANGED}{kind.__name__}"  # type: ignore[attr-defined]


def test_what_is_made_or_read_has_its_fields() -> None:
    target = internals.AssetCheckEvaluationTargetMaterializationData(storage_id=1, run_id="a", timestamp=2.0)
    assert (target.storage_id, target.run_id, target.timestamp) == (1, "a", 2.0), CHANGED
    assert internals.ScheduleInstigatorData("0 1 * * *", 2.0).start_timestamp == 2.0, CHANGED
    for name in ("instigator_name", "instigator_type", "instigator_data", "status", "instigator_origin_id"):
        assert hasattr(internals.InstigatorState, name) or name in internals.InstigatorState._fields, CHANGED + name


def test_the_job_of_asset_runs_and_the_type_of_asset_jobs_are_as_named(instance: dg.DagsterInstance) -> None:
    @dg.asset
    def one() -> None: ...

    definitions = dg.Definitions([one])
    assert definitions.resolve_implicit_global_asset_job_def().name == internals.ASSET_JOB, CHANGED + "ASSET_JOB"
    assert type(dg.define_asset_job("job")) is internals.UnresolvedAssetJobDefinition, CHANGED


def test_a_failure_is_kept_with_the_prefix_that_is_taken_off(instance: dg.DagsterInstance) -> None:
    @dg.job
    def failing() -> None:
        @dg.op
        def fails() -> None:
            raise dg.Failure("because")

        fails()

    [event] = failing.execute_in_process(instance=instance, raise_on_error=False).filter_events(
        lambda event: event.is_step_failure
    )
    error = event.step_failure_data.error
    assert error is not None
    assert (error.cause or error).message.strip() == f"{internals.FAILURE_PREFIX}because", CHANGED + "FAILURE_PREFIX"


def test_a_checks_last_row_is_asked_for_by_key(instance: dg.DagsterInstance) -> None:
    key = dg.AssetCheckKey(dg.AssetKey("one"), "sound")
    instance.report_runless_asset_event(
        dg.AssetCheckEvaluation(asset_key=key.asset_key, check_name="sound", passed=True)
    )
    record = instance.event_log_storage.get_latest_asset_check_execution_by_key([key])[key]
    assert isinstance(record.evaluation, dg.AssetCheckEvaluation), CHANGED + "AssetCheckExecutionRecord.evaluation"


def test_the_code_location_of_a_run_is_its_tag_in_the_storage(instance: dg.DagsterInstance) -> None:
    @dg.job
    def one() -> None: ...

    place = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("here"), "__repository__")
    run = instance.create_run_for_job(one, remote_job_origin=RemoteJobOrigin(place, job_name="one"))
    instance.create_run_for_job(one)
    label = internals.repository_label(run)
    assert label == "__repository__@here", CHANGED + "DagsterRun.remote_job_origin"
    [found] = instance.get_runs(dg.RunsFilter(tags={internals.REPOSITORY_TAG: label}))
    assert found.run_id == run.run_id, CHANGED + "REPOSITORY_TAG"
