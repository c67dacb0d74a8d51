"""Metrics of a project for Prometheus: how each scope stands, what its last recovery point cost, what waits.

All of it is worked out from the store, so that any process with the configuration says the same: the console at
`/metrics`, the command `metrics`. Nothing names a person.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from importlib.metadata import version

from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.core import GaugeMetricFamily

from entra_pipeline.clock import parse_iso
from entra_pipeline.errors import EntraPipelineError
from entra_pipeline.notifications import outbox
from entra_pipeline.project import Project, Scope
from entra_pipeline.project.stores import open_stores
from entra_pipeline.reports.health import ScopeHealth, health
from entra_pipeline.reports.readiness import LastDrill, last_drill
from entra_pipeline.store.backends import ObjectStore
from entra_pipeline.store.job_records import JobRecord, JobRecords
from entra_pipeline.store.manifest import Manifest, TableEntry
from entra_pipeline.store.parallel import in_parallel
from entra_pipeline.store.points.keys import moment_of
from entra_pipeline.store.recovery_points import ScopeStore

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""Of what `exposition` returns (Prometheus doc: exposition formats)."""

_PREFIX = "entra_pipeline_"
_JOBS_OF = timedelta(hours=24)

# Sums over the tables of the newest recovery point.
_COSTS: Mapping[str, tuple[str, Callable[[TableEntry], float]]] = {
    "requests": ("HTTP requests sent to Graph.", lambda entry: entry.requests),
    "batched_requests": ("Requests inside batches.", lambda entry: entry.items),
    "resource_units": ("What the requests cost by Graph's limits.", lambda entry: entry.resource_units),
    "retries": ("Requests that were repeated.", lambda entry: entry.retries),
    "throttled_requests": ("Requests that Graph answered with 429.", lambda entry: entry.throttled),
    "read_bytes": ("Bytes of Graph's answers.", lambda entry: entry.bytes_read),
}


@dataclass(frozen=True, slots=True)
class _ScopeFacts:
    """What was read of a scope; only the scope where its store cannot be read."""

    scope: Scope
    standing: ScopeHealth | None = None
    drill: LastDrill | None = None
    jobs: tuple[JobRecord, ...] = ()


def exposition(project: Project, now: datetime, runs: Mapping[str, int] | None = None) -> bytes:
    """Returns the metrics in Prometheus's text format.

    Reads of each scope its newest manifest and that of the last good point, its last drill, and the job records of the
    last 24 hours; scopes whose store cannot be read are `entra_pipeline_scope_up 0`.

    Args:
        project: The project.
        now: The present moment.
        runs: Dagster's runs under way by state (`queued`, `running`); None where nobody asked Dagster.
    """
    opened = list(open_stores(project, project.scopes))
    facts = in_parallel(partial(_facts, project, now), opened)
    places = {project.scope(name).storage: one.files for name, one in opened if isinstance(one, ScopeStore)}
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collected([*_about_scopes(facts), *_about_waiting(places, now), *_about_runs(runs)]))
    return generate_latest(registry)


class _Collected:
    """Metrics that are there already, as the library takes them."""

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = list(metrics)

    def collect(self) -> Iterable[Metric]:
        """Returns the metrics."""
        return self._metrics


def _facts(project: Project, now: datetime, opened: tuple[str, ScopeStore | EntraPipelineError]) -> _ScopeFacts:
    name, store = opened
    scope = project.scope(name)
    try:
        if isinstance(store, EntraPipelineError):
            raise store
        jobs = JobRecords(store.files, scope.name).between(now - _JOBS_OF, now + timedelta(seconds=1))
        return _ScopeFacts(scope, health(scope, store, now), last_drill(store), tuple(jobs))
    except EntraPipelineError:
        return _ScopeFacts(scope)


def _gauge(name: str, told: str, labels: tuple[str, ...] = ("scope",)) -> GaugeMetricFamily:
    return GaugeMetricFamily(_PREFIX + name, told, labels=labels)


def _about_scopes(facts: list[_ScopeFacts]) -> list[Metric]:
    build = _gauge("build_info", "The release.", ("version",))
    build.add_metric([version("entra-pipeline")], 1)
    up = _gauge("scope_up", "1 where the store of the scope could be read.", ("scope", "tenant", "storage"))
    state = _gauge("scope_state", "1 for the state that the scope is in.", ("scope", "state"))
    points = _gauge("recovery_points", "Recovery points in the store.")
    last = _gauge("last_point_timestamp_seconds", "The newest recovery point.")
    good = _gauge("last_good_point_timestamp_seconds", "The newest recovery point that is finished, without exception.")
    due = _gauge("next_backup_timestamp_seconds", "When the schedule is due next.")
    drilled = _gauge("last_drill_timestamp_seconds", "The end of the last restore drill.")
    restored = _gauge("last_drill_restored_ratio", "What the last restore drill brought back.", ("scope", "what"))
    jobs = _gauge("jobs_24h", "Jobs of the last 24 hours.", ("scope", "type", "status"))
    newest: list[tuple[str, Manifest]] = []
    for one in facts:
        name, standing = one.scope.name, one.standing
        up.add_metric([name, one.scope.tenant, one.scope.storage], float(standing is not None))
        if standing is None:
            continue
        state.add_metric([name, standing.freshness], 1)
        points.add_metric([name], standing.points)
        if standing.latest is not None:
            newest.append((name, standing.latest))
            last.add_metric([name], moment_of(standing.latest.recovery_point).timestamp())
        if standing.good:
            good.add_metric([name], moment_of(standing.good).timestamp())
        if standing.due is not None:
            due.add_metric([name], standing.due.timestamp())
        if one.drill is not None:
            drilled.add_metric([name], parse_iso(one.drill.finished).timestamp())
            for what, back, of in (
                ("properties", one.drill.properties_equal, one.drill.properties),
                ("links", one.drill.links_equal, one.drill.links),
            ):
                if of:
                    restored.add_metric([name, what], back / of)
        for (kind, status), number in sorted(Counter((job.type, job.status) for job in one.jobs).items()):
            jobs.add_metric([name, kind, status], number)
    return [build, up, state, points, last, good, due, *_about_points(newest), drilled, restored, jobs]


def _about_points(newest: list[tuple[str, Manifest]]) -> list[Metric]:
    """What the newest recovery points hold, and what they cost."""
    duration = _gauge("last_point_duration_seconds", "From the first request to the last.")
    gaps = _gauge("last_point_gaps", "What the newest recovery point lacks.")
    rows = _gauge("last_point_rows", "Objects and links in the newest recovery point.", ("scope", "kind"))
    changes = _gauge("last_point_changes", "Rows that differ from the point before.", ("scope", "change"))
    written = _gauge("last_point_written_bytes", "Bytes of the files that the newest recovery point wrote.")
    costs = {name: (_gauge(f"last_point_{name}", told), value) for name, (told, value) in _COSTS.items()}
    for scope, manifest in newest:
        entries = list(manifest.tables.values())
        duration.add_metric([scope], (parse_iso(manifest.finished) - parse_iso(manifest.started)).total_seconds())
        gaps.add_metric([scope], sum(len(entry.gaps) for entry in entries))
        for kind, label in (("objects", "objects"), ("edges", "links")):
            rows.add_metric([scope, label], sum(entry.live for entry in entries if entry.kind == kind))
        for change in ("added", "changed", "deleted"):
            changes.add_metric([scope, change], sum(getattr(entry, change) for entry in entries))
        own = (part for entry in entries for part in entry.parts if part.recovery_point == manifest.recovery_point)
        written.add_metric([scope], sum(part.bytes for part in own))
        for gauge, value in costs.values():
            gauge.add_metric([scope], sum(value(entry) for entry in entries))
    return [duration, gaps, rows, changes, written, *(gauge for gauge, _ in costs.values())]


def _about_waiting(places: Mapping[str, ObjectStore], now: datetime) -> list[Metric]:
    waiting = _gauge("notices_waiting", "Notifications that are to be sent.", ("storage",))
    overdue = _gauge("notices_overdue", "Notifications that should have been sent ten minutes ago.", ("storage",))
    for name, files in sorted(places.items()):
        try:
            notices = outbox.waiting(files)
        except EntraPipelineError:
            # Its scopes say that the store cannot be read.
            continue
        waiting.add_metric([name], len(notices))
        overdue.add_metric([name], sum(one.due < now - timedelta(minutes=10) for one in notices))
    return [waiting, overdue]


def _about_runs(runs: Mapping[str, int] | None) -> list[Metric]:
    if runs is None:
        return []
    metric = _gauge("runs", "Runs of Dagster under way.", ("state",))
    for state, number in sorted(runs.items()):
        metric.add_metric([state], number)
    return [metric]
