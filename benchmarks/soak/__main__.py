"""`python -m benchmarks.soak`: runs a soak, prints what happens, and exits with 1 when something was not healed.

`--postgres URL` keeps Dagster's data in an empty database (takes the package dagster-postgres), and `--machines N` puts
runs on N machines in turn that share only S3 and that database.
"""

from __future__ import annotations

import argparse
import logging
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg

from benchmarks.post_office import PostOffice, post_office
from benchmarks.soak import faults, findings
from benchmarks.soak.project import SCOPES, write_dagster, write_project
from entra_pipeline.simulator import Simulator

_SHIPPED = Path(__file__).parents[2] / "dagster.yaml"
_BUCKET = "soak"


@contextmanager
def _daemon(home: Path, project: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Dagster's daemon, which starts the code servers itself."""
    environment = {
        **os.environ,
        "DAGSTER_HOME": str(home),
        "ENTRA_PIPELINE_PROJECT": str(project),
        "PYTHONPATH": os.pathsep.join([str(_SHIPPED.parent), *filter(None, [os.environ.get("PYTHONPATH")])]),
    }
    with (home / "daemon.log").open("wb") as log:
        process = subprocess.Popen(
            [str(Path(sys.executable).with_name("dagster-daemon")), "run", "-w", str(home / "workspace.yaml")],
            cwd=home,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(60)


@contextmanager
def _storage(folder: Path, *, s3: bool) -> Iterator[str]:
    """The settings of a storage: a folder, or a bucket of moto's server."""
    if not s3:
        yield f'kind = "local"\npath = "{folder / "store"}"'
        return
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    # It prints every request, `verbose` or not.
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server.start()
    try:
        url = "http://{}:{}".format(*server.get_host_and_port())
        boto3.client(
            "s3",
            endpoint_url=url,
            aws_access_key_id="soak",
            aws_secret_access_key="soak-secret",
            region_name="us-east-1",
        ).create_bucket(Bucket=_BUCKET)
        os.environ.update(SOAK_S3_KEY="soak", SOAK_S3_SECRET="soak-secret")
        yield (
            f'kind = "s3"\nbucket = "{_BUCKET}"\nendpoint_url = "{url}"\nregion = "us-east-1"\n'
            'access_key_id = { env = "SOAK_S3_KEY" }\nsecret_access_key = { env = "SOAK_S3_SECRET" }'
        )
    finally:
        server.stop()


def main() -> None:
    """Runs a soak."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=120, help="how long, before what is under way may end")
    parser.add_argument("--postgres", help="address of an empty database, as postgresql+psycopg2://…")
    parser.add_argument("--machines", type=int, default=0, help="folders that runs are put into; implies S3")
    given = parser.parse_args()
    with ExitStack() as stack:
        # A run of somebody else's job may still be writing when the daemon has gone.
        place = tempfile.TemporaryDirectory(prefix="entra-pipeline-soak-", ignore_cleanup_errors=True)
        folder = Path(stack.enter_context(place))
        office = stack.enter_context(post_office())
        tenants = {
            name: stack.enter_context(Simulator(users=40, groups=8, seed=number, state=folder / "tenants" / name))
            for number, name in enumerate(SCOPES, 1)
        }
        storage = stack.enter_context(_storage(folder, s3=bool(given.machines)))
        project = write_project(folder / "project", tenants, storage, office.port)
        machines = [folder / f"machine-{number}" for number in range(1, given.machines + 1)]
        for machine in machines:
            write_project(machine, tenants, storage, office.port)
        home = folder / "dagster"
        write_dagster(home, _SHIPPED, given.postgres, machines)
        instance = stack.enter_context(dg.DagsterInstance.from_config(str(home)))
        stack.enter_context(_daemon(home, project))
        sys.exit(_soak(given.minutes, instance, project, tenants, office))


def _soak(
    minutes: float, instance: dg.DagsterInstance, project: Path, tenants: dict[str, Simulator], office: PostOffice
) -> int:
    """Breaks things while the daemon runs; returns the exit code."""
    started = datetime.now(UTC)
    end = started + timedelta(minutes=minutes)
    kill = faults.killed_worker(instance, tenants["alfa"], "alfa")
    planned = [
        faults.Fault("the type domains of bravo fails from now on", 0.12, faults.failing_type(tenants["bravo"], 503)),
        faults.Fault("the type domains of bravo answers again", 0.30, faults.failing_type(tenants["bravo"], 0)),
        faults.Fault("the worker of a backup of alfa was killed", 0.40, kill),
        faults.Fault("the run of a tick of charlie was lost", 0.50, faults.missed_tick(instance, "charlie")),
        faults.Fault("a second worker of alfa was killed", 0.70, kill),
    ]
    number = 0
    said = started
    while (now := datetime.now(UTC)) < end:
        for fault in planned:
            if not fault.done and now >= started + fault.at * (end - started) and fault.act():
                fault.done = True
                _say(fault.name)
        if now >= said:
            said = now + timedelta(minutes=1)
            number += 1
            name = list(tenants)[number % len(tenants)]
            user = tenants[name].control.dump("users")[number % 40]
            tenants[name].control.patch(f"users/{user['id']}", {"jobTitle": f"Changed {number}"})
            _say(_state(instance, office))
        time.sleep(1)
    for tenant in tenants.values():
        tenant.control.latency(0)
    # What is under way at the end ends, is healed and is told, without new ticks.
    settled = datetime.now(UTC) + timedelta(minutes=30)
    wrong = ["not looked yet"]
    while wrong and datetime.now(UTC) < settled:
        time.sleep(20)
        wrong = findings.problems(instance, project, tenants, office.mails)
    print("\n".join(findings.tick_table(instance)))
    backups = findings.jobs(project, {"backup"})
    print(f"backups: {dict(Counter(job['status'] for job in backups))}; mails: {len(office.mails)}")
    wrong += [f"did not come about: {fault.name}" for fault in planned if not fault.done]
    print("\n".join(wrong) or "all is well")
    return int(bool(wrong))


def _state(instance: dg.DagsterInstance, office: PostOffice) -> str:
    runs = Counter(f"{run.job_name} {run.status.value}" for run in instance.get_runs(limit=500))
    failed = sum(status == "FAILURE" for _, status, _ in findings.ticks(instance))
    return f"{len(office.mails)} mails, {failed} failed ticks, runs: {dict(sorted(runs.items()))}"


def _say(text: str) -> None:
    print(f"{datetime.now(UTC):%H:%M:%S} {text}", flush=True)


if __name__ == "__main__":
    main()
