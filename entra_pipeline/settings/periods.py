"""Periods as people write them: `30 days`, `12 weeks`, `18 months`, `2 years`, `forever`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from dateutil.relativedelta import relativedelta
from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from entra_pipeline.settings.section import wrong

_GRAMMAR = re.compile(r"(\d{1,4}) (day|week|month|year)s?")
_DAYS = {"day": 1, "week": 7, "month": 30.4, "year": 365.2}


@dataclass(frozen=True, slots=True)
class Period:
    """A period of the calendar.

    Attributes:
        count: How many units; 0 means forever.
        unit: `day`, `week`, `month` or `year`.
    """

    count: int
    unit: str

    @classmethod
    def parse(cls, text: object) -> Self:
        """Parses a period; raises PydanticCustomError with what is accepted."""
        if text == "forever":
            return cls(0, "year")
        match = _GRAMMAR.fullmatch(text) if isinstance(text, str) else None
        if match is None or int(match[1]) == 0:
            raise wrong(
                f"{text!r} is not a period",
                'Write a number and a unit ("30 days", "12 weeks", "18 months", "2 years"), or "forever".',
            )
        return cls(int(match[1]), match[2])

    @property
    def forever(self) -> bool:
        """Whether it never ends."""
        return self.count == 0

    @property
    def in_years(self) -> bool:
        """Whether it is counted in years; then full backups come at a frequency of their own."""
        return self.unit == "year" and not self.forever

    def after(self, moment: datetime) -> datetime:
        """Returns the moment when a period that starts at `moment` is over; the end of time when it is forever."""
        if self.forever:
            return datetime.max.replace(tzinfo=moment.tzinfo)
        steps: dict[str, Any] = {f"{self.unit}s": self.count}
        end: datetime = moment + relativedelta(**steps)
        return end

    def __lt__(self, other: Period) -> bool:
        return self._days() < other._days()

    def _days(self) -> float:
        return float("inf") if self.forever else self.count * _DAYS[self.unit]

    def __str__(self) -> str:
        return "forever" if self.forever else f"{self.count} {self.unit}{'s' if self.count > 1 else ''}"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            lambda value: value if isinstance(value, cls) else cls.parse(value)
        )


FOREVER = Period.parse("forever")
