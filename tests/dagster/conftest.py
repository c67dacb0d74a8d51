"""A project on a simulated tenant, its definitions, and a Dagster instance of its own."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from entra_pipeline.definitions import build_definitions
from entra_pipeline.graph.retry import use_policy
from entra_pipeline.project import Project, load_project
from entra_pipeline.project.stores import open_store
from entra_pipeline.simulator import Simulator
from entra_pipeline.store.recovery_points import ScopeStore
from tests.support.dagster_instance import instance
from tests.support.patience import IMPATIENT

__all__ = ["instance"]

PROJECT = """\
[storage.disk]
kind = "local"
path = "backup"

[tenants.contoso]
tenant_id = "{tenant_id}"
client_id = "{client_id}"
client_secret = {{ file = "secret" }}
graph_url = "{graph_url}"
authority = "{authority}"
ca_bundle = "{ca_bundle}"

[scopes.contoso-eu]
tenant = "contoso"
storage = "disk"
protect = ["users", "groups", "domains"]
schedule = "30 2 * * *"
timezone = "Europe/Stockholm"
"""


@pytest.fixture(scope="session")
def simulator() -> Iterator[Simulator]:
    with Simulator(users=30, groups=4, seed=11) as one:
        yield one


@pytest.fixture(autouse=True)
def _impatience(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Retries come at once: how long they wait is not what these tests are about."""
    monkeypatch.setenv("DAGSTER_DISABLE_TELEMETRY", "yes")
    with use_policy(IMPATIENT):
        yield


@pytest.fixture
def project(tmp_path: Path, simulator: Simulator) -> Iterator[Project]:
    (tmp_path / "secret").write_text(simulator.client_secret)
    file = tmp_path / "dagster_project.toml"
    file.write_text(
        PROJECT.format(
            tenant_id=simulator.tenant_id,
            client_id=simulator.client_id,
            graph_url=simulator.graph_url,
            authority=simulator.authority,
            ca_bundle=simulator.ca_bundle,
        )
    )
    yield load_project(file)
    simulator.control.deny("domains", 0)
    simulator.control.faults(0)


@pytest.fixture
def two_scopes(project: Project) -> Project:
    """The project with a second scheduled scope, `contoso-us`."""
    text = project.file.read_text()
    start = text.index("[scopes.contoso-eu]")
    project.file.write_text(text + "\n" + text[start:].replace("contoso-eu", "contoso-us"))
    return load_project(project.file)


@pytest.fixture
def definitions(project: Project) -> dg.Definitions:
    return build_definitions(project)


@pytest.fixture
def store(project: Project) -> ScopeStore:
    return open_store(project, "contoso-eu")
