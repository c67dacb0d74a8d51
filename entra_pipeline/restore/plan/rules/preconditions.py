"""What Graph will refuse of a plan, found before anything is written: names that are taken, domains, texts, licences.

What belongs here: holding the drafts against the catalogue's limits and the tenant as it is. What does not: who has a
name (`holders`), ends that are past (`endings`), references (`resolver`).

Each finding is a refusal with who is in the way and what can be chosen. What Graph would refuse is left out of the
draft, or put right where the catalogue says how; an object without which the refused is not worth having is not
planned. So that a plan without findings is one that Graph takes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

import duckdb

from entra_pipeline.catalogue import CATALOGUE
from entra_pipeline.catalogue.restoring import WriteStrategy
from entra_pipeline.restore.objects.normalize import Body
from entra_pipeline.restore.objects.texts import is_valid, valid_text
from entra_pipeline.restore.plan.diff import ObjectDiff, ObjectState, Side, decoded
from entra_pipeline.restore.plan.rules.drafts import REMOVALS, Draft, PlanDraft
from entra_pipeline.restore.plan.rules.holders import NameHolder, NameHolders, UniqueName, names_sent, plain

_TAKING = {"create", "undelete", "update"}
_SIGN_IN = "userPrincipalName"
_ADDRESSES = "proxyAddresses"
_LICENSES = "assignedLicenses"
_RENAME = "--taken rename brings it back under another name"
# Schemes of identifier URIs whose host has to be a verified domain (Entra doc: identifier-uri-restrictions).
_WITH_HOST = ("http", "https", "api")
# A GUID without dashes stands before the sign-in name of a user in the recycle bin (Graph doc: deletedItems).
_BINNED_PREFIX = 32


class PreconditionRules:
    """Finds what Graph would refuse of the drafts of objects.

    Args:
        plan: The drafts, which are changed; receives the refusals.
        connection: Reads the store of the tenant.
        live: The recovery point that shows the tenant.
    """

    def __init__(self, plan: PlanDraft, connection: duckdb.DuckDBPyConnection, live: Side) -> None:
        self._plan = plan
        self._live = live
        self._connection = connection
        self._holders = NameHolders(connection, live)
        self._domains = self._verified()
        self._seats = self._free_seats()
        self._given: set[UniqueName] = set()
        self._gone: set[tuple[str, str]] = set()
        self._by_live: dict[tuple[str, str], list[Draft]] = {}
        for draft in plan.drafts:
            if draft.action in {"delete", "update"}:
                self._by_live.setdefault((draft.table, draft.live_id or draft.id), []).append(draft)

    def apply(self) -> None:
        """Refuses, leaves out or puts right what Graph would not take."""
        drafts = [(draft, item) for draft in self._plan.drafts if (item := self._item(draft))]
        claims = {id(draft): list(self._claims(draft, item)) for draft, item in drafts}
        self._holders.look_up(name for some in claims.values() for _, name, _ in some)
        for draft, item in drafts:
            self._texts(draft, item)
            self._on_domains(draft, item)
            self._names(draft, item, claims[id(draft)])
        for draft in self._plan.drafts:
            if draft.table in CATALOGUE and draft.body.get(_LICENSES) and not draft.returning:
                self._licenses(draft)
        self._plan.drafts = [
            draft for draft in self._plan.drafts if draft.action != "update" or draft.body.keys() - {"@odata.type"}
        ]

    def _item(self, draft: Draft) -> ObjectDiff | None:
        item = self._plan.diff.items.get(draft.table, {}).get(draft.id)
        return item if item and draft.action in _TAKING and item.state is not ObjectState.ADDED else None

    # --- names -------------------------------------------------------------------------------------------------------

    def _claims(self, draft: Draft, item: ObjectDiff) -> Iterable[tuple[str, UniqueName, str]]:
        """Yields the names that a draft gives to its object: property, name, and the value as it stands there."""
        body = _undeleted(item) if draft.action == "undelete" else draft.body
        mailbox = {"mailEnabled": (item.wanted() or item.found()).get("mailEnabled")}
        before = {name for _, name in names_sent(item.entry, {**item.found(), **mailbox})} if item.now else set()
        for name, claim in names_sent(item.entry, {**mailbox, **body}):
            if name in body and (draft.action != "update" or claim not in before):
                yield name, claim, next((one for one in _texts(body[name]) if plain(one) == claim.name), claim.name)

    def _names(self, draft: Draft, item: ObjectDiff, claims: list[tuple[str, UniqueName, str]]) -> None:
        own = {draft.id, draft.live_id, item.live_id}
        for name, claim, value in claims:
            holder = self._holders.of(claim, own)
            if holder is None or (draft.table, draft.id) in self._gone or self._is_freed(holder, claim, draft):
                continue
            state = "which is in the recycle bin, holds" if holder.deleted else "holds"
            reason = f"{holder.table} {holder.title} ({holder.id}) {state} its {name} {value}"
            self._taken(draft, item, name, value, reason, self._choices(holder, renamed=name == _SIGN_IN))

    def _taken(self, draft: Draft, item: ObjectDiff, name: str, value: str, reason: str, remedy: str) -> None:
        """Settles one name that somebody else has."""
        rule = item.entry.restore
        if name == _SIGN_IN and draft.action != "update":
            self._renamed(draft, item, value, reason, remedy)
        elif draft.action == "undelete" and name == _ADDRESSES and rule.strategy is WriteStrategy.USER:
            # Graph doc: directory-deleteditems-restore.
            draft.parameters["autoReconcileProxyConflict"] = True
            self._left_out(draft, item, f"without the address {value}: {reason}", remedy)
        elif name in rule.texts and rule.texts[name].replaced and draft.action == "create":
            other = valid_text(rule.texts[name], value, draft.id)
            draft.body[name] = other
            self._left_out(draft, item, f"its {name} becomes {other}: {reason}", remedy)
        elif draft.action == "undelete" or (draft.action == "create" and name in rule.required):
            self._refused(item, reason, remedy)
        else:
            self._without(draft, name, value)
            self._left_out(draft, item, f"without {name} {value}: {reason}", remedy)

    def _renamed(self, draft: Draft, item: ObjectDiff, value: str, reason: str, remedy: str) -> None:
        """Gives a user another sign-in name, if that was asked for."""
        if self._plan.options.taken != "rename" or (item.entry.name == "users" and _is_guest(value)):
            self._refused(item, reason, remedy)
            return
        other = self._free_name(value)
        if draft.action == "undelete":
            draft.parameters["newUserPrincipalName"] = other
        else:
            draft.body[_SIGN_IN] = other
        self._left_out(draft, item, f"it comes back as {other}: {reason}", "Rename it when the name is free again.")

    def _free_name(self, value: str) -> str:
        """Returns a sign-in name that nobody has, as like the old one as can be."""
        local, _, domain = value.partition("@")
        if self._domains is not None and domain.casefold() not in self._domains:
            domain = self._initial_domain()
        for number in range(1, 100):
            other = f"{local}.restored{number if number > 1 else ''}@{domain}"
            name = UniqueName(f"users.{_SIGN_IN}", plain(other))
            self._holders.look_up([name])
            if name not in self._given and not self._holders.of(name, ()):
                self._given.add(name)
                return other
        raise AssertionError("a hundred users of one name were restored")

    def _is_freed(self, holder: NameHolder, claim: UniqueName, needing: Draft) -> bool:
        """Tells whether the plan takes the name away from its holder: by deleting it, or by changing it back."""
        for draft in self._by_live.get((holder.table, holder.id), ()):
            entry = CATALOGUE[draft.table]
            if draft.action == "delete" and draft.stage == REMOVALS and entry.restore.bin and not holder.deleted:
                draft.frees.add(needing.id)
                return True
            if draft.action == "update":
                prop = claim.space.rpartition(".")[2]
                left = {name for _, name in names_sent(entry, draft.body)}
                if prop in draft.body and claim not in left:
                    draft.frees.add(needing.id)
                    return True
        return False

    def _choices(self, holder: NameHolder, *, renamed: bool) -> str:
        choices = [_RENAME] if renamed else []
        item = self._plan.diff.items.get(holder.table, {}).get(holder.id)
        if item and item.state is ObjectState.ADDED and not self._plan.options.delete_added:
            choices.append(f"--delete-added deletes {holder.title} first, as it was added since")
        where = "purge it" if holder.deleted else "rename or delete it"
        return f"Choose: {'; '.join([*choices, f'{where} by hand, and plan again'])}."

    # --- domains, texts, licences ------------------------------------------------------------------------------------

    def _on_domains(self, draft: Draft, item: ObjectDiff) -> None:
        """Holds sign-in names and identifier URIs against the verified domains."""
        if self._domains is None:
            return
        body = _undeleted(item) if draft.action == "undelete" else draft.body
        for name in sorted(item.entry.restore.domains & body.keys()):
            for value in _texts(body[name]):
                domain = _domain(value)
                if not domain or any(domain == one or domain.endswith(f".{one}") for one in self._domains):
                    continue
                if domain not in self._domains and name == _SIGN_IN and "#EXT#" in value:
                    continue
                reason = f"its {name} {value} is of {domain}, which is no verified domain of the tenant"
                remedy = f"Verify {domain} again, and plan again"
                if name == _SIGN_IN and draft.action != "update":
                    self._renamed(draft, item, value, reason, f"{remedy}; {_RENAME}.")
                elif draft.action != "undelete":
                    self._without(draft, name, value)
                    self._left_out(draft, item, f"without {name} {value}: {reason}", f"{remedy}.")

    def _texts(self, draft: Draft, item: ObjectDiff) -> None:
        """Holds texts against the characters and lengths that Graph takes."""
        for name, rule in item.entry.restore.texts.items():
            value = draft.body.get(name)
            if not isinstance(value, str) or not value or is_valid(rule, value):
                continue
            remedy = "Set another one by hand, if it matters."
            if rule.replaced and draft.action == "create":
                draft.body[name] = valid_text(rule, value)
                self._left_out(
                    draft, item, f"its {name} becomes {draft.body[name]}: Graph does not take {value!r}", remedy
                )
            elif draft.action == "update" or name not in item.entry.restore.required:
                del draft.body[name]
                self._left_out(draft, item, f"without {name}: Graph does not take {value!r}", remedy)

    def _licenses(self, draft: Draft) -> None:
        """Holds licences against the subscriptions, their free seats, and where the user is."""
        user = draft.table == "user_licenses"
        held = {one["skuId"] for one in draft.before.get(_LICENSES) or ()}
        new = [one["skuId"] for one in draft.body[_LICENSES] if one["skuId"] not in held]
        if self._seats is None or not new:
            return
        lost: dict[str, str] = {}
        for sku in new:
            if sku not in self._seats:
                lost[sku] = "the tenant has no such subscription"
            elif user and self._seats[sku] < 1:
                lost[sku] = "its subscription has no free seat"
            elif user and not self._location(draft.id):
                lost[sku] = "the user has no usageLocation"
            elif user:
                self._seats[sku] -= 1
        for why in sorted(set(lost.values())):
            skus = sorted(sku for sku, reason in lost.items() if reason == why)
            draft.body[_LICENSES] = [one for one in draft.body[_LICENSES] if one["skuId"] not in skus]
            item = self._plan.diff.items[draft.table][draft.id]
            remedy = "Free or buy seats, or set usageLocation; then restore the licences once more."
            self._left_out(draft, item, f"without licence {', '.join(skus)}: {why}", remedy)
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

    def _verified(self) -> Mapping[str, Body] | None:
        """Verified domains by name; None when domains are not known."""
        if not self._live.has("domains"):
            return None
        rows = self._connection.execute(self._live.state("domains", "id, _raw")).fetchall()
        found = {id_.casefold(): decoded(raw) for id_, raw in rows}
        return {name: one for name, one in found.items() if one.get("isVerified")} or None

    def _initial_domain(self) -> str:
        return next((name for name, one in (self._domains or {}).items() if one.get("isInitial")), "")

    # --- findings ----------------------------------------------------------------------------------------------------

    def _refused(self, item: ObjectDiff, reason: str, remedy: str) -> None:
        """Refuses an object; what belongs to it and leads to it follows when references are resolved."""
        self._plan.refuse(item, "unresolved", reason, remedy)
        self._gone.add((item.table, item.id))
        self._plan.drafts = [one for one in self._plan.drafts if (one.table, one.id) != (item.table, item.id)]

    def _left_out(self, draft: Draft, item: ObjectDiff, reason: str, remedy: str) -> None:
        """Names what an object comes back without, in the step and among the refusals."""
        draft.notes.append(reason)
        self._plan.refuse(item, "unresolved", reason, remedy)

    @staticmethod
    def _without(draft: Draft, name: str, value: str) -> None:
        """Takes one value out of a property, or the property out of the draft."""
        held = draft.body.get(name)
        if isinstance(held, list) and len(rest := [one for one in held if one != value]) < len(held):
            draft.body[name] = rest
            if rest and rest != draft.before.get(name):
                return
        draft.body.pop(name, None)
        draft.before.pop(name, None)


def _undeleted(item: ObjectDiff) -> Body:
    """The object as it comes out of the recycle bin: its sign-in name has the id before it there."""
    found = item.found()
    name = found.get(_SIGN_IN)
    prefix = item.live_id.replace("-", "").casefold()
    if isinstance(name, str) and prefix and name.casefold().startswith(prefix):
        found[_SIGN_IN] = name[_BINNED_PREFIX:]
    return found


def _texts(value: Any) -> list[str]:
    return [one for one in (value if isinstance(value, list) else [value]) if isinstance(one, str) and one]


def _domain(value: str) -> str:
    """The domain in a sign-in name, or in an identifier URI that has one; empty where none has to be verified."""
    if "@" in value and "://" not in value:
        return value.rpartition("@")[2].casefold()
    parts = urlsplit(value)
    host = parts.hostname or ""
    return host if parts.scheme in _WITH_HOST and "." in host else ""


def _is_guest(name: str) -> bool:
    return "#ext#" in name.casefold()
