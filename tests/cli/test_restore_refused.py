"""The restore command where Graph would refuse a part: it is told when it is planned, and the rest comes back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from entra_pipeline.simulator import Simulator
from tests.cli.conftest import Place, write_project

_SCOPE = '[scopes.people]\ntenant = "contoso"\nstorage = "disk"\nprotect = [{}]\n'
_PROTECT = (
    "users",
    "user_licenses",
    "groups",
    "applications",
    "service_principals",
    "app_role_assignments",
    "oauth2_permission_grants",
    "conditional_access_policies",
    "domains",
    "subscribed_skus",
)


class Site(NamedTuple):
    """A tenant of the module, and a project that protects what can be refused."""

    place: Place

    @property
    def control(self) -> Any:
        return self.place.simulator.control

    def point(self) -> str:
        """Takes a recovery point of the tenant as it is."""
        assert self.place.call("backup", "people").code == 0
        return str(self.place.call("points", "people", "--json").json[-1]["recovery_point"])

    def plan(self, point: str, *arguments: object) -> tuple[int, dict[str, Any]]:
        """Plans; returns exit code and plan."""
        planned = self.place.call("restore", "people", "--at", point, *arguments, "--dry-run", "--json")
        assert planned.code in {0, 3}, planned.err
        return planned.code, planned.json["plan"]

    def restore(self, point: str, *arguments: object) -> tuple[int, dict[str, Any]]:
        """Restores; returns exit code and report."""
        done = self.place.call("restore", "people", "--at", point, *arguments, "--yes", "--json")
        assert done.code in {0, 3}, done.err
        return done.code, done.json["report"]

    def one(self, path: str, **wanted: Any) -> dict[str, Any]:
        """The first object of a set with these properties."""
        found: list[dict[str, Any]] = self.control.dump(path)
        return next(one for one in found if all(one.get(name) == value for name, value in wanted.items()))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with Simulator(users=20, groups=6, seed=5) as simulator:
        protect = ", ".join(f'"{name}"' for name in _PROTECT)
        yield Site(
            Place(write_project(tmp_path_factory.mktemp("refused"), simulator, _SCOPE.format(protect)), simulator)
        )


def test_a_role_and_a_scope_of_one_id_are_disabled_and_set_back_together(site: Site) -> None:
    role = {
        "id": "0b5c3d1e-7a55-4a3c-8b5d-64d2d8a4c111",
        "allowedMemberTypes": ["Application"],
        "value": "Orders.Read",
        "isEnabled": True,
        "displayName": "Read orders",
        "description": "Read all orders",
    }
    scope = {
        "id": role["id"],
        "type": "Admin",
        "value": role["value"],
        "isEnabled": True,
        "adminConsentDisplayName": role["displayName"],
        "adminConsentDescription": role["description"],
    }
    apps = [one["id"] for one in site.control.dump("applications")[:2]]
    for app in apps:
        site.control.patch(f"applications/{app}", {"appRoles": [role], "api": {"oauth2PermissionScopes": [scope]}})
    point = site.point()
    off = {"isEnabled": False}
    site.control.patch(
        f"applications/{apps[0]}",
        {"appRoles": [{**role, **off}], "api": {"oauth2PermissionScopes": [{**scope, **off}]}},
    )
    # Only the scope is there at the point to come: the role was made of it since.
    site.control.patch(f"applications/{apps[1]}", {"appRoles": []})
    later = site.point()
    site.control.patch(f"applications/{apps[1]}", {"appRoles": [role]})
    chosen = ("--types", "applications", "--ids", ",".join(apps))
    assert site.restore(later, *chosen)[0] == 0
    kept = site.one("applications", id=apps[1])
    assert (kept["appRoles"], kept["api"]["oauth2PermissionScopes"]) == ([], [scope])
    assert site.restore(point, *chosen)[0] == 0
    for app in apps:
        back = site.one("applications", id=app)
        assert (back["appRoles"], back["api"]["oauth2PermissionScopes"]) == ([role], [scope])
