"""Views that say what is meant: who holds a role, what an application may do. A file of SQL each, beside this module.

What belongs here: reading these files. What does not: how they become views and macros of DuckDB (`view_statements`).

A file begins with comments. The first lines say what a row is; after an empty comment line come the columns in their
order, `name: what it says`, with longer texts indented on the next lines. A line `@part TABLE: COLUMN = VALUE` says
that a table that the scope does not protect costs only the rows that have this value: a query for others is answered.
`@names TABLE, …` names tables that give names only: without them these columns are null.

The SQL asks for tables, other views and data by their plain names, in all scopes: joins have to compare `scope`. The
file `NAME_history.sql` is the history of the view `NAME`. Data are CSV files in the folder `data`, whose first line
names the source; `_permission_tiers` is the file `permission_tiers.csv`.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from entra_pipeline.catalogue import table_names

HISTORY = "_history"
_FOLDER = Path(__file__).parent
_SOURCE = re.compile(r"\b(FROM|JOIN)(\s+)([a-z_0-9]+)\b")
_COLUMN = re.compile(r"(\w+): (.+)")
_PART = re.compile(r"@part (\w+): (\w+) = (.+)")
_NAMES = "@names "


class View(NamedTuple):
    """A view that rests on tables of recovery points.

    Attributes:
        name: Its name.
        comment: What a row is.
        columns: What each column says, in their order.
        body: The SQL, over the plain names of what it rests on.
        parts: Tables without which only the rows with a value in a column are missing: table → column and value.
        naming: Tables that give names only.
    """

    name: str
    comment: str
    columns: Mapping[str, str]
    body: str
    parts: Mapping[str, tuple[str, str]] = MappingProxyType({})
    naming: frozenset[str] = frozenset()

    @property
    def asked(self) -> tuple[str, ...]:
        """Names of the tables, views, data and histories that the SQL asks for, each once."""
        known = _tables() | views().keys() | data().keys()
        found = dict.fromkeys(match[3] for match in _SOURCE.finditer(self.body))
        return tuple(name for name in found if name.removesuffix(HISTORY) in known)

    @property
    def needed(self) -> tuple[str, ...]:
        """Tables that the SQL itself asks for and cannot do without."""
        found = dict.fromkeys(name.removesuffix(HISTORY) for name in self.asked)
        optional = self.naming | self.parts.keys()
        return tuple(name for name in found if name in _tables() and name not in optional)

    @property
    def tables(self) -> tuple[str, ...]:
        """Tables that it rests on, also through other views, each once."""
        found: dict[str, None] = {}
        for name in (one.removesuffix(HISTORY) for one in self.asked):
            found |= dict.fromkeys(views()[name].tables if name in views() else [name] if name in _tables() else [])
        return tuple(found)

    def body_with(self, names: Mapping[str, str]) -> str:
        """The SQL with other expressions in place of what it asks for, by their plain names."""
        return _SOURCE.sub(lambda m: f"{m[1]}{m[2]}{names.get(m[3], m[3])}", self.body)


@cache
def views() -> Mapping[str, View]:
    """The views by name, in alphabetical order; the histories are in `histories`."""
    return {name: view for name, view in _files().items() if not name.endswith(HISTORY)}


@cache
def histories() -> Mapping[str, View]:
    """The histories of views, by the name of the view."""
    return {name.removesuffix(HISTORY): view for name, view in _files().items() if name.endswith(HISTORY)}


@cache
def data() -> Mapping[str, tuple[tuple[str, ...], ...]]:
    """Rows of the data that views rest on, the names of the columns first; by the name that SQL calls them."""
    found = {}
    for file in sorted((_FOLDER / "data").glob("*.csv")):
        lines = [line for line in file.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
        found[f"_{file.stem}"] = tuple(tuple(row) for row in csv.reader(lines))
    return found


@cache
def _tables() -> frozenset[str]:
    return frozenset(table_names())


@cache
def _files() -> Mapping[str, View]:
    return {file.stem: _view(file.stem, file.read_text(encoding="utf-8")) for file in sorted(_FOLDER.glob("*.sql"))}


def _view(name: str, text: str) -> View:
    lines = text.splitlines()
    count = next(number for number, line in enumerate(lines) if not line.startswith("--"))
    header = [one.removeprefix("--").removeprefix(" ").rstrip() for one in lines[:count]]
    end = header.index("")
    columns: dict[str, str] = {}
    parts: dict[str, tuple[str, str]] = {}
    naming: frozenset[str] = frozenset()
    column = ""
    for line in header[end + 1 :]:
        if part := _PART.fullmatch(line):
            parts[part[1]] = part[2], part[3]
        elif line.startswith(_NAMES):
            naming = frozenset(line.removeprefix(_NAMES).split(", "))
        elif found := _COLUMN.fullmatch(line):
            column = found[1]
            columns[column] = found[2]
        else:
            columns[column] += f" {line.strip()}"
    body = "\n".join(lines[count:]).strip().removesuffix(";")
    return View(name, " ".join(header[:end]), columns, body, parts, naming)
