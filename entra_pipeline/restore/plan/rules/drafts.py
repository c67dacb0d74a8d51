"""The draft of a plan: steps without numbers, refusals, and the facts that every rule decides by.

What belongs here: what all rules share. What does not: the rules (`objects`, `links`, `pim`, `extensions`), and the
references between drafts (`resolver`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any

from entra_pipeline.analysis.equality import same
from entra_pipeline.catalogue import CATALOGUE, RELATIONS
from entra_pipeline.catalogue.order import ORDER, STAGES, stage_of
from entra_pipeline.restore.objects.model import Action, PlanRefusal, RestoreOptions
from entra_pipeline.restore.objects.normalize import Body, differing, empty, moved, normalized
from entra_pipeline.restore.objects.references import rewrite
from entra_pipeline.restore.plan.diff import ObjectDiff, ObjectState, RestoreLink, TenantDiff
from entra_pipeline.restore.plan.rules.holders import UniqueName
from entra_pipeline.restore.plan.tenant_mapping import Unsupported
from entra_pipeline.restore.records.not_taken import NotTaken

REMOVALS = "removals"
"""Stage in which objects that were added since are deleted, last made first."""
ALL_STAGES: tuple[str, ...] = (*(stage.value for stage in STAGES[:-1]), REMOVALS, STAGES[-1].value)
SHOWN_ELSEWHERE = {
    "directory_role_members",
    "directory_roles",
    "entitlement_role_definitions",
    "user_registration_details",
}
"""Tables that show another table's objects or links, or report on them: what differs there is restored in that one."""
WHERE_MASTERED = "Restore it in its source system (Active Directory, Exchange); synchronization brings it back."
OVERWRITE = "To restore it anyway: --conflict overwrite."

_PLACES = {table: place for place, table in enumerate(ORDER)}


@dataclass(slots=True, kw_only=True, eq=False)
class Draft:
    """A step without number; two that say the same are still two.

    Attributes:
        owner: Id of the object without which the step is void; empty when there is none.
        replaced: Of `delete`: another object is made in the place of this one; without that, it stays.
        strict: Ids that have to lead somewhere.
        refs: Ids that have to lead somewhere in the tenant if they did at the recovery point.
        parameters: Of `undelete`, what the request says besides.
        frees: Ids of the objects that need a name or a seat which this draft takes from its holder.
        gives: These names, and seats of subscriptions.
        after: The drafts that give up what this one needs: they come before it.
        delegated: Sent on behalf of a signed-in user.
        passing: Of `update`: gives up names for passing ones; another draft of the object gives it its own.
        links: Of `link` and `unlink`, the links.
        stage: The earliest stage it can be in.
    """

    action: Action
    table: str
    id: str
    stage: str
    parent: str = ""
    live_id: str = ""
    name: str = ""
    body: Body = field(default_factory=dict)
    before: Body = field(default_factory=dict)
    links: list[RestoreLink] = field(default_factory=list)
    seen: str = ""
    requests: int = 1
    returning: bool = False
    whole: bool = False
    notes: list[str] = field(default_factory=list)
    parameters: Body = field(default_factory=dict)
    frees: set[str] = field(default_factory=set)
    gives: set[UniqueName] = field(default_factory=set)
    after: set[Draft] = field(default_factory=set)
    passing: bool = False
    delegated: bool = False
    owner: str = ""
    replaced: bool = False
    strict: set[str] = field(default_factory=set)
    refs: set[str] = field(default_factory=set)
    needs: set[str] = field(default_factory=set)


class PlanDraft:
    """Collects the drafts and refusals of a plan.

    Args:
        diff: What differs between the recovery point and the tenant.
        options: How to restore.
        own: Ids and appIds of the app registrations that the restore works with: they are not touched.
        cross_tenant: The tenant is not the one of the recovery point: what only it has is its own.
        unsupported: Objects of the recovery point that the tenant cannot hold, by id.
        now: The time, RFC 3339.
        older: Tables that were not read for the recovery point, but before it → when: what has come since then may have
            been there at the recovery point, so none of it is removed.
        untaken: What earlier restores could not set in the tenant.

    Attributes:
        drafts: The steps.
        refusals: What is not done.
        deleted: Ids of the objects that drafts delete because they were added since.
        over: Ids of the objects that do not come back because they ended by themselves.
        moved: Id at the recovery point → id in the tenant, or a placeholder for objects that are still to be created.
        binned: Ids of the objects that are in the recycle bin.
        back: Ids of the objects that are to come back.
        added: Ids of the objects that the recovery point does not have.
        replaced: Ids of the objects that are there, and in whose place others are made.
        dropped: Tables and ids of the objects that were refused after they had been drafted.
    """

    def __init__(
        self,
        diff: TenantDiff,
        options: RestoreOptions,
        own: Collection[str],
        *,
        cross_tenant: bool = False,
        unsupported: Mapping[str, Unsupported],
        now: str,
        older: Mapping[str, str] | None = None,
        untaken: NotTaken | None = None,
    ) -> None:
        self.drafts: list[Draft] = []
        self.refusals: list[PlanRefusal] = []
        self.deleted: set[str] = set()
        self.dropped: set[tuple[str, str]] = set()
        self.over: set[str] = set()
        self.diff = diff
        self.options = options
        self.own = set(own)
        self.cross_tenant = cross_tenant
        self.unsupported = unsupported
        self.now = now
        self.older = older or {}
        self._untaken = untaken or {}
        self.moved = {**diff.forward, **diff.pending()}
        self.back = diff.back()
        self.replaced = diff.replaced().keys()
        items = [item for table in diff.items.values() for item in table.values()]
        self.binned = {item.id for item in items if item.state is ObjectState.BINNED}
        self.added = {item.id for item in items if item.state is ObjectState.ADDED}

    @cached_property
    def coming(self) -> set[str]:
        """Ids and appIds of the objects that are to come back."""
        found = self.back | self.replaced
        for table, items in self.diff.items.items():
            for alias in CATALOGUE[table].aliases:
                found |= {str(item.wanted().get(alias)) for item in items.values() if item.id in found}
        return found

    def changed_properties(self, item: ObjectDiff) -> dict[str, tuple[Any, Any]]:
        """Returns the properties that differ: wanted, with ids of the recovery point, and found."""
        entry = item.entry
        wanted = normalized(entry, item.wanted())
        found = normalized(entry, item.found())
        # Graph gives a new object what it demands and was not sent, and takes nothing in its place.
        for name in entry.restore.required:
            if empty(wanted.get(name)) and not empty(found.get(name)):
                wanted[name] = found[name]
        if not self.moved:
            return differing(entry, wanted, found)
        names = {rewrite(name, self.moved): name for name in wanted}
        changed = differing(entry, moved(entry, item.id, wanted, self.moved), found)
        return {
            names.get(name, name): (wanted.get(names.get(name, name)), there) for name, (_, there) in changed.items()
        }

    def untaken(self, item: ObjectDiff, changed: Mapping[str, tuple[Any, Any]]) -> set[str]:
        """Returns those of the properties that differ which Graph did not take before, with the same value."""
        before = self._untaken.get((item.table, item.live_id), {})
        return {
            name
            for name, (wanted, _) in changed.items()
            if name in before and same(rewrite(wanted, self.moved), before[name], name)
        }

    def since_read(self, table: str) -> str:
        """Describes a difference in a table that was last read before the recovery point."""
        return (
            f"after {self.older[table]}, when {table} was last read before the recovery point: it may have been the "
            "same at the recovery point, and is kept"
        )

    def remedy_for_older(self, table: str) -> str:
        """Names the options that restore an older table as it was when it was read."""
        owner = table if table in CATALOGUE else RELATIONS[table][0].name
        return f"To restore that state: --at {self.older[table]} --types {owner}."

    def refuse(self, item: ObjectDiff, kind: Any, reason: str, remedy: str = "") -> None:
        """Notes that an object is not written; `kind`, `reason` and `remedy` as in `PlanRefusal`."""
        self.refusals.append(
            PlanRefusal(table=item.table, id=item.id, name=item.name, kind=kind, reason=reason, remedy=remedy)
        )

    def leave_out(self, draft: Draft, item: ObjectDiff, reason: str, remedy: str) -> None:
        """Names what an object comes back without, in its step and among the refusals."""
        draft.notes.append(reason)
        self.refuse(item, "unresolved", reason, remedy)

    def drop(self, item: ObjectDiff, reason: str, remedy: str) -> None:
        """Refuses an object with all its drafts; what needs it follows when references are resolved."""
        self.refuse(item, "unresolved", reason, remedy)
        self.dropped.add((item.table, item.id))
        self.drafts = [one for one in self.drafts if (one.table, one.id) != (item.table, item.id)]

    def drop_empty(self) -> None:
        """Drops updates of which nothing is left."""
        self.drafts = [one for one in self.drafts if one.action != "update" or one.body.keys() - {"@odata.type"}]

    def refuse_links(self, relation: str, id_: str, name: str, kind: Any, reason: str, remedy: str = "") -> None:
        """Notes that links of an owner are not written."""
        self.refusals.append(PlanRefusal(table=relation, id=id_, name=name, kind=kind, reason=reason, remedy=remedy))


def place_of(table: str) -> int:
    """Returns the position of a table in the order in which tables come back."""
    return _PLACES.get(table, len(_PLACES))


@cache
def stage_of_table(table: str) -> str:
    """Returns the name of the earliest stage in which a table is written."""
    return stage_of(table).value
