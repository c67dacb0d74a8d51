"""Changing scopes in the configuration file: comments and order stay, the result is checked before it is written."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping, MutableMapping
from pathlib import Path
from typing import Any

import tomlkit
from tomlkit.items import Table
from tomlkit.toml_document import TOMLDocument

from entra_pipeline.errors import ConfigurationError, UsageError
from entra_pipeline.project.loading import load_project, parse_project
from entra_pipeline.project.models import Project, Scope


def create_scope(file: Path, name: str, values: Mapping[str, Any]) -> Scope:
    """Adds a scope.

    Args:
        file: The configuration file.
        name: Name of the scope.
        values: Its settings, as they are to stand in the file; None means not set.

    Raises:
        UsageError: There is a scope of that name.
        ConfigurationError: The settings are not accepted; the file is as it was.
    """

    def change(document: TOMLDocument) -> None:
        scopes = _scopes(document)
        if name in scopes:
            raise UsageError(
                f"there is a scope {name!r} in {file}",
                remedy=f"Choose another name, or: entra-pipeline scope edit {name}",
            )
        scopes[name] = _table({key: value for key, value in values.items() if value is not None})

    return _change(file, change).scope(name)


def edit_scope(file: Path, name: str, changes: Mapping[str, Any]) -> Scope:
    """Changes settings of a scope; None removes one. Raises like `create_scope`; UsageError for an unknown scope."""
    load_project(file).scope(name)

    def change(document: TOMLDocument) -> None:
        scope = _scopes(document)[name]
        for key, value in changes.items():
            if value is None:
                scope.pop(key, None)
            else:
                scope[key] = _item(value)

    return _change(file, change).scope(name)


def delete_scope(file: Path, name: str) -> None:
    """Removes a scope from the configuration; its recovery points stay. Raises UsageError for an unknown scope."""
    load_project(file).scope(name)

    def change(document: TOMLDocument) -> None:
        del _scopes(document)[name]

    _change(file, change)


def _scopes(document: TOMLDocument) -> MutableMapping[str, Any]:
    return document.setdefault("scopes", tomlkit.table(is_super_table=True))  # type: ignore[no-any-return]


def _change(file: Path, change: Callable[[TOMLDocument], None]) -> Project:
    before = file.read_bytes()
    document = tomlkit.parse(before.decode())
    change(document)
    text = tomlkit.dumps(document)
    project = parse_project(text, file)
    if file.read_bytes() != before:
        raise ConfigurationError(
            "was changed by somebody else meanwhile", file=str(file), remedy="Look at the change, then try again."
        )
    _replace(file, text)
    return project


def _replace(file: Path, text: str) -> None:
    """Writes the file so that a crash leaves the old or the new one."""
    handle, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as out:
            out.write(text)
            out.flush()
            os.fsync(out.fileno())
        temporary.chmod(file.stat().st_mode & 0o777)
        temporary.replace(file)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _table(values: Mapping[str, Any]) -> Table:
    table = tomlkit.table()
    for key, value in values.items():
        table[key] = _item(value)
    return table


def _item(value: Any) -> Any:
    if isinstance(value, Mapping):
        inline = tomlkit.inline_table()
        inline.update(value)
        return inline
    return value
