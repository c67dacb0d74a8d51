"""A message before it has a form: the same for every channel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

SHOWN = 20
"""Rows of a table in a message; the attached page has all."""


@dataclass(frozen=True, slots=True)
class MessageTable:
    """Rows to show: heading, names of the columns, rows of texts."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class Message:
    """A message.

    Attributes:
        subject: One line.
        status: `finished`, `finished with exception`, `failed`, or `unusual`; of a digest, the worst.
        lead: A sentence that says what happened; may be empty.
        facts: Names and values.
        tables: What there is to list.
        page: Makes the HTML page that is attached to a mail; None when there is nothing more to say.
        name: For the name of the attached file.
    """

    subject: str
    status: str
    lead: str = ""
    facts: Sequence[tuple[str, str]] = ()
    tables: Sequence[MessageTable] = ()
    page: Callable[[], str] | None = None
    name: str = ""
