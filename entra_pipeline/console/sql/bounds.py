"""How far a question goes, and what the two processes say to each other."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

SECONDS = 30
"""Seconds after which a question is given up."""
ROWS_SHOWN = 1_000
"""Rows that a page shows; it says when there are more."""
ROWS_IN_FILES = 100_000
"""Rows that a file holds; a question with more is refused, so that no file lacks any."""
MEMORY = "1GB"
"""Memory that DuckDB takes at the most."""
ADDRESS_SPACE = 4 << 30
"""Bytes of address space that the process takes at the most: text is not all counted by DuckDB."""
BYTES = 100_000_000
"""Bytes of an answer at the most."""

Format = Literal["", "csv", "json", "parquet", "xlsx"]
FORMATS = {
    "csv": "text/csv; charset=utf-8",
    "json": "application/json",
    "parquet": "application/vnd.apache.parquet",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
"""Format of a file → its media type."""


class QueryRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A question.

    Attributes:
        project: The configuration file.
        query: The statement.
        format: Of the file that is wanted; empty for rows to show.
        visible: The scopes that who asks may see; None for all.
    """

    project: str
    query: str
    format: Format = ""
    visible: tuple[str, ...] | None = None


class QueryResult(msgspec.Struct, frozen=True, kw_only=True):
    """An answer.

    Attributes:
        columns: Names of the columns.
        rows: The rows to show, with values that JSON has.
        more: Whether there are more than these.
        count: How many rows are shown, or in the file.
        file: The bytes of the file.
    """

    columns: list[str] = []
    rows: list[list[Any]] = []
    more: bool = False
    count: int = 0
    file: bytes = b""


class QueryError(msgspec.Struct, frozen=True, kw_only=True):
    """Why there is no answer.

    Attributes:
        message: What happened.
        remedy: What to do.
        asked: Whether it is because of what was asked, and not of the stores.
    """

    message: str
    remedy: str = ""
    asked: bool = True


class QueryOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """What comes back: one of the two."""

    answer: QueryResult | None = None
    refusal: QueryError | None = None


QUERY_DECODER = msgspec.msgpack.Decoder(QueryRequest)
OUTCOME_DECODER = msgspec.msgpack.Decoder(QueryOutcome)
