"""What `deploy/compose/compose.yaml` says of its services, and the files that it mounts into them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

FOLDER = Path(__file__).parents[2] / "deploy" / "compose"
_VARIABLE = re.compile(r"\$\{(\w+)(?::[-?]([^}]*))?\}")


class Service(NamedTuple):
    """A service of our image.

    Attributes:
        arguments: What it runs.
        environment: Variables by name.
        healthy: The command that tells whether it is healthy; empty where compose.yaml leaves that to the image.
    """

    arguments: list[str]
    environment: dict[str, str]
    healthy: list[str]


def services(variables: Mapping[str, str]) -> dict[str, Service]:
    """Reads the services that run our image, those of profiles left out.

    Args:
        variables: What .env gives.

    Raises:
        KeyError: compose.yaml asks for a variable that is not given.
    """
    composed = yaml.safe_load((FOLDER / "compose.yaml").read_text())
    ours = composed["x-ours"]["image"]
    return {
        name: _service(service, variables)
        for name, service in composed["services"].items()
        if service["image"] == ours and "profiles" not in service
    }


def _service(service: Mapping[str, Any], variables: Mapping[str, str]) -> Service:
    # The image's own entry point is the command.
    arguments = [*service.get("entrypoint", ["entra-pipeline"]), *service["command"]]
    environment = {name: _filled(value, variables) for name, value in service["environment"].items()}
    _, *healthy = service.get("healthcheck", {}).get("test", ["CMD"])
    return Service(arguments, environment, healthy)


def _filled(text: str, variables: Mapping[str, str]) -> str:
    def value(found: re.Match[str]) -> str:
        return variables[found[1]]

    return _VARIABLE.sub(value, text)
