"""Filters of lists that a person has named: what was looked for, in which order, with which columns.

What belongs here: what a saved filter is, and where it is kept. What does not: what a list makes of it (`pages`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple
from urllib.parse import parse_qsl, urlencode

from entra_pipeline.catalogue import CATALOGUE, RELATIONS
from entra_pipeline.console.display.preferences import Preferences
from entra_pipeline.errors import UsageError

MOST = 20
"""Filters of a list at the most."""
LONGEST_NAME = 60
_LONGEST = 2_000
_OBJECTS = "objects of "
# What a filter of a list says; where one is in the list is none of it.
_OF_JOBS = ("kind", "status", "scope", "period")
_OF_OBJECTS = ("search", "where", "sort", "columns")


class SavedFilter(NamedTuple):
    """A filter: its name, and what it puts into the address of its list."""

    name: str
    query: str


class SavedFilters:
    """The filters that a person has saved of a list.

    Args:
        preferences: What people prefer.
        person: `User.person`.
        subject: Which list: `jobs`, or `objects of` and the name of a table.

    Raises:
        UsageError: There is no such list.
    """

    def __init__(self, preferences: Preferences, person: str, subject: str) -> None:
        self.subject = subject
        self._names = _names(subject)
        self._preferences = preferences
        self._person = person

    def all(self) -> list[SavedFilter]:
        """Returns them, in the order in which they were saved."""
        kept = self._preferences.of(self._person, self._key)
        return [SavedFilter(*one.split("\t", 1)) for one in kept if "\t" in one]

    def query(self, given: Iterable[tuple[str, str]], columns: Iterable[str] = ()) -> str:
        """Returns what a filter keeps of an address.

        Args:
            given: Names and values of the address.
            columns: The columns that are shown, in place of those in the address.
        """
        shown = [("columns", one) for one in columns]
        kept = [(name, value) for name, value in given if name in self._names and value]
        return urlencode([one for one in kept if one[0] != "columns"] + shown if shown else kept)

    def save(self, name: str, query: str) -> None:
        """Saves a filter; one of the same name is replaced.

        Raises:
            UsageError: It has no name, says too much, or there are too many.
        """
        name, query = " ".join(name.split()), self.query(parse_qsl(query))
        others = [one for one in self.all() if one.name != name]
        remedy = ""
        if not name or len(name) > LONGEST_NAME:
            remedy = f"Give it a name of up to {LONGEST_NAME} characters."
        elif len(query) > _LONGEST:
            remedy = "It is too long: show fewer columns, or write a shorter condition."
        elif len(others) >= MOST:
            remedy = f"{MOST} are saved for this list: delete one first."
        if remedy:
            raise UsageError("the filter has not been saved", remedy=remedy)
        self._keep([*others, SavedFilter(name, query)])

    def delete(self, name: str) -> None:
        """Deletes a filter; one that is not there is none."""
        self._keep([one for one in self.all() if one.name != name])

    @property
    def _key(self) -> str:
        return f"filters of {self.subject}"

    def _keep(self, filters: Iterable[SavedFilter]) -> None:
        self._preferences.keep(self._person, self._key, ["\t".join(one) for one in filters])


def _names(subject: str) -> tuple[str, ...]:
    if subject == "jobs":
        return _OF_JOBS
    table = subject.removeprefix(_OBJECTS)
    if subject.startswith(_OBJECTS) and (table in CATALOGUE or table in RELATIONS):
        return _OF_OBJECTS
    raise UsageError("there is no such list", remedy="Save a filter on the page of its list.")
