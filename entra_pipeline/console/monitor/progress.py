"""How far a running job is, as the lines of its log say (`orchestration.progress`)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from entra_pipeline.console.dagster.client import Line

_BACKUP = re.compile(r"([\d,]+) of ([\d,]+) tables? read, ([\d,]+ rows?), ([\d,]+ requests?)")
_RESTORE = re.compile(r"stage .*; ([\d,]+) of all ([\d,]+) steps")
_DRILL = re.compile(r"restored: ([\d,]+) of ([\d,]+) steps?")
# What is known of less than this share says little about the rest; nor does what came in less than so many seconds.
_TOO_LITTLE, _TOO_SHORT = 0.05, 5.0


@dataclass(frozen=True, slots=True)
class JobProgress:
    """How far a job is.

    Attributes:
        done, total: Of its tables or steps.
        unit: What they are.
        told: What else has been counted.
        left: Seconds that the rest takes at the pace so far; None when nothing can be said.
    """

    done: int
    total: int
    unit: str
    told: tuple[str, ...]
    left: float | None


def progress_of(log: Sequence[Line], now: float) -> JobProgress | None:
    """Returns how far a job is; None when its log does not say.

    Args:
        log: Its lines, oldest first.
        now: Seconds since 1970.
    """
    found = [(line, match, unit) for line in log for match, unit in [_match(line.text)] if match is not None]
    if not found:
        return None
    line, match, unit = found[-1]
    done, total = _number(match[1]), _number(match[2])
    told = tuple(match.groups()[2:])
    # The pace is that since the work of this kind began: planning and signing in come before.
    same = [one for one in found if one[2] == unit and _number(one[1][2]) == total]
    (first, start, _), left = same[0], None
    began, before = (first.at, _number(start[1])) if len(same) > 1 else (log[0].at, 0)
    if done > before and done >= total * _TOO_LITTLE and line.at - began >= _TOO_SHORT:
        left = max((line.at - began) / (done - before) * (total - done) - (now - line.at), 0.0)
    return JobProgress(done, total, unit, told, left)


def _match(text: str) -> tuple[re.Match[str] | None, str]:
    for pattern, unit in ((_BACKUP, "tables"), (_RESTORE, "steps"), (_DRILL, "steps")):
        if match := pattern.fullmatch(text):
            return match, unit
    return None, ""


def _number(text: str) -> int:
    return int(text.replace(",", ""))
