"""Reading the configuration file, and saying what is wrong with it in words that help."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, get_args

import tomlkit
from pydantic import BaseModel, ConfigDict, ValidationError
from tomlkit.exceptions import ParseError, TOMLKitError

from entra_pipeline.channels import CHANNELS, SharedChannels
from entra_pipeline.errors import ConfigurationError
from entra_pipeline.project.folder import (
    DEFAULTS,
    FOLDER,
    FOLDER_TABLES,
    FileState,
    folder_of,
    folder_state,
    named_twice,
    read_folder,
    scopes_in,
    with_defaults,
)
from entra_pipeline.project.models import (
    ConfigurationProblem,
    Console,
    DagsterSettings,
    DagsterWebservers,
    NotificationProfile,
    OpenIdConnect,
    Project,
    RoleAssignment,
    Roles,
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
# The tables within `[console]`, by their keys.
_CONSOLE_TABLES: Mapping[str, list[type[BaseModel]]] = {
    "oidc": [OpenIdConnect],
    "dagster": [DagsterWebservers],
    "roles": [Roles],
    "role_assignments": [RoleAssignment],
}
# Stands for an id where only the rest of a table is checked.
_ANY_ID = "00000000-0000-0000-0000-000000000000"
# What to do, by the kind of error that pydantic found; its own words say what is wrong.
_REMEDIES = {
    "missing": "Add it; docs/configuration.md shows an example.",
    "extra_forbidden": "Remove it, or correct its spelling.",
    "literal_error": "Use one of the accepted values.",
    "string_pattern_mismatch": "Use letters, digits, hyphens and underscores, up to 63 characters.",
}


class _PartSource(NamedTuple):
    """What the objects of a file of the folder are made of.

    Attributes:
        content: The file.
        shared: What the main file says that all files of the folder have in common.
        main: The main file, at which relative paths start.
    """

    content: bytes
    shared: str
    main: Path


# Objects are never changed, so that projects share those of files that are the same.
_parts: dict[Path, tuple[_PartSource, Project]] = {}


class _Defaults(BaseModel):
    """What tables have in common, completed to whole tables."""

    model_config = ConfigDict(extra="forbid", strict=True)

    scope_defaults: Scope | None = None
    tenant_defaults: Tenant | None = None


def load_project(path: Path | str | None = None) -> Project:
    """Loads the configuration, checked as a whole.

    The file is read every time, and parsed only when its text has changed, or a file of `scopes.d` beside it. Callers
    share the result, which is not to be changed. Secrets are looked up when they are used.

    A file of `scopes.d` that cannot be used is no error here: `Project.problems` tells of it.

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
    try:
        state = folder_state(file)
    except OSError as error:
        raise ConfigurationError(
            f"cannot be read ({error.strerror})",
            file=str(folder_of(file)),
            remedy="Let the user of this process read the folder.",
        ) from None
    return _parsed(text, file, file.resolve(), state)


@lru_cache(maxsize=8)
def _parsed(text: str, file: Path, resolved: Path, state: tuple[FileState, ...]) -> Project:
    """Parses a text once for a state of the folder. `resolved` is part of the key: the working folder may change."""
    return parse_project(text, file, read_folder(file) if state else {})


def parse_project(text: str, file: Path, folder: Mapping[Path, bytes | OSError] | None = None) -> Project:
    """Returns the configuration in texts that stand, or are to stand, in files; raises like `load_project`.

    Args:
        text: Of the configuration file.
        file: The configuration file.
        folder: The files of `scopes.d`, each with what it says or why it cannot be read.
    """
    values = _read(text, file)
    _check_defaults(values, file)
    project = _validated(_completed(values, values), file)
    project.locate(file.resolve(), "")
    return _checked(_joined(project, values, folder or {}))


def _read(text: str, file: Path) -> dict[str, Any]:
    """Parses a file's TOML; raises ConfigurationError with the line."""
    try:
        return _values(text)
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


def _completed(values: Mapping[str, Any], main: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the tables of a file, those of tenants and scopes with their defaults, which stand in the main file."""
    completed = dict(values)
    for kind, defaults in DEFAULTS.items():
        tables = values.get(kind)
        if isinstance(tables, Mapping) and main.get(defaults):
            completed[kind] = {
                name: with_defaults(kind, name, own, main[defaults]) if isinstance(own, Mapping) else own
                for name, own in tables.items()
            }
    return completed


def _validated(values: Mapping[str, Any], file: Path) -> Project:
    """Makes the objects of a file."""
    try:
        project = Project.model_validate(values)
    except ValidationError as error:
        raise _explained(error, values, file) from None
    for kind in _KINDS:
        for name, section in getattr(project, kind).items():
            if "name" in type(section).model_fields:
                object.__setattr__(section, "name", name)
    return project


def _values(text: str) -> dict[str, Any]:
    """Parses TOML. tomlkit, thirty times slower, says in its errors what a person can find."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return tomlkit.parse(text).unwrap()


def _check_defaults(values: Mapping[str, Any], file: Path) -> None:
    """Checks what tables have in common as a table that has all else; raises ConfigurationError."""
    given = {name: values[name] for name in DEFAULTS.values() if isinstance(values.get(name), Mapping)}
    tables = {name: with_defaults(kind, "x", {}, given[name]) for kind, name in DEFAULTS.items() if name in given}
    if "scope_defaults" in tables:
        tables["scope_defaults"] = {"tenant": "x", "storage": "x", **tables["scope_defaults"]}
    if (tenant := tables.get("tenant_defaults")) is not None and "simulator" not in tenant:
        one = Tenant.one_of.settings if Tenant.one_of else {}
        way = {} if any(key in tenant for key in one) else {"managed_identity": True}
        tables["tenant_defaults"] = {"tenant_id": _ANY_ID, "client_id": _ANY_ID, **way, **tenant}
    try:
        _Defaults.model_validate(tables)
    except ValidationError as error:
        raise _explained(error, tables, file) from None


def _joined(main: Project, values: Mapping[str, Any], folder: Mapping[Path, bytes | OSError]) -> Project:
    """Returns the project with the scopes and tenants of the folder, and with what is wrong in its files."""
    problems: list[ConfigurationProblem] = []
    parts: dict[Path, Project] = {}
    shared = repr([values.get(name) for name in DEFAULTS.values()])
    for file, content in folder.items():
        try:
            parts[file] = _part(main, values, shared, file, content)
        except ConfigurationError as error:
            named = scopes_in(content.decode(errors="replace")) if isinstance(content, bytes) else ()
            lost = tuple(name for name in named or (file.stem,) if name not in main.scopes)
            problems.append(ConfigurationProblem(file, error, lost))
    whole: dict[str, dict[str, Any]] = {}
    for kind in FOLDER_TABLES:
        sections: dict[Path, dict[str, Any]] = {main.file: getattr(main, kind)}
        sections |= {file: getattr(part, kind) for file, part in parts.items()}
        whole[kind] = {name: one for some in sections.values() for name, one in some.items()}
        for name, files in named_twice(sections).items():
            if main.file in files:
                # It is the one that cannot be meant for another machine only.
                whole[kind][name] = sections[main.file][name]
            else:
                del whole[kind][name]
            for file in files:
                if file == main.file:
                    continue
                others = " and ".join(str(one) for one in files if one != file)
                lost = (name,) if kind == "scopes" and main.file not in files else ()
                twice = sections[file][name].error(
                    "", f"stands in {others} as well", remedy="Remove it from all but one."
                )
                problems.append(ConfigurationProblem(file, twice, lost))
    return main.joined(whole["scopes"], whole["tenants"], problems)


def _part(main: Project, values: Mapping[str, Any], shared: str, file: Path, content: bytes | OSError) -> Project:
    """Returns what is in a file of the folder; one that has not changed is not parsed again.

    Args:
        main: The main file.
        values: What it says.
        shared: Its tables that say what files of the folder have in common, as a text.
        file: The file.
        content: What that says, or why it cannot be read.

    Raises:
        ConfigurationError: The file cannot be used.
    """
    if isinstance(content, OSError):
        remedy = "Let the user of this process read it."
        raise ConfigurationError(f"cannot be read ({content.strerror})", file=str(file), remedy=remedy)
    source = _PartSource(content, shared, main.file)
    known = _parts.get(file)
    if known is None or known[0] != source:
        known = _parts[file] = source, _parsed_part(main, values, file, content)
    return known[1]


def _parsed_part(main: Project, values: Mapping[str, Any], file: Path, content: bytes) -> Project:
    try:
        own = _read(content.decode("utf-8"), file)
    except UnicodeDecodeError:
        raise ConfigurationError("is not UTF-8 text", file=str(file), remedy="Save the file as UTF-8.") from None
    if other := next((name for name in own if name not in FOLDER_TABLES), None):
        raise ConfigurationError(
            f"is not a table of a file in {FOLDER}",
            file=str(file),
            key=other,
            remedy=f"Such a file has [scopes.NAME] and [tenants.NAME]; the rest belongs in {main.file.name}.",
        )
    part = _validated(_completed(own, values), file)
    part.locate(file, "", main.file.parent)
    return part


def _checked(project: Project) -> Project:
    """Checks what tables say of each other; a scope of the folder that is wrong is taken out, and told of."""
    scopes = dict(project.scopes)
    problems = list(project.problems)
    for name, scope in project.scopes.items():
        try:
            _check_references(project, scope)
        except ConfigurationError as error:
            # A tenant may be in a file that cannot be used.
            if scope.setting("")[0] == project.file and not project.problems:
                raise
            problems.append(ConfigurationProblem(scope.setting("")[0], error, (name,)))
            del scopes[name]
    place = project.console.storage
    if place is not None and place not in project.storage:
        raise project.console.error(
            "storage",
            f"there is no [storage.{place}]{did_you_mean(place, project.storage)}",
            remedy=f"Add the table [storage.{place}], or name an existing one.",
        )
    for profile in project.notifications.values():
        for channel in CHANNELS.values():
            channel.check(profile, project)
    return project.joined(scopes, project.tenants, problems) if problems else project


def _check_references(project: Project, scope: Scope) -> None:
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
        models: list[type[BaseModel]] = [Console] if len(where) == 2 else _CONSOLE_TABLES.get(where[1], [])
    elif where[0] == "dagster":
        models = [DagsterSettings]
    elif where[0] in SharedChannels.model_fields:
        models = _sections_in(SharedChannels.model_fields[where[0]].annotation)
    elif where[0] in DEFAULTS.values():
        models = [_KINDS[kind] for kind, name in DEFAULTS.items() if name == where[0]]
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
