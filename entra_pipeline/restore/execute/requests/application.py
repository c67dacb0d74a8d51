"""Applications: what is removed is disabled first, and what refers to itself comes second."""

from __future__ import annotations

from typing import Any

from entra_pipeline.restore.execute.requests.generic import RequestBuilder

_APP_ID = "appId"
_PRE_AUTHORIZED = "preAuthorizedApplications"
_SCOPES = "oauth2PermissionScopes"


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
        before = self.work.step.before
        roles = _removed(before.get("appRoles"), body["appRoles"]) if "appRoles" in body else None
        api = body.get("api") or {}
        scopes = _removed((before.get("api") or {}).get(_SCOPES), api[_SCOPES]) if _SCOPES in api else None
        disabled: dict[str, Any] = {}
        if roles:
            disabled["appRoles"] = roles
        if scopes:
            disabled["api"] = {_SCOPES: scopes}
        if disabled:
            await super().change(disabled)
        await super().change(body)


def _removed(before: list[dict[str, Any]] | None, wanted: list[dict[str, Any]] | None) -> list[dict[str, Any]]:
    """Disables the items that are removed or replaced; empty when there are none."""
    kept = {one["id"]: one for one in wanted or ()}
    going = [
        one["id"]
        for one in before or ()
        if one.get("isEnabled") and (one["id"] not in kept or kept[one["id"]].get("value") != one.get("value"))
    ]
    return (
        [{**one, "isEnabled": one.get("isEnabled") and one["id"] not in going} for one in before or ()] if going else []
    )
