"""Who changed an object, as the tenant's own audit log tells it; for scopes that keep that log.

What belongs here: entries of `directory_audits` about one object. What does not: how logs are read and stored
(`backup.logs`, `store.logs`), and the audit log of this software (`audit`).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import duckdb
import msgspec

from entra_pipeline.clock import iso, parse_iso
from entra_pipeline.store.backends.duckdb_errors import unreadable
from entra_pipeline.store.recovery_points import ScopeStore
from entra_pipeline.store.state import connect, sql_text

LOG = "directory_audits"
"""The log that is looked through."""
_ENTRY = msgspec.json.Decoder(dict[str, Any])
# An entry may be of a moment after the change that a read of the object showed already.
_SLACK = timedelta(minutes=2)


class AuditedChange(NamedTuple):
    """An entry of the audit log about an object: when, what was done, by whom or which app, with which result."""

    moment: str
    activity: str
    by: str
    result: str


class AuditedChanges(NamedTuple):
    """What the audit log says of an object.

    Attributes:
        found: The entries, oldest first.
        kept: Whether the store has the log of any of the days.
    """

    found: list[AuditedChange]
    kept: bool


def audited_changes(store: ScopeStore, identifier: str, first: datetime, end: datetime) -> AuditedChanges:
    """Finds the entries of the audit log about an object within a time.

    Args:
        store: The scope's store.
        identifier: Id of the object.
        first: The first moment (UTC).
        end: The last moment (UTC).

    Raises:
        StoreError: A file of the log cannot be read.
    """
    last = (end + _SLACK).date()
    wanted = [day for day in store.logs.days(LOG) if first.date() <= day <= last]
    held = [day for day in store.logs.held(LOG, wanted).values() if day.parts]
    if not held:
        return AuditedChanges([], bool(wanted))
    store.intact.require(part for day in held for part in day.parts)
    query = store.logs.query(held, "_raw", where=f"contains(_raw, {sql_text(identifier)})")
    with connect(store.files) as connection:
        try:
            rows = connection.execute(query).fetchall()
        except duckdb.Error as error:
            raise unreadable(error, f"the audit log of scope {store.scope!r}", store.scope) from None
    entries = [_ENTRY.decode(str(raw)) for (raw,) in rows]
    found = [_change(one) for one in entries if _is_about(one, identifier)]
    within = [one for one in found if first <= parse_iso(one.moment) <= end + _SLACK]
    return AuditedChanges(sorted(within), True)


def _is_about(entry: Mapping[str, Any], identifier: str) -> bool:
    """Tells whether it was done to the object, and not by it."""
    return any(one.get("id") == identifier for one in entry.get("targetResources") or ())


def _change(entry: Mapping[str, Any]) -> AuditedChange:
    by = entry.get("initiatedBy") or {}
    user, app = by.get("user") or {}, by.get("app") or {}
    name = user.get("userPrincipalName") or user.get("displayName") or app.get("displayName") or app.get("appId")
    return AuditedChange(
        iso(parse_iso(str(entry.get("activityDateTime")))),
        str(entry.get("activityDisplayName") or "Changed"),
        str(name or user.get("id") or "Microsoft Entra"),
        str(entry.get("result") or ""),
    )
