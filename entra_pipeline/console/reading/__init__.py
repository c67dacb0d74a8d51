"""What pages find in recovery points: found in processes of their own, and not in the console's.

1. A page asks (`pool`): as whom, and for how long somebody waits for it. Of one person few questions are answered at a
   time, and few wait (`turns`).
2. A process answers it (`worker`), one question at a time; it keeps tables open for the next page of them. Its address
   space is bounded, and so is the time of each question.
3. A process that takes too long, or too much, or for whose answer nobody waits any more, is ended, and another one
   takes its place: nothing goes on after the one who asked has gone.
"""

from entra_pipeline.console.reading.pool import ReadingPool
from entra_pipeline.console.reading.turns import TooManyQuestions, Turns, VisitorGone

__all__ = ["ReadingPool", "TooManyQuestions", "Turns", "VisitorGone"]
