"""References between drafts: what each one needs, and which lead nowhere.

What belongs here: following ids to the objects they lead to, and refusing. What does not: the order of steps
(`ordering`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Literal

from entra_pipeline.catalogue import BY_GRAPH_TYPE, CATALOGUE
from entra_pipeline.restore.objects.model import PlanRefusal
from entra_pipeline.restore.plan.estimate import requests_for_links
from entra_pipeline.restore.plan.id_index import IdIndex
from entra_pipeline.restore.plan.matching import own_aliases
from entra_pipeline.restore.plan.rules.drafts import Draft, PlanDraft

_NOT_THERE = ("is not in the tenant", "are not in the tenant")


class ReferenceResolver:
    """Finds out what each draft needs, and refuses those whose references lead nowhere.

    Args:
        plan: The drafts and refusals.
        index: Looks up ids at the recovery point and in the tenant.

    Attributes:
        drafts: The drafts that stay, with `needs` filled in.
        refusals: Those of the plan, and those of references that lead nowhere.
    """

    def __init__(self, plan: PlanDraft, index: IdIndex) -> None:
        self.drafts = plan.drafts
        self.refusals = plan.refusals
        self._index = index
        self._forward = plan.diff.forward
        self._makers = {draft.id for draft in self.drafts if draft.action in {"create", "undelete"}}
        self._over = plan.over
        self._replaced = plan.diff.replaced()
        self._going: set[tuple[str, str]] = set()
        self._lost: dict[tuple[str, str, str], set[str]] = {}
        self._kinds: dict[str, str] = {}
        self._made = {draft.id for draft in self.drafts if draft.action == "create"}
        self._ties = _ties(self.drafts)
        self._refused = {refusal.id for refusal in self.refusals if refusal.table in CATALOGUE}

    def resolve(self) -> None:
        """Refuses drafts until every reference leads to an object, and no references form a circle."""
        self._index.look_up({one for draft in self.drafts for one in self._leads_to(draft)})
        while True:
            self._going = {(draft.table, draft.live_id) for draft in self.drafts if draft.action == "delete"}
            left = [draft for draft in self.drafts if self._holds(draft)]
            done = len(left) == len(self.drafts)
            self.drafts = left
            if not done:
                continue
            for draft in self.drafts:
                draft.needs = self._needs(draft)
                if draft.action in {"link", "unlink"} and draft.id not in self._made:
                    draft.live_id = self._forward.get(draft.id, draft.id)
            circle = _circular(self.drafts)
            if not circle:
                break
            for draft in circle:
                self._refuse(
                    draft, "it is part of a circular dependency", "Restore them one by one, with --types and --ids."
                )
                self._makers.discard(draft.id)
                self._refused.add(draft.id)
            self.drafts = [draft for draft in self.drafts if draft not in circle]
        for (table, id_, name), lost in sorted(self._lost.items()):
            for some in (lost & self._over, lost - self._over):
                if some:
                    types = {self._kinds[one] for one in some if one in self._kinds}
                    reason, remedy = self._nowhere(sorted(some), "it had links to", types)
                    kind = self._kind(some)
                    self.refusals.append(
                        PlanRefusal(table=table, id=id_, name=name, kind=kind, reason=reason, remedy=remedy)
                    )

    def _leads_to(self, draft: Draft) -> set[str]:
        links = {one.target_id for one in draft.links} if draft.action == "link" else set()
        return {*draft.refs, *draft.strict, *links, *([draft.owner] if draft.owner else [])}

    def _holds(self, draft: Draft) -> bool:
        """Tells whether a draft stays; references that lead nowhere are refused."""
        if draft.owner and not self._available(draft.owner, draft):
            if draft.owner not in self._refused:
                self._refuse(draft, *self._nowhere([draft.owner], "it belongs to"))
            return False
        if draft.replaced:
            return draft.id in self._makers and self._may_go(draft)
        if draft.action == "update" and self._says_nothing_new(draft):
            return False
        if draft.action == "unlink":
            return bool(self._index.at_point(draft.id))
        if draft.action == "link":
            return self._links_hold(draft)
        lost = [one for one in sorted(draft.strict) if not self._available(one, draft)]
        lost += [
            one
            for one in sorted(draft.refs - draft.strict)
            if self._index.at_point(one) and not self._available(one, draft)
        ]
        if lost:
            if not (draft.parent in lost and draft.parent in self._refused):
                # A policy, which says more than a tie does, is not less because a group of its is over.
                tie = draft.table in CATALOGUE and CATALOGUE[draft.table].restore.link
                types = CATALOGUE[draft.table].restore.after if draft.table in CATALOGUE else ()
                told = self._nowhere(lost, "it leads to", types)
                self._refuse(draft, *told, kind=self._kind(lost) if tie else "unresolved")
            self._refused.add(draft.id)
            if draft.action in {"create", "undelete"}:
                self._makers.discard(draft.id)
        return not lost

    def _may_go(self, draft: Draft) -> bool:
        """Tells whether all that hangs from a replaced object goes before it; else it stays, and that is told."""
        item = self._replaced.get(draft.id)
        kept = [
            f"{one.table} {one.live_id}"
            for one in (item.dependants if item else ())
            if (one.table, one.live_id) not in self._going
            and not (CATALOGUE[one.table].parent is not None and one.id in self._makers)
        ]
        if kept:
            self._refuse(
                draft,
                f"it stays beside the one that takes its place: {', '.join(kept)} cannot be without it, and "
                f"{'stays' if len(kept) == 1 else 'stay'}",
                "Delete it manually once nothing needs it; what was added since goes with --delete-added.",
            )
        return not kept

    @property
    def _staying(self) -> set[str]:
        """Ids of the objects that were to be replaced, and are not."""
        return self._replaced.keys() - self._makers

    def _says_nothing_new(self, draft: Draft) -> bool:
        """Tells whether an update would only have put the new id of an object that is not replaced after all."""
        body = {name: value for name, value in draft.body.items() if "@" not in name}
        return not self._staying.isdisjoint(draft.refs) and body.items() <= draft.before.items()

    def _links_hold(self, draft: Draft) -> bool:
        # Links of what is not replaced after all are there.
        draft.links = [link for link in draft.links if self._staying.isdisjoint(link[:2])]
        lost = [link for link in draft.links if not self._available(link.target_id, draft)]
        if lost:
            self._lost.setdefault((draft.table, draft.id, draft.name), set()).update(link.target_id for link in lost)
            kinds = {link.target_id: BY_GRAPH_TYPE.get(link.target_type) for link in lost}
            self._kinds |= {one: entry.name for one, entry in kinds.items() if entry is not None}
            draft.links = [link for link in draft.links if link not in lost]
            draft.requests = requests_for_links(draft.table, len(draft.links), added=True)
        return bool(draft.links)

    def _available(self, id_: str, draft: Draft) -> bool:
        """Tells whether an id leads, or will lead, to an object in the tenant.

        What is made anew because of another object needs the one that takes the place of that.
        """
        if draft.action == "create" and id_ in self._replaced:
            return id_ in self._makers
        if id_ in self._makers or self._is_there(id_):
            return True
        origins = self._origins(id_)
        own = draft.action == "create" and draft.id in origins
        return own or any(one in self._makers or self._is_there(one) for one in origins)

    def _is_there(self, id_: str) -> bool:
        """Tells whether an id, or the one that took its place, leads to an object in the tenant."""
        return self._index.is_live(id_) or (id_ in self._forward and self._index.is_live(self._forward[id_]))

    def _needs(self, draft: Draft) -> set[str]:
        found = {one for id_ in self._leads_to(draft) for one in self._origins(id_)}
        if draft.table in CATALOGUE:
            for table in CATALOGUE[draft.table].restore.after:
                found |= {tie for id_ in draft.refs for tie in self._ties.get((table, id_), ())}
        own = set() if draft.action in {"update", "enable", "link", "delete"} else {draft.id}
        return (found & self._makers) - own

    def _origins(self, id_: str) -> set[str]:
        """Returns the objects that define an id: for an appId the application, else its service principal."""
        known = self._index.at_point(id_)
        if not known and id_ in self._forward:
            # What took its place, before the point, may be missing itself by now.
            id_ = self._forward[id_]
            known = self._index.at_point(id_)
        places = [place for place in known if place.id != id_]
        origins = {place.id for place in places if own_aliases(CATALOGUE[place.table])}
        return {id_} if not places else origins or {place.id for place in places}

    def _nowhere(self, ids: list[str], how: str, types: Collection[str] = ()) -> tuple[str, str]:
        """Builds reason and remedy for references that lead nowhere.

        Args:
            ids: The ids.
            how: What leads to them, for people.
            types: Object types that they may be of.
        """
        unknown = [one for one in ids if not self._index.at_point(one)]
        unread = self._index.unread(types) if unknown else []
        if unread and len(unknown) < len(ids):
            # What is known comes first: the others may be there, and nothing has to be done about them then.
            ids = [one for one in ids if one not in unknown]
        elif unread:
            listed = ", ".join(unread)
            return (
                f"{how} {', '.join(unknown)}, and nobody knows whether that is in the tenant: it may be of "
                f"{listed}, which the scope does not protect",
                f"Add {listed} to the scope's `protect`, and plan again.",
            )
        named: list[str] = []
        wanted: dict[str, list[str]] = {}
        dead: list[str] = []
        for id_ in ids:
            places = self._index.at_point(id_)
            if not places:
                named.append(id_)
                dead.append(id_)
                continue
            named.append(f"{places[0].table} {id_}")
            for place in places:
                (dead if place.id in self._refused else wanted.setdefault(place.table, [])).append(place.id)
        one = len(named) == 1
        there = self._replaced.keys() >= {*ids}
        state = (
            ("stays as it is" if one else "stay as they are")
            if there
            else f"{'is' if one else 'are'} not in the tenant"
        )
        reason = f"{how} {', '.join(named)}, which {state}"
        if wanted:
            types = " ".join(f"--types {table}" for table in sorted(wanted))
            listed = " ".join(f"--ids {id_}" for group in sorted(wanted.values()) for id_ in group)
            return reason, f"Add to the selection: {types} {listed}."
        if any(self._index.at_point(id_) for id_ in ids):
            return reason, "The plan gives the reason why these objects are not restored: fix that first."
        return (
            reason,
            "They did not exist at the recovery point either: fix the object manually, or restore an earlier point.",
        )

    def _kind(self, lost: Iterable[str]) -> Literal["unresolved", "skipped"]:
        """Tells whether ties to objects are over with these, or lead nowhere."""
        return "skipped" if self._over.issuperset(lost) else "unresolved"

    def _refuse(
        self, draft: Draft, reason: str, remedy: str, kind: Literal["unresolved", "skipped"] = "unresolved"
    ) -> None:
        self.refusals.append(
            PlanRefusal(table=draft.table, id=draft.id, name=draft.name, kind=kind, reason=reason, remedy=remedy)
        )


def _ties(drafts: list[Draft]) -> dict[tuple[str, str], set[str]]:
    """Maps type and reference to the drafts that bring that reference into their owner.

    A package can only give roles of what is a resource of its catalog, though it does not name the resource.
    """
    found: dict[tuple[str, str], set[str]] = {}
    for draft in drafts:
        if draft.action == "create" and draft.parent and draft.table in CATALOGUE:
            for id_ in draft.strict - {draft.parent}:
                found.setdefault((draft.table, id_), set()).add(draft.id)
    return found


def _circular(drafts: list[Draft]) -> list[Draft]:
    """Finds drafts that wait for each other in a circle, and those that wait for them."""
    makers = {draft.id: draft for draft in drafts if draft.action in {"create", "undelete"}}
    waiting = {id_: {need for need in draft.needs if need in makers} for id_, draft in makers.items()}
    ready = [id_ for id_, needs in waiting.items() if not needs]
    leads: dict[str, list[str]] = {}
    for id_, needs in waiting.items():
        for need in needs:
            leads.setdefault(need, []).append(id_)
    while ready:
        done = ready.pop()
        for id_ in leads.get(done, ()):
            waiting[id_].discard(done)
            if not waiting[id_]:
                ready.append(id_)
    return [draft for id_, draft in makers.items() if waiting[id_]]
