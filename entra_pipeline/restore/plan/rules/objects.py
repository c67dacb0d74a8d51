"""What is done about each object that differs: the rules of its type, of conflict modes, and of what was added since.

What belongs here: which drafts and refusals a difference leads to. What does not: what a draft carries (`builder`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from entra_pipeline.catalogue import CATALOGUE
from entra_pipeline.catalogue.order import ORDER
from entra_pipeline.catalogue.restoring import WriteStrategy
from entra_pipeline.restore.objects.normalize import Body, differing_elsewhere, empty, is_erased, normalized
from entra_pipeline.restore.objects.references import ids_in
from entra_pipeline.restore.objects.selection import is_view
from entra_pipeline.restore.plan.diff import ObjectDiff, ObjectState
from entra_pipeline.restore.plan.rules.builder import DraftBuilder
from entra_pipeline.restore.plan.rules.drafts import OVERWRITE, SHOWN_ELSEWHERE, WHERE_MASTERED, PlanDraft
from entra_pipeline.restore.plan.rules.expired import ExpiryRules

# What the recycle bin does not show as it was: deleted security groups are not enabled, the sign-in name of a user has
# the id before it (Graph doc: directory-deleteditems-list).
_UNTRUE_IN_BIN = {"groups": {"securityEnabled"}, "users": {"userPrincipalName"}}
_SIGN_IN = "To restore it: --sign-in, and sign in when the plan is applied."


class ObjectRules:
    """Decides what is done about each object that differs.

    Args:
        plan: Receives the drafts and refusals.
    """

    def __init__(self, plan: PlanDraft) -> None:
        self._plan = plan
        self._build = DraftBuilder(plan)
        self._expiry = ExpiryRules(plan)

    def apply(self) -> None:
        """Drafts or refuses every object, in the order in which their tables come back."""
        tables = [*(table for table in ORDER if table in CATALOGUE), *CATALOGUE]
        for table in dict.fromkeys(tables):
            for _, item in sorted(self._plan.diff.items.get(table, {}).items()):
                self._object(item)

    def _object(self, item: ObjectDiff) -> None:
        rule = item.entry.restore
        if "derived" in item.conditions:
            return
        if item.state is ObjectState.ADDED:
            if not self._plan.cross_tenant:
                self._was_added(item)
        elif is_erased(item.entry, item.wanted()):
            self._plan.refuse(
                item,
                "unrestorable",
                f"{_what(item)}: its values were erased from all recovery points, and nobody can read them",
                "entra-pipeline erasures shows when, and why.",
            )
        elif item.id in self._plan.unsupported:
            reason, remedy = self._plan.unsupported[item.id]
            self._plan.refuse(item, "unresolved" if remedy else "unrestorable", reason, remedy)
        elif not rule.possible:
            if self._plan.cross_tenant and item.state is ObjectState.THERE:
                return
            if item.table not in SHOWN_ELSEWHERE and item.parent not in self._plan.binned:
                self._plan.refuse(item, "unrestorable", f"{_what(item)}: {rule.how}")
        elif rule.delegated and not self._plan.options.sign_in:
            self._plan.refuse(
                item,
                "unrestorable",
                f"{_what(item)}: only a signed-in user can restore it, with the delegated permission "
                f"{rule.delegated[0]}",
                _SIGN_IN,
            )
        elif "fixed" in item.conditions:
            self._plan.refuse(item, "unrestorable", f"{_what(item)}: it is built in and cannot be changed")
        elif "mastered" in item.conditions and (item.state is not ObjectState.THERE or not rule.cloud_owned):
            self._plan.refuse(item, "unrestorable", f"{_what(item)}: it is managed in another system", WHERE_MASTERED)
        elif item.twin and item.state is ObjectState.MISSING:
            self._plan.refuse(
                item,
                "skipped",
                f"{item.twin} ties the same together, and Graph takes no second one; the two differ in "
                f"{', '.join(item.unlike)}",
            )
        elif not self._expiry.settle(item):
            return
        elif item.state is ObjectState.THERE:
            self._is_there(item)
        elif item.state is ObjectState.BINNED:
            self._is_binned(item)
        else:
            self._is_missing(item)

    def _is_there(self, item: ObjectDiff) -> None:
        rule = item.entry.restore
        changed = self._taken(item, self._plan.changed_properties(item))
        named = ", ".join(changed)
        if item.requested:
            self._elsewhere(item)
        if item.replaced:
            if not item.twin:
                self._replace(item)
            return
        if not changed:
            return
        if not item.requested:
            self._plan.refuse(
                item,
                "skipped",
                f"its {named} refers to an object that gets a new id, and it is not in the selection",
                f"Add it to the selection: --types {item.table} --ids {item.id}.",
            )
            return
        exists = (
            f"{f'{item.live_id} takes its place' if item.live_id != item.id else 'it exists'} and differs in {named}"
        )
        if self._plan.options.conflict == "skip":
            self._plan.refuse(item, "skipped", exists, OVERWRITE)
            return
        if rule.link and (not rule.change or not rule.create_only.isdisjoint(changed)):
            if item.table in self._plan.older:
                reason = f"it differs in {named} from what was there, changed {self._plan.since_read(item.table)}"
                self._plan.refuse(item, "unresolved", reason, self._plan.remedy_for_older(item.table))
                return
            if self._plan.options.conflict == "merge":
                self._plan.refuse(item, "skipped", exists, OVERWRITE)
                return
            self._build.delete(item)
            if item.twin:
                self._plan.drafts[-1].notes.append(f"{item.twin} gives the same")
            else:
                self._plan.drafts[-1].replaced = True
                self._build.create(item, notes=[f"replaces one that differs in {named}"])
            return
        if not rule.change:
            self._plan.refuse(item, "unrestorable", f"it differs in {named}, and Graph cannot update it")
            return
        notes = [f"it is matched with {item.live_id}: {item.known_by}"] if item.known_by else []
        body, left = self._changed(item, changed)
        if stuck := sorted(name for name in body if name in rule.create_only):
            left.append(f"{', '.join(stuck)} can only be set on creation")
        if "mastered" in item.conditions and (others := sorted(body.keys() - rule.cloud_owned - set(stuck))):
            left.append(f"{', '.join(others)}: managed in another system. {WHERE_MASTERED}")
            stuck += others
        body = {name: value for name, value in body.items() if name not in stuck}
        left += self._build.guarded(item, body, str(item.found().get("state")))
        if body:
            self._build.update(item, body, [*notes, *left])
        elif left:
            kind = "unrestorable" if stuck else "skipped"
            self._plan.refuse(item, kind, "; ".join(left))

    def _taken(self, item: ObjectDiff, changed: Mapping[str, tuple[Any, Any]]) -> Mapping[str, tuple[Any, Any]]:
        """Leaves out what Graph did not take when it was restored before, and names it."""
        untaken = self._plan.untaken(item, changed)
        if untaken:
            self._plan.refuse(
                item,
                "unrestorable",
                f"it differs in {', '.join(sorted(untaken))}, which Graph did not accept in an earlier restore",
                f"To send it again: --types {item.table} --ids {item.id}.",
            )
        return {name: pair for name, pair in changed.items() if name not in untaken}

    def _elsewhere(self, item: ObjectDiff) -> None:
        """Names what others have to set back: addresses, which only Exchange writes."""
        if self._plan.cross_tenant:
            return
        for name, (wanted, found) in differing_elsewhere(item.entry, item.wanted(), item.found()).items():
            gone, new = _listed(wanted, found), _listed(found, wanted)
            parts = [f"{what} {', '.join(some)}" for what, some in (("without", gone), ("with", new)) if some]
            who = item.entry.restore.elsewhere[name]
            self._plan.refuse(
                item,
                "unrestorable",
                f"its {name} differ: the tenant has it {' and '.join(parts)}. Graph does not let them be written",
                WHERE_MASTERED if "mastered" in item.conditions else f"They can be changed by {who}.",
            )

    def _replace(self, item: ObjectDiff) -> None:
        """Drafts that another object takes the place of one that cannot follow a changed id."""
        self._build.create(item, notes=["replaces one that refers to an object with a new id"])
        if item.parent in self._plan.replaced and not item.entry.restore.removed_first:
            # It goes with its owner.
            return
        self._build.delete(item)
        self._plan.drafts[-1].replaced = True
        self._plan.drafts[-1].refs = {item.id, *(one.id for one in item.dependants)}

    def _changed(self, item: ObjectDiff, changed: Mapping[str, tuple[Any, Any]]) -> tuple[Body, list[str]]:
        """Splits the differing properties by conflict mode: those to send, and notes on those left alone."""
        values = {name: value for name, (value, _) in changed.items()}
        if self._plan.options.conflict != "merge":
            return values, []
        if item.entry.restore.strategy is WriteStrategy.LICENSES:
            there = changed["assignedLicenses"][1]
            known = {one["skuId"] for one in there}
            more = [one for one in values["assignedLicenses"] if one["skuId"] not in known]
            return ({"assignedLicenses": [*there, *more]} if more else {}), []
        filled = {name: value for name, value in values.items() if empty(changed[name][1]) and not empty(value)}
        left = sorted(values.keys() - filled.keys())
        return filled, [f"left unchanged: {', '.join(left)}"] if left else []

    def _is_binned(self, item: ObjectDiff) -> None:
        self._elsewhere(item)
        self._build.undelete(item)
        shown = item.found().keys() - _UNTRUE_IN_BIN.get(item.table, set())
        changed = self._taken(
            item, {name: pair for name, pair in self._plan.changed_properties(item).items() if name in shown}
        )
        body = {name: value for name, (value, _) in changed.items() if name not in item.entry.restore.create_only}
        wanted = item.wanted()
        body |= {name: wanted[name] for name in item.entry.restore.forgotten if wanted.get(name)}
        notes = self._build.guarded(item, body, "")
        if body:
            self._build.update(item, body, notes)

    def _is_missing(self, item: ObjectDiff) -> None:
        rule = item.entry.restore
        if rule.strategy is not WriteStrategy.LICENSES and rule.create:
            self._build.create(item)
        elif rule.strategy is WriteStrategy.LICENSES:
            body = {name: value for name, value in normalized(item.entry, item.wanted()).items() if not empty(value)}
            if body:
                self._build.update(item, body, [])
        elif rule.strategy is WriteStrategy.GROUP_RULES:
            self._build.update(item, normalized(item.entry, item.wanted()), [])
        else:
            self._plan.refuse(item, "unrestorable", "it is missing, and Graph cannot create it")

    def _was_added(self, item: ObjectDiff) -> None:
        rule = item.entry.restore
        if not rule.possible or (is_view(item.entry) and not rule.link):
            return
        if item.parent in self._plan.added and not rule.removed_first:
            return
        named = ids_in(item.found()) | {item.id}
        if named & self._plan.own:
            self._plan.refuse(item, "skipped", "it was added since, and the restore itself uses it")
        elif rule.link and named & self._plan.deleted:
            # It goes with what it ties, whatever else may stay.
            if rule.removed_first or named & self._plan.replaced:
                self._build.delete(item)
        elif rule.link and self._plan.options.conflict != "overwrite":
            self._plan.refuse(
                item, "skipped", f"it was added since: {self._plan.options.conflict} removes nothing", OVERWRITE
            )
        elif not rule.link and not self._plan.options.delete_added:
            remedy = "To delete it: --delete-added." if rule.remove and not item.conditions else ""
            self._plan.refuse(item, "skipped", "it was added since", remedy)
        elif item.table in self._plan.older:
            self._plan.refuse(
                item,
                "unresolved",
                f"it was added {self._plan.since_read(item.table)}",
                self._plan.remedy_for_older(item.table),
            )
        elif item.conditions or not rule.remove:
            reason = "built in" if "fixed" in item.conditions else "managed in another system"
            self._plan.refuse(item, "unrestorable", f"it was added since; {reason if item.conditions else rule.how}")
        else:
            self._build.delete(item)
            self._plan.deleted.add(item.id)


def _what(item: ObjectDiff) -> str:
    return {
        ObjectState.THERE: "it differs",
        ObjectState.BINNED: "it was deleted",
        ObjectState.MISSING: "it is missing",
    }[item.state]


def _listed(some: list[Any], others: list[Any]) -> list[str]:
    """Lists values that others lack, as people write them: of an identity its name."""
    return [
        str(one.get("issuerAssignedId")) if isinstance(one, dict) else str(one) for one in some if one not in others
    ]
