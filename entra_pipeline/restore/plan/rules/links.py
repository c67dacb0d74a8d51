"""What is done about links that differ: added, removed, or refused with the reason."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping

from entra_pipeline.catalogue import RELATIONS, Relation
from entra_pipeline.restore.objects.model import Action
from entra_pipeline.restore.plan.diff import RestoreLink
from entra_pipeline.restore.plan.estimate import requests_for_links
from entra_pipeline.restore.plan.rules.drafts import (
    OVERWRITE,
    SHOWN_ELSEWHERE,
    WHERE_MASTERED,
    Draft,
    PlanDraft,
    stage_of_table,
)
from entra_pipeline.text import pluralize

Unwritten = Callable[[str, Collection[str]], Mapping[str, str]]
"""Of a relation and owners, those whose links nobody writes by hand → the reason, or nothing to say."""


class LinkRules:
    """Decides what is done about the links of each owner.

    Args:
        plan: Receives the drafts and refusals.
    """

    def __init__(self, plan: PlanDraft) -> None:
        self._plan = plan

    def apply(self, called: Callable[[str, Collection[str]], Mapping[str, str]], unwritten: Unwritten) -> None:
        """Drafts or refuses the links of every owner.

        Args:
            called: What people call owners, of a type and with some ids.
            unwritten: Of a relation and owners, those whose links others write, with the reason.
        """
        for relation, (owner, rule) in RELATIONS.items():
            gone = _by_owner(self._plan.diff.missing.get(relation, ()))
            new = _by_owner(self._plan.diff.extra.get(relation, ()))
            sources = sorted(gone.keys() | new.keys())
            if not sources or relation in SHOWN_ELSEWHERE:
                continue
            names = called(owner.name, sources)
            others = unwritten(relation, sources)
            for source in sources:
                subject = (relation, source, names.get(source, source))
                lost = [link for link in gone.get(source, ()) if not {source, link.target_id} & self._plan.binned]
                if rule.write is None:
                    if lost or source in new:
                        self._plan.refuse_links(*subject, "unrestorable", "Graph cannot write its links")
                elif source in others:
                    if (reason := others[source]) and (lost or source in new):
                        self._plan.refuse_links(*subject, "unrestorable", reason, WHERE_MASTERED)
                else:
                    self._owner(rule, subject, gone.get(source, []), new.get(source, []))

    def _owner(
        self, rule: Relation, subject: tuple[str, str, str], gone: list[RestoreLink], new: list[RestoreLink]
    ) -> None:
        _, source, _ = subject
        mode = self._plan.options.conflict
        if rule.write is not None and (paths := rule.write.from_target):
            if others := sorted({link.target_type for link in (*gone, *new)} - paths.keys()):
                reason = f"Graph cannot write links to these types: {', '.join(others)}"
                self._plan.refuse_links(*subject, "unrestorable", reason)
            gone, new = ([link for link in links if link.target_type in paths] for links in (gone, new))
        if mode == "skip":
            left = [link for link in gone if source not in self._plan.back and link.target_id not in self._plan.back]
            gone = [link for link in gone if link not in left]
            if left or new:
                reported = f"{pluralize(len(left) + len(new), 'link')} different from the recovery point"
                self._plan.refuse_links(*subject, "skipped", reported, OVERWRITE)
        elif mode == "merge" and new:
            reported = f"{pluralize(len(new), 'link')} added since: merge removes nothing"
            self._plan.refuse_links(*subject, "skipped", reported, "" if self._plan.cross_tenant else OVERWRITE)
            gone = [] if not rule.many else gone
        since = self._since_read(subject[0], source, new)
        if since:
            reason = f"{pluralize(len(since), 'link')} added {self._plan.since_read(subject[0])}"
            self._plan.refuse_links(*subject, "unresolved", reason, self._plan.remedy_for_older(subject[0]))
            new = [link for link in new if link not in since]
            gone = [] if not rule.many else gone
        for returning in (False, True):
            some = [link for link in gone if returning is bool({source, link.target_id} & self._plan.binned)]
            if some:
                self._plan.drafts.append(self._link("link", subject, some, returning=returning))
        if mode != "overwrite" or self._plan.cross_tenant or (gone and not rule.many):
            return
        kept = [link for link in new if link.target_id in self._plan.own]
        extra = [link for link in new if link not in kept and link.target_id not in self._plan.deleted]
        if kept:
            self._plan.refuse_links(*subject, "skipped", "the restore itself uses the added links")
        if extra:
            self._plan.drafts.append(self._link("unlink", subject, extra, returning=False))

    def _link(
        self, action: Action, subject: tuple[str, str, str], links: list[RestoreLink], *, returning: bool
    ) -> Draft:
        relation, source, name = subject
        draft = Draft(
            action=action,
            table=relation,
            id=source,
            stage=stage_of_table(relation),
            name=name,
            links=links,
            returning=returning,
            requests=requests_for_links(relation, len(links), added=action == "link"),
        )
        if action == "link":
            draft.owner = source
            draft.whole = (
                source in self._plan.binned and RELATIONS[relation][1].many and relation not in self._plan.older
            )
        return draft

    def _since_read(self, relation: str, source: str, new: list[RestoreLink]) -> list[RestoreLink]:
        """Finds added links that stay because the recovery point, which did not read them, may have had them."""
        if self._plan.options.conflict != "overwrite" or relation not in self._plan.older or source in self._plan.added:
            return []
        return (
            []
            if self._plan.cross_tenant
            else [link for link in new if link.target_id not in self._plan.own | self._plan.deleted]
        )


def _by_owner(links: Iterable[RestoreLink]) -> dict[str, list[RestoreLink]]:
    found: dict[str, list[RestoreLink]] = {}
    for link in links:
        found.setdefault(link.source_id, []).append(link)
    return found
