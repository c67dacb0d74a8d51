"""The Dagster code location: everything the project's scopes need, put together in one place."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import dagster as dg

from assets import scope_assets
from assets.drills import drill_checks
from assets.fleet import fleet_assets
from assets.freshness import freshness_checks
from assets.reports import report_assets
from entra_pipeline.orchestration.jobs.backup import backup_asset_job, backup_now_job
from entra_pipeline.orchestration.jobs.drill import drill_job, drill_schedule
from entra_pipeline.orchestration.jobs.executor import EXECUTOR
from entra_pipeline.orchestration.jobs.fleet import fleet_backup_job, fleet_drill_job
from entra_pipeline.orchestration.jobs.logs import log_job, log_schedule
from entra_pipeline.orchestration.jobs.old_runs import delete_old_runs, old_runs_schedule
from entra_pipeline.orchestration.jobs.overview import overview_jobs, overview_schedules
from entra_pipeline.orchestration.jobs.restore import restore
from entra_pipeline.orchestration.jobs.retention import prune, prune_schedule
from entra_pipeline.orchestration.keys import identifier
from entra_pipeline.orchestration.schedules import backup_schedule
from entra_pipeline.orchestration.sensors.audit import audit_sensor
from entra_pipeline.orchestration.sensors.due import due_drills_sensor, due_sensor
from entra_pipeline.orchestration.sensors.missed_ticks import missed_ticks_sensor
from entra_pipeline.orchestration.sensors.notifications import notifications_sensor
from entra_pipeline.orchestration.sensors.repair import repair_sensor
from entra_pipeline.orchestration.sensors.unusual_change import unusual_change_sensor
from entra_pipeline.project import Project, Scope, load_project
from resources import DuckDBResource, NoOutputs, StorageResource, TenantResource

if TYPE_CHECKING:
    from entra_pipeline.orchestration.dagster_internals import UnresolvedAssetJobDefinition

# What takes the scope from its configuration, and no assets.
_OP_JOBS: list[dg.JobDefinition] = [restore, prune, delete_old_runs]

# What a scope has where it asks for it.
_JOBS = (backup_now_job, log_job, drill_job)
_SCHEDULES = (backup_schedule, log_schedule, drill_schedule)


def definitions_for(project: Path | str) -> dg.Definitions:
    """Builds the assets, jobs, schedules and sensors of a project, for a Dagster code location of one's own.

    `dg.Definitions.merge` puts them beside others. Asks no network and reveals no secret.

    Args:
        project: The configuration file.

    Raises:
        ConfigurationError: The file cannot be read, or something in it is wrong.
    """
    return build_definitions(load_project(project))


def build_definitions(project: Project) -> dg.Definitions:
    """Builds the definitions of a project; used by Dagster, by the command and by tests.

    Asks no network and reveals no secret.
    """
    if project.dagster.fleet:
        return _fleet_definitions(project)
    scopes = list(project.scopes.values())
    taking = [backup_asset_job(scope) for scope in scopes]
    parts = [_scope_part(scope, job) for scope, job in zip(scopes, taking, strict=True)]
    schedules = [schedule for scope in scopes for make in _SCHEDULES if (schedule := make(scope))]
    schedules += _common_schedules(project)
    return _definitions(
        project,
        _Part(
            assets=[*report_assets(project.name), *(asset for part in parts for asset in part.assets)],
            checks=[*freshness_checks(scopes), *(check for part in parts for check in part.checks)],
            jobs=[*_OP_JOBS, *overview_jobs(project), *(job for part in parts for job in part.jobs)],
        ),
        schedules=schedules,
        sensors=[
            audit_sensor(str(project.file), [schedule.name for schedule in schedules]),
            notifications_sensor(project),
            *(
                (
                    unusual_change_sensor(project, taking),
                    repair_sensor(project, taking),
                    missed_ticks_sensor(project, taking),
                )
                if scopes
                else ()
            ),
        ],
    )


def _common_schedules(project: Project) -> list[dg.ScheduleDefinition]:
    """The schedules of what is done for all scopes."""
    made = [prune_schedule(project), old_runs_schedule(project), *overview_schedules(project)]
    return [schedule for schedule in made if schedule is not None]


def _fleet_definitions(project: Project) -> dg.Definitions:
    """Builds the definitions of the layout `fleet`: as many, whatever the number of scopes."""
    schedules = _common_schedules(project)
    due = [due_sensor(project), due_drills_sensor(project)]
    return _definitions(
        project,
        _Part(
            assets=[*report_assets(project.name), *fleet_assets(project)],
            jobs=[*_OP_JOBS, *overview_jobs(project), fleet_backup_job(project), fleet_drill_job(project)],
        ),
        schedules=schedules,
        sensors=[
            audit_sensor(str(project.file), [*(one.name for one in schedules), *(one.name for one in due)]),
            notifications_sensor(project),
            *due,
        ],
    )


def build_job_definitions(project: Project, job: str) -> dg.Definitions | None:
    """Builds what a run of one job needs: the definitions of its scope, or of what it does for all scopes.

    Those of the layout `fleet` are few, and are built whole.

    Args:
        project: The project.
        job: The name of the job.

    Returns:
        Definitions in which the job is the same as in those of the whole project; None when only these have it.
    """
    if project.dagster.fleet:
        return None
    if found := [one for one in _OP_JOBS if one.name == job]:
        return _definitions(project, _Part(jobs=found))
    if overview := [one for one in overview_jobs(project) if one.name == job]:
        scopes = list(project.scopes.values())
        return _definitions(project, _Part(report_assets(project.name), freshness_checks(scopes), overview))
    for scope in project.scopes.values():
        if job.endswith(identifier(scope.name)):
            part = _scope_part(scope, backup_asset_job(scope))
            if any(one.name == job for one in part.jobs):
                # The backup's job evaluates one of these checks. Their op is one for all scopes.
                checks = [*part.checks, *freshness_checks(list(project.scopes.values()))]
                return _definitions(project, part._replace(checks=checks))
    return None


class _Part(NamedTuple):
    """Some of the definitions of a project."""

    assets: Sequence[dg.AssetsDefinition] = ()
    checks: Sequence[dg.AssetChecksDefinition] = ()
    jobs: Sequence[dg.JobDefinition | UnresolvedAssetJobDefinition] = ()


def _scope_part(scope: Scope, taking: UnresolvedAssetJobDefinition) -> _Part:
    more = [job for make in _JOBS if (job := make(scope))]
    return _Part(scope_assets(scope), drill_checks(scope), [taking, *more])


def _definitions(
    project: Project,
    part: _Part,
    schedules: Sequence[dg.ScheduleDefinition] = (),
    sensors: Sequence[dg.SensorDefinition] = (),
) -> dg.Definitions:
    file = str(project.file)
    return dg.Definitions(
        assets=part.assets,
        asset_checks=part.checks,
        jobs=part.jobs,
        schedules=schedules,
        sensors=sensors,
        # Hardcoded: a launch could otherwise configure them with another project file.
        resources={
            "tenants": dg.ResourceDefinition.hardcoded_resource(TenantResource(project_file=file)),
            "storage": dg.ResourceDefinition.hardcoded_resource(StorageResource(project_file=file)),
            "duckdb": dg.ResourceDefinition.hardcoded_resource(DuckDBResource(project_file=file)),
            "io_manager": dg.IOManagerDefinition.hardcoded_io_manager(NoOutputs()),
        },
        executor=EXECUTOR,
    )


class ProjectRepository(dg.RepositoryData):
    """The definitions of a project, built when they are asked for.

    Dagster's servers ask for everything, once. The process of a run asks for its job only, and that is all it builds:
    the definitions of 300 scopes take half a minute and hundreds of megabytes.

    Args:
        load: Loads the project.
    """

    def __init__(self, load: Callable[[], Project]) -> None:
        self._load = load

    @cached_property
    def _whole(self) -> dg.RepositoryDefinition:
        with _made_to_stay():
            return build_definitions(self._load()).get_repository_def()

    @cache  # noqa: B019 - it lives as long as its process
    def get_job(self, job_name: str) -> dg.JobDefinition:
        """Gives a job by name; of definitions of its own while nobody has asked for everything."""
        if "_whole" not in self.__dict__:
            with _made_to_stay():
                definitions = build_job_definitions(self._load(), job_name)
                if definitions is not None:
                    return definitions.get_repository_def().get_job(job_name)
        return self._whole.get_job(job_name)

    def has_job(self, job_name: str) -> bool:
        """Whether there is a job of a name."""
        return self._whole.has_job(job_name)

    def get_job_names(self) -> Sequence[str]:
        """The names of all jobs."""
        return self._whole.job_names

    def get_all_jobs(self) -> Sequence[dg.JobDefinition]:
        """All jobs."""
        return self._whole.get_all_jobs()

    def get_all_schedules(self) -> Sequence[dg.ScheduleDefinition]:
        """All schedules."""
        return self._whole.schedule_defs

    def get_all_sensors(self) -> Sequence[dg.SensorDefinition]:
        """All sensors."""
        return self._whole.sensor_defs

    def get_source_assets_by_key(self) -> Mapping[dg.AssetKey, dg.SourceAsset]:
        """Assets of others; there are none."""
        return self._whole.source_assets_by_key

    def get_assets_defs_by_key(self) -> Mapping[dg.AssetKey, dg.AssetsDefinition]:
        """All assets."""
        return self._whole.assets_defs_by_key

    def get_asset_checks_defs_by_key(self) -> Mapping[dg.AssetCheckKey, dg.AssetChecksDefinition]:
        """All asset checks."""
        return self._whole.asset_checks_defs_by_key

    def get_top_level_resources(self) -> Mapping[str, dg.ResourceDefinition]:
        """All resources."""
        return self._whole.get_top_level_resources()

    def get_env_vars_by_top_level_resource(self) -> Mapping[str, AbstractSet[str]]:
        """Environment variables that resources take; there are none."""
        return self._whole.get_env_vars_by_top_level_resource()


# Dagster's name for the repository of a Definitions object: what it remembers of schedules and sensors is under it.
# The decorator's documentation offers RepositoryData, its types do not.
@dg.repository(name="__repository__")  # type: ignore[arg-type]
def defs() -> ProjectRepository:
    """The definitions of the project in this folder, or of the one that ENTRA_PIPELINE_PROJECT names."""
    return ProjectRepository(load_project)


@contextmanager
def _made_to_stay() -> Iterator[None]:
    """Spares the garbage collector what is made in the block.

    Definitions live as long as their process. With a hundred scopes they are millions of objects, and walking them
    over and over while Dagster goes on to make jobs of them takes a tenth of the time to load.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
