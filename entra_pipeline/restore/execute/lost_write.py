"""Looking for what a lost request may have made: the object that has what was sent, and was not there before."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import duckdb
import msgspec

from entra_pipeline.catalogue import ObjectType
from entra_pipeline.graph.client import query
from entra_pipeline.restore.execute.step import RunningStep
from entra_pipeline.restore.objects.paths import collection
from entra_pipeline.restore.objects.written import is_written
from entra_pipeline.restore.plan.diff import meeting

# Sent, and never shown.
_SECRET = {"passwordProfile", "action", "justification", "isValidationOnly"}


async def find(work: RunningStep, sent: Mapping[str, Any], new: bool) -> dict[str, Any] | None:
    """Finds the object that was created by sending these properties; None when there is none.

    Args:
        work: The step that makes it.
        sent: Its properties.
        new: It must have come into being by this job, and not by another step of it. Otherwise one that was there
            before will do: Graph has refused to make it twice. Of types whose names pass from one object to another
            (`Restore.evidence`) it never does: who has the name may be somebody else.
    """
    new = new or work.rule.evidence is not None
    candidates = _lasting(work.entry, await _candidates(work, sent))
    # What guards an object changes when all else is in place.
    hidden = {*_SECRET, *(work.rule.guard or ())[:1]}
    wanted = {name: value for name, value in sent.items() if name not in hidden and "@odata." not in name}
    taken: set[str] = set()
    if new and candidates:
        taken = work.session.claimed() | {one.lower() for one in await work.session.there_before(work.step.table)}
    for one in candidates:
        if str(one.get(work.entry.key, "")).lower() not in taken and _fits(work.entry, wanted, one, strict=new):
            return one
    return None


def _lasting(entry: ObjectType, found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Leaves out objects that come and go by themselves, such as expired assignments."""
    if not entry.restore.derived or not found:
        return found
    texts = {str(number): msgspec.json.encode(one).decode() for number, one in enumerate(found)}
    with duckdb.connect() as connection:
        passing = meeting(connection, entry.restore.derived, texts)
    return [one for number, one in enumerate(found) if str(number) not in passing]


def _fits(entry: ObjectType, wanted: Mapping[str, Any], found: Mapping[str, Any], *, strict: bool) -> bool:
    """Tells whether an object has the properties that were sent; its unique properties have to agree."""
    shown = [name for name in wanted if name in found]
    if not strict and entry.restore.unique and not entry.restore.link:
        # Somebody else's object, of which only a name is the same, is not what was to be made.
        shown = [name for name in shown if name in entry.restore.unique]
    elif not strict and entry.restore.link and not entry.restore.change:
        # Such an object is what it says: the same two may be tied by several (roles of one application).
        kept = entry.restore.once or wanted.keys() - {entry.restore.ends.partition(".")[0]}
        shown = [name for name in shown if name in kept]
    elif not strict:
        keys = entry.restore.create_only | entry.restore.refers | set(entry.identity)
        tops = {path.partition(".")[0] for path in keys}
        shown = [name for name in shown if name in tops] or shown
    # What shows nothing of what was sent may be anything.
    return bool(shown) and all(is_shown(entry, name, wanted[name], found[name]) for name in shown)


def is_shown(entry: ObjectType, name: str, sent: Any, shown: Any) -> bool:
    """Compares a sent value with the shown one, without the prefix that Graph adds."""
    prefix = entry.restore.prefixed.get(name)
    return is_written(sent, re.sub(f"^{prefix}", "", str(shown)) if prefix else shown)


async def _candidates(work: RunningStep, sent: Mapping[str, Any]) -> list[dict[str, Any]]:
    entry = work.entry
    base = query(collection(entry, work.parent, work.session.owners), expand=",".join(entry.expand))
    if entry.parent is not None:
        if not entry.parent.many:
            one = await work.get(base)
            return [one] if one else []
        return await work.all(query(base, top=entry.page_size))
    # What Graph shows only when asked for: an assignment's package and target.
    expand = ",".join(one for one in entry.expand if one.partition("(")[0] in sent)
    select = ",".join(["id", *(n for n in sent if n in entry.properties and n != "id")]) if entry.select else None
    if entry.name == "users":
        # By its name the directory itself answers; a filter asks an index, which lags.
        one = await work.get(query(f"{entry.path}/{quote(str(sent['userPrincipalName']), safe='@')}", select=select))
        return [one] if one else []
    for name in (*_ENDS, "appId", *entry.identity):
        if entry.delta or name in entry.restore.refers:
            value = sent.get(name)
            if isinstance(value, str) and value:
                text = value.replace("'", "''")
                return await work.all(query(base, select=select, filter=f"{name} eq '{text}'", expand=expand))
    return await work.all(query(base, select=select, top=entry.page_size, expand=expand))


# What lists of grants, assignments and schedules can be filtered by.
_ENDS = ("clientId", "principalId")
