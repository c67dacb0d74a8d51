"""Names of Graph in reports: in words; in a page with Graph's own name on hover."""

from __future__ import annotations

import re
from functools import cache
from html import unescape

from markupsafe import Markup, escape

from entra_pipeline.catalogue import CATALOGUE, table_names
from entra_pipeline.catalogue.labels import label, type_name, type_names
from entra_pipeline.reports.model import ColumnKind

# Names are escaped: what is left of tags is ours.
_TAG = re.compile("<[^>]*>")
_PROPERTY = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")
_ABOUT = re.compile(rf"(?P<names>{_PROPERTY.pattern}(?:, {_PROPERTY.pattern})*): ")
_NAME = re.compile(r"(?<![\w@./-])[a-z][A-Za-z0-9_]*(?:\.[A-Za-z0-9_]+)*(?![\w@/-])")
_CHANGED = re.compile(rf"(?P<name>{_PROPERTY.pattern}): (?=.* → )")


def cell_in_words(kind: ColumnKind, text: str) -> str:
    """Words the names of Graph in a cell of a report, as its column has them."""
    told = _BY_KIND.get(kind)
    return told(text) if told else text


def plain_cell(kind: ColumnKind, text: str) -> str:
    """Words the names of Graph in a cell, as `cell_in_words`, without markup: where nothing is on hover."""
    return unescape(_TAG.sub("", cell_in_words(kind, text))) if kind in _BY_KIND else text


def type_in_words(name: str) -> Markup:
    """Names an object type or a relation: `users` is "User"."""
    return _named(name, type_name(name)) if name else Markup()


def types_in_words(name: str) -> Markup:
    """Names the objects of a type, or a relation: `users` is "Users"."""
    return _named(name, type_names(name)) if name else Markup()


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


def prose_in_words(text: str) -> Markup:
    """Names the properties, object types and relations within a sentence: `its jobTitle differs`.

    Those before a colon at its beginning are what the sentence is about, whatever they look like:
    `jobTitle, mail: managed in another system`. Within, only those are told from words that are written like names.
    """
    told, end = [], 0
    about = _ABOUT.match(text)
    if about and all(_is_property(name) for name in about["names"].split(", ")):
        told, end = [properties_in_words(about["names"])], about.end("names")
    for found in _NAME.finditer(text, end):
        if words := _within(found[0]):
            told += [escape(text[end : found.start()]), _named(found[0], words)]
            end = found.end()
    return Markup().join([*told, escape(text[end:])])


def _within(name: str) -> str:
    """The words for a name within a sentence; none for what is no name of Graph, or looks like any other word."""
    if name.islower() and "_" not in name:
        return ""
    if "_" in name:
        return _begun(type_names(name)) if name in _tables() else ""
    return _begun(label(name)) if _is_property(name) else ""


def _begun(words: str) -> str:
    """Words as they are within a sentence."""
    return words if words[1:2].isupper() else f"{words[:1].lower()}{words[1:]}"


def _is_property(name: str) -> bool:
    return name.partition(".")[0] in _properties()


@cache
def _properties() -> frozenset[str]:
    return frozenset(name for entry in CATALOGUE.values() for name in (*entry.properties, *entry.not_listable))


@cache
def _tables() -> frozenset[str]:
    return frozenset(table_names())


def _property(name: str) -> Markup:
    return _named(name, label(name)) if _PROPERTY.fullmatch(name) else escape(name)


def _named(name: str, words: str) -> Markup:
    return Markup('<span title="{}">{}</span>').format(name, words)


_BY_KIND = {
    "type": type_in_words,
    "types": types_in_words,
    "properties": properties_in_words,
    "prose": prose_in_words,
}
