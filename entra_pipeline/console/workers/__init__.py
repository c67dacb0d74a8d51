"""Work of pages in processes of their own, so that the console goes on whatever it does to its process.

1. Of one person few questions are answered at a time, and few wait (`turns`).
2. A process answers (`process`). It is forked off one that has imported everything before (`preload`), so that nobody
   waits for that. What it may take is set by what runs in it: `console.sql.worker`, `console.reading.worker`.
3. A process that takes too long, or too much, or for whose answer nobody waits any more, is ended.
"""

from entra_pipeline.console.workers.process import WorkerProcess, expect_work
from entra_pipeline.console.workers.turns import TooManyQuestions, Turns, VisitorGone

__all__ = ["TooManyQuestions", "Turns", "VisitorGone", "WorkerProcess", "expect_work"]
