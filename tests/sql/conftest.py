"""A tenant whose story is known: three recovery points, of eight days ago, of three days ago and of now."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from entra_pipeline.simulator import Simulator
from entra_pipeline.store.manifest import Manifest
from tests.sql.planted import plant_applications, plant_policies, plant_roles
from tests.sql.tenant import Tenant
from tests.support.logged import Logged
from tests.support.protected import _impatience, protect

__all__ = ["_impatience"]

PAGE = Path(__file__).parents[2] / "docs" / "sql.md"
QUESTIONS = dict(
    re.findall(r"^### (\d+)\. [^\n]*\n\n```sql\n(.*?);\n```", PAGE.read_text(encoding="utf-8"), re.M | re.S)
)
GLOBAL_ADMINISTRATOR = "62e90394-69f5-4237-9190-012177145e10"
"""Template of the role, and id of its definition in every tenant (Graph doc: permissions-reference)."""
TYPES = (
    "users",
    "groups",
    "directory_roles",
    "role_definitions",
    "role_assignments",
    "role_assignment_schedules",
    "role_eligibility_schedules",
    "privileged_access_group_eligibility_schedules",
    "privileged_access_group_assignment_schedules",
    "administrative_units",
    "applications",
    "federated_identity_credentials",
    "service_principals",
    "app_role_assignments",
    "oauth2_permission_grants",
    "devices",
    "conditional_access_policies",
    "subscribed_skus",
)


class Story(Logged):
    """What happened.

    Attributes:
        points: The three recovery points.
        tenants: What the tenant was at each of them.
        facts: What is to be remembered of the tenant: names and numbers.
    """

    def __init__(self, simulator: Simulator, folder: Path) -> None:
        super().__init__(simulator, folder, f'{protect(*TYPES)}\nlogs = ["directory_audits"]')
        self.file = folder / "dagster_project.toml"
        self.points: list[Manifest] = []
        self.tenants: list[Tenant] = []
        self.facts: dict[str, Any] = {}
        self._ids: dict[str, str] = {}
        self.ahead = timedelta(days=-8)
        self._begin()
        self._take()
        self.ahead = timedelta(days=-3)
        self._go_on()
        self._take()
        self.ahead = timedelta()
        self._end()
        self._take()
        # A log is read up to the last whole second: what happened within this one is there a second later.
        self.ahead = timedelta(seconds=1)
        self.read("directory_audits")

    def _take(self) -> None:
        self.facts.setdefault("licences", []).append(
            {one["skuPartNumber"]: one["consumedUnits"] for one in self.control.dump("subscribedSkus")}
        )
        self.tenants.append(Tenant(self.control))
        self.points.append(self.backup())

    def _person(self, name: str, **properties: object) -> str:
        account = name.lower().replace(" ", ".")
        domain = next(one for one in self.control.dump("domains") if one["isDefault"])["id"]
        body = {
            "displayName": name,
            "userPrincipalName": f"{account}@{domain}",
            "mailNickname": account,
            "accountEnabled": True,
            "userType": "Member",
            **properties,
        }
        self._ids[name] = self.control.create("users", body)
        return self._ids[name]

    def _begin(self) -> None:
        control = self.control
        adele = self._person("Adele Vance", jobTitle="Analyst", department="Finance")
        glass = self._person("Break Glass")
        owner = self._person("Otto Owner")
        self._person("Dora Deleted")
        group = {
            "displayName": "Finance approvers",
            "mailEnabled": False,
            "mailNickname": "fa",
            "securityEnabled": True,
        }
        self._ids["group"] = control.create("groups", group)
        control.add_link(f"groups/{self._ids['group']}/members", adele)
        control.add_link(f"groups/{self._ids['group']}/owners", owner)
        inner = {**group, "displayName": "Auditors", "mailNickname": "au", "isAssignableToRole": True}
        self._ids["inner"] = control.create("groups", inner)
        control.add_link(f"groups/{self._ids['inner']}/members", adele)
        roles = {one["displayName"]: one["id"] for one in control.dump("directoryRoles")}
        self._ids["role"] = roles["Global Administrator"]
        control.add_link(f"directoryRoles/{roles['Global Reader']}/members", self._ids["inner"])
        control.add_link(f"directoryRoles/{self._ids['role']}/members", adele)
        self._privilege({**group, "displayName": "Tier zero", "mailNickname": "tz", "isAssignableToRole": True})
        plant_roles(control, self._person, group, self._ids["tier"])
        plant_applications(control, self._person)
        plant_policies(control, self._person, self._ids["inner"])
        policy = min(control.dump("identity/conditionalAccess/policies"), key=lambda one: str(one["displayName"]))
        self._ids["policy"], self.facts["policy"] = policy["id"], policy["displayName"]
        self.facts["state"] = policy["state"]
        conditions = policy["conditions"]
        conditions["users"]["excludeUsers"] = [glass]
        control.patch(f"identity/conditionalAccess/policies/{policy['id']}", {"conditions": conditions})
        self.facts["conditions"] = conditions
        application = min(control.dump("applications"), key=lambda one: str(one["displayName"]))
        ends = datetime.now(UTC) + timedelta(days=10)
        secret = {
            "customKeyIdentifier": None,
            "displayName": "nearly over",
            "endDateTime": f"{ends:%Y-%m-%dT%H:%M:%SZ}",
            "hint": "abc",
            "keyId": "5b3c2b6e-1df0-4f5c-9a55-0f1f6e0a0d01",
            "secretText": None,
            "startDateTime": "2026-01-01T00:00:00Z",
        }
        control.patch(f"applications/{application['id']}", {"passwordCredentials": [secret]})
        self.facts["application"] = application["displayName"]
        self.facts["expires"] = ends.replace(microsecond=0)

    def _privilege(self, group: dict[str, object]) -> None:
        """Makes Global Administrators by a group and by eligibility, some of them by both."""
        control = self.control
        role = {"roleDefinitionId": GLOBAL_ADMINISTRATOR, "directoryScopeId": "/"}
        ready = {"status": "Provisioned", "scheduleInfo": {"startDateTime": "2026-01-01T00:00:00Z"}}
        tier = self._ids["tier"] = control.create("groups", group)
        nested = control.create("groups", {**group, "displayName": "Nested", "mailNickname": "ne"})
        control.add_link(f"groups/{tier}/members", nested)
        for name in ("Gina Group", "Nils Nested", "Ella Eligible", "Rolf Ready"):
            self._person(name)
        control.add_link(f"groups/{tier}/members", self._ids["Gina Group"])
        control.add_link(f"groups/{nested}/members", self._ids["Nils Nested"])
        control.create("roleManagement/directory/roleAssignments", {**role, "principalId": tier})
        schedules = "roleManagement/directory/roleEligibilitySchedules"
        control.create(schedules, {**role, **ready, "principalId": self._ids["Rolf Ready"]})
        control.create(
            "identityGovernance/privilegedAccess/group/eligibilitySchedules",
            {**ready, "groupId": tier, "principalId": self._ids["Ella Eligible"], "accessId": "member"},
        )

    def _go_on(self) -> None:
        control = self.control
        self._person("Gustav Guest", userType="Guest")
        bo = self._person("Bo Nilsson")
        control.remove_link(f"groups/{self._ids['group']}/owners", self._ids["Otto Owner"])
        control.remove_link(f"groups/{self._ids['group']}/members", self._ids["Adele Vance"])
        control.remove_link(f"directoryRoles/{self._ids['role']}/members", self._ids["Adele Vance"])
        control.add_link(f"directoryRoles/{self._ids['role']}/members", bo)
        control.delete(f"users/{self._ids['Dora Deleted']}")
        # One takes the place of another in the group; and who was in it gets the role directly: that changes nothing.
        control.remove_link(f"groups/{self._ids['tier']}/members", self._ids["Gina Group"])
        control.add_link(f"groups/{self._ids['tier']}/members", self._ids["Otto Owner"])
        control.create(
            "roleManagement/directory/roleAssignments",
            {
                "roleDefinitionId": GLOBAL_ADMINISTRATOR,
                "directoryScopeId": "/",
                "principalId": self._ids["Nils Nested"],
            },
        )

    def _end(self) -> None:
        control = self.control
        control.patch(f"users/{self._ids['Adele Vance']}", {"jobTitle": "Controller", "accountEnabled": False})
        sku = next(one for one in control.dump("subscribedSkus") if one["skuPartNumber"] == "SPE_E5")
        control.patch(f"subscribedSkus/{sku['id']}", {"consumedUnits": sku["consumedUnits"] + 1})
        conditions = self.facts["conditions"]
        conditions["users"]["excludeUsers"] = []
        state = "disabled" if self.facts["state"] != "disabled" else "enabled"
        control.patch(
            f"identity/conditionalAccess/policies/{self._ids['policy']}", {"conditions": conditions, "state": state}
        )
        self.facts["states"] = (self.facts["state"], state)
        principals = control.dump("servicePrincipals")
        resource = next(one for one in principals if any(role["isEnabled"] for role in one.get("appRoles") or ()))
        client = next(one for one in principals if one["id"] != resource["id"])
        role = next(role for role in resource["appRoles"] if role["isEnabled"])
        self.facts["granted"] = datetime.now(UTC).replace(microsecond=0)
        control.create(
            f"servicePrincipals/{client['id']}/appRoleAssignments",
            {
                "principalId": client["id"],
                "resourceId": resource["id"],
                "appRoleId": role["id"],
                "createdDateTime": f"{self.facts['granted']:%Y-%m-%dT%H:%M:%SZ}",
            },
        )
        self.facts["grant"] = (client["displayName"], resource["displayName"], role["value"])


@pytest.fixture(scope="session")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """The story, told once; tests only read."""
    with Simulator(users=25, groups=4, seed=5) as simulator:
        yield Story(simulator, tmp_path_factory.mktemp("story"))
