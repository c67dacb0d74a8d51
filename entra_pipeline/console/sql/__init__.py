"""Questions in SQL: asked here, answered in a process of their own.

Whatever a question does to its process, the console goes on: it may take so much time and memory, write no file, and
what it can reach is bounded (`analysis.sql.bounded`).

Pages call `pool`, `worker` runs in the other process (`console.workers`), `bounds` says how far a question goes.
"""

from entra_pipeline.console.sql.bounds import FORMATS, ROWS_IN_FILES, ROWS_SHOWN, SECONDS, QueryResult
from entra_pipeline.console.sql.pool import QueryPool

__all__ = ["FORMATS", "ROWS_IN_FILES", "ROWS_SHOWN", "SECONDS", "QueryPool", "QueryResult"]
