"""Preloads a worker process: importing this imports all that a query takes, and computes the columns of every type."""

from entra_pipeline.analysis.sql import Relations
from entra_pipeline.console.reading import worker as reading_worker
from entra_pipeline.console.sql import worker

for _table in Relations.names():
    Relations.columns(_table)

__all__ = ["reading_worker", "worker"]
