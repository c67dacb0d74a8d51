"""The folder `scopes.d` beside the configuration file: files with scopes and tenants, each for itself.

A file that cannot be used takes away what is in it and nothing else: it is a `ConfigurationProblem` of the project.
What belongs here: the files, what they say, and what all tables of a kind have in common (`[scope_defaults]`,
`[tenant_defaults]`). What does not: the main file (`loading`).
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from entra_pipeline.project.tenant_models import Tenant

FOLDER = "scopes.d"
FOLDER_TABLES = ("tenants", "scopes")
"""The tables that a file of the folder may have."""
DEFAULTS: Mapping[str, str] = {"tenants": "tenant_defaults", "scopes": "scope_defaults"}
"""Kind of table → the table of the main file with what they have in common."""

_PLACE = "{name}"
# Settings that a tenant which signs in in its own way does not take from the defaults.
_SIMULATED = ("tenant_id", "client_id", "graph_url", "authority", "restore")
_NAMED = re.compile(r"^\s*\[\s*scopes\s*\.\s*[\"']?([\w-]+)", re.MULTILINE)


class FileState(NamedTuple):
    """What tells that a file has changed.

    Attributes:
        name: Its name.
        modified: When its content or its metadata were changed, in nanoseconds.
        size: Bytes.
        inode: Which file it is.
    """

    name: str
    modified: tuple[int, int]
    size: int
    inode: int


def folder_of(file: Path) -> Path:
    """Returns the folder of a configuration file, which may not exist."""
    return file.resolve().parent / FOLDER


def folder_state(file: Path) -> tuple[FileState, ...]:
    """Returns the files of the folder, in the order of their names; none when there is no folder."""
    try:
        with os.scandir(folder_of(file)) as entries:
            found = [
                (entry.name, entry.stat())
                for entry in entries
                # A name that begins with a dot is that of a file in the making, or of an editor.
                if entry.name.endswith(".toml") and not entry.name.startswith(".") and entry.is_file()
            ]
    except (FileNotFoundError, NotADirectoryError):
        return ()
    return tuple(
        sorted(FileState(name, (stat.st_mtime_ns, stat.st_ctime_ns), stat.st_size, stat.st_ino) for name, stat in found)
    )


def read_folder(file: Path) -> dict[Path, bytes | OSError]:
    """Reads the files of the folder, each with what it says or why it cannot be read; without those just deleted."""
    found: dict[Path, bytes | OSError] = {}
    for one in folder_state(file):
        path = folder_of(file) / one.name
        try:
            found[path] = path.read_bytes()
        except FileNotFoundError:
            continue
        except OSError as error:
            found[path] = error
    return found


def scopes_in(text: str) -> tuple[str, ...]:
    """Returns the names of the scopes in a text that is no TOML: whose backups do not run while it is none."""
    return tuple(dict.fromkeys(_NAMED.findall(text)))


def with_defaults(kind: str, name: str, own: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the settings of a table with those that all tables of its kind have in common; its own come first.

    A tenant that says itself how it signs in takes no credential from the defaults. Tables within are taken whole.

    Args:
        kind: `tenants` or `scopes`.
        name: Of the table; it stands for `{name}` in the defaults.
        own: Its own settings.
        defaults: What tables of the kind have in common.
    """
    left = dict(defaults)
    if kind == "tenants" and Tenant.one_of is not None:
        ways = Tenant.one_of.settings
        if any(way in own for way in ways):
            left = {key: value for key, value in left.items() if key not in ways}
        if "simulator" in own:
            left = {key: value for key, value in left.items() if key not in _SIMULATED}
    return {**{key: _filled(value, name) for key, value in left.items()}, **own}


def named_twice(names: Mapping[Path, Iterable[str]]) -> dict[str, list[Path]]:
    """Returns the names that stand in several files, with these."""
    places: dict[str, list[Path]] = defaultdict(list)
    for file, some in names.items():
        for name in some:
            places[name].append(file)
    return {name: files for name, files in places.items() if len(files) > 1}


def _filled(value: Any, name: str) -> Any:
    if isinstance(value, str):
        return value.replace(_PLACE, name)
    if isinstance(value, Mapping):
        return {key: _filled(one, name) for key, one in value.items()}
    return [_filled(one, name) for one in value] if isinstance(value, list) else value
