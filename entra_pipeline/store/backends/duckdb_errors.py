"""The errors of ours behind failures of DuckDB, which passes on the text of what it called, not the exception."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from entra_pipeline.errors import EntraPipelineError

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
