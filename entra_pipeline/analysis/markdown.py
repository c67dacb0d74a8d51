"""Rows as Markdown, for docs and for Dagster. Which rows, and what they mean, is told where they are made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


def markdown_table(rows: Iterable[Mapping[str, Any]], columns: Mapping[str, str]) -> str:
    """A table in GitHub's Markdown.

    Args:
        rows: The rows; text is taken for Markdown, save for what would break the table.
        columns: Key → heading.
    """
    lines = [
        _line(columns.values()),
        f"|{'---|' * len(columns)}",
        *(_line(_cell(row.get(key)) for key in columns) for row in rows),
    ]
    return "\n".join(lines)


def one_line(text: str) -> str:
    """Text that stays in its list item or cell, whatever Graph put into it."""
    return " ".join(text.split())


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return one_line(str(value)).replace("|", r"\|")
