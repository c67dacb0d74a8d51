"""Runs of the code location, in this process, against a simulated tenant."""

import time
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from entra_pipeline.analysis.manifest_rows import COSTS, cost, cost_rows, point_row
from entra_pipeline.backup.manifest_builder import commit_staged
from entra_pipeline.catalogue import CATALOGUE
from entra_pipeline.clock import parse_iso
from entra_pipeline.definitions import build_definitions
from entra_pipeline.errors import RecoveryPointRefused, UsageError
from entra_pipeline.orchestration.keys import REPORTS_GROUP, RETRY_TAG, asset_key, partitions, partitions_name
from entra_pipeline.orchestration.partitions import EXISTED, require_capturable
from entra_pipeline.orchestration.schedules import request
from entra_pipeline.orchestration.sync import sync_scope
from entra_pipeline.project import Project, load_project
from entra_pipeline.project.schedules import longest_pause
from entra_pipeline.project.stores import open_store
from entra_pipeline.simulator import Simulator
from entra_pipeline.store.manifest import Manifest
from entra_pipeline.store.points.keys import key_of
from entra_pipeline.store.recovery_points import ScopeStore
from entra_pipeline.store.state import connect, state_query
from tests.support.s3 import Bucket

SCOPE = "contoso-eu"
PARTITIONS = partitions_name(SCOPE)
TYPES = ["users", "groups", "domains"]


def run_backup(
    definitions: dg.Definitions, instance: dg.DagsterInstance, point: str, **options: object
) -> dg.ExecuteInProcessResult:
    instance.add_dynamic_partitions(PARTITIONS, [point])
    job = definitions.resolve_job_def("backup_contoso_eu")
    return job.execute_in_process(instance=instance, partition_key=point, raise_on_error=False, **options)


def now() -> str:
    return key_of(datetime.now(UTC))


def failure(result: dg.ExecuteInProcessResult) -> str:
    return " ".join(str(e.event_specific_data.error) for e in result.all_events if e.event_type_value == "STEP_FAILURE")


def materialized(instance: dg.DagsterInstance, table: str) -> set[str]:
    return set(instance.get_materialized_partitions(asset_key(SCOPE, table)))


def test_a_run_makes_a_recovery_point_with_metadata(
    definitions: dg.Definitions, instance: dg.DagsterInstance, store: ScopeStore, simulator: Simulator
) -> None:
    point = now()
    assert run_backup(definitions, instance, point).success
    assert store.points() == [point]
    assert {table: materialized(instance, table) for table in (*TYPES, "recovery_point")} == {
        table: {point} for table in (*TYPES, "recovery_point")
    }
    users = instance.get_latest_materialization_event(asset_key(SCOPE, "users"))
    assert users is not None
    metadata = users.asset_materialization.metadata  # type: ignore[union-attr]
    assert metadata["dagster/row_count"].value == 30
    assert metadata["user_manager"].value == len(simulator.control.edges("users", "manager"))
    assert "gaps" not in metadata
    [spec] = [spec for spec in definitions.resolve_all_asset_specs() if spec.key == asset_key(SCOPE, "users")]
    columns = {column.name: column.type for column in spec.metadata["dagster/column_schema"].columns}
    assert (columns["accountEnabled"], columns["businessPhones"], columns["identities"]) == (
        "BOOLEAN",
        "VARCHAR[]",
        "JSON",
    )
    tables = store.manifest(point).tables
    own = [tables[table] for table in ("users", "user_manager", "user_sponsors")]
    assert {name: metadata[name].value for name in COSTS if name in metadata} == told(cost(own))
    assert metadata["resource_units"].value > 0
    whole = instance.get_latest_materialization_event(asset_key(SCOPE, "recovery_point"))
    assert whole is not None
    shown = whole.asset_materialization.metadata  # type: ignore[union-attr]
    assert {name: shown[name].value for name in COSTS} == cost(tables.values())
    total, *dearest = table_of(shown["costs"])
    assert [row["table"] for row in dearest] == [row["table"] for row in cost_rows(store.manifest(point))]
    assert list(total.values()) == ["total", *cost(tables.values()).values()]
    job = store.jobs.all()[-1]
    assert (job.status, job.details["recovery_point"]) == ("finished", point)
    assert store.staging.points() == set()


def test_a_backup_without_changes_leaves_small_events(
    definitions: dg.Definitions, instance: dg.DagsterInstance, store: ScopeStore
) -> None:
    assert run_backup(definitions, instance, key_of(datetime.now(UTC) - timedelta(minutes=1))).success
    result = run_backup(definitions, instance, point := now())
    assert result.success
    assert materialized(instance, "users") >= {point}
    for name in TYPES:
        event = instance.get_latest_materialization_event(asset_key(SCOPE, name))
        metadata = event.asset_materialization.metadata  # type: ignore[union-attr]
        assert metadata["dagster/row_count"].value == store.manifest(point).tables[name].live
        assert set(metadata) <= {
            *("dagster/row_count", "read", "requests"),
            *(relation.name for relation in CATALOGUE[name].relations),
        }
    logs = instance.all_logs(result.run_id)
    # What is told of a materialisation is not told of the step's output again.
    outputs = [one.dagster_event for one in logs if one.dagster_event and one.dagster_event.is_successful_output]
    assert outputs
    assert not any(one.event_specific_data.metadata for one in outputs)  # type: ignore[union-attr]
    said = [one.user_message for one in logs if one.dagster_event is None]
    assert [line for line in said if "without changes" in line]
    assert not [line for line in said if line.startswith("users:")]


def test_a_point_is_never_overwritten(
    definitions: dg.Definitions, instance: dg.DagsterInstance, store: ScopeStore, simulator: Simulator
) -> None:
    point = now()
    assert run_backup(definitions, instance, point).success
    before = store.manifest_bytes(point)
    jobs = store.jobs.all()
    requests = simulator.control.ledger()["requests"]
    assert run_backup(definitions, instance, point).success
    assert store.manifest_bytes(point) == before
    assert store.jobs.all() == jobs
    assert simulator.control.ledger()["requests"] == requests
    for table in (*TYPES, "recovery_point"):
        shown = instance.get_latest_materialization_event(asset_key(SCOPE, table))
        assert "exists and never changes" in str(shown.asset_materialization.metadata[EXISTED].value)  # type: ignore[union-attr]


def test_points_that_are_materialized_again_stay_good_and_sync_mends_those_that_are_shown_as_failed(
    definitions: dg.Definitions, instance: dg.DagsterInstance, store: ScopeStore
) -> None:
    def statuses() -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for table in (*TYPES, "recovery_point"):
            shown = instance.get_status_by_partition(asset_key(SCOPE, table), store.points(), partitions(SCOPE)) or {}
            for point, status in shown.items():
                found.setdefault(point, set()).add(status.name if status else "")
        return found

    for moment in (datetime.now(UTC) - timedelta(minutes=2), datetime.now(UTC)):
        assert run_backup(definitions, instance, key_of(moment)).success
    good = {point: {"MATERIALIZED"} for point in store.points()}
    assert statuses() == good
    for point in store.points():
        assert run_backup(definitions, instance, point).success
    assert statuses() == good
    # As Dagster knows it where such a run has failed.
    job = definitions.resolve_job_def("backup_contoso_eu")
    for point in store.points()[:1]:
        run = instance.create_run_for_job(job, tags={"dagster/partition": point})
        instance.report_run_failed(run, "recovery point exists and never changes")
    assert statuses() == {**good, store.points()[0]: {"FAILED"}}
    assert sync_scope(store, instance).reported == 1
    assert statuses() == good
    newest = instance.get_latest_materialization_event(asset_key(SCOPE, "recovery_point"))
    assert newest.asset_materialization.partition == store.points()[-1]  # type: ignore[union-attr]
    assert sync_scope(store, instance).reported == 0


@pytest.mark.parametrize(
    ("age", "refused"), [(0, False), (23, False), (25, True), (24 * 365, True), (-1, True)], ids=str
)
def test_only_the_present_can_be_captured(store: ScopeStore, age: int, refused: bool) -> None:
    present = datetime.now(UTC)
    point = key_of(present - timedelta(hours=age))
    if refused:
        with pytest.raises(RecoveryPointRefused, match="cannot be read for a past moment"):
            require_capturable(store, point, present)
    else:
        require_capturable(store, point, present)


def test_a_partition_that_is_no_recovery_point_is_refused(store: ScopeStore) -> None:
    with pytest.raises(UsageError, match="not a recovery point"):
        require_capturable(store, "yesterday")


def test_a_denied_type_is_a_gap_and_a_warning(
    definitions: dg.Definitions, instance: dg.DagsterInstance, store: ScopeStore, simulator: Simulator
) -> None:
    simulator.control.deny("domains", 403)
    point = now()
    result = run_backup(definitions, instance, point)
    assert result.success
    assert store.manifest(point).status == "finished with exception"
    checks = {e.asset_check_evaluation_data.check_name: e.asset_check_evaluation_data for e in checks_of(result)}
    assert checks["complete"].passed is False
    assert checks["complete"].severity is dg.AssetCheckSeverity.WARN
    assert checks["chained"].passed is True
    metadata = checks["complete"].metadata
    [gap] = store.manifest(point).tables["domains"].gaps
    assert metadata["lacks"].value == f"domains: not read: {gap.reason} → {gap.remedy}"
    assert "Domain.Read.All" in gap.remedy
    assert {row["table"]: row["result"] for row in table_of(metadata["proof"])}["domains"] == "1 gap"
    assert str(checks["complete"].description).endswith("tables proven, 1 gap")
    assert metadata["gaps"].value == 1


PROOF = ["read", "rows", "counted", "pages", "owners", "compared", "requests", "retries", "throttled"]
"""Figures of the proof that the check shows, under the names of `points --json`."""


def told(figures: dict[str, int]) -> dict[str, int]:
    """The figures that Dagster is told: zeros are left out."""
    return {name: value for name, value in figures.items() if value}


def table_of(value: dg.MetadataValue) -> list[dict[str, object]]:  # type: ignore[type-arg]
    """The rows of a table that Dagster shows, by heading."""
    assert isinstance(value, dg.TableMetadataValue)
    headings = [column.name for column in value.schema.columns]
    return [{heading: record.data[heading] for heading in headings} for record in value.records]


def test_the_check_shows_the_proof_that_the_manifest_keeps(
    definitions: dg.Definitions, instance: dg.DagsterInstance, store: ScopeStore, simulator: Simulator
) -> None:
    point = now()
    [complete, *_] = [
        event.asset_check_evaluation_data for event in checks_of(run_backup(definitions, instance, point))
    ]
    assert (complete.check_name, complete.passed) == ("complete", True)
    assert complete.target_materialization_data is not None
    assert "lacks" not in complete.metadata
    table = {str(row["table"]): row for row in table_of(complete.metadata["proof"])}
    row = point_row(store.manifest(point))
    assert list(table) == list(row["proof"])
    for name, proof in row["proof"].items():
        assert table[name]["result"] == "proven"
        assert {key: table[name][key] for key in PROOF} == {key: proof[key] for key in PROOF}
    assert table["users"]["counted"] == len(simulator.control.dump("users"))
    assert int(str(table["group_members"]["compared"])) > 0
    assert sum(int(str(one["requests"])) for one in table.values()) > 0


def checks_of(result: dg.ExecuteInProcessResult) -> list[dg.DagsterEvent]:
    return [event for event in result.all_events if event.event_type_value == "ASSET_CHECK_EVALUATION"]


def test_a_retry_reads_only_what_failed(
    definitions: dg.Definitions, instance: dg.DagsterInstance, store: ScopeStore, simulator: Simulator
) -> None:
    simulator.control.deny("domains", 500)
    point = now()
    first = run_backup(definitions, instance, point)
    assert not first.success
    assert "domains" in failure(first)
    assert store.points() == []
    assert (materialized(instance, "users"), materialized(instance, "domains")) == ({point}, set())
    simulator.control.deny("domains", 0)
    simulator.control.ledger(reset=True)
    keys = [asset_key(SCOPE, "domains"), asset_key(SCOPE, "recovery_point")]
    again = run_backup(definitions, instance, point, asset_selection=keys)
    assert again.success
    manifest = store.manifest(point)
    assert manifest.status == "finished"
    assert {table: entry.read for table, entry in manifest.tables.items() if entry.kind == "objects"} == dict.fromkeys(
        TYPES, "full"
    )
    paths = {entry["path"] for entry in simulator.control.ledger(entries=True)["entries"]}
    assert not any(path.startswith(("users", "groups")) for path in paths)


def test_the_record_of_a_backup_begins_with_its_first_read_also_after_a_retry(
    definitions: dg.Definitions,
    instance: dg.DagsterInstance,
    store: ScopeStore,
    simulator: Simulator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    simulator.control.deny("domains", 500)
    point = now()
    first = run_backup(definitions, instance, point)
    assert not first.success
    simulator.control.deny("domains", 0)
    commit = "entra_pipeline.operations.backup.commit_staged"
    monkeypatch.setattr(commit, lambda *args: time.sleep(1.5) or commit_staged(*args))
    # What the daemon makes of a retry.
    tags = {"dagster/root_run_id": first.run_id, "dagster/parent_run_id": first.run_id, "dagster/retry_number": "1"}
    assert run_backup(definitions, instance, point, tags=tags).success
    [job] = store.jobs.all()
    read = staged_read(store.manifest(point))
    assert job.started <= read < job.finished
    assert parse_iso(job.finished) - parse_iso(job.started) > timedelta(seconds=1.5)
    assert job.id[:19] == job.started[:19].replace(":", "-")


def staged_read(manifest: Manifest) -> str:
    """When the first request of a point was sent."""
    return min(entry.started for entry in manifest.tables.values())


@pytest.mark.parametrize("selection", [None, ["recovery_point"]], ids=["whole", "commit only"])
def test_a_backup_without_a_partition_fails_at_once_with_the_way_out(
    definitions: dg.Definitions, instance: dg.DagsterInstance, store: ScopeStore, selection: list[str] | None
) -> None:
    job = definitions.resolve_job_def("backup_contoso_eu")
    keys = [asset_key(SCOPE, table) for table in selection] if selection else None
    result = job.execute_in_process(instance=instance, raise_on_error=False, asset_selection=keys)
    assert not result.success
    assert "the run is for no recovery point" in failure(result)
    assert "Traceback" not in failure(result)
    [failed] = [event for event in result.all_events if event.event_type_value == "STEP_FAILURE"]
    remedy = failed.event_specific_data.user_failure_data.metadata["remedy"].value
    assert "backup_now_contoso_eu" in remedy
    assert instance.get_run_by_id(result.run_id).tags[RETRY_TAG] == "false"  # type: ignore[union-attr]
    assert store.points() == []


def test_on_the_last_try_a_type_that_keeps_failing_is_a_gap(
    definitions: dg.Definitions, instance: dg.DagsterInstance, store: ScopeStore, simulator: Simulator
) -> None:
    simulator.control.deny("domains", 500)
    point = now()
    assert run_backup(definitions, instance, point, tags={"dagster/retry_number": "2"}).success
    assert [gap.what for gap in store.manifest(point).tables["domains"].gaps] == ["not read"]


def test_backup_now_needs_no_partition(
    definitions: dg.Definitions, instance: dg.DagsterInstance, store: ScopeStore
) -> None:
    assert definitions.resolve_job_def("backup_now_contoso_eu").execute_in_process(instance=instance).success
    points = store.points()
    assert len(points) == 1
    assert instance.get_dynamic_partitions(PARTITIONS) == points
    assert materialized(instance, "recovery_point") == materialized(instance, "groups") == set(points)


def test_a_run_stores_on_s3(
    project: Project, instance: dg.DagsterInstance, s3_bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("S3_KEY", s3_bucket.endpoint.access_key_id)
    monkeypatch.setenv("S3_SECRET", s3_bucket.endpoint.secret_access_key)
    table = (
        f'kind = "s3"\nbucket = "{s3_bucket.name}"\nendpoint_url = "{s3_bucket.endpoint.url}"\n'
        'access_key_id = { env = "S3_KEY" }\nsecret_access_key = { env = "S3_SECRET" }\n'
    )
    project.file.write_text(project.file.read_text().replace('kind = "local"\npath = "backup"\n', table))
    on_s3 = load_project(project.file)
    assert run_backup(build_definitions(on_s3), instance, point := now()).success
    assert open_store(on_s3, SCOPE).points() == [point]


def test_a_tick_asks_for_one_run_of_the_scheduled_moment(project: Project, instance: dg.DagsterInstance) -> None:
    scheduled = datetime(2026, 7, 1, 0, 30, tzinfo=UTC)
    scope = project.scope(SCOPE)
    one, same = request(scope, instance, scheduled), request(scope, instance, scheduled)
    assert one.partition_key == one.run_key == same.run_key == "2026-07-01T00-30-00Z"
    assert instance.get_dynamic_partitions(PARTITIONS) == ["2026-07-01T00-30-00Z"]


def test_a_tick_after_a_backup_of_the_same_minute_is_refused_not_overwritten(
    definitions: dg.Definitions, instance: dg.DagsterInstance, store: ScopeStore
) -> None:
    scheduled = key_of(datetime.now(UTC) - timedelta(seconds=20))
    assert definitions.resolve_job_def("backup_now_contoso_eu").execute_in_process(instance=instance).success
    taken = store.points()
    result = run_backup(definitions, instance, scheduled)
    assert not result.success
    assert "is newer" in failure(result)
    assert store.points() == taken


def test_what_dagster_lost_is_told_again(
    definitions: dg.Definitions, instance: dg.DagsterInstance, store: ScopeStore, tmp_path
) -> None:
    run_backup(definitions, instance, now())
    definitions.resolve_job_def("backup_now_contoso_eu").execute_in_process(instance=instance)
    points = store.points()
    (tmp_path / "other").mkdir()
    with dg.DagsterInstance.local_temp(str(tmp_path / "other")) as empty:
        first = sync_scope(store, empty)
        assert (first.added, first.reported, first.removed) == (2, 2, 0)
        assert empty.get_dynamic_partitions(PARTITIONS) == points
        assert materialized(empty, "users") == materialized(empty, "recovery_point") == set(points)
        key = asset_key(SCOPE, "recovery_point")
        checks = empty.event_log_storage.get_latest_asset_check_execution_by_key(
            [dg.AssetCheckKey(key, name) for name in ("complete", "chained")]
        )
        told = empty.get_latest_materialization_event(key)
        for check in checks.values():
            evaluation = check.event.dagster_event.event_specific_data
            assert evaluation.passed
            assert evaluation.target_materialization_data.timestamp == told.timestamp
        empty.add_dynamic_partitions(PARTITIONS, ["2020-01-01T00-00-00Z"])
        second = sync_scope(store, empty)
        assert (second.added, second.reported, second.removed) == (0, 0, 1)


def test_a_hundred_scopes_are_a_hundred_groups_jobs_and_schedules(project: Project) -> None:
    text = project.file.read_text()
    start = text.index("[scopes.contoso-eu]")
    scopes = [text[start:].replace("contoso-eu", f"scope-{number:03}") for number in range(100)]
    project.file.write_text(text[:start] + "\n".join(scopes))
    definitions = build_definitions(load_project(project.file))
    # Reports look at all scopes, and belong to none.
    specs = [spec for spec in definitions.resolve_all_asset_specs() if spec.group_name != REPORTS_GROUP]
    assert len({str(spec.group_name).partition("/")[0] for spec in specs}) == 100
    assert len(specs) == 100 * (len(TYPES) + 1)
    repository = definitions.get_repository_def()
    # One schedule each prunes them all, reports on them all, checks how fresh they all are, and deletes old runs.
    assert len(repository.schedule_defs) == 104
    assert {spec.key.path[0] for spec in specs} == {f"scope-{number:03}" for number in range(100)}


@pytest.mark.parametrize(
    ("schedule", "hours"),
    [
        ("0 */6 * * *", 6),
        ("@daily", 24),
        ("0 3 * * 0", 7 * 24),
        ("0 0 1 * *", 31 * 24),
        ("30 2 * * 1-5", 72),
        ("0 9-17 * * 1-5", 64),
    ],
)
def test_freshness_knows_the_longest_pause_of_a_schedule(schedule: str, hours: int) -> None:
    assert longest_pause(schedule) == timedelta(hours=hours)


def test_a_run_on_an_encrypted_storage_encrypts_what_it_writes(project: Project, instance: dg.DagsterInstance) -> None:
    (project.file.parent / "storage.key").write_text("a passphrase that is long enough")
    text = project.file.read_text()
    key = 'encryption = { passphrase = { file = "storage.key" } }'
    project.file.write_text(text.replace('path = "backup"\n', f'path = "backup"\n{key}\n'))
    encrypted = load_project(project.file)
    encryption, place = encrypted.storage["disk"].encryption, encrypted.storage["disk"].place()
    assert encryption is not None
    point = now()
    refused = run_backup(build_definitions(encrypted), instance, point)
    assert "no data key yet" in failure(refused)
    encryption.keys(place).add(datetime.now(UTC))
    assert run_backup(build_definitions(encrypted), instance, point).success
    made = open_store(encrypted, SCOPE).manifest(point)
    assert all(".g0001-" in key for key in made.named())
    with connect(open_store(encrypted, SCOPE).files) as connection:
        query = state_query(open_store(encrypted, SCOPE).files, made.tables["users"], "displayName")
        names = [str(name) for (name,) in connection.execute(query).fetchall()]
    everything = b"".join(place.read(file.key) for file in place.list(""))
    assert len(names) == 30 and not [name for name in names if name.encode() in everything]
