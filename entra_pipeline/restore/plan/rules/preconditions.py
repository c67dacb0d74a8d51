"""What Graph will refuse of a plan, found before anything is written: domains and texts.

What belongs here: holding the drafts against the catalogue's limits. What does not: names that are taken (`taken`),
licences (`seats`), ends that are past (`expired`), references (`resolver`).

Each finding is a refusal with what can be chosen. What Graph would refuse is left out of the draft, or put right where
the catalogue says how; an object without which the refused is not worth having is not planned. So that a plan without
findings is one that Graph takes.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from entra_pipeline.restore.objects.texts import is_valid, valid_text
from entra_pipeline.restore.plan.diff import ObjectDiff, ObjectState
from entra_pipeline.restore.plan.rules.drafts import Draft, PlanDraft
from entra_pipeline.restore.plan.rules.taken import (
    RENAME,
    SIGN_IN,
    TakenNameRules,
    leave_value,
    may_rename,
    texts,
    undeleted,
)

_TAKING = {"create", "undelete", "update"}
# Schemes of identifier URIs whose host has to be a verified domain (Entra doc: identifier-uri-restrictions).
_WITH_HOST = ("http", "https", "api")


class PreconditionRules:
    """Finds what Graph would refuse of the drafts of objects, whoever else is there.

    Args:
        plan: The drafts, which are changed; receives the refusals.
        names: Knows the verified domains, and gives other sign-in names.
    """

    def __init__(self, plan: PlanDraft, names: TakenNameRules) -> None:
        self._plan = plan
        self._names = names

    def apply(self) -> None:
        """Refuses, leaves out or puts right what Graph would not take."""
        if self._plan.options.taken == "rename":
            coming = (one for one in self._plan.drafts if one.action in {"create", "undelete"})
            self._names.foresee(
                value
                for one in coming
                for value in texts(one.body.get(SIGN_IN))
                if not self._is_verified(_domain(value))
            )
        for draft in list(self._plan.drafts):
            item = self._plan.diff.items.get(draft.table, {}).get(draft.id)
            if item and draft.action in _TAKING and item.state is not ObjectState.ADDED:
                self._texts(draft, item)
                self._on_domains(draft, item)
        self._plan.drop_empty()

    def _on_domains(self, draft: Draft, item: ObjectDiff) -> None:
        """Holds sign-in names and identifier URIs against the verified domains."""
        domains = self._names.domains
        if domains is None:
            return
        body = {**undeleted(item), **draft.body} if draft.action == "undelete" else draft.body
        for name in sorted(item.entry.restore.domains & body.keys()):
            for value in texts(body[name]):
                domain = _domain(value)
                if self._is_verified(domain):
                    continue
                if domain not in domains and name == SIGN_IN and "#EXT#" in value:
                    continue
                reason = f"its {name} {value} belongs to {domain}, which is not a verified domain of the tenant"
                remedy = f"Verify {domain} again, and plan again"
                if name == SIGN_IN and draft.action != "update":
                    renamed = f"; {RENAME}" if may_rename(item, value) else ""
                    self._names.rename(draft, item, value, reason, f"{remedy}{renamed}.")
                elif draft.action == "undelete":
                    self._plan.drop(item, reason, f"{remedy}.")
                else:
                    held = draft.body[name]
                    leave_value(draft, name, [one for one in held if one != value] if isinstance(held, list) else None)
                    self._plan.leave_out(draft, item, f"without {name} {value}: {reason}", f"{remedy}.")

    def _is_verified(self, domain: str) -> bool:
        """Tells whether a domain is the tenant's, or below one; where domains are not known, all are."""
        domains = self._names.domains
        return not domain or domains is None or any(domain == one or domain.endswith(f".{one}") for one in domains)

    def _texts(self, draft: Draft, item: ObjectDiff) -> None:
        """Holds texts against the characters and lengths that Graph takes."""
        for name, rule in item.entry.restore.texts.items():
            value = draft.body.get(name)
            if not isinstance(value, str) or not value or is_valid(rule, value):
                continue
            remedy = "Set another value manually if needed."
            if rule.replaced and draft.action == "create":
                draft.body[name] = valid_text(rule, value)
                self._plan.leave_out(
                    draft, item, f"its {name} becomes {draft.body[name]}: Graph does not accept {value!r}", remedy
                )
            elif draft.action == "update" or name not in item.entry.restore.required:
                del draft.body[name]
                self._plan.leave_out(draft, item, f"without {name}: Graph does not accept {value!r}", remedy)


def _domain(value: str) -> str:
    """The domain in a sign-in name, or in an identifier URI that has one; empty where none has to be verified."""
    if "@" in value and "://" not in value:
        return value.rpartition("@")[2].casefold()
    parts = urlsplit(value)
    host = parts.hostname or ""
    return host if parts.scheme in _WITH_HOST and "." in host else ""
