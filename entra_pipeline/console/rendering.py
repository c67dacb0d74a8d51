"""Templates, and how values look in them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from entra_pipeline.analysis.linking.mentions import guid_places
from entra_pipeline.catalogue import BY_GRAPH_TYPE
from entra_pipeline.catalogue.labels import label, type_name, type_names
from entra_pipeline.clock import system_clock
from entra_pipeline.console.auth.roles import Role
from entra_pipeline.console.display.icons import icon, kind_icon, state_icon
from entra_pipeline.console.display.moments import as_moment, local, when, when_taken
from entra_pipeline.console.display.states import VALUES
from entra_pipeline.console.routing import address
from entra_pipeline.project.schedules import in_words
from entra_pipeline.reports.rendering.words import (
    cell_in_words,
    changes_in_words,
    prose_in_words,
    types_in_words,
)
from entra_pipeline.store.points.keys import is_key, moment_of
from entra_pipeline.text import pluralize

_BETWEEN_WORDS = re.compile(r"(?<=[_.])|(?<=[a-z0-9])(?=[A-Z])")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
_UNITS = (("day", 86_400), ("hour", 3_600), ("minute", 60))
_TONES = {
    "finished": "good",
    "restored": "good",
    "finished with exception": "warn",
    "restored with differences": "warn",
    "unrestorable": "warn",
    "never backed up": "warn",
    "cancelled": "warn",
    "modified": "warn",
    "failed": "bad",
    "refused": "bad",
    "unresolved": "bad",
    "removed": "bad",
    "not reached": "bad",
    "added": "good",
    "ok": "good",
    "fresh": "good",
    "late": "warn",
    "missing": "bad",
    "no good point": "bad",
    "storage unreadable": "bad",
    "configuration wrong": "bad",
    "warning": "warn",
    "over": "bad",
    "unusual change": "warn",
    "not known": "bad",
    "unknown": "bad",
    "backup failed": "bad",
    "restore failed": "bad",
    "drill failed": "bad",
    "prune failed": "bad",
    "approved": "good",
    "granted": "good",
    "passed": "good",
    "lacking": "bad",
    "not granted": "warn",
    "waits for approval": "warn",
    "running": "busy",
    "queued": "busy",
}


def templates() -> Environment:
    """The environment of the pages' templates; everything is escaped."""
    environment = Environment(
        loader=PackageLoader("entra_pipeline.console"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {"address": address, "icon": icon, "kind_icon": kind_icon, "Role": Role}
    environment.filters |= {
        "ago": ago,
        "bytes": size,
        "clock": lambda value: f"{as_moment(value):%H:%M:%S}",
        "count": lambda number: f"{number:,}",
        "flat": flat,
        "hour": lambda key, zone: f"{local(key, zone):%H:%M}",
        "pluralize": pluralize,
        "label": label,
        "moment": moment,
        "moments": lambda keys, zone: [(key, f"{local(key, zone):%Y-%m-%d %H:%M:%S %Z}") for key in keys],
        "options": lambda names: [(name, name) for name in names],
        "pieces": pieces,
        "reference": lambda name: without_id(label(name)),
        "without_id": without_id,
        "graph_type": lambda name: BY_GRAPH_TYPE[name].title if name in BY_GRAPH_TYPE else name or "",
        "point": point,
        "point_ago": lambda key: ago(moment_of(key)),
        "pretty": pretty,
        "schedule": in_words,
        "seconds": seconds,
        "mark": lambda status: state_icon(str(status), tone(status)),
        "told": _told,
        "tone": tone,
        "type_name": type_name,
        "type_names": type_names,
        "types_in_words": types_in_words,
        "changes_in_words": changes_in_words,
        "prose_in_words": prose_in_words,
        "cell_in_words": lambda text, kind: cell_in_words(kind, text),
        "when": when,
        "when_taken": when_taken,
        "words": words,
    }
    return environment


def _told(text: Any) -> Any:
    """A moment, or that of a recovery point, as moments of pages are; a value of Graph in words; all else as it is."""
    if isinstance(text, str) and text in VALUES:
        return Markup('<span title="{}">{}</span>').format(text, VALUES[text])
    if _MOMENT.fullmatch(str(text)):
        return when(text)
    return when_taken(text) if isinstance(text, str) and is_key(text) else text


def tone(status: object) -> str:
    """Whether a state is `good`, `warn`, `bad`, `busy` or, when it is none of these, `plain`."""
    return _TONES.get(str(status).lower(), "plain")


def moment(value: str | datetime | float | None) -> str:
    """A moment as people read it, in UTC."""
    if value in (None, ""):
        return ""
    when = as_moment(value)
    return f"{when:%Y-%m-%d %H:%M} UTC"


def point(key: str) -> str:
    """The moment of a recovery point."""
    return f"{moment_of(key):%Y-%m-%d %H:%M:%S} UTC"


def words(name: str) -> Markup:
    """A name of code, which may break between its words."""
    return Markup("<wbr>").join(_BETWEEN_WORDS.split(name))


def ago(value: str | datetime | float | None) -> str:
    """How long ago a moment was, in its largest unit; how long it still is to a coming one."""
    if value in (None, ""):
        return ""
    difference = (system_clock() - as_moment(value)).total_seconds()
    words = seconds(abs(difference), coarse=True)
    return f"{words} ago" if difference >= 0 else f"in {words}"


def seconds(value: float, *, coarse: bool = False) -> str:
    """A length of time."""
    for unit, length in _UNITS:
        if value >= (length if coarse else 2 * length):
            number = int(value // length)
            return f"{number:,} {unit}{'s' if number != 1 else ''}"
    if coarse:
        return "under a minute"
    return pluralize(round(value), "second") if value >= 1 else "under a second"


def size(value: float) -> str:
    """Bytes in a unit that suits them."""
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:,.0f} {unit}" if unit == "B" else f"{value:,.1f} {unit}"
        value /= 1000
    return f"{value:,.1f} TB"


def pretty(value: Any) -> str:
    """A value as text: what is nested as indented JSON."""
    if value is None:
        return "—"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict | list):
        return msgspec.json.format(msgspec.json.encode(value), indent=2).decode() if value else "—"
    return str(value)


def without_id(label: str) -> str:
    """The heading of a property that refers to another object, where its name is shown: "Principal" for an id."""
    return label.removesuffix(" ID").removesuffix(" IDs")


def pieces(text: str, names: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """The pieces of a text: each id that `names` has with what it has for it, and what is between them with None."""
    if text in names:
        return [(text, names[text])]
    found, end = [], 0
    for place, one in guid_places(text):
        if one in names:
            found += [(text[end:place], None), (one, names[one])]
            end = place + len(one)
    return [one for one in [*found, (text[end:], None)] if one[0]]


def flat(value: Any, path: str = "") -> list[tuple[str, str]]:
    """What is nested in a value, as lines: in words where it is, and what it is there; lines of a list are numbered."""
    if isinstance(value, dict):
        inner = [
            (f"{path} › {label(key)}" if path else label(key), one) for key, one in value.items() if "@" not in key
        ]
    elif isinstance(value, list):
        # Of one there is nothing to number.
        inner = [(f"{path} {number}".strip() if len(value) > 1 else path, one) for number, one in enumerate(value, 1)]
    else:
        return [(path, pretty(value))]
    return [line for where, one in inner if one not in (None, "", [], {}) for line in flat(one, where)]
