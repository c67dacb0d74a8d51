"""A new project: its configuration, and what Dagster reads beside it.

What belongs here: the first files of a folder. What does not: changing a configuration that is there (`editing`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import tomlkit

from entra_pipeline.errors import UsageError
from entra_pipeline.project.loading import FILE_NAME, parse_project

_WORKSPACE = """\
# What `dagster dev`, the webserver and the daemon load.
load_from:
  - python_module:
      module_name: entra_pipeline.definitions
      location_name: entra-pipeline
"""
_IGNORED = """\
# Secrets, recovery points, and what runs leave behind.
/recovery-points/
/.dagster/
/.demo/
/secrets/
restore-*-passwords.csv
.restore-passwords.key*
"""
_HEAD = """\
# The configuration of entra-pipeline. `entra-pipeline doctor` says whether everything in it works.
# Secrets are never written here, only where they are: { env = "NAME" } or { file = "path" }.

"""
_TOLD = """
# Who is told when something fails. `entra-pipeline notifications test ops` sends a message.
#
# [mail]
# host = "smtp.example.com"
# from = "entra-pipeline@example.com"
# username = "entra-pipeline"
# password = { env = "SMTP_PASSWORD" }
#
# [notifications.ops]
# to = ["ops@example.com"]
# backup = ["failed", "finished with exception"]
# restore = ["failed", "finished with exception"]
"""
SIMULATED: Mapping[str, Any] = {"seats": 250, "simulator": {"users": 200, "groups": 20}}
"""The settings of a tenant for trying things out."""


def create_project(folder: Path, name: str, tenant: Mapping[str, Any], storage: Mapping[str, Any]) -> list[Path]:
    """Writes the files of a new project: one tenant, one storage, and a scope that protects everything.

    Args:
        folder: Made when it is not there.
        name: Of the tenant and of the scope.
        tenant: Settings of the tenant, as they are to stand in the file.
        storage: Settings of the storage.

    Returns:
        The files, the configuration first.

    Raises:
        UsageError: One of the files exists; nothing is written.
        ConfigurationError: A setting is wrong; nothing is written.
    """
    scope = {
        "description": "Everything",
        "tenant": name,
        "storage": "main",
        "schedule": "0 */6 * * *",
        "retention": "2 years",
        "full_backup_frequency": "3 months",
    }
    key = tomlkit.key(name).as_string()
    tables = [
        _table("storage.main", storage, "Where recovery points go."),
        _table(f"tenants.{key}", tenant, "The Entra directory, and the app registration that reads it."),
        _table(f"scopes.{key}", scope, "What is protected, when and for how long: every six hours, two years."),
    ]
    text = _HEAD + "\n".join(tables) + _TOLD
    files = {
        folder / FILE_NAME: text,
        folder / "workspace.yaml": _WORKSPACE,
        folder / ".dagster" / "dagster.yaml": shipped_dagster_yaml(folder).read_text(encoding="utf-8"),
        folder / ".gitignore": _IGNORED,
    }
    _refuse_existing(files)
    parse_project(text, folder / FILE_NAME)
    _write(files)
    return list(files)


def shipped_dagster_yaml(folder: Path) -> Path:
    """Returns Dagster's settings: those of a project's folder, or those that come with this software."""
    package = Path(__file__).parents[1]
    places = (folder / "dagster.yaml", package / "dagster.yaml", package.parent / "dagster.yaml")
    return next((place for place in places if place.exists()), places[0])


def _write(files: Mapping[Path, str]) -> None:
    """Writes files that do not exist; all of them, or none."""
    written: list[Path] = []
    try:
        for file, content in files.items():
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("x", encoding="utf-8") as out:
                written.append(file)
                out.write(content)
    except OSError as error:
        for file in written:
            file.unlink(missing_ok=True)
        raise UsageError(
            f"{error.filename} cannot be written ({error.strerror})", remedy="Name a folder that you may write to."
        ) from None


def _refuse_existing(files: Iterable[Path]) -> None:
    for file in files:
        if file.exists() or file.is_symlink():
            raise UsageError(f"{file} exists already", remedy="Name another folder, or move that file away.")


def _table(name: str, settings: Mapping[str, Any], about: str) -> str:
    lines = [f"# {about}", f"[{name}]", *(f"{key} = {_value(value)}" for key, value in settings.items())]
    return "\n".join(lines) + "\n"


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"{{ {', '.join(f'{key} = {_value(one)}' for key, one in value.items())} }}"
    if isinstance(value, bool | int):
        return json.dumps(value)
    return tomlkit.string(str(value)).as_string()
