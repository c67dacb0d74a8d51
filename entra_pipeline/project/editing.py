"""Changing tables of the configuration file, and of the files of `scopes.d` beside it.

Comments and order stay, and the result is checked before it is written. A table is changed in the file that it stands
in. Where there is the folder, a scope or tenant that is new gets a file of its own in it, so that every machine that
mounts the folder knows it.
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
from entra_pipeline.project.folder import FOLDER_TABLES, folder_of, read_folder, with_defaults
from entra_pipeline.project.loading import load_project, parse_project
from entra_pipeline.project.models import FormerSecret, Project, Scope
from entra_pipeline.settings.fields import is_name

Accept = Callable[[Project, Project], Sequence[FormerSecret]]
"""Looks at the configuration before and after a change; refuses it, or returns the secrets to remember."""
# A file of the folder is for whoever reads the configuration; secrets are never in it.
_NEW_FILE = 0o644
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
    defaults = with_defaults("scopes", name, {}, load_project(file).scope_defaults)
    own = {key: value for key, value in values.items() if value is not None and defaults.get(key) != value}
    return _create(file, "scopes", name, own, remedy=f"entra-pipeline scope edit {name}").scope(name)


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
    holder = _holder(file, keys)
    return _change(file, lambda document: _save(document, holder, keys, changes, new=new), accept, holder=holder)


def foresee_table(
    file: Path, keys: Sequence[str], changes: Mapping[str, Any], *, accept: Accept | None = None
) -> Project:
    """Returns the configuration as `save_table` would make it, and writes nothing; raises like it."""
    holder = _holder(file, keys)
    change = lambda document: _save(document, holder, keys, changes, new=False)  # noqa: E731
    return _change(file, change, accept, holder=holder, write=False)


def delete_table(file: Path, keys: Sequence[str], *, accept: Accept | None = None) -> None:
    """Removes a table; raises like `save_table`."""
    *above, last = keys

    def change(document: TOMLDocument) -> None:
        table: MutableMapping[str, Any] = document
        for key in above:
            table = table[key]
        del table[last]

    _change(file, change, accept, holder=_holder(file, keys))


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
    holder = _holder(file, (section, name))

    def change(document: TOMLDocument) -> None:
        tables = _tables(document, section)
        if name in tables:
            raise UsageError(f"there is a scope {name!r} in {holder}", remedy=f"Choose another name, or: {remedy}")
        tables[name] = _table(values)

    return _change(file, change, holder=holder)


def _edit(file: Path, section: str, name: str, changes: Mapping[str, Any]) -> Project:
    defaults = with_defaults(section, name, {}, load_project(file).scope_defaults)

    def change(document: TOMLDocument) -> None:
        table = _tables(document, section)[name]
        for key, value in changes.items():
            if value is None:
                table.pop(key, None)
            elif key in table or defaults.get(key) != value:
                table[key] = _item(value)

    return _change(file, change, holder=_holder(file, (section, name)))


def _delete(file: Path, section: str, name: str) -> None:
    def change(document: TOMLDocument) -> None:
        del _tables(document, section)[name]

    _change(file, change, holder=_holder(file, (section, name)))


def _tables(document: TOMLDocument, section: str) -> MutableMapping[str, Any]:
    return document.setdefault(section, tomlkit.table(is_super_table=True))  # type: ignore[no-any-return]


def _holder(file: Path, keys: Sequence[str]) -> Path:
    """Returns the file that a table stands in, or is to stand in."""
    if len(keys) < 2 or keys[0] not in FOLDER_TABLES:
        return file
    known = getattr(load_project(file), keys[0]).get(keys[1])
    if known is not None:
        place = known.setting("")[0]
        return file if place == file.resolve() else place
    folder = folder_of(file)
    return folder / f"{keys[1]}.toml" if folder.is_dir() and is_name(keys[1]) else file


def _change(
    file: Path,
    change: Callable[[TOMLDocument], None],
    accept: Accept | None = None,
    *,
    holder: Path | None = None,
    write: bool = True,
) -> Project:
    holder = holder or file
    before = _content(holder)
    document = tomlkit.parse(before.decode())
    change(document)
    project = _foreseen(file, holder, tomlkit.dumps(document))
    if accept is not None and (former := accept(load_project(file), project)):
        main = document if holder == file else tomlkit.parse(file.read_text(encoding="utf-8"))
        _remember(main, project, former)
        if write and holder != file:
            _replace(file, tomlkit.dumps(main))
        project = _foreseen(file, holder, tomlkit.dumps(document))
    if not write:
        return project
    if _content(holder) != before:
        raise ConfigurationError(
            "was changed by somebody else meanwhile", file=str(holder), remedy="Look at the change, then try again."
        )
    if holder != file and not any(document.get(kind) for kind in FOLDER_TABLES):
        holder.unlink()
    else:
        _replace(holder, tomlkit.dumps(document))
    return project


def _content(file: Path) -> bytes:
    """Returns what a file says; nothing when there is none."""
    return file.read_bytes() if file.exists() else b""


def _foreseen(file: Path, holder: Path, text: str) -> Project:
    """Returns the configuration in which a file says something else; raises ConfigurationError for what is wrong."""
    folder = read_folder(file)
    if holder == file:
        return parse_project(text, file, folder)
    known = {problem.error.args for problem in load_project(file).problems if problem.file != holder}
    project = parse_project(file.read_text(encoding="utf-8"), file, {**folder, holder: text.encode()})
    for problem in project.problems:
        if problem.error.args not in known:
            raise problem.error
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
        temporary.chmod(file.stat().st_mode & 0o777 if file.exists() else _NEW_FILE)
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
