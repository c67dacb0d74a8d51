"""What a PATCH takes of a complex value: Graph keeps what it is not given, and asks for the types of open values.

What belongs here: from a wanted value to the one that is sent. What does not: which properties are sent (`plan`).
"""

from __future__ import annotations

from typing import Any

from entra_pipeline.restore.objects.normalize import Body, empty

_TYPE = "@odata.type"
_ATTRIBUTES = "customSecurityAttributes"
# Graph shows the type of a set under another name than it takes (Graph doc: custom-security-attributes-examples).
_SET = "#Microsoft.DirectoryServices.CustomSecurityAttributeValue"


def cleared(name: str, wanted: Any, found: Any) -> Any:
    """Adds null for members that only the tenant has: a PATCH keeps what a complex value is not given.

    A value of another type replaces the found one as a whole. Attributes are cleared one by one, those of several
    values by an empty list (Graph doc: custom-security-attributes-examples).

    Args:
        name: The property; empty for what is inside one.
        wanted: Its value at the recovery point.
        found: Its value in the tenant.
    """
    if name == _ATTRIBUTES and isinstance(found, dict):
        there = {one: {_TYPE: values.get(_TYPE)} for one, values in found.items() if values}
        return {one: cleared("", values, found.get(one)) for one, values in {**there, **(wanted or {})}.items()}
    if not isinstance(wanted, dict) or not isinstance(found, dict) or wanted.get(_TYPE) != found.get(_TYPE):
        return wanted
    kept = {member: cleared("", value, found.get(member)) for member, value in wanted.items()}
    added = {member: value for member, value in found.items() if member not in wanted and "@" not in member}
    return kept | {
        member: [] if isinstance(value, list) else None for member, value in added.items() if not empty(value)
    }


def annotated(body: Body) -> Body:
    """Adds the types that Graph demands of custom security attributes with numbers or several values.

    A recovery point is compared without them (Graph doc: custom-security-attributes-examples).
    """
    sets = body.get(_ATTRIBUTES)
    if not isinstance(sets, dict):
        return body
    return {**body, _ATTRIBUTES: {name: _typed(values) for name, values in sets.items()}}


def _typed(values: Any) -> Any:
    if not isinstance(values, dict):
        return values
    types = {f"{name}{_TYPE}": kind for name, value in values.items() if "@" not in name and (kind := _kind(value))}
    return {**values, _TYPE: _SET, **types}


def _kind(value: Any) -> str:
    if isinstance(value, list):
        inner = _kind(value[0]) if value else ""
        return f"#Collection({inner.removeprefix('#') or 'String'})" if value else ""
    return "#Int32" if isinstance(value, int) and not isinstance(value, bool) else ""
