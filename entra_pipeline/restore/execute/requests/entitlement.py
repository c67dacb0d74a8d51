"""Entitlement management: resources and assignments come and go by requests, roles of packages one by one."""

from __future__ import annotations

from typing import Any

from entra_pipeline.graph import Write
from entra_pipeline.restore.execute import lost_write
from entra_pipeline.restore.execute.requests.generic import RequestBuilder
from entra_pipeline.restore.objects.expiry import end_of

_ROOT = "identityGovernance/entitlementManagement"
_SCOPES = "resourceRoleScopes"


class EntitlementRequests(RequestBuilder):
    """Catalogs' resources, packages with their roles, and assignments (Graph doc: entitlementmanagement-overview)."""

    async def made(self) -> dict[str, Any]:
        """Creates the object by a request where the type has no POST of its own."""
        work, body = self.work, self.sent()
        request = self._request(body)
        if request is None:
            return await super().made()
        segment, key = request.pop("@segment"), request.pop("@key")
        if there := await self.came_back(key):
            return there

        # A second request for the same is refused, or does nothing: what is there is what was asked for.
        async def find(new: bool) -> dict[str, Any] | None:
            return await lost_write.find(work, key, new=False)

        answer = await work.make(Write("POST", f"{_ROOT}/{segment}", request), find)
        made = await work.patiently(lambda: find(False)) or answer
        return dict(made)

    def first(self) -> set[str]:
        """Leaves out the roles of a package, which are added to it later."""
        return super().first() - {_SCOPES}

    async def change(self, body: dict[str, Any]) -> None:
        """Changes the object, then adds roles that a package lacks and removes those that it should not give."""
        own = {name: value for name, value in body.items() if name != _SCOPES}
        if own:
            await super().change(own)
        if _SCOPES not in body:
            return
        shown = await self.work.get(f"{self.item}?$expand={_SCOPES}($expand=role,scope)") or {}
        there = {_role(one): one for one in shown.get(_SCOPES) or ()}
        for one in body[_SCOPES] or ():
            if there.pop(_role(one), None) is None:
                await self.work.do(Write("POST", f"{self.item}/{_SCOPES}", _role_request(one), repeatable=True))
        if self.work.session.options.conflict != "merge":
            for one in there.values():
                await self.work.do(Write("DELETE", f"{self.item}/{_SCOPES}/{one['id']}"))

    async def delete(self) -> None:
        """Removes the object by a request where the type has no DELETE of its own."""
        work = self.work
        if self.entry.name == "access_package_assignments":
            request: dict[str, Any] = {"requestType": "adminRemove", "assignment": {"id": work.id}}
            await work.do(Write("POST", f"{_ROOT}/assignmentRequests", request, repeatable=True))
        elif self.entry.name == "access_package_resources":
            request = {"requestType": "adminRemove", "resource": {"id": work.id}, "catalog": {"id": work.parent}}
            await work.do(Write("POST", f"{_ROOT}/resourceRequests", request, repeatable=True))
        else:
            await super().delete()

    def _request(self, body: dict[str, Any]) -> dict[str, Any] | None:
        """Builds the request that creates the object, its path (`@segment`) and its key (`@key`)."""
        if self.entry.name == "access_package_resources":
            key = {name: body.get(name) for name in ("originId", "originSystem")}
            return {
                "@segment": "resourceRequests",
                "@key": key,
                "requestType": "adminAdd",
                "resource": key,
                "catalog": {"id": self.work.parent},
            }
        if self.entry.name == "access_package_assignments":
            target = body.get("target") or {}
            package, policy = ((body.get(name) or {}).get("id") for name in ("accessPackage", "assignmentPolicy"))
            # Without one, the policy says how long it lasts (Graph doc: accesspackageassignmentrequest).
            schedule = {"schedule": body["schedule"]} if end_of(body.get("schedule") or {}) else {}
            return {
                "@segment": "assignmentRequests",
                "@key": {"accessPackage": {"id": package}, "target": {"objectId": target.get("objectId")}},
                "requestType": "adminAdd",
                **schedule,
                "assignment": {
                    "accessPackageId": package,
                    "assignmentPolicyId": policy,
                    "targetId": target.get("objectId"),
                },
            }
        return None


def _role(one: dict[str, Any]) -> tuple[Any, Any]:
    return (one.get("role") or {}).get("originId"), (one.get("scope") or {}).get("originId")


def _role_request(one: dict[str, Any]) -> dict[str, Any]:
    """Builds the request that adds a role to a package (Graph doc: accesspackage-post-resourcerolescopes)."""
    return {part: {n: v for n, v in (one.get(part) or {}).items() if n != "id"} for part in ("role", "scope")}
