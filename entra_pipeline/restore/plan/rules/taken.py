"""Names that somebody else has: what a plan relies on to have them given up, and what it does without them.

What belongs here: which steps give up names that others need, and what becomes of who does not get one. What does not:
who has a name (`holders`), the order of the steps (`names`).

A step relies on another one that gives up a name only as long as that one stands: when it is refused, or keeps its
name, because it does not get its own, neither does the first. So this is settled again whenever a step is dropped.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import duckdb

from entra_pipeline.catalogue import CATALOGUE
from entra_pipeline.catalogue.restoring import WriteStrategy
from entra_pipeline.restore.objects.normalize import Body
from entra_pipeline.restore.objects.texts import valid_text
from entra_pipeline.restore.plan.diff import ObjectDiff, ObjectState, Side
from entra_pipeline.restore.plan.matching import Namesake
from entra_pipeline.restore.plan.rules.drafts import REMOVALS, Draft, PlanDraft
from entra_pipeline.restore.plan.rules.holders import (
    NameHolder,
    NameHolders,
    UniqueName,
    is_kept_in_bin,
    name_properties,
    names_sent,
    plain,
    verified_domains,
    without_name,
)

SIGN_IN = "userPrincipalName"
RENAME = "--taken rename restores it under another name"
_MATCH = "--taken match overwrites {holder}, which then is the same person"
_TAKING = {"create", "undelete", "update"}
_RESTORED, _PASSING = "restored", "passing"
_ADDRESSES = "proxyAddresses"
_SIGN_IN_SPACE = f"users.{SIGN_IN}"
# A GUID without dashes stands before the sign-in name of a user in the recycle bin (Graph doc: deletedItems).
_BINNED_PREFIX = 32
# Characters before the @ of a sign-in name at the most (Graph doc: user).
_LONGEST_LOCAL = 64


class _Claim(NamedTuple):
    """A name that a draft gives to its object: the property, the name, and the value as it stands there."""

    property: str
    name: UniqueName
    value: str


class TakenNameRules:
    """Settles which drafts get the names that others have.

    Args:
        plan: The drafts, which are changed; receives the refusals.
        connection: Reads the store of the tenant.
        live: The recovery point that shows the tenant.

    Attributes:
        domains: Verified domains → whether they are the initial one; None when domains are not known.
    """

    def __init__(self, plan: PlanDraft, connection: duckdb.DuckDBPyConnection, live: Side) -> None:
        self.domains = verified_domains(connection, live)
        self._plan = plan
        self._holders = NameHolders(connection, live)
        self._given: set[UniqueName] = set()
        self._settled: set[tuple[Draft, UniqueName]] = set()
        self._relied_on: dict[Draft, set[str]] = {}

    def settle(self) -> bool:
        """Goes through the drafts until everyone who relies on another one gets the name; again after drafts dropped.

        Returns:
            Whether objects were refused, so that references have to be resolved once more.
        """
        before = len(self._plan.drafts)
        while self._settle_once():
            self._plan.drop_empty()
        return len(self._plan.drafts) < before

    def _settle_once(self) -> bool:
        """Notes who relies on whom; refuses or leaves out what nobody gives up, and tells whether that changed it."""
        plan = self._plan
        claims = {
            draft: some for draft in plan.drafts if (item := self._item(draft)) and (some := [*claimed(draft, item)])
        }
        self._holders.look_up(claim.name for some in claims.values() for claim in some)
        self.foresee(
            claim.value
            for some in claims.values()
            for claim in some
            if claim.property == SIGN_IN and self._holders.of(claim.name, ())
        )
        giving: dict[tuple[str, str], list[Draft]] = {}
        for draft in plan.drafts:
            draft.frees, draft.gives, draft.after = set(), set(), set()
            if draft.action in {"delete", "update"}:
                giving.setdefault((draft.table, draft.live_id or draft.id), []).append(draft)
        changed = False
        for draft, some in claims.items():
            item = plan.diff.items[draft.table][draft.id]
            for claim in some:
                if (draft, claim.name) in self._settled or (draft.table, draft.id) in plan.dropped:
                    continue
                keeps = [
                    holder
                    for holder in self._holders.of(claim.name, {draft.id, draft.live_id, item.live_id})
                    if not self._relies(draft, claim, holder, giving.get((holder.table, holder.id), []))
                ]
                if keeps:
                    self._settled.add((draft, claim.name))
                    self._taken(draft, item, claim, keeps[0])
                    changed = True
        return self._keep_holders() or changed

    def _item(self, draft: Draft) -> ObjectDiff | None:
        item = self._plan.diff.items.get(draft.table, {}).get(draft.id)
        return item if item and draft.action in _TAKING and item.state is not ObjectState.ADDED else None

    def _relies(self, draft: Draft, claim: _Claim, holder: NameHolder, giving: list[Draft]) -> bool:
        """Tells whether the plan takes a name away from its holder, and notes by which draft."""
        for other in giving:
            if self._gives_up(other, claim.name, holder):
                other.frees.add(draft.id)
                other.gives.add(claim.name)
                draft.after.add(other)
                return True
        return False

    def _gives_up(self, draft: Draft, name: UniqueName, holder: NameHolder) -> bool:
        """Tells whether a draft of the holder deletes it, or changes the name."""
        entry = CATALOGUE[draft.table]
        if draft.action == "delete":
            # One that is replaced goes only when the other is there.
            frees = bool(entry.restore.bin) and not is_kept_in_bin(draft.table, name)
            return draft.stage == REMOVALS and frees and not holder.deleted and not draft.replaced
        item = self._plan.diff.items[draft.table][draft.id]
        found = item.found()
        holding = {prop for prop, one in names_sent(entry, found) if one == name}
        after = {one for _, one in names_sent(entry, {"mailEnabled": found.get("mailEnabled"), **draft.body})}
        return bool(holding) and holding <= draft.body.keys() and name not in after

    def _keep_holders(self) -> bool:
        """Refuses to delete objects whose names are of no use any more: what needs them does not come back."""
        for draft in [one for one in self._plan.drafts if one.action == "delete" and one.table in CATALOGUE]:
            relied_on = self._relied_on.setdefault(draft, set())
            relied_on |= draft.frees
            if lost := sorted(relied_on - draft.frees):
                self._plan.drop(
                    self._plan.diff.items[draft.table][draft.id],
                    f"it has the name of {', '.join(lost)}, which is not restored",
                    "Fix what prevents that restore, and plan again; or delete this object manually.",
                )
                return True
        return False

    # --- what is done without a name ---------------------------------------------------------------------------------

    def _taken(self, draft: Draft, item: ObjectDiff, claim: _Claim, holder: NameHolder) -> None:
        """Settles one name that somebody else keeps."""
        rule = item.entry.restore
        name, _, value = claim
        state = "which is in the recycle bin, holds" if holder.deleted else "holds"
        reason = f"{holder.table} {holder.title} ({holder.id}) {state} its {name} {value}"
        other = self._namesake(item, name, holder)
        if other:
            reason += f"; {other.why}"
        coming = name == SIGN_IN and draft.action != "update"
        renamed = coming and may_rename(item, value)
        remedy = self._choices(holder, claim.name, renamed=renamed, matched=other is not None and other.open)
        if coming:
            self.rename(draft, item, value, reason, remedy)
        elif draft.action == "undelete" and name == _ADDRESSES and rule.strategy is WriteStrategy.USER:
            # Graph doc: directory-deleteditems-restore.
            draft.parameters["autoReconcileProxyConflict"] = True
            self._plan.leave_out(draft, item, f"without the address {value}: {reason}", remedy)
        elif name in rule.texts and rule.texts[name].replaced and draft.action == "create":
            valid = valid_text(rule.texts[name], value, draft.id)
            draft.body[name] = valid
            self._plan.leave_out(draft, item, f"its {name} becomes {valid}: {reason}", remedy)
        elif draft.action == "undelete" or (draft.action == "create" and name in rule.required):
            self._plan.drop(item, reason, remedy)
        else:
            _leave_name(draft, item, claim)
            self._plan.leave_out(draft, item, f"without {name} {value}: {reason}", remedy)

    def rename(self, draft: Draft, item: ObjectDiff, value: str, reason: str, remedy: str) -> None:
        """Gives a user that comes back another sign-in name, if that was asked for; else the user stays out.

        Args:
            draft: The draft that brings the user back.
            item: The user.
            value: The sign-in name that cannot be had.
            reason: Why.
            remedy: What can be done about it.
        """
        if self._plan.options.taken != "rename" or not may_rename(item, value):
            self._plan.drop(item, reason, remedy)
            return
        other = self._free_name(value, _RESTORED)
        if draft.action == "undelete":
            draft.parameters["newUserPrincipalName"] = other
            draft.body.pop(SIGN_IN, None)
        else:
            draft.body[SIGN_IN] = other
        self._plan.leave_out(
            draft, item, f"it is restored as {other}: {reason}", "Rename it once the name is free again."
        )

    def _namesake(self, item: ObjectDiff, name: str, holder: NameHolder) -> Namesake | None:
        """Returns what tells a holder from the object whose unique name it has; None where that is no question."""
        other = self._plan.diff.namesakes.get(item.id)
        asked = name in item.entry.restore.unique and item.state is ObjectState.MISSING
        return other if asked and other and other.live_id == holder.id else None

    def _choices(self, holder: NameHolder, name: UniqueName, *, renamed: bool, matched: bool) -> str:
        choices = [RENAME] if renamed else []
        if matched:
            choices.append(_MATCH.format(holder=holder.title))
        item = self._plan.diff.items.get(holder.table, {}).get(holder.id)
        kept = is_kept_in_bin(holder.table, name)
        if item and not kept and item.state is ObjectState.ADDED and not self._plan.options.delete_added:
            choices.append(f"--delete-added deletes {holder.title} first, as it was added since")
        elsewhere = "take this name from it, or delete and purge it" if kept else "rename or delete it"
        where = "purge it" if holder.deleted else elsewhere
        return f"Choose: {'; '.join([*choices, f'{where} manually, and plan again'])}."

    # --- other names -------------------------------------------------------------------------------------------------

    def passing(self, draft: Draft) -> Body:
        """Returns what gives up the names that others need of a draft's object: without them, or with passing names.

        Args:
            draft: An update that gives up names (`Draft.gives`).
        """
        item = self._plan.diff.items[draft.table][draft.id]
        found = item.found()
        body: Body = {}
        for name in sorted({prop for prop, one in names_sent(item.entry, found) if one in draft.gives}):
            value = found[name]
            body[name] = (
                without_name(item.entry, name, value, draft.gives)
                if isinstance(value, list)
                else self._passing_text(item, name, value)
            )
        return body

    def _passing_text(self, item: ObjectDiff, name: str, value: str) -> str:
        """Returns a text that nobody has, as like the old one as can be."""
        if name == SIGN_IN:
            return self._free_name(value, _PASSING)
        rule = item.entry.restore.texts.get(name)
        return valid_text(rule, value, item.id) if rule else f"{value} (passing {item.id[:8]})"

    def foresee(self, values: Iterable[str]) -> None:
        """Looks up at once who has the names that take the place of sign-in names: one by one, each reads all users."""
        others = [self._other_name(value, word, 1) for value in values for word in (_RESTORED, _PASSING)]
        self._holders.look_up(UniqueName(_SIGN_IN_SPACE, plain(other)) for other in others)

    def _other_name(self, value: str, word: str, number: int) -> str:
        local, _, domain = value.partition("@")
        if self.domains is not None and domain.casefold() not in self.domains:
            domain = next((name for name, initial in self.domains.items() if initial), "")
        end = f".{word}{number if number > 1 else ''}"
        return f"{local[: _LONGEST_LOCAL - len(end)]}{end}@{domain}"

    def _free_name(self, value: str, word: str) -> str:
        """Returns a sign-in name that nobody has, as like the old one as can be."""
        for number in range(1, 100):
            other = self._other_name(value, word, number)
            name = UniqueName(_SIGN_IN_SPACE, plain(other))
            self._holders.look_up([name])
            if name not in self._given and not self._holders.of(name, ()):
                self._given.add(name)
                return other
        raise AssertionError("a hundred users of one name were restored")


def may_rename(item: ObjectDiff, value: str) -> bool:
    """Tells whether a user may have another sign-in name: that of a guest follows from its address."""
    return item.entry.name == "users" and "#ext#" not in value.casefold()


def claimed(draft: Draft, item: ObjectDiff) -> Iterator[_Claim]:
    """Yields the names that a draft gives to its object, and that this does not have already."""
    body = draft.body
    if draft.action == "update" and name_properties(item.table).isdisjoint(body):
        return
    found = item.found() if item.now else {}
    if draft.action == "undelete":
        new = draft.parameters.get("newUserPrincipalName")
        body = {**undeleted(item), **draft.body, **({SIGN_IN: new} if new else {})}
    mailbox = {"mailEnabled": (item.wanted() or found).get("mailEnabled")}
    before = {name for _, name in names_sent(item.entry, {**found, **mailbox})} if draft.action == "update" else set()
    for name, claim in names_sent(item.entry, {**mailbox, **body}):
        if name in body and claim not in before:
            yield _Claim(name, claim, next((one for one in texts(body[name]) if plain(one) == claim.name), claim.name))


def undeleted(item: ObjectDiff) -> Body:
    """Returns an object as it comes out of the recycle bin: its sign-in name has the id before it there."""
    found = item.found()
    name = found.get(SIGN_IN)
    prefix = item.live_id.replace("-", "").casefold()
    if isinstance(name, str) and prefix and name.casefold().startswith(prefix):
        found[SIGN_IN] = name[_BINNED_PREFIX:]
    return found


def texts(value: Any) -> list[str]:
    """Lists the texts that a property is or has."""
    return [one for one in (value if isinstance(value, list) else [value]) if isinstance(one, str) and one]


def leave_value(draft: Draft, name: str, rest: Any) -> None:
    """Leaves a part of a property's values out of a draft, or the property where nothing of it is left to send."""
    if rest and rest != draft.before.get(name):
        draft.body[name] = rest
    else:
        draft.body.pop(name, None)
        draft.before.pop(name, None)


def _leave_name(draft: Draft, item: ObjectDiff, claim: _Claim) -> None:
    leave_value(
        draft, claim.property, without_name(item.entry, claim.property, draft.body.get(claim.property), {claim.name})
    )
