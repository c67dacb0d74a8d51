"""Erasing a person from a scope: whom, what that means, and who was erased before.

What it would take away is found in the processes that answer pages, which are bounded; what erasing is, and what it is
not, `store.erasure` knows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response

from entra_pipeline.console.approving.erasures import ErasureRequest
from entra_pipeline.console.auditing import record
from entra_pipeline.console.auth.roles import Role
from entra_pipeline.console.editing.form_errors import InvalidEntries
from entra_pipeline.console.routing import Area, Page, RequestContext, address, status_of
from entra_pipeline.errors import EntraPipelineError, NotInStore, UsageError
from entra_pipeline.project import Scope
from entra_pipeline.restore.records.approval import is_same_person
from entra_pipeline.store.erasure.erase import Erasure, finish, is_finished
from entra_pipeline.store.erasure.persons import PersonRows
from entra_pipeline.store.erasure.record import ErasureRecords
from entra_pipeline.store.recovery_points import ScopeStore
from entra_pipeline.text import pluralize

# Characters of a name that is looked for, and of a reason.
_LONGEST = 200
_REASON = 500


@dataclass(frozen=True, slots=True)
class FoundPerson:
    """A person who can be erased, and what that takes away.

    Attributes:
        person: The person's id.
        called: What they are called in the recovery points; shown, and never written down.
        rows: Rows that become unreadable, by object type.
        points: Keys of the recovery points with such rows, oldest first.
        naming: Keys of records that name the person.
        held: Why nobody may erase the person now.
    """

    person: str
    called: tuple[str, ...]
    rows: Mapping[str, int]
    points: tuple[str, ...]
    naming: tuple[str, ...]
    held: tuple[str, ...]

    @property
    def name(self) -> str:
        """What has to be typed to confirm: an address, else a name, else the id."""
        return next((one for one in self.called if "@" in one), next(iter(self.called), self.person))


def show(context: RequestContext) -> Response:
    """Shows whom to look for, and who was erased."""
    return _page(context)


def _page(
    context: RequestContext, found: FoundPerson | None = None, error: EntraPipelineError | None = None
) -> Response:
    scope = context.scope()
    context.wrong = error.fields if isinstance(error, InvalidEntries) else {}
    return context.page(
        "erase.html",
        status=200 if error is None else status_of(error),
        error=error,
        scope=scope,
        found=found,
        waiting=context.state.erasures.of(scope.name),
        request=context.state.erasures.find(scope.name, found.person) if found else None,
        erased=_erased(context.store()) if scope.erasure else [],
    )


def _erased(store: ScopeStore) -> list[dict[str, Any]]:
    """The erasures of a scope, the newest first."""
    records = list(ErasureRecords(store.files, store.scope))
    return [{"record": one, "finished": is_finished(store, one)} for one in reversed(records)]


def act(context: RequestContext) -> Response:
    """Looks for a person; or has one erased, or asks a second administrator to."""
    scope, name = context.scope(), context.field("person")[:_LONGEST]
    found: FoundPerson | None = None
    try:
        if not name:
            raise InvalidEntries({"person": "Enter an id or a name."}, what="nobody is looked for")
        found = FoundPerson(**{key: _frozen(one) for key, one in context.read("erasure", name=name).items()})
        match context.field("act"):
            case "erase":
                return _asked(context, scope, found)
            case "approve":
                return _approved(context, scope, found)
            case "withdraw":
                return _withdrawn(context, scope, found)
    except EntraPipelineError as error:
        return _page(context, found, error)
    return _page(context, found)


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _asked(context: RequestContext, scope: Scope, found: FoundPerson) -> Response:
    """Erases a person, or keeps that somebody has asked for it."""
    reason = context.field("reason")[:_REASON]
    wrong = {} if reason else {"reason": "Enter a reason. It is kept for ever: write no names."}
    if any(one.casefold() in reason.casefold() for one in found.called):
        wrong["reason"] = "The reason is kept for ever: leave out what names the person."
    _confirmed(context, found, wrong)
    request = ErasureRequest(
        scope.name, found.person, context.user, reason, bool(context.field("records")), context.state.clock()
    )
    if not scope.approval:
        return _erase(context, found, request, by=context.user.name)
    context.state.erasures.add(request)
    _record(context, "erase request", found, "finished")
    return context.go(_address(scope), f"A second administrator has to approve that {found.person} is erased.")


def _confirmed(context: RequestContext, found: FoundPerson, wrong: dict[str, str]) -> None:
    """Checks what has to be typed, and that no hold forbids it; raises InvalidEntries, UsageError."""
    if context.field("confirm").casefold() != found.name.casefold():
        wrong["confirm"] = f"Type {found.name} to confirm."
    if wrong:
        raise InvalidEntries(wrong, what="nobody has been erased")
    if found.held:
        raise UsageError(
            f"nobody has been erased: {'; '.join(found.held)}", remedy="Release the hold, when that may be."
        )


def _approved(context: RequestContext, scope: Scope, found: FoundPerson) -> Response:
    """Erases a person for whom another administrator has asked."""
    request = _request(context, scope, found)
    asked, user = request.by, context.user
    if is_same_person(asked.name, asked.identity, user.name, user.identity):
        _record(context, "erase", found, "refused")
        raise UsageError(
            "nobody approves what they asked for themselves",
            remedy="Another administrator has to sign in and review it.",
        )
    _confirmed(context, found, {})
    return _erase(context, found, request, by=f"{asked.name}, approved by {user.name}")


def _withdrawn(context: RequestContext, scope: Scope, found: FoundPerson) -> Response:
    """Forgets that somebody has asked for an erasure."""
    _request(context, scope, found)
    context.state.erasures.remove(scope.name, found.person)
    _record(context, "erase request", found, "cancelled")
    return context.go(_address(scope), f"The request to erase {found.person} has been withdrawn.")


def _request(context: RequestContext, scope: Scope, found: FoundPerson) -> ErasureRequest:
    request = context.state.erasures.find(scope.name, found.person)
    if request is None:
        raise NotInStore("nobody has asked for that, or it was done", remedy="See the list of erasures below.")
    return request


def _erase(context: RequestContext, found: FoundPerson, request: ErasureRequest, *, by: str) -> Response:
    """Destroys the person's keys, and shows the record of it."""
    store = context.store()
    erasure = Erasure(store, found.person, found.called, (), PersonRows(found.rows, found.points), found.naming)
    try:
        finish(store)
        made = erasure.erase(by=by, reason=request.reason)
        kept = erasure.remove_records() if request.records else list(found.naming)
    except EntraPipelineError as error:
        _record(context, "erase", found, "failed", error=error.message)
        raise
    finally:
        # What was read while the keys were there is shown to nobody any more.
        context.state.forget_findings()
    context.state.erasures.remove(request.scope, found.person)
    _record(context, "erase", found, "finished", erasure=made.number, points=made.points)
    left = f" {pluralize(len(kept), 'record')} that name the person stay." if kept else ""
    text = f"{found.person} is erased: nobody can read the values any more (erasure {made.number}).{left}"
    return context.go(address("scopes", request.scope, "erase"), text)


def _record(context: RequestContext, action: str, found: FoundPerson, result: str, **details: Any) -> None:
    """Writes into the audit log what was done, with the id and never the name."""
    scope = context.path("scope")
    record(
        context.state,
        context.user,
        context.request,
        action=action,
        result=result,
        scope=scope,
        subject=found.person,
        **details,
    )


def _address(scope: Scope) -> str:
    return address("scopes", scope.name, "erase")


PAGES = (
    Page("/scopes/{scope}/erase", show, Role.administrator, area=Area.SCOPE),
    Page("/scopes/{scope}/erase", act, Role.administrator, ("POST",), area=Area.SCOPE),
)
