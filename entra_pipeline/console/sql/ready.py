"""Importing this makes a process ready for questions: it has all that they take, and knows the columns of all types."""

from entra_pipeline.analysis.sql import Relations
from entra_pipeline.console.sql import answering

for _table in Relations.names():
    Relations.columns(_table)

__all__ = ["answering"]
