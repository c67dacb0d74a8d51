"""Stopping a backup: it ends at the next page, no point is made, and the record says so (a restore: `tests/cli`)."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import dagster as dg
import pytest

from entra_pipeline.definitions import build_definitions
from entra_pipeline.project import Project
from entra_pipeline.simulator import Simulator
from entra_pipeline.store.recovery_points import ScopeStore
from tests.dagster.test_runs import PARTITIONS, now, run_backup
from tests.dagster.test_sensors import Ticks

# Seconds that each request to Graph takes longer: a run that is not stopped takes many of them.
LATENCY = 0.2


@contextmanager
def stopped_when(instance: dg.DagsterInstance, simulator: Simulator, begun: Callable[[], bool]) -> Iterator[None]:
    """Terminates the run under way, as Dagster does, as soon as something has begun."""
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.02):
            if begun():
                [run] = instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED]))
                instance.report_run_canceling(run)
                os.kill(os.getpid(), signal.SIGINT)
                return

    simulator.control.ledger(reset=True)
    simulator.control.latency(LATENCY)
    watching = threading.Thread(target=watch)
    watching.start()
    try:
        yield
    finally:
        ended.set()
        watching.join()
        simulator.control.latency(0)


@pytest.mark.parametrize("way", ["now", "scheduled"])
def test_a_backup_that_is_stopped_makes_no_point_and_is_not_repeated(
    project: Project, instance: dg.DagsterInstance, store: ScopeStore, simulator: Simulator, way: str
) -> None:
    definitions = build_definitions(project)
    started = time.monotonic()
    with (
        stopped_when(instance, simulator, lambda: simulator.control.ledger()["requests"] > 0),
        pytest.raises(dg.DagsterExecutionInterruptedError),
    ):
        if way == "now":
            definitions.resolve_job_def("backup_now_contoso_eu").execute_in_process(instance=instance)
        else:
            point = now()
            instance.add_dynamic_partitions(PARTITIONS, [point])
            job = definitions.resolve_job_def("backup_contoso_eu")
            job.execute_in_process(instance=instance, partition_key=point)
    assert time.monotonic() - started < 20
    [run] = instance.get_runs()
    assert run.status is dg.DagsterRunStatus.CANCELED
    Ticks(project, instance).tick()
    [record] = store.jobs.all()
    assert (record.type, record.status, record.run_id) == ("backup", "cancelled", run.run_id)
    assert "no recovery point was made" in record.error
    assert store.points() == []
    # The scope is free, and what was read is in no one's way.
    assert run_backup(definitions, instance, now()).success
    assert len(store.points()) == 1
