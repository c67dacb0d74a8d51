"""Changing scopes and notification profiles in the configuration file.

Comments and order stay, and the result is checked before it is written.
"""

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
from entra_pipeline.project.models import NotificationProfile, Project, Scope


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
    return _create(file, "scopes", name, values, remedy=f"entra-pipeline scope edit {name}").scope(name)


def edit_scope(file: Path, name: str, changes: Mapping[str, Any]) -> Scope:
    """Changes settings of a scope; None removes one. Raises like `create_scope`; UsageError for an unknown scope."""
    load_project(file).scope(name)
    return _edit(file, "scopes", name, changes).scope(name)


def delete_scope(file: Path, name: str) -> None:
    """Removes a scope from the configuration; its recovery points stay. Raises UsageError for an unknown scope."""
    load_project(file).scope(name)
    _delete(file, "scopes", name)


def create_profile(file: Path, name: str, values: Mapping[str, Any]) -> NotificationProfile:
    """Adds a notification profile; arguments and errors as of `create_scope`."""
    return _create(file, "notifications", name, values, remedy="edit that one").notifications[name]


def edit_profile(file: Path, name: str, changes: Mapping[str, Any]) -> NotificationProfile:
    """Changes settings of a notification profile, as `edit_scope` does."""
    load_project(file).profile(name)
    return _edit(file, "notifications", name, changes).notifications[name]


def delete_profile(file: Path, name: str) -> None:
    """Removes a notification profile from the configuration. Raises UsageError for an unknown one."""
    load_project(file).profile(name)
    _delete(file, "notifications", name)


# --- The file --------------------------------------------------------------------------------------------------------


def _create(file: Path, section: str, name: str, values: Mapping[str, Any], *, remedy: str) -> Project:
    def change(document: TOMLDocument) -> None:
        tables = _tables(document, section)
        if name in tables:
            what = "scope" if section == "scopes" else "notification profile"
            raise UsageError(f"there is a {what} {name!r} in {file}", remedy=f"Choose another name, or: {remedy}")
        tables[name] = _table({key: value for key, value in values.items() if value is not None})

    return _change(file, change)


def _edit(file: Path, section: str, name: str, changes: Mapping[str, Any]) -> Project:
    def change(document: TOMLDocument) -> None:
        table = _tables(document, section)[name]
        for key, value in changes.items():
            if value is None:
                table.pop(key, None)
            else:
                table[key] = _item(value)

    return _change(file, change)


def _delete(file: Path, section: str, name: str) -> None:
    def change(document: TOMLDocument) -> None:
        del _tables(document, section)[name]

    _change(file, change)


def _tables(document: TOMLDocument, section: str) -> MutableMapping[str, Any]:
    return document.setdefault(section, tomlkit.table(is_super_table=True))  # type: ignore[no-any-return]


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
        inline.update({key: _item(one) for key, one in value.items()})
        return inline
    return value
