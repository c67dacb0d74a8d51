"""Applications: what is removed is disabled first, and what refers to itself comes second.

A role and a scope may have the same id. Graph then takes them only when both say the same, in every write (azure-docs
issue 81899): one is never disabled, enabled or renamed without the other.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from entra_pipeline.restore.execute.requests.generic import RequestBuilder

_APP_ID = "appId"
_PRE_AUTHORIZED = "preAuthorizedApplications"
_SCOPES = "oauth2PermissionScopes"
_ROLES = "appRoles"
# Properties of a role, and those of a scope with the same id that have to be equal (azure-docs issue 81899).
_AGREE = {
    "description": "adminConsentDescription",
    "displayName": "adminConsentDisplayName",
    "isEnabled": "isEnabled",
    "value": "value",
}
_BACK = {scope: role for role, scope in _AGREE.items()}


class ApplicationRequests(RequestBuilder):
    """Applications (Graph doc: application-post-applications, application-update)."""

    def sent(self) -> dict[str, Any]:
        """Leaves out pre-authorised applications, which refer to scopes that have to exist first."""
        body = super().sent()
        api = dict(body.get("api") or {})
        if api.pop(_PRE_AUTHORIZED, None):
            body["api"] = api
        return body

    def ids_of(self, made: dict[str, Any]) -> dict[str, str]:
        """Adds the appId, which changes with the id and by which others refer to the application."""
        step = self.work.step
        ids = super().ids_of(made)
        old = self.work.session.app_ids.get(step.id)
        return {**ids, old: str(made[_APP_ID])} if old and made.get(_APP_ID) else ids

    def rest(self) -> dict[str, Any]:
        """Adds the pre-authorised applications."""
        rest = super().rest()
        authorized = (self.work.body().get("api") or {}).get(_PRE_AUTHORIZED)
        return {**rest, "api": {**(rest.get("api") or {}), _PRE_AUTHORIZED: authorized}} if authorized else rest

    async def change(self, body: dict[str, Any]) -> None:
        """Disables roles and scopes before they are removed or replaced: Graph refuses to change enabled ones."""
        if _ROLES in body or _SCOPES in (body.get("api") or {}):
            found = await self.shown([_ROLES, "api"]) or self.work.step.before
            disabled, body = in_order(found, body)
            if disabled:
                await super().change(disabled)
        await super().change(body)


def in_order(found: dict[str, Any], body: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Splits a change of roles and scopes into two that Graph takes one after the other.

    Args:
        found: The application as it is.
        body: What it is to become.

    Returns:
        What disables the roles and scopes that are removed or replaced, with those of the same ids; empty when there
        are none. And the change, with the other list where one of the two has to follow.
    """
    before = {_ROLES: [], _SCOPES: [], **_lists(found)}
    wanted = before | _lists(body)
    for target, source in ((_SCOPES, _ROLES), (_ROLES, _SCOPES)):
        if source in _lists(body) and target not in _lists(body):
            wanted[target] = _following(wanted[target], wanted[source], _AGREE if source == _ROLES else _BACK)
    going = {
        one["id"]
        for name, items in before.items()
        for one in items
        if one.get("isEnabled") and _kept(wanted[name], one["id"]).get("value", ...) != one.get("value")
    }
    disabled = {
        name: [{**one, "isEnabled": bool(one.get("isEnabled")) and one["id"] not in going} for one in items]
        for name, items in before.items()
        if any(one["id"] in going for one in items)
    }
    sent = {
        name: items
        for name, items in wanted.items()
        if name in _lists(body) or name in disabled or items != before[name]
    }
    return _as_body(disabled, {}), _as_body(sent, body)


def _following(items: Iterable[dict[str, Any]], leading: list[dict[str, Any]], names: dict[str, str]) -> list[Any]:
    """Gives the items of one list the values that those of the same ids have in the other."""
    return [
        {**one, **{names[name]: value for name, value in _kept(leading, one["id"]).items() if name in names}}
        for one in items
    ]


def _kept(items: Iterable[dict[str, Any]], identifier: str) -> dict[str, Any]:
    return next((one for one in items if one["id"] == identifier), {})


def _lists(body: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Returns roles and scopes of an application, those that are given."""
    api = body.get("api") or {}
    lists = {_ROLES: body.get(_ROLES, ...), _SCOPES: api.get(_SCOPES, ...)}
    return {name: items or [] for name, items in lists.items() if items is not ...}


def _as_body(lists: dict[str, Any], rest: dict[str, Any]) -> dict[str, Any]:
    """Puts roles and scopes where an application has them."""
    body = {**rest, **{name: items for name, items in lists.items() if name == _ROLES}}
    if _SCOPES in lists:
        body["api"] = {**(rest.get("api") or {}), _SCOPES: lists[_SCOPES]}
    return body
