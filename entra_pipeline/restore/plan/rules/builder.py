"""Drafts of single objects: their properties, what refers to later objects, guards, and what comes back by itself."""

from __future__ import annotations

from collections.abc import Iterable

from entra_pipeline.catalogue import CATALOGUE, Category, ObjectType
from entra_pipeline.catalogue.order import later_stage
from entra_pipeline.catalogue.restoring import WriteStrategy
from entra_pipeline.restore.objects.merging import cleared
from entra_pipeline.restore.objects.model import Action
from entra_pipeline.restore.objects.normalize import Body, at, empty, fingerprint, normalized, own_identities, without
from entra_pipeline.restore.objects.references import ids_in, rewrite
from entra_pipeline.restore.objects.selection import is_view
from entra_pipeline.restore.objects.texts import valid_text
from entra_pipeline.restore.plan.diff import ObjectDiff, ObjectState
from entra_pipeline.restore.plan.rules.drafts import ALL_STAGES, REMOVALS, Draft, PlanDraft, stage_of_table
from entra_pipeline.restore.plan.rules.holders import plain
from entra_pipeline.restore.plan.rules.taken import SIGN_IN, may_rename, undeleted

_TYPE = "@odata.type"
_LICENSES = "assignedLicenses"
_ADDRESSES = "proxyAddresses"
# Values of a guarded property that are as harmless as the guard.
_HARMLESS = (None, False, "disabled")
_BY_USER = "sent on behalf of the signed-in user"
_REPORT_ONLY = "the policy is restored as report-only: review it and enable it, or use --enable-policies"


class DraftBuilder:
    """Adds drafts of objects to a plan.

    Args:
        plan: Receives the drafts.
    """

    def __init__(self, plan: PlanDraft) -> None:
        self._plan = plan

    def undelete(self, item: ObjectDiff) -> None:
        """Drafts that an object comes out of the recycle bin."""
        draft = self._draft("undelete", item)
        draft.seen = fingerprint(item.entry, item.found())
        said = normalized(item.entry, item.wanted())
        draft.refs = ids_in({name: said[name] for name in item.entry.restore.required if name in said})
        draft.notes = [item.known_by] if item.known_by else []
        then, now = item.wanted().get(SIGN_IN), undeleted(item).get(SIGN_IN)
        if then and now and plain(then) != plain(now) and may_rename(item, now):
            # It was renamed before it was deleted: under the later name it might not even come back.
            draft.parameters["newUserPrincipalName"] = then
            draft.body, draft.before = {SIGN_IN: then}, {SIGN_IN: now}
            draft.requests += 1
        self._plan.drafts.append(draft)

    def create(self, item: ObjectDiff, notes: Iterable[str] = ()) -> None:
        """Drafts that a missing object is created, and later steps for what it cannot have from the start."""
        rule = item.entry.restore
        said = normalized(item.entry, item.wanted())
        draft = self._draft("create", item)
        draft.live_id = ""
        draft.body = {name: value for name, value in said.items() if name in rule.required or value not in (None, [])}
        for name, text in rule.texts.items():
            if name in rule.required and text.replaced and not draft.body.get(name):
                draft.body[name] = valid_text(text, str(said.get(SIGN_IN) or item.name).partition("@")[0])
                notes = [*notes, f"its {name} becomes {draft.body[name]}: it had none, and Graph demands one"]
        if rule.strategy is WriteStrategy.USER and (identities := own_identities(item.wanted())):
            if self._plan.cross_tenant:
                notes = [*notes, "not restored: identities, whose issuer is the tenant of the recovery point"]
            else:
                draft.body["identities"] = identities
        draft.notes = [*notes, *self._lost(item)]
        draft.requests += bool(rule.change_only.intersection(draft.body))
        draft.returning = self._returns(item)
        self._plan.drafts.append(draft)
        enable = self._guard(item, draft)
        self._later(item, draft)
        self._refer(item.entry, draft)
        if enable is not None:
            self._plan.drafts.append(enable)

    def update(self, item: ObjectDiff, body: Body, notes: list[str]) -> None:
        """Drafts that properties of an object are set."""
        draft = self._draft("update", item)
        back = item.state is not ObjectState.THERE
        if back:
            draft.owner = _shown_for(draft)
        else:
            draft.seen = fingerprint(item.entry, item.found())
        found = normalized(item.entry, item.found()) if item.now else {}
        draft.before = {name: found[now] for name in body if (now := rewrite(name, self._plan.moved)) in found}
        merges = item.entry.restore.change == "PATCH" and self._plan.options.conflict == "overwrite"
        draft.body = {
            name: [] if value is None and isinstance(draft.before.get(name), list) else value
            for name, value in body.items()
        }
        if merges:
            draft.body = {name: cleared(name, value, draft.before.get(name)) for name, value in draft.body.items()}
        if item.entry.restore.change == "PUT":
            # What is not sent would be lost.
            whole = found if self._plan.options.conflict == "merge" else normalized(item.entry, item.wanted())
            draft.body = {name: value for name, value in whole.items() if value is not None} | draft.body
        elif _TYPE in item.entry.restore.required and item.entry.subtypes:
            draft.body[_TYPE] = item.wanted()[_TYPE]
        draft.notes = [*notes, *([_BY_USER] if item.entry.restore.delegated else [])]
        draft.returning = back and self._returns(item)
        self._later(item, draft)
        self._refer(item.entry, draft)
        if draft.body.keys() - {_TYPE}:
            self._plan.drafts.append(draft)

    def delete(self, item: ObjectDiff) -> None:
        """Drafts that an object is deleted."""
        draft = self._draft("delete", item)
        draft.seen = fingerprint(item.entry, item.found())
        if not item.entry.restore.link:
            draft.stage = REMOVALS
        draft.before = _in_the_way(item.entry, item.found())
        if draft.before:
            draft.requests += 1
            draft.notes.append(f"first without its {', '.join(sorted(draft.before.keys() - {_TYPE}))}")
        self._plan.drafts.append(draft)

    def guarded(self, item: ObjectDiff, body: Body, state: str) -> list[str]:
        """Keeps a policy that is there (or in the recycle bin) from being enforced, unless that was asked for."""
        rule = item.entry.restore
        if rule.guard is None or not _reports_only(item.entry) or self._plan.options.enable_policies:
            return []
        name, value = rule.guard
        own = item.wanted().get(name)
        if own in _HARMLESS or own == value or state == own:
            return []
        body[name] = value
        if item.found().get(name) == value:
            del body[name]
        return [_REPORT_ONLY]

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
        if _reports_only(item.entry) and not self._plan.options.enable_policies:
            draft.notes.append(_REPORT_ONLY)
            return None
        enable = self._draft("enable", item)
        enable.stage, enable.owner, enable.body, enable.before = ALL_STAGES[-1], item.id, {name: own}, {name: value}
        return enable

    def _later(self, item: ObjectDiff, draft: Draft) -> None:
        """Moves properties that refer to later objects into a draft of their own."""
        rule = item.entry.restore
        body: Body = {}
        for path in sorted(rule.later):
            values = [value for value in at(draft.body, path) if not empty(value)]
            first = path.partition(".")[0]
            if not values or not (rule.strategy is WriteStrategy.GROUP or ids_in(values) & self._plan.coming):
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
        self._plan.drafts.append(later)

    def _draft(self, action: Action, item: ObjectDiff) -> Draft:
        return Draft(
            action=action,
            table=item.table,
            id=item.id,
            stage=stage_of_table(item.table),
            parent=item.parent,
            live_id=item.live_id,
            name=item.name,
        )

    def _refer(self, entry: ObjectType, draft: Draft) -> None:
        """Notes the references of a draft."""
        draft.refs = ids_in(draft.body) | _named_others(entry, draft.body)
        draft.strict = ids_in([at(draft.body, path) for path in entry.restore.refers])
        if draft.parent and draft.action == "create":
            draft.strict.add(draft.parent)
        if is_view(entry) and draft.action == "update" and not draft.live_id:
            draft.owner = _shown_for(draft)

    def _returns(self, item: ObjectDiff) -> bool:
        """Tells whether an object comes back by itself with another one from the recycle bin."""
        entry = item.entry
        if item.parent in self._plan.binned or (entry.shows and item.id in self._plan.binned):
            return True
        above = entry.parent and self._plan.diff.items.get(entry.parent.type, {}).get(item.parent)
        if above and above.state is not ObjectState.THERE:
            return self._returns(above)
        if not entry.restore.link:
            return False
        body = normalized(entry, item.wanted())
        return bool(ids_in([at(body, path) for path in entry.restore.refers]) & self._plan.binned)

    def _lost(self, item: ObjectDiff) -> list[str]:
        rule = item.entry.restore
        notes = [f"not restored: {', '.join(rule.lost)}"] if rule.lost else []
        wanted = item.wanted()
        made = {plain(str(wanted.get(name) or "")) for name in ("mail", SIGN_IN) if name not in rule.volatile}
        # The address of a group is made of its alias; another one was given by Exchange.
        mail, alias = plain(str(wanted.get("mail") or "")), str(wanted.get("mailNickname") or "").lower()
        made |= {mail} if mail.partition("@")[0] == alias else set()
        addresses = [one for one in wanted.get(_ADDRESSES) or () if plain(one) not in made]
        if addresses and (who := rule.elsewhere.get(_ADDRESSES)):
            notes.append(f"without the addresses {', '.join(addresses)}, which can be given back by {who}")
        if rule.strategy is WriteStrategy.USER and item.wanted().get("userType") == "Guest":
            notes.append("a guest is invited again, and has to accept")
        return notes


def _shown_for(draft: Draft) -> str:
    """Returns the id of the object with which another one is there: what shows it, else itself."""
    return draft.parent if is_view(CATALOGUE[draft.table]) and draft.parent else draft.id


def _in_the_way(entry: ObjectType, found: Body) -> Body:
    """Returns the properties with which Graph does not delete an object (Entra doc: groups with licences)."""
    rule = entry.restore
    held = {name for name, value in rule.before_removal.items() if name in found and found[name] != value}
    if rule.strategy is WriteStrategy.GROUP and found.get(_LICENSES):
        held.add(_LICENSES)
    shown = normalized(entry, found)
    return {name: shown[name] for name in (*sorted(held), *([_TYPE] if held and _TYPE in shown else []))}


def _named_others(entry: ObjectType, body: Body) -> set[str]:
    """Returns the ids that are names, of the objects that a body refers to."""
    values = [value for path in entry.restore.names_others for value in at(body, path)]
    return {one for value in values for one in (value if isinstance(value, list) else [value]) if isinstance(one, str)}


def _reports_only(entry: ObjectType) -> bool:
    return entry.category is Category.CONDITIONAL_ACCESS
