"""Charts as SVG: for a page, in colours that the page chooses for light and dark; or alone, readable on both."""

from __future__ import annotations

import io
from typing import Any, Literal

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from entra_pipeline.reports.model import Chart

# Told apart by people who see no red or green (after Okabe and Ito), and visible on white and on black.
PALETTE = ("#2a8fd0", "#e69f00", "#009e73", "#cc79a7", "#7a5195", "#d55e00", "#a6761d", "#8a8a8a")
MEANING: dict[Literal["good", "warning", "bad"], str] = {"good": "#2a9d5c", "warning": "#e69f00", "bad": "#d1495b"}
# Stand for the page's colours of text and lines, and are replaced in the picture.
_TEXT, _LINE = "#010203", "#010204"
_GREY = "#808080"
_STYLE: dict[Any, Any] = {
    "text.parse_math": False,
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9,
    "text.color": _TEXT,
    "axes.labelcolor": _TEXT,
    "axes.edgecolor": _LINE,
    "xtick.color": _TEXT,
    "ytick.color": _TEXT,
}
_INCHES = (8.6, 2.9)
_MOST_LABELS = 10


def page_svg(chart: Chart) -> str:
    """An SVG element for a page that has the colours `--text` and `--line`."""
    return _drawn(chart).replace(_TEXT, "var(--text)").replace(_LINE, "var(--line)")


def lone_svg(chart: Chart) -> str:
    """An SVG element that needs nothing around it, in greys that light and dark pages both show."""
    return _drawn(chart).replace(_TEXT, _GREY).replace(_LINE, _GREY)


def _drawn(chart: Chart) -> str:
    # Names in the picture are unique on a page with several.
    with mpl.rc_context(_STYLE | {"svg.hashsalt": chart.title}):
        figure = Figure(figsize=_INCHES, layout="constrained")
        axes = figure.subplots()
        places = range(len(chart.labels))
        bottom = [0.0] * len(chart.labels)
        width = 0.8 / len(chart.series) if chart.kind == "bars" else 0.7
        for number, (name, values) in enumerate(chart.series.items()):
            colour = MEANING[chart.colours[name]] if name in chart.colours else PALETTE[number % len(PALETTE)]
            # A name that starts with an underscore would be left out of the legend.
            label = f" {name}" if name.startswith("_") else name
            heights = [value or 0.0 for value in values]
            if chart.kind == "lines":
                points = [float("nan") if value is None else value for value in values]
                axes.plot(places, points, color=colour, label=label, marker="o", markersize=3, linewidth=1.8)
            elif chart.kind == "bars":
                beside = [place + (number - (len(chart.series) - 1) / 2) * width for place in places]
                axes.bar(beside, heights, width * 0.92, color=colour, label=label)
            else:
                axes.bar(places, heights, width, bottom=bottom, color=colour, label=label)
                bottom = [low + height for low, height in zip(bottom, heights, strict=True)]
        if chart.limit is not None:
            axes.axhline(
                chart.limit, color=MEANING["bad"], linestyle="--", linewidth=1.2, label=f"limit: {chart.limit:,.0f}"
            )
        axes.set_ylim(bottom=0)
        axes.set_xlim(-0.6, len(chart.labels) - 0.4)
        step = max(1, -(-len(chart.labels) // _MOST_LABELS))
        axes.set_xticks(list(places)[::step], list(chart.labels)[::step])
        axes.yaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(length=0)
        axes.grid(axis="y", color=_LINE, linewidth=0.6, alpha=0.6)
        axes.set_axisbelow(True)
        figure.legend(loc="outside right upper", frameon=False)
        out = io.StringIO()
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = out.getvalue()
    return text[text.index("<svg") :]
