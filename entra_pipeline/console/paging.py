"""A page of many rows, and the way to the pages beside it."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.datastructures import URL


@dataclass(frozen=True, slots=True)
class Shown:
    """Which rows of how many are shown.

    Attributes:
        offset: Rows before the first one that is shown.
        limit: Rows of a page.
        total: All rows.
        here: Address of this page.
    """

    offset: int
    limit: int
    total: int
    here: URL

    @property
    def last(self) -> int:
        """Number of the last row that is shown, from 1."""
        return min(self.offset + self.limit, self.total)

    @property
    def before(self) -> str | None:
        """Address of the page before; None at the first."""
        return self._at(max(self.offset - self.limit, 0)) if self.offset else None

    @property
    def next(self) -> str | None:
        """Address of the next page; None at the last."""
        return self._at(self.offset + self.limit) if self.last < self.total else None

    def _at(self, offset: int) -> str:
        url = self.here.include_query_params(offset=offset)
        return f"{url.path}?{url.query}"
