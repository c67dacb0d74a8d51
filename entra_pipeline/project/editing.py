"""Changing tables of the configuration file.

Comments and order stay, and the result is checked before it is written.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import Any

import tomlkit
from tomlkit.items import InlineTable, Table
from tomlkit.toml_document import TOMLDocument

from entra_pipeline.errors import ConfigurationError, UsageError
from entra_pipeline.project.loading import load_project, parse_project
from entra_pipeline.project.models import FormerSecret, Project, Scope

Accept = Callable[[Project, Project], Sequence[FormerSecret]]
"""Looks at the configuration before and after a change; refuses it, or returns the secrets to remember."""
# A table within another one with more settings than these does not stand in one line.
_OF_A_LINE = 3


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


# --- Any table -------------------------------------------------------------------------------------------------------


def save_table(
    file: Path, keys: Sequence[str], changes: Mapping[str, Any], *, new: bool, accept: Accept | None = None
) -> Project:
    """Changes settings of a table such as a storage profile, a tenant or the mail server, or adds it.

    Args:
        file: The configuration file.
        keys: What leads to the table: `("storage", "main")`, `("mail",)`.
        changes: Settings, as they are to stand in the file; None removes one. Of a table within, all of its settings.
        new: Whether there is none yet.
        accept: Looks at the configuration as it is and as it is to be, and may refuse; returns the secrets that are
            not named any more, which are remembered in `[console]`.

    Raises:
        UsageError: There is one, and it was to be new.
        ConfigurationError: The settings are not accepted; the file is as it was.
    """
    return _change(file, lambda document: _save(document, file, keys, changes, new=new), accept)


def foresee_table(
    file: Path, keys: Sequence[str], changes: Mapping[str, Any], *, accept: Accept | None = None
) -> Project:
    """Returns the configuration as `save_table` would make it, and writes nothing; raises like it."""
    return _change(file, lambda document: _save(document, file, keys, changes, new=False), accept, write=False)


def delete_table(file: Path, keys: Sequence[str], *, accept: Accept | None = None) -> None:
    """Removes a table; raises like `save_table`."""
    *above, last = keys

    def change(document: TOMLDocument) -> None:
        table: MutableMapping[str, Any] = document
        for key in above:
            table = table[key]
        del table[last]

    _change(file, change, accept)


def _save(document: TOMLDocument, file: Path, keys: Sequence[str], changes: Mapping[str, Any], *, new: bool) -> None:
    *above, last = keys
    table: MutableMapping[str, Any] = document
    for key in above:
        table = _tables(document, key)
    if last not in table:
        table[last] = _nested({key: value for key, value in changes.items() if value is not None})
    elif new:
        raise UsageError(f"there is a table {'.'.join(keys)} in {file.name}", remedy="Choose another name.")
    else:
        _merge(table[last], changes)


def _merge(table: MutableMapping[str, Any], changes: Mapping[str, Any]) -> None:
    """Changes what differs, so that comments beside the rest stay."""
    for key, value in changes.items():
        known = table.get(key)
        if value is None:
            table.pop(key, None)
        elif isinstance(value, Mapping) and isinstance(known, MutableMapping):
            _merge(known, {**dict.fromkeys(known), **value})
        elif known != value:
            table[key] = _item(value) if isinstance(table, InlineTable) else _nested(value)


def _nested(value: Any) -> Any:
    """Returns a value as it stands in the file: what has several settings is a table of its own."""
    if not isinstance(value, Mapping) or len(value) < _OF_A_LINE:
        return _item(value)
    table = tomlkit.table()
    # TOML takes what follows a table for a part of it.
    for key, one in sorted(value.items(), key=lambda item: isinstance(item[1], Mapping)):
        table[key] = _nested(one)
    return table


# --- The file --------------------------------------------------------------------------------------------------------


def _create(file: Path, section: str, name: str, values: Mapping[str, Any], *, remedy: str) -> Project:
    def change(document: TOMLDocument) -> None:
        tables = _tables(document, section)
        if name in tables:
            raise UsageError(f"there is a scope {name!r} in {file}", remedy=f"Choose another name, or: {remedy}")
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


def _change(
    file: Path, change: Callable[[TOMLDocument], None], accept: Accept | None = None, *, write: bool = True
) -> Project:
    before = file.read_bytes()
    document = tomlkit.parse(before.decode())
    change(document)
    text = tomlkit.dumps(document)
    project = parse_project(text, file)
    if accept is not None and (former := accept(parse_project(before.decode(), file), project)):
        _remember(document, project, former)
        text = tomlkit.dumps(document)
        project = parse_project(text, file)
    if not write:
        return project
    if file.read_bytes() != before:
        raise ConfigurationError(
            "was changed by somebody else meanwhile", file=str(file), remedy="Look at the change, then try again."
        )
    _replace(file, text)
    return project


def _remember(document: TOMLDocument, project: Project, former: Sequence[FormerSecret]) -> None:
    secrets = tomlkit.array().multiline(True)
    for one in (*project.console.former_secrets, *former):
        secrets.append(_item(one.model_dump(mode="json", exclude_none=True)))
    document.setdefault("console", tomlkit.table())["former_secrets"] = secrets


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
