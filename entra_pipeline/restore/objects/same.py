"""Whether what Graph shows is what was asked for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")


def same(wanted: Any, found: Any) -> bool:
    """Whether a value that was written is there.

    Nothing, null and an empty list are the same; lists have no order; an object may have more members than were
    written, because Graph fills in its own; moments may be written in another way.
    """
    if wanted in (None, [], {}) or found in (None, [], {}):
        return wanted in (None, [], {}) and found in (None, [], {})
    if isinstance(wanted, dict):
        return isinstance(found, dict) and all(same(value, found.get(name)) for name, value in wanted.items())
    if isinstance(wanted, list):
        return isinstance(found, list) and len(wanted) == len(found) and _paired(wanted, found)
    if isinstance(wanted, str) and isinstance(found, str) and wanted != found:
        return _moment(wanted) is not None and _moment(wanted) == _moment(found)
    return bool(wanted == found)


def differing(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The properties that are not as they were written: wanted and found."""
    return {
        name: (value, found.get(name))
        for name, value in wanted.items()
        if not name.startswith("@odata") and not same(value, found.get(name))
    }


def _paired(wanted: list[Any], found: list[Any]) -> bool:
    left = list(found)
    for value in wanted:
        position = next((n for n, other in enumerate(left) if same(value, other)), None)
        if position is None:
            return False
        del left[position]
    return True


def _moment(text: str) -> datetime | None:
    # Python reads six digits of a second, Graph writes seven.
    return datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text)) if _MOMENT.fullmatch(text) else None
