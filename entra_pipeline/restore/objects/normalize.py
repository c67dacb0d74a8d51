"""What of an object a restore compares and sends: without what Graph computes, fills in, or only annotates.

What belongs here: from an object as Graph returned it to what counts of it. What does not: what two objects that differ
lead to (`planner`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from entra_pipeline.analysis.equality import Values, differences, normal, same
from entra_pipeline.catalogue import ObjectType
from entra_pipeline.catalogue.restoring import WriteStrategy
from entra_pipeline.restore.objects.expiry import with_fixed_end
from entra_pipeline.restore.objects.model import RestoreStep
from entra_pipeline.restore.objects.references import rewrite
from entra_pipeline.store.backends.encryption.sealing import ERASED

Body = dict[str, Any]
"""An object as JSON."""

_TYPE = "@odata.type"
_IDENTITIES = "identities"
_SETTING = {"create", "undelete", "update", "enable"}


def normalized(entry: ObjectType, body: Body) -> Body:
    """Reduces an object to what is compared and restored: without id and computed properties, nulls kept.

    Licences of users are those that are assigned to them directly.
    """
    if entry.restore.strategy is WriteStrategy.LICENSES:
        return {"assignedLicenses": _direct(body)}
    rule = entry.restore
    kept = {
        name: _plain(value)
        for name, value in body.items()
        if "@" not in name and name not in rule.volatile and name != ERASED
    }
    if "id" not in rule.required:
        kept.pop("id", None)
    if _TYPE in rule.required and _TYPE in body:
        kept[_TYPE] = body[_TYPE]
    if rule.ends in kept:
        kept[rule.ends] = with_fixed_end(kept[rule.ends])
    for path, members in rule.parts.items():
        _keep(kept, path.split("."), members)
    for path in rule.secrets:
        kept = without(kept, path)
    return kept


def is_erased(entry: ObjectType, body: Body) -> bool:
    """Tells whether values of an object that a restore would write were erased with the key of a person."""
    personal = entry.personal
    return body.get(ERASED) is True and not (
        personal is not None and personal.members and personal.members <= entry.restore.volatile
    )


def moved(entry: ObjectType, own: str, body: Body, mapping: Mapping[str, str]) -> Body:
    """Replaces ids that have changed.

    Where only a new object takes a property, it keeps the id that the object once had itself: a role's templateId.

    Args:
        entry: The type.
        own: Id of the object at the recovery point.
        body: The content.
        mapping: Id → the id that takes its place.
    """
    kept = {name: value for name, value in body.items() if value == own and name in entry.restore.create_only}
    result: Body = {**rewrite(body, mapping), **kept}
    return result


def differing(entry: ObjectType, wanted: Body, found: Body) -> Values:
    """Compares two normalized objects: property → wanted and found value.

    Besides what `analysis.equality` says, an object of whose members all are null is the same as null: what was added
    inside a value is taken away by a null for each of its members, and Graph then shows the whole as null.
    """
    told, _ = differences(entry.name, wanted, found)
    return {name: pair for name, pair in told.items() if not _says_the_same(*pair, name)}


def _says_the_same(wanted: Any, found: Any, name: str) -> bool:
    if isinstance(wanted, dict) and isinstance(found, dict):
        members = (one for one in wanted.keys() | found.keys() if "@" not in one or one == _TYPE)
        return all(_says_the_same(wanted.get(one), found.get(one), one) for one in members)
    return same(wanted, found, name) or (says_nothing(wanted) and says_nothing(found))


def differing_elsewhere(entry: ObjectType, wanted: Body, found: Body) -> Values:
    """Compares what Graph shows of two objects, and others write: property → wanted and found values.

    Args:
        entry: The type.
        wanted: The object at the recovery point.
        found: The object in the tenant, or a new one.
    """
    told: Values = {}
    for name in entry.restore.elsewhere:
        then, now = (
            (own_identities(body) if name == _IDENTITIES else _plain(body.get(name)) or []) for body in (wanted, found)
        )
        if normal(then) != normal(now):
            told[name] = then, now
    return told


def left_by(steps: Iterable[RestoreStep], names: Mapping[str, str]) -> dict[tuple[str, str], Body]:
    """Collects the properties that steps have set, by type and id; a later step wins.

    Args:
        steps: The steps that were carried out, in their order.
        names: Ids at the recovery point → ids in the tenant.
    """
    latest: dict[tuple[str, str], Body] = {}
    for step in steps:
        if step.action in _SETTING:
            latest.setdefault((step.table, step.id), {}).update(rewrite(step.body, names))
    return latest


def fingerprint(entry: ObjectType, body: Body) -> str:
    """Hashes a normalized object: SHA-256 of its canonical JSON (`RestoreStep.seen`)."""
    return hashlib.sha256(msgspec.json.encode(normal(normalized(entry, body)), order="sorted")).hexdigest()


def at(body: Body, path: str) -> list[Any]:
    """Returns the values at a dotted path through objects and lists; `extension_*` is every directory extension."""
    found: list[Any] = [body]
    for name in path.split("."):
        inside = [item for value in found for item in (value if isinstance(value, list) else [value])]
        members = [item for item in inside if isinstance(item, dict)]
        if name.endswith("*"):
            found = [value for item in members for key, value in item.items() if key.startswith(name[:-1])]
        else:
            found = [item[name] for item in members if name in item]
    return found


def without(body: Body, path: str) -> Body:
    """Copies a body without the value at a dotted path; the members above it stay."""
    name, _, rest = path.partition(".")
    if name.endswith("*"):
        return {key: value for key, value in body.items() if not key.startswith(name[:-1])}
    if name not in body:
        return body
    if not rest:
        return {key: value for key, value in body.items() if key != name}
    inner = body[name]
    if isinstance(inner, dict):
        return {**body, name: without(inner, rest)}
    if isinstance(inner, list):
        return {**body, name: [without(item, rest) if isinstance(item, dict) else item for item in inner]}
    return body


def empty(value: Any) -> bool:
    """Tells whether a property has no value that a merge would overwrite."""
    return value is None or value in ("", [], {})


def says_nothing(value: Any) -> bool:
    """Tells whether a value is null, an empty list, or an object of whose members all are so; `{}` is a value."""
    if isinstance(value, dict):
        members = [member for name, member in value.items() if "@" not in name]
        return bool(members) and all(says_nothing(member) for member in members)
    return value is None or value == []


def own_identities(body: Body) -> list[Body]:
    """Returns the identities of a user that only `POST /users` sets: of local accounts and of social ones.

    The one of the userPrincipalName comes with that, and a guest's with the invitation (Graph doc: objectIdentity,
    user-post-users).
    """
    if "#EXT#" in str(body.get("userPrincipalName")):
        return []
    every = (one for one in body.get("identities") or () if one.get("issuerAssignedId"))
    return [_plain(one) for one in every if one.get("signInType") != "userPrincipalName"]


def _direct(body: Body) -> list[Body]:
    """Licences that no group assigns, as `assignLicense` takes them (Graph doc: licenseAssignmentState)."""
    states = body.get("licenseAssignmentStates")
    source = (
        body.get("assignedLicenses") or []
        if states is None
        else [state for state in states if state.get("assignedByGroup") is None]
    )
    direct = {one["skuId"]: sorted(one.get("disabledPlans") or []) for one in source}
    return [{"skuId": sku, "disabledPlans": plans} for sku, plans in sorted(direct.items())]


def _plain(value: Any) -> Any:
    """A value without annotations, save for the types of nested values."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items() if "@" not in key or key == _TYPE}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value


def _keep(value: Any, path: Sequence[str], members: Sequence[str]) -> None:
    """Leaves only some members of what is at a path; changes the value, which `_plain` has copied."""
    for item in value if isinstance(value, list) else [value]:
        if not isinstance(item, dict):
            continue
        inner = item.get(path[0])
        if len(path) > 1:
            _keep(inner, path[1:], members)
        elif isinstance(inner, list):
            item[path[0]] = [_only(one, members) for one in inner]
        elif isinstance(inner, dict):
            item[path[0]] = _only(inner, members)


def _only(value: Any, members: Sequence[str]) -> Any:
    return {name: value[name] for name in members if name in value} if isinstance(value, Mapping) else value
