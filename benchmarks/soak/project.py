"""The files of a soak: projects on simulated tenants, Dagster's settings, and a code location of somebody else's."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from entra_pipeline.simulator import Simulator

SCOPES = {"alfa": "*/10 * * * *", "bravo": "*/15 * * * *", "charlie": "7,47 * * * *"}
"""The scopes and their schedules. Charlie's leaves the time that a missed tick takes to be noticed."""

_SCOPE = """
[tenants.{name}]
tenant_id = "{tenant.tenant_id}"
client_id = "{tenant.client_id}"
client_secret = {{ file = "{name}.secret" }}
graph_url = "{tenant.graph_url}"
authority = "{tenant.authority}"
ca_bundle = "{name}.pem"

[scopes.{name}]
tenant = "{name}"
storage = "kept"
protect = ["users", "groups", "applications", "domains"]
schedule = "{schedule}"
retention = "30 days"
"""

_PROFILE = """
[notifications.operations]
to = ["operations@example.com"]
backup = ["finished", "finished with exception", "failed"]
prune = ["finished with exception", "failed"]

[mail]
host = "localhost"
port = {port}
from = "entra-pipeline@example.com"
tls = "none"
"""

# Jobs, checks and schedules that have nothing to do with ours, and are never at rest.
_SOMEBODY_ELSE = """
import time
import dagster as dg


@dg.op
def count():
    time.sleep(1)


@dg.job
def foreign_job():
    count()


@dg.asset
def foreign_asset():
    time.sleep(1)


@dg.asset_check(asset=foreign_asset)
def slow_check():
    time.sleep(45)
    return dg.AssetCheckResult(passed=True)


foreign_assets = dg.define_asset_job("foreign_assets", selection=dg.AssetSelection.all())


def _schedule(job, cron):
    return dg.ScheduleDefinition(job=job, cron_schedule=cron, default_status=dg.DefaultScheduleStatus.RUNNING)


defs = dg.Definitions(
    assets=[foreign_asset],
    asset_checks=[slow_check],
    jobs=[foreign_job, foreign_assets],
    schedules=[_schedule(foreign_job, "*/2 * * * *"), _schedule(foreign_assets, "*/3 * * * *")],
)
"""


def write_project(folder: Path, tenants: Mapping[str, Simulator], storage: str, mail_port: int) -> Path:
    """Writes a project with all that it refers to into a folder of its own; returns its configuration file.

    Args:
        folder: Made; nothing in it points out of it.
        tenants: The simulated tenants by scope.
        storage: The settings of the storage `kept`, as TOML.
        mail_port: Of the mail server on this machine.
    """
    folder.mkdir(parents=True)
    text = f"[storage.kept]\n{storage}\n"
    for name, tenant in tenants.items():
        (folder / f"{name}.secret").write_text(tenant.client_secret)
        shutil.copy(tenant.ca_bundle, folder / f"{name}.pem")
        text += _SCOPE.format(name=name, tenant=tenant, schedule=SCOPES[name])
    file = folder / "dagster_project.toml"
    file.write_text(text + _PROFILE.format(port=mail_port))
    return file


def write_dagster(home: Path, settings: Path, postgres: str | None, machines: Sequence[Path]) -> None:
    """Writes DAGSTER_HOME, with the settings that are shipped, and a workspace of two code locations.

    Args:
        home: The folder.
        settings: The shipped dagster.yaml.
        postgres: Address of a database; None for SQLite.
        machines: Folders of the machines that runs are put on; none for where Dagster itself runs.
    """
    home.mkdir(parents=True)
    values = yaml.safe_load(settings.read_text())
    if postgres:
        values["storage"] = {"postgres": {"postgres_url": postgres}}
    if machines:
        values["run_launcher"] = {
            "module": "benchmarks.soak.launcher",
            "class": "FolderLauncher",
            "config": {"workers": [str(machine) for machine in machines]},
        }
        values["run_monitoring"]["poll_interval_seconds"] = 30
    (home / "dagster.yaml").write_text(yaml.safe_dump(values))
    (home / "somebody_else.py").write_text(_SOMEBODY_ELSE)
    locations = [
        {"python_module": {"module_name": "entra_pipeline.definitions", "location_name": "entra-pipeline"}},
        {"python_file": {"relative_path": "somebody_else.py", "location_name": "somebody-else"}},
    ]
    for one in locations:
        next(iter(one.values()))["executable_path"] = sys.executable
    (home / "workspace.yaml").write_text(yaml.safe_dump({"load_from": locations}))
