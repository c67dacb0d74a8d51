"""Small pictures in a line of text: how the last days went, and how a number has changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import date

from markupsafe import Markup

_WIDTH, _HEIGHT = 100.0, 24.0
# Of a chart with a column per day: of each day, and of the whole.
_DAY, _COLUMN, _TALL = 10.0, 8.0, 100.0
_HATCH = Markup(
    '<defs><pattern id="hatch" width="4" height="4" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
    '<rect class="ground" width="4" height="4"/><rect class="warn" width="2" height="4"/></pattern></defs>'
)
_HATCHED = Markup(' fill="url(#hatch)"')


def strip(days: Sequence[tuple[date, str, str]]) -> Markup:
    """Makes a row of days, each in the tone of its worst job.

    Args:
        days: Day, status (empty for a day without a job) and tone of each, the oldest first.
    """
    counted = Counter(status or "no backup" for _, status, _ in days)
    label = f"Backups of the last {len(days)} days: " + ", ".join(
        f"{number} × {word}" for word, number in counted.items()
    )
    cells = [
        Markup('<i class="{}" title="{:%a %d %b}: {}"></i>').format(
            tone if status else "none", day, status or "no backup"
        )
        for day, status, tone in days
    ]
    return Markup('<div class="strip" role="img" aria-label="{}">{}</div>').format(label, Markup().join(cells))


def columns(days: Sequence[tuple[date, float | None, str, str]], label: str) -> Markup:
    """Makes a chart with a column per day; what went wrong is told by the shape as well as by the colour.

    Args:
        days: Day, value (None where there is none), tone and words of each, the oldest first.
        label: What it shows, for who sees no picture.
    """
    most = max((value for _, value, _, _ in days if value is not None), default=0.0) or 1.0
    made = []
    for place, (day, value, tone, words) in enumerate(days):
        if value is None:
            continue
        height = max(value / most * _TALL, 1.5)
        made.append(
            Markup('<rect class="{}" x="{:.0f}" y="{:.1f}" width="{:.0f}" height="{:.1f}"{}>').format(
                tone, place * _DAY, _TALL - height, _COLUMN, height, _HATCHED if tone == "warn" else Markup()
            )
            + Markup("<title>{:%a %d %b}: {}</title></rect>").format(day, words)
        )
    return Markup(
        '<svg class="columns-chart" viewBox="0 0 {:.0f} {:.0f}" preserveAspectRatio="none" role="img" aria-label="{}">'
        "{}{}</svg>"
    ).format(len(days) * _DAY, _TALL, label, _HATCH, Markup().join(made))


def line(values: Sequence[float | None], label: str) -> Markup:
    """Makes a line through the values that there are, the oldest first; nothing for fewer than two.

    Args:
        values: A value per day; None where nobody knows.
        label: What it shows, for who sees no picture.
    """
    known = [(number, value) for number, value in enumerate(values) if value is not None]
    if len(known) < 2:
        return Markup()
    low, high = min(value for _, value in known), max(value for _, value in known)
    # What hardly changes is shown as hardly changing: the height stands for a twentieth of the value at the least.
    span = max(high - low, high / 20, 1.0)
    places = [
        (number / max(len(values) - 1, 1) * _WIDTH, _HEIGHT - 2 - (value - low) / span * (_HEIGHT - 4))
        for number, value in known
    ]
    path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
    area = f"{path}L{places[-1][0]:.1f} {_HEIGHT:.0f}L{places[0][0]:.1f} {_HEIGHT:.0f}Z"
    return Markup(
        '<svg class="line" viewBox="0 0 {:.0f} {:.0f}" preserveAspectRatio="none" role="img" aria-label="{}">'
        '<path class="area" d="{}"/><path d="{}"/></svg>'
    ).format(_WIDTH, _HEIGHT, label, area, path)
