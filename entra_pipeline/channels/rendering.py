"""Messages as HTML and as text. Names of objects may hold HTML: everything is escaped."""

from __future__ import annotations

from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from entra_pipeline.channels.message import SHOWN, Message

_COLOURS = {
    "finished": ("#1a7f37", "#3fb950"),
    "finished with exception": ("#9a6700", "#d29922"),
    "failed": ("#cf222e", "#f85149"),
    "cancelled": ("#57606a", "#8c959f"),
    "unusual": ("#8250df", "#a371f7"),
}
"""Of each status: on light ground, on dark."""


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("entra_pipeline.channels"),
        # By the name of the template: what is made of text.txt.j2 is no HTML.
        autoescape=select_autoescape(enabled_extensions=("html.j2",), default=False),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def html(message: Message) -> str:
    """Returns the message as an HTML page that needs nothing else, readable in light and dark."""
    light, dark = _COLOURS.get(message.status, _COLOURS["failed"])
    template = _environment().get_template("message.html.j2")
    return template.render(message=message, shown=SHOWN, light=light, dark=dark)


def text(message: Message) -> str:
    """Returns the message as plain text."""
    return _environment().get_template("message.txt.j2").render(message=message, shown=SHOWN)
