"""Objects that are over by themselves: assignments, groups and certificates whose end is past.

What belongs here: what a plan does about them. What does not: which moment is their end (`objects.expiry`).

Graph takes no assignment that ends in the past, and one that begins its duration anew gives access for longer than it
was given for.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from entra_pipeline.clock import iso, parse_iso
from entra_pipeline.errors import UsageError
from entra_pipeline.restore.objects.expiry import end_of, ending_at, moment_of
from entra_pipeline.restore.objects.model import RestoreOptions
from entra_pipeline.restore.objects.normalize import Body, at
from entra_pipeline.restore.plan.diff import ObjectDiff, ObjectState
from entra_pipeline.restore.plan.rules.drafts import PlanDraft
from entra_pipeline.text import pluralize

_GONE = {ObjectState.MISSING, ObjectState.BINNED}
_ANEW = "To reinstate it for longer: --ended-until TIME."
_CERTIFICATE = "Add a new certificate, if the application still needs one."


def check_ended_until(options: RestoreOptions, now: datetime) -> None:
    """Raises UsageError for `ended_until` that is no moment of the future."""
    end = moment_of(options.ended_until)
    if options.ended_until and (end is None or end <= now):
        raise UsageError(
            f"{options.ended_until!r} is not in the future",
            remedy="Write it as 2027-01-31 or 2027-01-31T17:00:00Z.",
        )


class ExpiryRules:
    """Decides what is done about what is over.

    Args:
        plan: Receives the refusals.
    """

    def __init__(self, plan: PlanDraft) -> None:
        self._plan = plan
        self._now = parse_iso(plan.now)

    def settle(self, item: ObjectDiff) -> bool:
        """Refuses an object that is over, and leaves out of one what of it is over; false where nothing stays to do."""
        path = item.entry.restore.ends
        if not path or item.state is ObjectState.ADDED:
            return True
        values = at(item.wanted(), path)
        if any(isinstance(value, list) for value in values):
            return self._items(item, path)
        ends = [end for value in values if (end := end_of(value))]
        if not ends or not self._is_over(item, max(ends)):
            return True
        if item.state is ObjectState.THERE:
            reason = f"it exists with another end; at the recovery point its end was {iso(max(ends))}"
            self._plan.refuse(item, "skipped", f"{reason}; it is left unchanged")
            return False
        until = self._plan.options.ended_until
        if not until:
            self._plan.over.add(item.id)
            self._plan.refuse(item, "skipped", f"it expired at {iso(max(ends))}", _ANEW)
            return False
        replaced = ending_at(values[0], _full(until))
        if replaced != values[0]:
            item.then = _with(item.wanted(), path, replaced)
        return True

    def _is_over(self, item: ObjectDiff, end: datetime) -> bool:
        """Tells whether an object ended by itself, or would have by now."""
        if end > self._now:
            return False
        if item.state is ObjectState.BINNED:
            # Somebody deleted it before its time: it comes back with a new lifetime.
            deleted = moment_of(item.found().get("deletedDateTime"))
            return deleted is None or deleted >= end
        return item.state is ObjectState.MISSING or (
            item.entry.restore.link and bool(self._plan.changed_properties(item))
        )

    def _items(self, item: ObjectDiff, path: str) -> bool:
        """Leaves out items that are over and that the tenant does not have; false when nothing else differs."""
        wanted = item.wanted()
        there = {_key(one) for one in item.found().get(path) or ()} if item.now else set()
        items = wanted.get(path) or []
        kept = [one for one in items if _key(one) in there or not self._ended(one)]
        if len(kept) == len(items):
            return True
        ended = pluralize(len(items) - len(kept), "certificate")
        self._plan.refuse(item, "skipped", f"without {ended} (expired): Graph does not accept them", _CERTIFICATE)
        item.then = _with(wanted, path, kept)
        return bool(kept) if item.state in _GONE else bool(self._plan.changed_properties(item))

    def _ended(self, one: Any) -> bool:
        end = end_of(one)
        return end is not None and end <= self._now


def _with(body: Body, path: str, value: Any) -> str:
    """Returns an object as JSON text with another value at a dotted path."""

    def put(inside: Body, names: list[str]) -> Body:
        [name, *rest] = names
        return {**inside, name: put(inside[name], rest) if rest else value}

    return msgspec.json.encode(put(body, path.split("."))).decode()


def _key(one: Any) -> str:
    return str(one.get("keyId") or one) if isinstance(one, dict) else str(one)


def _full(text: str) -> str:
    end = moment_of(text)
    return iso(end) if end else ""
