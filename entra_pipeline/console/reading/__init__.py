"""What pages find in recovery points: found in processes of their own, and not in the console's.

1. A page asks (`pool`): as whom, and for how long somebody waits for it (`console.workers`).
2. A process answers it (`worker`), one question at a time; it keeps tables open for the next page of them. Its address
   space is bounded, and so is the time of each question (`bounds`).
3. A process that was ended is replaced by another one: nothing goes on after the one who asked has gone.
"""

from entra_pipeline.console.reading.pool import ReadingPool

__all__ = ["ReadingPool"]
