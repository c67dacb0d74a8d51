"""What is done about each difference: steps that nobody has ordered yet, and what is not done.

What belongs here: the rules of conflict modes and guards. What does not: references between steps, and their order
(`planner`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from entra_pipeline.catalogue import CATALOGUE, RELATIONS, Category, ObjectType, Relation
from entra_pipeline.catalogue.order import ORDER, STAGES, later_stage, stage_of
from entra_pipeline.catalogue.restoring import WriteStrategy
from entra_pipeline.restore.objects.model import Action, PlanRefusal, RestoreOptions
from entra_pipeline.restore.objects.normalize import Body, at, content, differing, empty, fingerprint, moved, without
from entra_pipeline.restore.objects.references import ids_in, rewrite
from entra_pipeline.restore.objects.selection import is_view
from entra_pipeline.restore.plan.diff import ObjectDiff, ObjectState, RestoreLink, TenantDiff
from entra_pipeline.restore.plan.estimate import requests_for_links
from entra_pipeline.restore.plan.tenant_mapping import Unsupported
from entra_pipeline.text import pluralize

REMOVALS = "removals"
"""Stage in which objects that were added since are deleted, last made first."""
ALL_STAGES: tuple[str, ...] = (*(stage.value for stage in STAGES[:-1]), REMOVALS, STAGES[-1].value)

_TYPE = "@odata.type"
# What the recycle bin does not show as it was: deleted security groups are not enabled, the sign-in name of a user has
# the id before it (Graph doc: directory-deleteditems-list).
_UNTRUE_IN_BIN = {"groups": {"securityEnabled"}, "users": {"userPrincipalName"}}
# What differs here differs in another table, too, which is restored.
SHOWN_ELSEWHERE = {"directory_roles", "directory_role_members"}
# Values of a guarded property that are as harmless as the guard.
_HARMLESS = (None, False, "disabled")
_WHERE_MASTERED = (
    "Restore it in the system that masters it (Active Directory, Exchange); synchronisation brings it back."
)
_OVERWRITE = "To have it as it was: --conflict overwrite."


@dataclass(slots=True, kw_only=True)
class Draft:
    """A step without number.

    Attributes:
        owner: Id of the object without which the step is void; empty when there is none.
        replaced: Of `delete`, the object goes when the one that takes its place is there.
        strict: Ids that have to lead somewhere.
        refs: Ids that have to lead somewhere in the tenant if they did at the recovery point.
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
    owner: str = ""
    replaced: bool = False
    strict: set[str] = field(default_factory=set)
    refs: set[str] = field(default_factory=set)
    needs: set[str] = field(default_factory=set)


class Drafting:
    """Drafts the steps of a comparison.

    Args:
        comparison: What differs.
        options: How to restore.
        own: Ids and appIds of the app registrations that the restore works with: they are not touched.
        cross_tenant: The tenant is not the one of the recovery point: what only it has is its own.
        unsupported: Objects of the recovery point that the tenant cannot hold, by id.
        older: Tables that were not read for the recovery point, but before it → when: what has come since then may have
            been there at the recovery point, so none of it is removed.

    Attributes:
        drafts: The steps.
        refusals: What is not done.
    """

    def __init__(
        self,
        comparison: TenantDiff,
        options: RestoreOptions,
        own: Collection[str],
        *,
        cross_tenant: bool = False,
        unsupported: Mapping[str, Unsupported],
        older: Mapping[str, str] | None = None,
    ) -> None:
        self.drafts: list[Draft] = []
        self.refusals: list[PlanRefusal] = []
        self._comparison = comparison
        self._options = options
        self._own = set(own)
        self._cross_tenant = cross_tenant
        self._unsupported = unsupported
        self._older = older or {}
        self._moved = {**comparison.forward, **comparison.pending()}
        items = [item for table in comparison.items.values() for item in table.values()]
        self._binned = {item.id for item in items if item.state is ObjectState.BINNED}
        self._back = comparison.back()
        self._added = {item.id for item in items if item.state is ObjectState.ADDED}
        self.deleted: set[str] = set()
        self._coming_: set[str] | None = None

    # --- objects -----------------------------------------------------------------------------------------------------

    def objects(self) -> None:
        """Drafts what is done about objects."""
        tables = [*(table for table in ORDER if table in CATALOGUE), *CATALOGUE]
        for table in dict.fromkeys(tables):
            for _, item in sorted(self._comparison.items.get(table, {}).items()):
                self._object(item)

    def _object(self, item: ObjectDiff) -> None:
        rule = item.entry.restore
        if "derived" in item.conditions:
            return
        if item.state is ObjectState.ADDED:
            if not self._cross_tenant:
                self._was_added(item)
        elif item.id in self._unsupported:
            reason, remedy = self._unsupported[item.id]
            self._refuse(item, "unresolved" if remedy else "unrestorable", reason, remedy)
        elif not rule.possible:
            if self._cross_tenant and item.state is ObjectState.THERE:
                return
            if not item.entry.shows and item.table not in SHOWN_ELSEWHERE:
                self._refuse(item, "unrestorable", f"{_what(item)}: {rule.how}")
        elif "fixed" in item.conditions:
            self._refuse(item, "unrestorable", f"{_what(item)}: it is built in, nobody can change it")
        elif "mastered" in item.conditions and (item.state is not ObjectState.THERE or not rule.cloud_owned):
            self._refuse(item, "unrestorable", f"{_what(item)}: it is mastered elsewhere", _WHERE_MASTERED)
        elif item.state is ObjectState.THERE:
            self._is_there(item)
        elif item.state is ObjectState.BINNED:
            self._is_binned(item)
        else:
            self._is_missing(item)

    def _is_there(self, item: ObjectDiff) -> None:
        rule = item.entry.restore
        changed = self._changed_properties(item)
        named = ", ".join(changed)
        if not changed:
            return
        if not item.requested:
            self._refuse(
                item,
                "skipped",
                f"it names an object that comes back under another id in {named}, and was not asked for",
                f"Add it to the selection: --types {item.table} --ids {item.id}.",
            )
            return
        if self._options.conflict == "skip":
            self._refuse(item, "skipped", f"it is there and differs in {named}", _OVERWRITE)
            return
        if rule.link and (not rule.change or not rule.create_only.isdisjoint(changed)):
            if item.table in self._older:
                reason = f"it differs in {named} from what was there, changed {self._since(item.table)}"
                self._refuse(item, "unresolved", reason, self._then(item.table))
                return
            if self._options.conflict == "merge":
                self._refuse(item, "skipped", f"it is there and differs in {named}", _OVERWRITE)
                return
            self._delete(item)
            self._create(item, notes=[f"takes the place of one that differs in {named}"])
            return
        if self._names_old_ids(item, changed):
            self._create(item, notes=["takes the place of one that names what came back under another id"])
            self._delete(item)
            self.drafts[-1].replaced = True
            self.drafts[-1].refs = {item.id}
            return
        if not rule.change:
            self._refuse(item, "unrestorable", f"it differs in {named}, and Graph does not let it be changed")
            return
        notes = [f"it is taken for {item.live_id}: {item.known_by}"] if item.known_by else []
        body, left = self._changed(item, changed)
        if stuck := sorted(name for name in body if name in rule.create_only):
            left.append(f"{', '.join(stuck)} can only be set when the object is made")
        if "mastered" in item.conditions and (others := sorted(body.keys() - rule.cloud_owned - set(stuck))):
            left.append(f"{', '.join(others)}: mastered elsewhere. {_WHERE_MASTERED}")
            stuck += others
        body = {name: value for name, value in body.items() if name not in stuck}
        left += self._guarded(item, body, str(item.found().get("state")))
        if body:
            self._update(item, body, [*notes, *left])
        elif left:
            kind = "unrestorable" if stuck else "skipped"
            self._refuse(item, kind, "; ".join(left))

    def _names_old_ids(self, item: ObjectDiff, changed: Mapping[str, tuple[Any, Any]]) -> bool:
        """Whether an object is as it was, and names what has another id now in what only a new object takes."""
        rule = item.entry.restore
        stuck = {name: pair for name, pair in changed.items() if name in rule.create_only}
        if not stuck or rule.create != "POST" or not rule.remove or self._options.conflict != "overwrite":
            return False
        then, now = ({name: pair[side] for name, pair in stuck.items()} for side in (0, 1))
        return not differing(item.entry, then, now)

    def _changed(self, item: ObjectDiff, changed: Mapping[str, tuple[Any, Any]]) -> tuple[Body, list[str]]:
        """Properties to send, by the conflict mode; and what is left as it is."""
        values = {name: value for name, (value, _) in changed.items()}
        if self._options.conflict != "merge":
            return values, []
        if item.entry.restore.strategy is WriteStrategy.LICENSES:
            there = changed["assignedLicenses"][1]
            known = {one["skuId"] for one in there}
            more = [one for one in values["assignedLicenses"] if one["skuId"] not in known]
            return ({"assignedLicenses": [*there, *more]} if more else {}), []
        filled = {name: value for name, value in values.items() if empty(changed[name][1]) and not empty(value)}
        left = sorted(values.keys() - filled.keys())
        return filled, [f"left as they are: {', '.join(left)}"] if left else []

    def _is_binned(self, item: ObjectDiff) -> None:
        draft = self._draft("undelete", item)
        draft.seen = fingerprint(item.entry, item.found())
        said = content(item.entry, item.wanted())
        draft.refs = ids_in({name: said[name] for name in item.entry.restore.required if name in said})
        draft.notes = [item.known_by] if item.known_by else []
        self.drafts.append(draft)
        shown = item.found().keys() - _UNTRUE_IN_BIN.get(item.table, set())
        changed = {name: pair for name, pair in self._changed_properties(item).items() if name in shown}
        body = {name: value for name, (value, _) in changed.items() if name not in item.entry.restore.create_only}
        wanted = item.wanted()
        body |= {name: wanted[name] for name in item.entry.restore.forgotten if wanted.get(name)}
        notes = self._guarded(item, body, "")
        if body:
            self._update(item, body, notes)

    def _is_missing(self, item: ObjectDiff) -> None:
        rule = item.entry.restore
        if rule.strategy is not WriteStrategy.LICENSES and rule.create:
            self._create(item)
        elif rule.strategy is WriteStrategy.LICENSES:
            body = {name: value for name, value in content(item.entry, item.wanted()).items() if not empty(value)}
            if body:
                self._update(item, body, [])
        else:
            self._refuse(item, "unrestorable", "it is missing, and Graph does not let it be made")

    def _create(self, item: ObjectDiff, notes: Iterable[str] = ()) -> None:
        rule = item.entry.restore
        said = content(item.entry, item.wanted())
        draft = self._draft("create", item)
        draft.live_id = ""
        draft.body = {name: value for name, value in said.items() if name in rule.required or value not in (None, [])}
        draft.notes = [*notes, *self._lost(item)]
        draft.requests += bool(rule.change_only.intersection(draft.body))
        draft.returning = self._returns(item)
        self.drafts.append(draft)
        enable = self._guard(item, draft)
        self._later(item, draft)
        self._refer(item.entry, draft)
        if enable is not None:
            self.drafts.append(enable)

    def _guard(self, item: ObjectDiff, draft: Draft) -> Draft | None:
        """Puts the guard's value into a new object; the step that gives the property its own value at the end."""
        rule = item.entry.restore
        if rule.guard is None:
            return None
        name, value = rule.guard
        own = draft.body.get(name)
        if own in _HARMLESS or own == value:
            return None
        draft.body[name] = value
        if _reports_only(item.entry) and not self._options.enable_policies:
            draft.notes.append(_REPORT_ONLY)
            return None
        enable = self._draft("enable", item)
        enable.stage, enable.owner, enable.body, enable.before = ALL_STAGES[-1], item.id, {name: own}, {name: value}
        return enable

    def _guarded(self, item: ObjectDiff, body: Body, state: str) -> list[str]:
        """Keeps a policy that is there (or in the recycle bin) from being enforced, unless that was asked for."""
        rule = item.entry.restore
        if rule.guard is None or not _reports_only(item.entry) or self._options.enable_policies:
            return []
        name, value = rule.guard
        own = item.wanted().get(name)
        if own in _HARMLESS or own == value or state == own:
            return []
        body[name] = value
        if item.found().get(name) == value:
            del body[name]
        return [_REPORT_ONLY]

    def _later(self, item: ObjectDiff, draft: Draft) -> None:
        """Takes out of a step what leads to objects that come after, into a step of its own."""
        rule = item.entry.restore
        body: Body = {}
        for path in sorted(rule.later):
            values = [value for value in at(draft.body, path) if not empty(value)]
            first = path.partition(".")[0]
            if not values or not (rule.strategy is WriteStrategy.GROUP or ids_in(values) & self._coming()):
                continue
            names = [name for name in draft.body if name == first or (first[-1] == "*" and name.startswith(first[:-1]))]
            body |= {name: draft.body[name] for name in names}
            draft.body = without(draft.body, path)
        if not body:
            return
        later = self._draft("update", item)
        later.live_id, later.owner, later.body, later.returning = draft.live_id, item.id, body, draft.returning
        later.before = {name: draft.before[name] for name in body if name in draft.before}
        later.stage = max(draft.stage, later_stage(item.table).value, key=ALL_STAGES.index)
        self._refer(item.entry, later)
        self.drafts.append(later)

    def _coming(self) -> set[str]:
        """Ids and appIds of what is to come back."""
        if self._coming_ is None:
            self._coming_ = set(self._back)
            for table, items in self._comparison.items.items():
                for alias in CATALOGUE[table].aliases:
                    self._coming_ |= {str(i.wanted().get(alias)) for i in items.values() if i.id in self._back}
        return self._coming_

    def _update(self, item: ObjectDiff, body: Body, notes: list[str]) -> None:
        draft = self._draft("update", item)
        back = item.state is not ObjectState.THERE
        if back:
            draft.owner = item.id
        else:
            draft.seen = fingerprint(item.entry, item.found())
        found = content(item.entry, item.found()) if item.now else {}
        draft.before = {name: found[now] for name in body if (now := rewrite(name, self._moved)) in found}
        draft.body = {
            name: [] if value is None and isinstance(draft.before.get(name), list) else value
            for name, value in body.items()
        }
        if item.entry.restore.change == "PUT":
            # What is not sent would be lost.
            whole = found if self._options.conflict == "merge" else content(item.entry, item.wanted())
            draft.body = {name: value for name, value in whole.items() if value is not None} | draft.body
        elif _TYPE in item.entry.restore.required and item.entry.subtypes:
            draft.body[_TYPE] = item.wanted()[_TYPE]
        draft.notes = notes
        draft.returning = back and self._returns(item)
        self._later(item, draft)
        self._refer(item.entry, draft)
        if draft.body.keys() - {_TYPE}:
            self.drafts.append(draft)

    def _was_added(self, item: ObjectDiff) -> None:
        rule = item.entry.restore
        if not rule.possible or (is_view(item.entry) and not rule.link) or item.parent in self._added:
            return
        named = ids_in(item.found()) | {item.id}
        if named & self._own:
            self._refuse(item, "skipped", "it was added since, and the restore itself works with it")
        elif rule.link and named & self.deleted:
            return
        elif rule.link and self._options.conflict != "overwrite":
            self._refuse(item, "skipped", f"it was added since: {self._options.conflict} removes nothing", _OVERWRITE)
        elif not rule.link and not self._options.delete_added:
            remedy = "To delete it: --delete-added." if rule.remove and not item.conditions else ""
            self._refuse(item, "skipped", "it was added since", remedy)
        elif item.table in self._older:
            self._refuse(item, "unresolved", f"it was added {self._since(item.table)}", self._then(item.table))
        elif item.conditions or not rule.remove:
            reason = "built in" if "fixed" in item.conditions else "mastered elsewhere"
            self._refuse(item, "unrestorable", f"it was added since; {reason if item.conditions else rule.how}")
        else:
            self._delete(item)
            self.deleted.add(item.id)

    def _delete(self, item: ObjectDiff) -> None:
        draft = self._draft("delete", item)
        draft.seen = fingerprint(item.entry, item.found())
        if not item.entry.restore.link:
            draft.stage = REMOVALS
        self.drafts.append(draft)

    def _draft(self, action: Action, item: ObjectDiff) -> Draft:
        return Draft(
            action=action,
            table=item.table,
            id=item.id,
            stage=_stage_of(item.table),
            parent=item.parent,
            live_id=item.live_id,
            name=item.name,
        )

    def _changed_properties(self, item: ObjectDiff) -> dict[str, tuple[Any, Any]]:
        """Properties that differ: as they were, with ids of the recovery point; and as they are."""
        entry = item.entry
        wanted = content(entry, item.wanted())
        found = content(entry, item.found())
        if not self._moved:
            return differing(entry, wanted, found)
        names = {rewrite(name, self._moved): name for name in wanted}
        changed = differing(entry, moved(entry, item.id, wanted, self._moved), found)
        return {
            names.get(name, name): (wanted.get(names.get(name, name)), there) for name, (_, there) in changed.items()
        }

    def _refer(self, entry: ObjectType, draft: Draft) -> None:
        """Notes what the step leads to."""
        draft.refs = ids_in(draft.body)
        draft.strict = ids_in([at(draft.body, path) for path in entry.restore.refers])
        if draft.parent and draft.action == "create":
            draft.strict.add(draft.parent)
        if is_view(entry) and draft.action == "update" and not draft.live_id:
            draft.owner = draft.id

    def _returns(self, item: ObjectDiff) -> bool:
        """Whether the object comes back by itself with something from the recycle bin."""
        entry = item.entry
        if item.parent in self._binned or (entry.shows and item.id in self._binned):
            return True
        above = entry.parent and self._comparison.items.get(entry.parent.type, {}).get(item.parent)
        if above and above.state is not ObjectState.THERE:
            return self._returns(above)
        if not entry.restore.link:
            return False
        body = content(entry, item.wanted())
        return bool(ids_in([at(body, path) for path in entry.restore.refers]) & self._binned)

    def _lost(self, item: ObjectDiff) -> list[str]:
        rule = item.entry.restore
        notes = [f"does not come back: {', '.join(rule.lost)}"] if rule.lost else []
        if rule.strategy is WriteStrategy.USER and item.wanted().get("userType") == "Guest":
            notes.append("a guest is invited again, and has to accept")
        return notes

    # --- links -------------------------------------------------------------------------------------------------------

    def links(self, called: Callable[[str, Collection[str]], Mapping[str, str]], unwritten: Unwritten) -> None:
        """Drafts what is done about links.

        Args:
            called: What people call owners, of a type and with some ids.
            unwritten: Of a relation and owners, those whose links others write, with the reason.
        """
        for relation, (owner, rule) in RELATIONS.items():
            gone = _by_owner(self._comparison.missing.get(relation, ()))
            new = _by_owner(self._comparison.extra.get(relation, ()))
            sources = sorted(gone.keys() | new.keys())
            if not sources or relation in SHOWN_ELSEWHERE:
                continue
            names = called(owner.name, sources)
            others = unwritten(relation, sources)
            for source in sources:
                subject = (relation, source, names.get(source, source))
                lost = [link for link in gone.get(source, ()) if not {source, link.target_id} & self._binned]
                if rule.write is None:
                    if lost or source in new:
                        self._refuse_links(*subject, "unrestorable", "Graph does not let its links be written")
                elif source in others:
                    if (reason := others[source]) and (lost or source in new):
                        self._refuse_links(*subject, "unrestorable", reason, _WHERE_MASTERED)
                else:
                    self._links(rule, subject, gone.get(source, []), new.get(source, []))

    def _links(
        self, rule: Relation, subject: tuple[str, str, str], gone: list[RestoreLink], new: list[RestoreLink]
    ) -> None:
        _, source, _ = subject
        mode = self._options.conflict
        if rule.write is not None and (paths := rule.write.from_target):
            if others := sorted({link.target_type for link in (*gone, *new)} - paths.keys()):
                reason = f"Graph does not let links to these types be written: {', '.join(others)}"
                self._refuse_links(*subject, "unrestorable", reason)
            gone, new = ([link for link in links if link.target_type in paths] for links in (gone, new))
        if mode == "skip":
            left = [link for link in gone if source not in self._back and link.target_id not in self._back]
            gone = [link for link in gone if link not in left]
            if left or new:
                reported = f"{pluralize(len(left) + len(new), 'link')}: not as they were"
                self._refuse_links(*subject, "skipped", reported, _OVERWRITE)
        elif mode == "merge" and new:
            reported = f"{pluralize(len(new), 'link')} added since: merge removes nothing"
            self._refuse_links(*subject, "skipped", reported, "" if self._cross_tenant else _OVERWRITE)
            gone = [] if not rule.many else gone
        since = self._since_read(subject[0], source, new)
        if since:
            reason = f"{pluralize(len(since), 'link')} added {self._since(subject[0])}"
            self._refuse_links(*subject, "unresolved", reason, self._then(subject[0]))
            new = [link for link in new if link not in since]
            gone = [] if not rule.many else gone
        for returning in (False, True):
            some = [link for link in gone if returning is bool({source, link.target_id} & self._binned)]
            if some:
                self.drafts.append(self._link("link", subject, some, returning=returning))
        if mode != "overwrite" or self._cross_tenant or (gone and not rule.many):
            return
        kept = [link for link in new if link.target_id in self._own]
        extra = [link for link in new if link not in kept and link.target_id not in self.deleted]
        if kept:
            self._refuse_links(*subject, "skipped", "the restore itself works with what was added since")
        if extra:
            self.drafts.append(self._link("unlink", subject, extra, returning=False))

    def _link(
        self, action: Action, subject: tuple[str, str, str], links: list[RestoreLink], *, returning: bool
    ) -> Draft:
        relation, source, name = subject
        draft = Draft(
            action=action,
            table=relation,
            id=source,
            stage=_stage_of(relation),
            name=name,
            links=links,
            returning=returning,
            requests=requests_for_links(relation, len(links), added=action == "link"),
        )
        if action == "link":
            draft.owner = source
            draft.whole = source in self._binned and RELATIONS[relation][1].many and relation not in self._older
        return draft

    # --- what the recovery point did not read itself ------------------------------------------------------------------

    def _since_read(self, relation: str, source: str, new: list[RestoreLink]) -> list[RestoreLink]:
        """Of links to be removed, those that stay: the recovery point, which did not read them, may have had them."""
        if self._options.conflict != "overwrite" or relation not in self._older or source in self._added:
            return []
        return [] if self._cross_tenant else [link for link in new if link.target_id not in self._own | self.deleted]

    def _since(self, table: str) -> str:
        """How what differs is told of a table that is older than the recovery point."""
        return (
            f"after {self._older[table]}, when {table} was last read before the recovery point: it may have been so at "
            "the recovery point, and stays"
        )

    def _then(self, table: str) -> str:
        owner = table if table in CATALOGUE else RELATIONS[table][0].name
        return f"To have it as it was then: --at {self._older[table]} --types {owner}."

    # --- what is not done --------------------------------------------------------------------------------------------

    def _refuse(self, item: ObjectDiff, kind: Any, reason: str, remedy: str = "") -> None:
        self.refusals.append(
            PlanRefusal(table=item.table, id=item.id, name=item.name, kind=kind, reason=reason, remedy=remedy)
        )

    def _refuse_links(self, relation: str, id_: str, name: str, kind: Any, reason: str, remedy: str = "") -> None:
        self.refusals.append(PlanRefusal(table=relation, id=id_, name=name, kind=kind, reason=reason, remedy=remedy))


Unwritten = Callable[[str, Collection[str]], Mapping[str, str]]
_REPORT_ONLY = "the policy comes back report-only: enable it when everything is checked, or ask for --enable-policies"


def place_of(table: str) -> int:
    """The position of a table in the order in which tables come back."""
    return _PLACES.get(table, len(_PLACES))


_PLACES = {table: place for place, table in enumerate(ORDER)}


@cache
def _stage_of(table: str) -> str:
    return stage_of(table).value


def _what(item: ObjectDiff) -> str:
    return {
        ObjectState.THERE: "it differs",
        ObjectState.BINNED: "it was deleted",
        ObjectState.MISSING: "it is missing",
    }[item.state]


def _reports_only(entry: ObjectType) -> bool:
    return entry.category is Category.CONDITIONAL_ACCESS


def _by_owner(links: Iterable[RestoreLink]) -> dict[str, list[RestoreLink]]:
    found: dict[str, list[RestoreLink]] = {}
    for link in links:
        found.setdefault(link.source_id, []).append(link)
    return found
