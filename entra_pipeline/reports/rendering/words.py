"""Names of Graph in a report's page: in words, with Graph's own name on hover."""

from __future__ import annotations

import re

from markupsafe import Markup, escape

from entra_pipeline.catalogue.labels import label, type_name

_PROPERTY = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")
_ABOUT = re.compile(rf"(?P<names>{_PROPERTY.pattern}(?:, {_PROPERTY.pattern})*): ")
_CHANGED = re.compile(rf"(?P<name>{_PROPERTY.pattern}): (?=.* → )")


def type_in_words(name: str) -> Markup:
    """Names an object type or a relation: `users` is "User"."""
    return _named(name, type_name(name)) if name else Markup()


def properties_in_words(names: str) -> Markup:
    """Names properties, of which a text has one after another with commas; what is none stays as it is."""
    return Markup(", ").join(_property(name) for name in names.split(", "))


def changes_in_words(text: str) -> Markup:
    """Names the properties of a step's changes, each in a line of its own: `jobTitle: A → B`."""
    lines = []
    for line in text.split("\n"):
        found = _CHANGED.match(line)
        lines.append(_property(found["name"]) + escape(line[found.end("name") :]) if found else escape(line))
    return Markup("\n").join(lines)


def reason_in_words(text: str) -> Markup:
    """Names the properties that a reason is about: `jobTitle, mail: managed in another system`."""
    found = _ABOUT.match(text)
    return properties_in_words(found["names"]) + escape(text[found.end("names") :]) if found else escape(text)


def _property(name: str) -> Markup:
    return _named(name, label(name)) if _PROPERTY.fullmatch(name) else escape(name)


def _named(name: str, words: str) -> Markup:
    return Markup('<span title="{}">{}</span>').format(name, words)
