"""Reading the configuration file, and saying what is wrong with it in words that help."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, get_args

import tomlkit
from pydantic import BaseModel, ValidationError
from tomlkit.exceptions import ParseError, TOMLKitError

from entra_pipeline.channels import CHANNELS, SharedChannels
from entra_pipeline.errors import ConfigurationError
from entra_pipeline.project.models import (
    Console,
    DagsterSettings,
    DagsterWebservers,
    NotificationProfile,
    OpenIdConnect,
    Project,
    Scope,
)
from entra_pipeline.project.tenant_models import Tenant
from entra_pipeline.store.backends import BACKENDS, KINDS
from entra_pipeline.text import did_you_mean

FILE_NAME = "dagster_project.toml"
VARIABLE = "ENTRA_PIPELINE_PROJECT"
NOT_A_NAME = "is not a name"
"""What is wrong with a table whose name has other characters than names have."""

_KINDS: dict[str, type[BaseModel]] = {
    "tenants": Tenant,
    "scopes": Scope,
    "notifications": NotificationProfile,
}
# What to do, by the kind of error that pydantic found; its own words say what is wrong.
_REMEDIES = {
    "missing": "Add it; docs/configuration.md shows an example.",
    "extra_forbidden": "Remove it, or correct its spelling.",
    "literal_error": "Use one of the accepted values.",
    "string_pattern_mismatch": "Use letters, digits, hyphens and underscores, up to 63 characters.",
}


def load_project(path: Path | str | None = None) -> Project:
    """Loads the configuration, checked as a whole.

    The file is read every time, and parsed only when its text has changed: a project of 300 scopes takes a second to
    parse. Callers share the result, which is not to be changed. Secrets are looked up when they are used.

    Args:
        path: The file; by default the one that ENTRA_PIPELINE_PROJECT names, or dagster_project.toml in this folder.

    Raises:
        ConfigurationError: The file cannot be read, or something in it is wrong; names file, key and remedy.
    """
    file = Path(path or os.environ.get(VARIABLE) or FILE_NAME).expanduser()
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(
            f"cannot be read ({error.strerror})",
            file=str(file),
            remedy=f"Name the file with --project FILE or {VARIABLE}, or run the command in its folder.",
        ) from None
    except UnicodeDecodeError:
        raise ConfigurationError("is not UTF-8 text", file=str(file), remedy="Save the file as UTF-8.") from None
    return _parsed(text, file, file.resolve())


@lru_cache(maxsize=8)
def _parsed(text: str, file: Path, resolved: Path) -> Project:
    """Parses a text once. `resolved` is part of the key: links and the working folder may change."""
    return parse_project(text, file)


def parse_project(text: str, file: Path) -> Project:
    """Returns the configuration in a text that stands, or is to stand, in `file`; raises like `load_project`."""
    try:
        values = _values(text)
    except ParseError as error:
        message = str(error).partition(" at line")[0]
        twice = "already exists" in message
        raise ConfigurationError(
            f"line {error.line}: {message}",
            file=str(file),
            remedy="Every table and key may occur only once: rename or remove one."
            if twice
            else "Correct the TOML there.",
        ) from None
    except TOMLKitError as error:
        raise ConfigurationError(str(error), file=str(file), remedy="Correct the TOML.") from None
    try:
        project = Project.model_validate(values)
    except ValidationError as error:
        raise _explained(error, values, file) from None
    for kind in _KINDS:
        for name, section in getattr(project, kind).items():
            if "name" in type(section).model_fields:
                object.__setattr__(section, "name", name)
    project.locate(file.resolve(), "")
    _check_references(project)
    return project


def _values(text: str) -> dict[str, Any]:
    """Parses TOML. tomlkit, thirty times slower, says in its errors what a person can find."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return tomlkit.parse(text).unwrap()


def _check_references(project: Project) -> None:
    for scope in project.scopes.values():
        for key, known in (("tenant", project.tenants), ("storage", project.storage)):
            name = getattr(scope, key)
            if name not in known:
                table = "tenants" if key == "tenant" else "storage"
                raise scope.error(
                    key,
                    f"there is no [{table}.{name}]{did_you_mean(name, known)}",
                    remedy=f"Add the table [{table}.{name}], or name an existing one.",
                )
        if scope.erasure is not None and project.storage[scope.storage].encryption is None:
            raise scope.error(
                "erasure",
                f"needs encryption, which [storage.{scope.storage}] has not",
                remedy="Set it; docs/encryption.md says how.",
            )
    for profile in project.notifications.values():
        for channel in CHANNELS.values():
            channel.check(profile, project)


def _explained(error: ValidationError, values: Mapping[str, Any], file: Path) -> ConfigurationError:
    """Returns the first thing that is wrong, in our words. Values of secrets are never repeated."""
    first = min(error.errors(include_url=False), key=lambda one: one["type"] == "missing")
    kind, where = first["type"], _keys(first["loc"], values)
    remedy = _REMEDIES.get(kind, "Correct it; docs/configuration.md shows an example.")
    message = first["msg"]
    if kind == "explained":
        remedy = first["ctx"]["remedy"]
    elif kind == "missing":
        message = "is missing"
    elif kind == "extra_forbidden":
        message = f"is not a setting{did_you_mean(where[-1], _known_keys(where))}"
    elif kind in {"union_tag_invalid", "union_tag_not_found"}:
        where, message = [*where, "kind"], "must be " + " or ".join(f'"{one}"' for one in KINDS)
        remedy = "Write " + " or ".join(f'kind = "{one}"' for one in KINDS) + "."
    elif kind == "string_pattern_mismatch":
        message = NOT_A_NAME
    elif not _is_secret(where) and isinstance(first["input"], str | int | float | bool):
        message = f"{first['input']!r} is not accepted: {message[0].lower()}{message[1:]}"
    return ConfigurationError(message, file=str(file), key=".".join(where), remedy=remedy)


def _keys(steps: tuple[int | str, ...], values: Any) -> list[str]:
    """Returns the keys of the file in a path of pydantic's, which has names of its own in between."""
    keys = []
    for number, step in enumerate(steps):
        inside = isinstance(values, Mapping) and step in values
        tag = str(step).startswith(("list[", "literal[", "function-", "[key]")) or (
            steps[0] == "storage" and number == 2
        )
        if inside or (number == len(steps) - 1 and not tag):
            keys.append(str(step))
        if inside:
            values = values[step]
    return keys


def _is_secret(where: list[str]) -> bool:
    return any("secret" in step or step in {"password", "passwords_key", "access_key_id"} for step in where)


def _known_keys(where: list[str]) -> list[str]:
    if len(where) == 1:
        own = [name for name in Project.model_fields if name not in SharedChannels.model_fields]
        return [*own, *SharedChannels.model_fields]
    if where[0] == "console":
        models: list[type[BaseModel]] = [Console] if len(where) == 2 else [OpenIdConnect, DagsterWebservers]
    elif where[0] == "dagster":
        models = [DagsterSettings]
    elif where[0] in SharedChannels.model_fields:
        models = _sections_in(SharedChannels.model_fields[where[0]].annotation)
    elif where[0] == "storage":
        models = [*BACKENDS]
    else:
        models = [_KINDS[where[0]]] if where[0] in _KINDS else []
    return [field.alias or name for model in models for name, field in model.model_fields.items() if name != "name"]


def _sections_in(annotation: Any) -> list[type[BaseModel]]:
    """Returns the tables that a setting may be."""
    return [
        one for one in (get_args(annotation) or (annotation,)) if isinstance(one, type) and issubclass(one, BaseModel)
    ]
