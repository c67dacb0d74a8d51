"""Icons: those of Lucide that the console uses, in one file that browsers keep (`static/vendor/icons.svg`)."""

from __future__ import annotations

import re
from importlib.resources import files

from markupsafe import Markup

from entra_pipeline.catalogue.model import Category

_ID = re.compile(r'<symbol id="([a-z0-9-]+)"')
_CATEGORIES: dict[str, str] = {
    Category.USERS: "user",
    Category.GROUPS: "users",
    Category.ADMINISTRATIVE_UNITS: "building-2",
    Category.APPLICATIONS: "app-window",
    Category.ENTERPRISE_APPLICATIONS: "blocks",
    Category.ROLES: "key-round",
    Category.CONDITIONAL_ACCESS: "shield",
    Category.POLICIES: "scroll-text",
    Category.DEVICES: "laptop",
    Category.GOVERNANCE: "badge-check",
    Category.EXTERNAL_IDENTITIES: "globe",
    Category.TENANT: "building",
    Category.RECYCLE_BIN: "trash-2",
}
_STATES = {"good": "circle-check", "warn": "triangle-alert", "bad": "circle-x", "busy": "loader"}
_OF_WORDS = {
    "queued": "clock",
    "cancelled": "ban",
    "never backed up": "circle-dashed",
    "never rehearsed": "circle-dashed",
    "late backup": "alarm-clock",
    "missing backup": "alarm-clock",
    "late": "alarm-clock",
    "missing": "alarm-clock",
    "unusual change": "triangle-alert",
    "waits for approval": "hourglass",
    "added": "plus",
    "modified": "pencil",
    "removed": "minus",
}


def icon_names() -> frozenset[str]:
    """Returns the names of all icons there are."""
    text = (files("entra_pipeline.console") / "static" / "vendor" / "icons.svg").read_text(encoding="utf-8")
    return frozenset(_ID.findall(text))


_NAMES = icon_names()


def icon(name: str) -> Markup:
    """Makes an icon that stands beside a word, and says nothing by itself.

    Raises:
        KeyError: There is no such icon.
    """
    if name not in _NAMES:
        raise KeyError(name)
    return Markup('<svg class="icon" aria-hidden="true"><use href="/static/vendor/icons.svg#{}"/></svg>').format(name)


def state_icon(status: str, tone: str) -> Markup:
    """Makes the icon of a state: that of the word, else that of its tone; none for what is neither good nor bad."""
    name = _OF_WORDS.get(status.lower()) or _STATES.get(tone, "")
    return icon(name) if name else Markup()


def category_icon_name(category: str) -> str:
    """Returns the name of a category's icon; a plain one for an unknown category."""
    return _CATEGORIES.get(category, "box")


def kind_icon(category: str) -> Markup:
    """Makes the icon of a category of objects."""
    return icon(category_icon_name(category))
