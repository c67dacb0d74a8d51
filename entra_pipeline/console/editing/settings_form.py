"""A form for any table of the configuration, made of the definition of its settings: a new kind of storage needs none.

1. `entries` turns a definition and values into the fields of a form; the texts are those of the definition.
2. `sent_values` turns a form that was sent into values, as they are to stand in the file.
3. `as_written` turns a table that there is into the same values; `changes` says what differs.
4. `unanswered` and `at_entries` say what is wrong, at its field.

What belongs here: fields and values. What does not: what may be changed (`secret_rules`), and saving
(`pages.settings_editing`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from entra_pipeline.console.editing.form_errors import NAME, InvalidEntries
from entra_pipeline.console.editing.secret_rules import RefusedChange
from entra_pipeline.errors import ConfigurationError, EntraPipelineError, UsageError
from entra_pipeline.project.loading import NOT_A_NAME
from entra_pipeline.settings.secrets import Secret
from entra_pipeline.settings.section import Section

PLACES = (("env", "environment variable"), ("file", "file"))
"""Where a secret may be."""

# What the address of the form says, and what the name of the table is.
_NOT_ASKED = {"kind", "name"}
_CHOICE = "one_of"
# What errors say of the documentation; the form has the texts.
_DOCUMENTED = re.compile(r"; docs/\S+ shows an example\.")
Sort = Literal["text", "number", "select", "tick", "lines", "secret", "group", "together"]


@dataclass(frozen=True, slots=True)
class FormEntry:
    """A field of a form, or several under one heading.

    Attributes:
        name: Of the field in the form.
        label: What people call it.
        help: What to write.
        sort: How it is asked; `together` is several fields that go with the same choice.
        value: What it has.
        place: Of a secret: where it is.
        options: Of a choice: values and texts.
        required: Whether it has to be given.
        when: Of what goes with a choice: the name of the choice and, after `=`, its values; empty for what always is
            there.
        entries: Of a heading: what is under it.
    """

    name: str
    label: str
    help: str
    sort: Sort
    value: Any = ""
    place: str = ""
    options: tuple[tuple[str, str], ...] = ()
    required: bool = False
    when: str = ""
    entries: tuple[FormEntry, ...] = ()


def _sort_of(annotation: Any) -> tuple[Sort, Any] | None:
    """Returns how a setting of a type is asked, and the type without what surrounds it; None when it is not."""
    if get_origin(annotation) is Annotated:
        return _sort_of(get_args(annotation)[0])
    if get_origin(annotation) in {Union, UnionType}:
        [inner] = [one for one in get_args(annotation) if one is not type(None)]
        return _sort_of(inner)
    if get_origin(annotation) is Literal:
        return "select", annotation
    if get_origin(annotation) is list:
        return "lines", annotation
    if not isinstance(annotation, type):
        return None
    sorts: tuple[tuple[type, Sort], ...] = (
        (Secret, "secret"),
        (Section, "group"),
        (bool, "tick"),
        (int, "number"),
        (float, "number"),
        (str, "text"),
        (Path, "text"),
    )
    return next(((sort, annotation) for kind, sort in sorts if issubclass(annotation, kind)), None)


class _Setting:
    """A setting of a table, as a form asks for it.

    Args:
        model: The table's definition.
        name: The setting.
        prefix: Of the names of the table's fields.
    """

    def __init__(self, model: type[Section], name: str, prefix: str) -> None:
        field: FieldInfo = model.model_fields[name]
        self.key = field.alias or name
        self.form = f"{prefix}{self.key}"
        self.label = field.title or name.replace("_", " ").capitalize()
        self.help = field.description or ""
        self.required = field.is_required()
        self.default = None if self.required else field.get_default(call_default_factory=True)
        self.sort: Sort
        self.type: Any
        self.sort, self.type = _sort_of(field.annotation) or ("text", None)
        self.alternative = model.one_of is not None and name in model.one_of.settings
        owners = [key for key, some in model.one_of.settings.items() if name in some] if model.one_of else []
        if self.alternative:
            owners = [name]
        self.when = f"{prefix}{_CHOICE}={' '.join(owners)}" if owners else ""


def _settings(model: type[Section], prefix: str) -> list[_Setting]:
    """Returns the settings of a table in the order of a form: what has fields of its own comes last."""
    asked = [
        name for name, field in model.model_fields.items() if name not in _NOT_ASKED and _sort_of(field.annotation)
    ]
    found = [_Setting(model, name, prefix) for name in asked]
    return sorted(found, key=lambda one: (one.sort == "group", one.key in model.public_files, not one.alternative))


def entries(
    model: type[Section], values: Mapping[str, Any], prefix: str = "", *, optional: bool = False
) -> tuple[FormEntry, ...]:
    """Returns the fields of a form.

    Args:
        model: The definition of the table.
        values: What the fields have.
        prefix: Of their names.
        optional: Whether the table may be absent.
    """
    found: list[FormEntry] = []
    settings = _settings(model, prefix)
    # What only a table has that is there.
    always = f"{prefix}{_CHOICE}={' '.join(model.one_of.settings)}" if model.one_of and optional else ""
    for one in settings:
        if one.sort == "tick" and one.alternative:
            continue
        when = one.when or always
        found.append(_entry(one, values.get(one.key), when))
    if model.one_of is None:
        return tuple(found)
    texts = {one.key: one.label for one in settings}
    options = tuple((key, texts[key]) for key in model.one_of.settings)
    chosen = next((key for key in model.one_of.settings if key in values), "")
    choice = FormEntry(
        f"{prefix}{_CHOICE}",
        model.one_of.title,
        model.one_of.help,
        "select",
        chosen,
        options=((("", "none"), *options) if optional else options),
    )
    # What goes with the choice follows it.
    first = [one for one in found if not one.when and one.sort != "group"]
    last = [one for one in found if not one.when and one.sort == "group"]
    return (*first, choice, *_together([one for one in found if one.when]), *last)


def _together(found: list[FormEntry]) -> Iterator[FormEntry]:
    """Yields fields that go with the same choice as one."""
    for (when, alone), some in groupby(found, key=lambda one: (one.when, one.sort == "group")):
        if alone:
            yield from some
        else:
            inner = tuple(replace(one, when="") for one in some)
            yield FormEntry("", inner[0].label, "", "together", when=when, entries=inner)


def _entry(one: _Setting, value: Any, when: str) -> FormEntry:
    default = "" if one.default is None else one.default
    shared: dict[str, Any] = {"required": one.required and not when, "when": when}
    if one.sort == "group":
        inner = entries(one.type, value or {}, f"{one.form}__", optional=not (one.required or one.alternative))
        return FormEntry(one.form, one.label, one.help, "group", when=when, entries=inner)
    if one.sort == "secret":
        place = "file" if value and "file" in value else "env"
        return FormEntry(one.form, one.label, one.help, "secret", (value or {}).get(place, ""), place, PLACES, **shared)
    if one.sort == "select":
        options = tuple((text, text) for text in get_args(one.type))
        if default == "":
            options = (("", "not set"), *options)
        return FormEntry(
            one.form, one.label, one.help, "select", default if value is None else value, options=options, **shared
        )
    if one.sort == "lines":
        return FormEntry(one.form, one.label, one.help, "lines", default if value is None else value, **shared)
    return FormEntry(one.form, one.label, one.help, one.sort, default if value is None else value, **shared)


def sent_values(model: type[Section], form: Mapping[str, list[str]], prefix: str = "") -> dict[str, Any]:
    """Returns what a form says, as it is to stand in the file; what is as by default does not stand there.

    What was chosen and not filled in has an empty value, for `unanswered` to find.
    """
    values: dict[str, Any] = {}
    chosen = _text(form, f"{prefix}{_CHOICE}")
    for one in _settings(model, prefix):
        if one.when and chosen not in one.when.partition("=")[2].split(" "):
            continue
        value = _sent(one, form)
        if one.alternative or value not in (None, "", [], {}, one.default):
            values[one.key] = value
    return values


def _sent(one: _Setting, form: Mapping[str, list[str]]) -> Any:
    text = _text(form, one.form)
    if one.sort == "group":
        inner = sent_values(one.type, form, f"{one.form}__")
        absent = one.type.one_of is not None and not one.required and not _text(form, f"{one.form}__{_CHOICE}")
        return {} if absent and not one.alternative else inner
    if one.sort == "secret":
        place = _text(form, f"{one.form}__place")
        named = {place if place in dict(PLACES) else "env": text}
        return named if text or one.alternative else None
    if one.sort == "tick":
        return True if one.alternative else bool(text)
    if one.sort == "lines":
        lines = "\n".join(form.get(one.form, [])).splitlines()
        return list(dict.fromkeys(line.strip() for line in lines if line.strip()))
    if one.sort == "number":
        return _number(text)
    return text


def _number(text: str) -> int | float | str:
    """Returns a number; the text itself when it is none, for the configuration to refuse."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _text(form: Mapping[str, list[str]], name: str) -> str:
    sent = form.get(name)
    return sent[0].strip() if sent else ""


def as_written(section: Section) -> dict[str, Any]:
    """Returns the values of a table as `sent_values` would, without what is as by default."""
    dumped: dict[str, Any] = section.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return {key: value for key, value in dumped.items() if key not in _NOT_ASKED}


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what differs; None for what is not to be there any more."""
    keys = [*before, *(key for key in after if key not in before)]
    return {key: after.get(key) for key in keys if before.get(key) != after.get(key)}


# --- What is wrong ---------------------------------------------------------------------------------------------------


def unanswered(model: type[Section], values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Returns which fields have to be filled in and are not, with what to do."""
    wrong: dict[str, str] = {}
    for one in _settings(model, prefix):
        value = values.get(one.key)
        if one.sort == "group" and value is not None:
            wrong |= unanswered(one.type, value, f"{one.form}__")
        elif one.sort == "secret":
            if (one.required and value is None) or value in ({"env": ""}, {"file": ""}):
                wrong[one.form] = "Enter the name of an environment variable or file."
        elif (one.required and value is None) or (one.alternative and value == ""):
            wrong[one.form] = f"Enter the {one.label[:1].lower()}{one.label[1:]}."
    return wrong


def at_entries(error: EntraPipelineError, table: str, model: type[Section]) -> EntraPipelineError:
    """Returns an error at the fields of a form that it is about; without paths where it is about none of them."""
    if isinstance(error, InvalidEntries):
        return error
    if isinstance(error, ConfigurationError) and error.key == table and error.what == NOT_A_NAME:
        return InvalidEntries({"name": NAME})
    places = dict(_places(model, ""))
    if isinstance(error, RefusedChange):
        found = {places.get(_inner(key, table), _Place("", "")).name: text for key, text in error.settings.items()}
        return InvalidEntries(found) if found and "" not in found else error
    if not isinstance(error, ConfigurationError) or not error.key:
        return error
    head, inside, own = f"{error.key}.".partition(f"{table}.")
    remedy = _DOCUMENTED.sub(".", error.remedy)
    if head or not inside:
        return UsageError(f"{error.key}: {error.what}", remedy=remedy)
    steps = [step for step in own.split(".") if step]
    while steps and ".".join(steps) not in places:
        steps.pop()
    key = ".".join(steps)
    within = f"{key}." if key else ""
    inner = {place.removeprefix(within): found for place, found in places.items() if place.startswith(within)}
    said = f"{error.what}. {remedy}"
    field = places.get(key, _Place("", ""))
    if not steps or any("." not in one for one in inner if one != key):
        # An error of a whole table names the settings that it is about.
        field = next((inner[word] for word in re.findall(r"\w+", said) if word in inner), field)
    for name, place in inner.items():
        said = re.sub(rf"\b{re.escape(name)}\b", place.label, said) if "_" in name else said
    return InvalidEntries({field.name: _sentence(said)}) if field.name else UsageError(error.what, remedy=remedy)


def _inner(key: str, table: str) -> str:
    return key.removeprefix(f"{table}.")


def _sentence(said: str) -> str:
    # Some say what is wrong as the rest of a sentence about the setting.
    what = f"this {said}" if said.startswith(("is ", "has ", "needs ", "would ", "names ", "does ")) else said
    return f"{what[:1].upper()}{what[1:]}"


class _Place(NamedTuple):
    """A field of a form: its name, and what people call it."""

    name: str
    label: str


def _places(model: type[Section], prefix: str, key: str = "") -> Iterator[tuple[str, _Place]]:
    """Yields dotted keys of settings, and the fields that they come from."""
    for one in _settings(model, prefix):
        field = f"{prefix}{_CHOICE}" if one.alternative and one.sort == "tick" else one.form
        if one.sort == "group":
            field = f"{one.form}__{_CHOICE}" if one.type.one_of else field
            yield from _places(one.type, f"{one.form}__", f"{key}{one.key}.")
        yield f"{key}{one.key}", _Place(field, one.label)
