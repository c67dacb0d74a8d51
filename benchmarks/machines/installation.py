"""The services of compose.yaml and two workers, as machines: what each is given, and how they are started."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import yaml

from benchmarks.consoles import Console
from benchmarks.machines.composed import FOLDER, Service, services
from benchmarks.machines.machine import HOME, SETTINGS, Machine
from benchmarks.machines.world import BUCKET, LOGS_BUCKET, SCOPES, World

DATABASE_ADDRESS = "127.0.0.20"
"""Where Postgres listens."""
WEBSERVER = "http://127.0.0.13:3000/dagster"
"""Dagster's webserver, which only the console reaches in compose.yaml."""

_ADDRESSES = {
    "localhost": "127.0.0.1",
    "postgres": DATABASE_ADDRESS,
    "code": "127.0.0.11",
    "daemon": "127.0.0.12",
    "webserver": "127.0.0.13",
    "webserver-read-only": "127.0.0.14",
    # As everybody reaches it: nothing else of this machine may be at that port.
    "console": "127.0.0.1",
    "worker-1": "127.0.0.16",
    "worker-2": "127.0.0.17",
}
_AGENT_PORT = 4100
_CONSOLE = "http://127.0.0.1:8400"
_FIRST_USER = 61_001
_PATIENCE = 240
# Of a worker that is gone, Dagster hears when it asks.
_POLL = 15

_PROJECT = """
[storage.backup]
kind = "s3"
bucket = "{bucket}"
endpoint_url = "{s3.url}"
region = "{s3.region}"
access_key_id = {{ env = "AWS_ACCESS_KEY_ID" }}
secret_access_key = {{ env = "AWS_SECRET_ACCESS_KEY" }}

[notifications.operations]
to = ["operations@example.com"]
backup = ["finished", "finished with exception", "failed"]
restore = ["finished", "finished with exception", "failed"]
prune = ["finished", "finished with exception", "failed"]

[mail]
host = "localhost"
port = {mail_port}
from = "entra-pipeline@example.com"
tls = "none"

[console]
public_url = "{console}"

[console.dagster]
url = "http://webserver:3000"
read_only_url = "http://webserver-read-only:3000"

[console.oidc]
issuer = "{issuer}"
client_id = "console"
client_secret = {{ file = "secrets/console-client-secret" }}

[console.roles]
administrator = ["Backup.Administrator"]
"""
_SCOPE = """
[tenants.{name}]
tenant_id = "{tenant.tenant_id}"
client_id = "{tenant.client_id}"
client_secret = {{ file = "secrets/{name}" }}
graph_url = "{tenant.graph_url}"
authority = "{tenant.authority}"
ca_bundle = "{name}.pem"

[tenants.{name}.restore]
client_id = "{tenant.restore_client_id}"
client_secret = {{ file = "secrets/{name}-restore" }}

[scopes.{name}]
tenant = "{name}"
storage = "backup"
protect = "all"
schedule = "{schedule}"
retention = "2 days"
approval = {approval}
"""


def project_text(there: World) -> str:
    """The configuration that every machine has."""
    text = _PROJECT.format(
        bucket=BUCKET, s3=there.s3, mail_port=there.office.port, console=_CONSOLE, issuer=there.issuer
    )
    for name, tenant in there.tenants.items():
        approval = "true" if name == next(iter(SCOPES)) else "false"
        text += _SCOPE.format(name=name, tenant=tenant, schedule=SCOPES[name], approval=approval)
    return text


def settings(there: World) -> dict[Path, str]:
    """The configuration and the secrets that it names, by their paths on a machine."""
    given = {SETTINGS / "dagster_project.toml": project_text(there), SETTINGS / "secrets/console-client-secret": "any"}
    for name, tenant in there.tenants.items():
        given[SETTINGS / "secrets" / name] = tenant.client_secret
        given[SETTINGS / "secrets" / f"{name}-restore"] = tenant.restore_client_secret
        given[SETTINGS / f"{name}.pem"] = Path(tenant.ca_bundle).read_text()
    return given


def dagster_settings() -> str:
    """`dagster.yaml` of compose.yaml, with a launcher that puts runs on the workers."""
    values = yaml.safe_load((FOLDER / "dagster.yaml").read_text())
    agents = [f"http://{name}:{_AGENT_PORT}" for name in ("worker-1", "worker-2")]
    values["run_launcher"] = {
        "module": "benchmarks.machines.launcher",
        "class": "AgentLauncher",
        "config": {"workers": agents},
    }
    values["run_monitoring"]["poll_interval_seconds"] = _POLL
    return yaml.safe_dump(values)


class Installation:
    """All machines.

    Args:
        folder: Keeps their files.
        there: The world around them.

    Attributes:
        environment: Variables that reach the database and the storage, for somebody who looks from outside.
    """

    def __init__(self, folder: Path, there: World) -> None:
        variables = {
            "DAGSTER_PG_PASSWORD": there.database_password,
            "S3_LOGS_BUCKET": LOGS_BUCKET,
            "S3_ENDPOINT": there.s3.url,
            "S3_ACCESS_KEY_ID": there.s3.access_key_id,
            "S3_SECRET_ACCESS_KEY": there.s3.secret_access_key,
            "S3_REGION": there.s3.region,
        }
        self._services = services(variables)
        self.environment = self._services["code"].environment | {"DAGSTER_PG_HOST": DATABASE_ADDRESS}
        given = settings(there) | {
            HOME / "dagster.yaml": dagster_settings(),
            HOME / "workspace.yaml": (FOLDER / "workspace.yaml").read_text(),
        }
        names = [*self._services, "worker-1", "worker-2"]
        self.machines = {
            name: Machine(
                folder / name,
                _FIRST_USER + number,
                hosts=_ADDRESSES,
                environment=self._services.get(name, self._services["code"]).environment,
                files=given,
            )
            for number, name in enumerate(names)
        }

    @property
    def console(self) -> Console:
        """The console, as people reach it."""
        return Console(_CONSOLE, "")

    def start(self, name: str) -> None:
        """Starts what a machine is for, and waits until it is healthy.

        Raises:
            RuntimeError: It does not become so.
        """
        machine, address = self.machines[name], _ADDRESSES[name]
        if name.startswith("worker-"):
            machine.start(name, ["python", "-m", "benchmarks.machines.agent", address, str(_AGENT_PORT)])
            return
        service = self._services[name]
        machine.start(name, [one.replace("0.0.0.0", address) for one in service.arguments])
        healthy = _healthy(service, address)
        end = time.monotonic() + _PATIENCE
        while not machine.succeeds(healthy):
            if not machine.alive(name) or time.monotonic() > end:
                raise RuntimeError(f"{name} does not start; see {machine.folder / name}.log")
            time.sleep(1)

    def kill(self, name: str) -> None:
        """Kills what a machine is for, with SIGKILL."""
        self.machines[name].kill(name)


def _healthy(service: Service, address: str) -> list[str]:
    if not service.healthy:
        # The image's own check.
        asked = f"import urllib.request as r; r.urlopen('{_CONSOLE}/healthz', timeout=4)"
        return ["python", "-c", asked]
    if "grpc-health-check" in service.healthy:
        return [*service.healthy, "--host", address]
    return [one.replace("127.0.0.1", address) for one in service.healthy]


@contextmanager
def installation(made: Installation) -> Iterator[None]:
    """Starts all machines in the order of compose.yaml's dependencies; ends them with the context."""
    try:
        for name in ("worker-1", "worker-2", "code", "webserver", "webserver-read-only", "daemon", "console"):
            made.start(name)
        yield
    finally:
        for machine in made.machines.values():
            machine.stop()


def left_behind(made: Installation) -> Mapping[str, list[str]]:
    """Returns what processes have written on their machines, by machine."""
    return {name: machine.written() for name, machine in made.machines.items()}
