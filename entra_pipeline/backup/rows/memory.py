"""Memory for work that turns out to need more than usual: small is the rule, and an exception is no failure.

DuckDB puts tables that do not fit onto disk, but not what it has in hand: a row group that is read or put together, an
object with long lists, which takes many times its JSON there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import duckdb

_T = TypeVar("_T")
_MOST_MEMORY = 2**32
# As DuckDB writes its settings.
_UNITS = {unit: 1024**power for power, unit in enumerate(("bytes", "KiB", "MiB", "GiB", "TiB"))}


def retry_with_more_memory(connection: duckdb.DuckDBPyConnection, work: Callable[[], _T]) -> _T:
    """Does what can be done again, with twice the memory each time that it was not enough.

    Args:
        connection: What the work is done with; afterwards it has its usual memory again.
        work: Leaves nothing behind that it would trip over when it is done once more.

    Raises:
        duckdb.OutOfMemoryException: 4 GiB were not enough.
    """
    try:
        return work()
    except duckdb.OutOfMemoryException:
        return _with_more(connection, work)


def _with_more(connection: duckdb.DuckDBPyConnection, work: Callable[[], _T]) -> _T:
    # Asked for only now: of hundreds of small pieces of work, hardly one comes here.
    row = connection.execute("SELECT current_setting('memory_limit')").fetchone()
    usual = str(row[0]) if row else ""
    number, unit = usual.split()
    memory = float(number) * _UNITS[unit]
    try:
        while True:
            memory *= 2
            connection.execute(f"SET memory_limit = '{memory:.0f}B'")
            try:
                return work()
            except duckdb.OutOfMemoryException:
                if memory >= _MOST_MEMORY:
                    raise
    finally:
        connection.execute(f"SET memory_limit = '{usual}'")
