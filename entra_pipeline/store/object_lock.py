"""How long Object Lock keeps what a scope stores: as long as its retention says, as far as a lock can say it."""

from __future__ import annotations

from datetime import datetime

from entra_pipeline.settings.periods import Period

# A lock cannot be taken back, and a mistake that is for ever is worse than a lock that has to be renewed.
_LONGEST = Period(10, "year")


def lock_end(retention: Period, moment: datetime) -> datetime:
    """Returns until when Object Lock should keep what was stored for a moment."""
    return (_LONGEST if retention.forever else retention).after(moment)
