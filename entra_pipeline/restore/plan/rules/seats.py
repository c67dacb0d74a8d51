"""Licences that Graph will refuse: without a subscription, a seat, or the place where the user is.

What belongs here: holding the licences of drafts against the subscriptions, and which steps free the seats that others
take. What does not: the order of the steps (`names`).
"""

from __future__ import annotations

import duckdb

from entra_pipeline.catalogue import CATALOGUE
from entra_pipeline.catalogue.restoring import WriteStrategy
from entra_pipeline.restore.objects.normalize import Body, normalized
from entra_pipeline.restore.plan.diff import Side, decoded
from entra_pipeline.restore.plan.rules.drafts import Draft, PlanDraft
from entra_pipeline.restore.plan.rules.holders import UniqueName

_LICENSES = "assignedLicenses"
_USERS = "user_licenses"
_REMEDY = "Free or buy seats, or set usageLocation; then restore the licences again."


class SeatRules:
    """Finds the licences that Graph would refuse; where a step frees the seat that another one takes, it comes first.

    Args:
        plan: The drafts that stay, which are changed; receives the refusals.
        connection: Reads the store of the tenant.
        live: The recovery point that shows the tenant.
    """

    def __init__(self, plan: PlanDraft, connection: duckdb.DuckDBPyConnection, live: Side) -> None:
        self._plan = plan
        self._live = live
        self._connection = connection
        self._freed: dict[str, list[Draft]] = {}

    def apply(self) -> None:
        """Leaves out the licences that cannot be had."""
        seats = self._free_seats()
        if seats is None:
            return
        for draft in self._plan.drafts:
            for sku in self._given_up(draft):
                self._freed.setdefault(sku, []).append(draft)
        for draft in self._plan.drafts:
            if draft.table in CATALOGUE and draft.body.get(_LICENSES) and not draft.returning:
                self._licenses(draft, seats)
        self._plan.drop_empty()

    def _given_up(self, draft: Draft) -> list[str]:
        """Lists the subscriptions of which a draft frees a seat: of a user that it deletes, or takes a licence from."""
        if draft.action == "delete" and draft.table == "users":
            held: Body = normalized(CATALOGUE[_USERS], self._plan.diff.items[draft.table][draft.id].found())
            return _skus(held)
        if draft.table != _USERS or draft.action != "update" or draft.returning:
            return []
        return sorted(set(_skus(draft.before)) - set(_skus(draft.body)))

    def _licenses(self, draft: Draft, seats: dict[str, int]) -> None:
        """Holds the licences that a draft adds against the seats that are free, or that other drafts free."""
        user = draft.table == _USERS
        held = _skus(draft.before)
        lost: dict[str, str] = {}
        for sku in (one for one in _skus(draft.body) if one not in held):
            if sku not in seats:
                lost[sku] = "the tenant has no such subscription"
            elif not user:
                continue
            elif not self._location(draft.id):
                lost[sku] = "the user has no usageLocation"
            elif seats[sku] > 0:
                seats[sku] -= 1
            elif freed := self._freed.get(sku):
                giver = freed.pop(0)
                giver.gives.add(UniqueName(_LICENSES, sku))
                draft.after.add(giver)
            else:
                lost[sku] = "its subscription has no free seat"
        item = self._plan.diff.items[draft.table][draft.id]
        for why in sorted(set(lost.values())):
            skus = sorted(sku for sku, reason in lost.items() if reason == why)
            draft.body[_LICENSES] = [one for one in draft.body[_LICENSES] if one["skuId"] not in skus]
            self._plan.leave_out(draft, item, f"without licence {', '.join(skus)}: {why}", _REMEDY)
        if lost and draft.body[_LICENSES] == (draft.before.get(_LICENSES) or []):
            del draft.body[_LICENSES]

    def _location(self, user: str) -> bool:
        """Tells whether a user will have a usageLocation, without which Graph assigns no licence."""
        item = self._plan.diff.items.get("users", {}).get(user)
        if item is not None and item.then:
            return bool(item.wanted().get("usageLocation"))
        if not self._live.has("users"):
            return True
        state = self._live.state("users", "id, _raw->>'$.usageLocation' AS place")
        row = self._connection.execute(f"SELECT place FROM ({state}) WHERE id = ?", [user]).fetchone()
        return row is None or bool(row[0])

    def _free_seats(self) -> dict[str, int] | None:
        """Free seats by SKU; None when the subscriptions are not known."""
        if not self._live.has("subscribed_skus"):
            return None
        rows = self._connection.execute(self._live.state("subscribed_skus", "_raw")).fetchall()
        skus = [decoded(raw) for (raw,) in rows]
        return {
            str(sku["skuId"]): int((sku.get("prepaidUnits") or {}).get("enabled") or 0)
            - int(sku.get("consumedUnits") or 0)
            for sku in skus
        }


def without_seats(draft: Draft) -> Body:
    """Returns what gives up the seats that others need of a user: the licences that it has, without these."""
    given = {one.name for one in draft.gives if one.space == _LICENSES}
    return {_LICENSES: [one for one in draft.before.get(_LICENSES) or () if one["skuId"] not in given]}


def gives_seats(draft: Draft) -> bool:
    """Tells whether a draft is about the licences of a user."""
    return draft.table in CATALOGUE and CATALOGUE[draft.table].restore.strategy is WriteStrategy.LICENSES


def _skus(body: Body) -> list[str]:
    return [one["skuId"] for one in body.get(_LICENSES) or ()]
