"""What `deploy/` ships: Dagster, Kubernetes and Prometheus take it, and it agrees with the rest of the project."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from dagster._config import process_config, resolve_to_config_type
from dagster._core.instance.config import dagster_instance_config
from dagster._serdes.config_class import class_from_code_pointer
from dagster_postgres.utils import get_conn_string
from sqlalchemy import create_engine

from entra_pipeline.cli.registry import COMMANDS
from entra_pipeline.clock import system_clock
from entra_pipeline.operations.metrics import exposition
from entra_pipeline.project import load_project
from entra_pipeline.simulator import Simulator
from tests.support.command import call, write_project

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
INSTANCES = sorted(DEPLOY.glob("*/dagster.yaml"))
# Sections that say where this installation is; the others are rules of the project, and the same everywhere.
PLACES = {"storage", "compute_logs", "run_launcher"}
KUBERNETES = "1.33"


def loaded(file: Path) -> Any:
    return yaml.safe_load(file.read_text())


def checked(section: dict[str, Any]) -> None:
    """Holds a section that names a class against the configuration that the class declares."""
    kind: Any = class_from_code_pointer(section["module"], section["class"])
    result = process_config(resolve_to_config_type(kind.config_type()), section.get("config", {}))
    assert result.success, [error.message for error in result.errors or ()]


@pytest.mark.parametrize("file", INSTANCES, ids=lambda file: file.parent.name)
def test_dagster_takes_the_settings_and_rules_are_those_of_the_project(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in re.findall(r"\{env: (\w+)\}", file.read_text()):
        monkeypatch.setenv(name, "x")
    (tmp_path / "dagster.yaml").write_text(file.read_text())
    settings, _ = dagster_instance_config(str(tmp_path))
    for name in ("run_launcher", "compute_logs", "run_coordinator"):
        checked(settings[name])
    from dagster_postgres.run_storage import PostgresRunStorage

    storage = process_config(
        resolve_to_config_type(PostgresRunStorage.config_type()),
        {"postgres_db": loaded(file)["storage"]["postgres"]["postgres_db"]},
    )
    assert storage.success
    ours = loaded(ROOT / "dagster.yaml")
    assert {name: value for name, value in loaded(file).items() if name not in PLACES} == ours


def test_the_driver_of_the_database_is_there() -> None:
    [settings] = [loaded(file)["storage"]["postgres"]["postgres_db"] for file in INSTANCES if "compose" in file.parts]
    known = {key: value if isinstance(value, (str, int)) else "known" for key, value in settings.items()}
    # It is imported, and nothing is connected to.
    assert create_engine(get_conn_string(**known)).driver == "psycopg2"


def test_the_charts_rules_are_those_of_the_project() -> None:
    ours, values = loaded(ROOT / "dagster.yaml"), loaded(DEPLOY / "kubernetes/dagster-values.yaml")
    assert values["additionalInstanceConfig"]["concurrency"] == ours["concurrency"]
    coordinator = values["dagsterDaemon"]["runCoordinator"]["config"]["customRunCoordinator"]
    assert {name: coordinator[name] for name in ("module", "class")} == ours["run_coordinator"]
    assert values["dagsterDaemon"]["runRetries"] == {"enabled": True, "maxRetries": ours["run_retries"]["max_retries"]}
    kept = {name: one["purgeAfterDays"] for name, one in values["retention"].items() if name != "enabled"}
    assert kept["schedule"] == ours["retention"]["schedule"]["purge_after_days"]
    assert set(kept["sensor"].values()) == {ours["retention"]["sensor"]["purge_after_days"]}
    launcher = values["runLauncher"]["config"]["k8sRunLauncher"]
    from dagster_k8s import K8sRunLauncher

    taken = process_config(
        resolve_to_config_type(K8sRunLauncher.config_type()),
        {
            "service_account_name": "dagster",
            "instance_config_map": "dagster-instance",
            "dagster_home": values["global"]["dagsterHome"],
            "volumes": launcher["volumes"],
            "volume_mounts": launcher["volumeMounts"],
            "resources": launcher["resources"],
            "security_context": launcher["securityContext"],
            "run_k8s_config": {
                "pod_spec_config": launcher["runK8sConfig"]["podSpecConfig"],
                "job_spec_config": launcher["runK8sConfig"]["jobSpecConfig"],
            },
        },
    )
    assert taken.success, [error.message for error in taken.errors or ()]


@pytest.mark.parametrize(
    "settings",
    [
        (),
        ("metrics.enabled=true", "ingress.enabled=true", "ingress.tlsSecret=tls", "ingress.className=nginx"),
        ("projectClaim=project", "forwardedAllowIps=10.0.0.0/8", "allowedFrom[0].podSelector.matchLabels.app=ingress"),
    ],
    ids=["as it is", "with ingress and metrics", "written to, behind a proxy"],
)
def test_the_consoles_chart_makes_what_kubernetes_takes(settings: tuple[str, ...]) -> None:
    helm = str(Path(sys.executable).with_name("helm"))
    chart = str(DEPLOY / "kubernetes/console")
    subprocess.run([helm, "lint", "--strict", chart], check=True, capture_output=True)
    given = [one for setting in settings for one in ("--set", setting)]
    made = subprocess.run([helm, "template", "entra", chart, *given], check=True, capture_output=True, text=True).stdout
    objects = [one for one in yaml.safe_load_all(made) if one]
    assert {"Deployment", "Service", "NetworkPolicy", "PersistentVolumeClaim"} <= {one["kind"] for one in objects}
    for one in objects:
        if one["kind"] != "ServiceMonitor":
            kubernetes_validate.validate(one, KUBERNETES, strict=True)
    (pod,) = [one["spec"]["template"]["spec"] for one in objects if one["kind"] == "Deployment"]
    (container,) = pod["containers"]
    mounted = {mount["name"] for mount in container["volumeMounts"]}
    assert mounted == {volume["name"] for volume in pod["volumes"]}
    assert container["securityContext"]["readOnlyRootFilesystem"] and pod["securityContext"]["runAsNonRoot"]


def test_compose_names_files_and_services_that_are_there() -> None:
    folder = DEPLOY / "compose"
    services = loaded(folder / "compose.yaml")["services"]
    for name, service in services.items():
        assert set(service.get("depends_on", {})) <= set(services), name
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            assert not source.startswith("./") or source == "./secrets" or (folder / source).exists(), volume
        if service.get("image", "").startswith("${ENTRA"):
            assert service["read_only"] and service["cap_drop"] == ["ALL"]
    (server,) = loaded(folder / "workspace.yaml")["load_from"]
    assert server["grpc_server"]["host"] in services
    needed = set(re.findall(r"\$\{(\w+)", (folder / "compose.yaml").read_text()))
    given = set(re.findall(r"^(\w+)=", (folder / ".env.example").read_text(), re.M))
    assert needed - {"ENTRA_PIPELINE_IMAGE"} == given


def test_the_configuration_to_start_from_is_one(tmp_path: Path) -> None:
    file = tmp_path / "dagster_project.toml"
    file.write_text((DEPLOY / "compose/dagster_project.toml").read_text())
    console = load_project(file).console
    services = loaded(DEPLOY / "compose/compose.yaml")["services"]
    assert console.dagster is not None
    for url in (console.dagster.url, console.dagster.read_only_url):
        assert re.fullmatch(r"http://([\w-]+):3000", url)[1] in services  # type: ignore[index]


def test_the_image_runs_what_there_is_and_its_lock_agrees_with_that_of_development() -> None:
    text = (DEPLOY / "image/Containerfile").read_text()
    entry, command = (json.loads(re.search(rf"^{word} (\[.*\])$", text, re.M)[1]) for word in ("ENTRYPOINT", "CMD"))  # type: ignore[index]
    assert entry == ["entra-pipeline"] and command[0] in COMMANDS
    assert re.search(r"^USER 10001:10001$", text, re.M)
    pins = [
        dict(re.findall(r"^([\w.-]+)(?:\[[\w,]+\])?==(\S+)", file.read_text(), re.M))
        for file in (ROOT / "requirements.lock", DEPLOY / "image/requirements.lock")
    ]
    assert {name: version for name, version in pins[1].items() if pins[0].get(name) != version} == {}
    subprocess.run(["bash", "-n", str(DEPLOY / "image/build")], check=True)


def names_in(text: str) -> set[str]:
    return set(re.findall(r"entra_pipeline_\w+", text))


def test_alerts_and_the_dashboard_ask_for_metrics_that_there_are(tmp_path: Path) -> None:
    with Simulator(users=3, groups=1, seed=1) as simulator:
        file = write_project(tmp_path, simulator)
        assert call("--project", file, "backup", "few").code == 0
        assert call("--project", file, "drill", "few").code in (0, 3)
        made = exposition(load_project(file), system_clock(), {"queued": 0, "running": 0}).decode()
    there = names_in(re.sub(r"^# HELP.*$", "", made, flags=re.M))
    for name in ("alerts.yaml", "grafana.json"):
        asked = names_in((DEPLOY / "monitoring" / name).read_text())
        assert asked and asked <= there, name
    documented = (ROOT / "docs/monitoring.md").read_text()
    assert {name for name in there if f"`{name.removeprefix('entra_pipeline_')}`" not in documented} == set()
    alerts = [rule["alert"] for group in loaded(DEPLOY / "monitoring/alerts.yaml")["groups"] for rule in group["rules"]]
    assert re.findall(r"^\| `(Entra\w+)` \|", documented, re.M) == alerts
