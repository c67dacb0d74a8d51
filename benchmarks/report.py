"""What a benchmark found, for people: tables, bounds that have to hold, and the page docs/benchmarks.md.

What belongs here: how findings look. What does not: how they are found.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from entra_pipeline.analysis.markdown import markdown_table

PAGE = Path(__file__).parent.parent / "docs" / "benchmarks.md"


@dataclass(frozen=True)
class Bound:
    """A ratio of two figures of one run, and what it has to be.

    Attributes:
        what: What is compared with what.
        ratio: What was measured.
        limit: What it has to be at the most, or at the least.
        least: The limit is a lower one.
    """

    what: str
    ratio: float
    limit: float
    least: bool = False

    @property
    def holds(self) -> bool:
        """Whether it is what it has to be."""
        return self.ratio >= self.limit if self.least else self.ratio <= self.limit

    def row(self) -> dict[str, str]:
        """For a table."""
        return {
            "what": self.what,
            "ratio": f"**{_number(self.ratio)}**",
            "limit": f"{'at least' if self.least else 'at most'} {_number(self.limit)}" if self.limit else "none",
            "holds": "yes" if self.holds else "**no**",
        }


@dataclass
class Section:
    """What one benchmark found.

    Attributes:
        title: A heading.
        method: What was measured, and how; Markdown.
        columns: Key → heading of the figures.
        rows: The figures.
        bounds: What they have to be.
        after: What a reader should know besides; Markdown.
    """

    title: str
    method: str
    columns: Mapping[str, str] = field(default_factory=dict)
    rows: Sequence[Mapping[str, object]] = ()
    bounds: Sequence[Bound] = ()
    after: str = ""

    def text(self) -> str:
        """The section as Markdown."""
        shown = [{k: _number(v) if isinstance(v, float) else v for k, v in row.items()} for row in self.rows]
        pieces = [f"## {self.title}", self.method]
        if shown:
            pieces.append(markdown_table(shown, self.columns))
        if self.bounds:
            heads = {"what": "comparison", "ratio": "measured", "limit": "bound", "holds": "met"}
            pieces.append(markdown_table([bound.row() for bound in self.bounds], heads))
        return "\n\n".join(piece for piece in (*pieces, self.after) if piece)


def write(part: str, sections: Sequence[Section]) -> None:
    """Puts what a part found into the page, in the place of what it found before.

    Raises:
        ValueError: The page has no place for the part.
    """
    page = PAGE.read_text()
    begin, end = f"<!-- figures: {part} -->", "<!-- /figures -->"
    if begin not in page:
        raise ValueError(f"{PAGE.name} has no line {begin!r}, or none {end!r} after it")
    before, rest = page.split(begin)
    figures = "\n\n".join([*(section.text() for section in sections), f"Measured on {machine()}."])
    PAGE.write_text(f"{before}{begin}\n{figures}\n{end}{rest.partition(end)[2]}")


def machine() -> str:
    """The machine in general terms."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    python = platform.python_version()
    return f"{os.cpu_count()} cores and {memory:.0f} GiB of memory, {platform.system()}, Python {python}"


def _number(value: float) -> str:
    if value >= 100 or value == 0:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.3g}"
