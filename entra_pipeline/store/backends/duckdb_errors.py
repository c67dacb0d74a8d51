"""The errors of ours behind failures of DuckDB, which passes on the text of what it called, not the exception."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from entra_pipeline.errors import EntraPipelineError, StoreError

if TYPE_CHECKING:
    import duckdb

_raised: deque[EntraPipelineError] = deque(maxlen=64)


@contextmanager
def remembered_failure() -> Iterator[None]:
    """Remembers an error of ours that leaves the block, which DuckDB has called."""
    try:
        yield
    except EntraPipelineError as error:
        _raised.append(error)
        raise


def storage_error(error: duckdb.Error) -> EntraPipelineError | None:
    """Returns the storage's own error behind a failure of DuckDB; None when there was none."""
    text = str(error)
    return next((one for one in reversed(_raised) if str(one) in text), None)


def unreadable(error: duckdb.Error, what: str, scope: str) -> EntraPipelineError:
    """Returns the error of a query that could not read what a scope has stored.

    Args:
        error: What DuckDB said.
        what: What was read, as people call it.
        scope: Name of the scope.

    Returns:
        The storage's own error where there was one, else a StoreError.
    """
    return storage_error(error) or StoreError(
        f"{what} cannot be read: {str(error).splitlines()[0]}",
        remedy=f"entra-pipeline verify {scope} shows what is damaged or missing.",
    )
