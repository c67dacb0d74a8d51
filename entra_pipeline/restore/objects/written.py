"""Whether a value that was written is in the tenant.

Three functions tell whether values are equal, each for a question of its own:

- `backup.rows.merge.same`: is an object that Graph sent again worth a new row? Only null and absent are equal; a wrong
  "no" costs one row.
- `analysis.equality.same`: do two recovery points say the same? Null, absent and `[]` are equal, lists have no order,
  annotations do not count. Symmetric.
  `restore.objects.normalize.differing` asks it of an object, where one of whose members all are null is null.
- `is_written`, here: did Graph take a request? As above, and the found value may have more members,
  which Graph fills in, and moments in another spelling. Not symmetric.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from entra_pipeline.restore.objects.normalize import says_nothing

_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")


def is_written(wanted: Any, found: Any) -> bool:
    """Tells whether a value that was written is there.

    Nothing, null, an empty list and an object of whose members all are null are the same; lists have no order; an
    object may have more members than were written, because Graph fills in its own; moments may be written in another
    way.
    """
    if _nothing(wanted) or _nothing(found):
        return _nothing(wanted) and _nothing(found)
    if isinstance(wanted, dict):
        return isinstance(found, dict) and all(is_written(value, found.get(name)) for name, value in wanted.items())
    if isinstance(wanted, list):
        return isinstance(found, list) and len(wanted) == len(found) and _paired(wanted, found)
    if isinstance(wanted, str) and isinstance(found, str) and wanted != found:
        return _moment(wanted) is not None and _moment(wanted) == _moment(found)
    return bool(wanted == found)


def _nothing(value: Any) -> bool:
    return value == {} or says_nothing(value)


def _paired(wanted: list[Any], found: list[Any]) -> bool:
    left = list(found)
    for value in wanted:
        position = next((n for n, other in enumerate(left) if is_written(value, other)), None)
        if position is None:
            return False
        del left[position]
    return True


def _moment(text: str) -> datetime | None:
    # Python reads six digits of a second, Graph writes seven.
    return datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text)) if _MOMENT.fullmatch(text) else None
