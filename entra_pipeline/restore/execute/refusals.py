"""What Graph says when it refuses a write: which properties it means, and whether the refusal may pass by itself.

What belongs here: reading status, code, message and details. What does not: what is sent again, and without what
(`step`, `requests.partial`).

Graph's services learn of a new object one after the other. The directory then answers 404. Other services answer with
words of their own, and some only say that a value is invalid: such a refusal is taken to be about a new object when it
names nothing else, and the request carries the id of one.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import msgspec

from entra_pipeline.graph import WriteResult
from entra_pipeline.restore.objects.normalize import at
from entra_pipeline.restore.objects.references import GUID_LENGTH, ids_in

# Messages of services that an object has not reached yet, besides 404, by status.
_UNKNOWN_YET: Mapping[int, tuple[str, ...]] = {
    400: (
        *("does not exist", "doesn't exist", "do not exist", "does not reference", "not found"),
        *("cannot find", "could not find", "unable to find", "not present", "is not defined"),
        # A directory extension that has just been registered.
        "extension properties are not available",
        # Assignments to a new service principal (msgraph-bicep-types#193).
        "not a valid reference update",
    ),
    # A service principal right after its application (terraform-provider-azuread#611).
    403: ("backing application",),
}
# Messages of single actions that say too little to be taken so of any other request: licences of a new user.
_UNKNOWN_YET_BY_ACTION = {"assignLicense": ("property values specified are invalid",)}
# What services say of something that is there already (GRAPH: errors seen).
_THERE_ALREADY = ("already exist", "conflicting object", "roleassignmentexists", "multipleobjectswithsamekeyvalue")
# A refusal for want of rights that no time mends: quotas, and features that the tenant has not bought.
_LASTING = ("quota", "license", "licence", "premium", "subscription")
_TARGET = re.compile(r"(?:[Pp]ropert(?:y|ies)\s+|['\"‘“`])([A-Za-z][A-Za-z0-9_.]*)")
# Names that are no words: `mailNickname`, `identifierUris`.
_CAMEL = re.compile(r"\b[a-z]+(?:[A-Z][a-z0-9]*)+(?:\.[A-Za-z0-9]+)*\b")


def there_already(written: WriteResult) -> bool:
    """Tells whether a refusal says that the object, or its name, already exists."""
    return written.status in {400, 409} and any(text in _words(written) for text in _THERE_ALREADY)


def unknown_yet(written: WriteResult) -> bool:
    """Tells whether a refusal says so much as that a service does not know an object."""
    words = written.error().message.lower()
    action = written.write.url.partition("?")[0].rpartition("/")[2]
    texts = (*_UNKNOWN_YET.get(written.status, ()), *(_UNKNOWN_YET_BY_ACTION.get(action, ())))
    known = written.status in _UNKNOWN_YET and any(text in words for text in texts)
    return known and not there_already(written)


def denied(written: WriteResult) -> bool:
    """Tells whether a refusal is for want of rights, and none for want of a quota, a licence or a stronger sign-in.

    A service refuses so what is about an object that has not reached it (terraform-provider-azuread#611).
    """
    return written.status == 403 and not written.claims and not any(text in _words(written) for text in _LASTING)


def about_new_values(written: WriteResult, fresh: Collection[str], parent: str = "") -> bool:
    """Tells whether a 400 may be about new objects that the request refers to, though it does not say so.

    Conditional access says `1054: Invalid group value` of a new group, for example.

    Args:
        written: The refusal.
        fresh: Ids of new objects, in lower case.
        parent: Id of the owner below which an object is made.
    """
    if written.status != 400 or there_already(written):
        return False
    body = written.write.body if isinstance(written.write.body, dict) else {}
    error = written.error()
    named = refused_properties(written.targets(), error.message, body)
    values = [at(body, path) for path in named] if named else [body, parent]
    return bool(named_in([values, error.message] if named else values, fresh))


def named_in(value: Any, fresh: Collection[str]) -> set[str]:
    """Finds the ids of new objects that a JSON value names, GUIDs at any place, others as a whole text."""
    found = ids_in(value) & set(fresh)
    names = [one for one in fresh if len(one) != GUID_LENGTH]
    text = msgspec.json.encode(value).decode().lower() if names else ""
    return found | {one for one in names if msgspec.json.encode(one).decode() in text}


def refused_properties(targets: Iterable[str], message: str, body: Mapping[str, Any]) -> set[str]:
    """Finds the properties of a body that a refusal names, by dotted path of one or two names.

    Args:
        targets: `target` of the details of Graph's error.
        message: Its message.
        body: What was sent.
    """
    named = [found for target in targets if (found := _path(target, body))]
    if not named:
        words = [*_TARGET.findall(message), *_CAMEL.findall(message)]
        named = [found for word in words if (found := _path(word, body))]
    return set(named)


def _words(written: WriteResult) -> str:
    error = written.error()
    return f"{error.code} {error.message}".lower()


def _path(target: str, body: Mapping[str, Any]) -> str:
    """Returns the path in the body that a name in a refusal stands for; empty when it is about something else."""
    parts = re.split(r"[./]", target.strip("'\""))
    for start in range(len(parts)):
        name = _like(parts[start], body)
        if not name:
            continue
        inner = body[name]
        below = _like(parts[start + 1], inner) if start + 1 < len(parts) and isinstance(inner, Mapping) else ""
        return f"{name}.{below}" if below else name
    return ""


def _like(name: str, body: Mapping[str, Any]) -> str:
    """Returns the member whose name differs in case at most."""
    return next((one for one in body if one.lower() == name.lower()), "")
