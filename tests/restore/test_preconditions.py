"""What Graph will refuse is known when a plan is made: a dry run that ends with 0 is an apply without a refused write.

Tenants are damaged at random, with what the catalogue's preconditions are about among the damage. `--preconditions N`
tries N of them, from the seed `--preconditions-first` on. The first of every ten is damaged only so that Graph refuses
nothing of its repair: its plan has no finding.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from entra_pipeline.graph.retry import use_policy
from entra_pipeline.restore.objects.model import RestorePlan
from entra_pipeline.restore.records import passwords
from entra_pipeline.restore.records.report import RestoreReport
from entra_pipeline.simulator import Control, Simulator
from tests.restore.pictured import Pictured
from tests.restore.test_disasters_undone import Site, site
from tests.support.patience import IMPATIENT

__all__ = ["site"]

Body = dict[str, Any]

FEW = ("users", "groups", "applications", "service_principals", "user_licenses", "domains", "subscribed_skus")
TYPES = (
    *FEW,
    "administrative_units",
    "app_role_assignments",
    "oauth2_permission_grants",
    "extension_properties",
    "role_definitions",
    "role_assignments",
    "role_eligibility_schedules",
    "privileged_access_group_eligibility_schedules",
    "conditional_access_policies",
    "named_locations",
)
TOGETHER = 10
"""Tenants that are made of one simulator, one after the other."""
FEWEST = 12
"""Members that a tenant needs to be damaged once more."""
_POLICIES = "identity/conditionalAccess/policies"
_LOCATIONS = "identity/conditionalAccess/namedLocations"
_ROLES = "roleManagement/directory/roleAssignments"
# What the simulated tenant shows and never takes: that is learned from Graph's answer only.
_UNKNOWN = {"futureSetting", "futureControls"}


class Tenant:
    """A tenant, what of it may be damaged, and how.

    Args:
        control: Of the tenant.
        seed: What the damage follows from.
    """

    def __init__(self, control: Control, seed: int) -> None:
        self.control: Any = control
        self.chance = random.Random(seed)
        self.seed = seed
        privileged = {each["principalId"] for each in self.control.dump("unifiedRoleAssignment")}
        self.users = [
            each
            for each in self.control.dump("users")
            if each["userType"] == "Member" and not each["onPremisesSyncEnabled"] and each["id"] not in privileged
        ]
        self.groups = [
            each for each in self.control.dump("groups") if not each["groupTypes"] and not each["onPremisesSyncEnabled"]
        ]
        self.apps = self.control.dump("applications")
        self.skus = self.control.dump("subscribedSkus")

    @property
    def harmless(self) -> bool:
        """Whether Graph refuses nothing of what repairs it."""
        return self.seed % TOGETHER == 0

    def before(self) -> None:
        """Sets what the recovery point is to show, and Graph takes no more."""
        if self.harmless:
            return
        self._some(
            self._odd_nickname,
            self._long_description,
            self._unverified_uri,
            self._address,
            self._role_and_scope,
            self._no_location,
            self._shared_uri,
            most=4,
        )

    def damage(self) -> None:
        """Deletes, changes, and gives names away."""
        # Groups have contacts among their members, and whether these are there, nobody knows: they are not protected.
        users, groups = self.chance.sample(self.users, 3), self.chance.sample(self.groups, 0 if self.harmless else 1)
        for each in (*users, *groups):
            path = "groups" if each in groups else "users"
            self.control.delete(f"{path}/{each['id']}")
            if self.chance.random() < 0.4 and not self.harmless:
                self.control.purge(each["id"])
        self.victim = self.chance.choice(users)
        self.left = [each for each in self.users if each not in users]
        if self.harmless:
            for act in (self._changed, self._members_changed, self._assignments_gone, self._licences_changed):
                act()
            return
        self._some(
            self._new_holder,
            self._renamed_holder,
            self._address_taken,
            self._changed,
            self._no_seats,
            self._application_gone,
            self._uri_taken,
            self._application_changed,
            self._members_changed,
            self._assignments_gone,
            self._roles_changed,
            self._policy_changed,
            self._location_gone,
            self._attributes,
            self._licences_changed,
            self._units_changed,
            self._exchanged,
            most=6,
        )

    def _some(self, *acts: Callable[[], None], most: int) -> None:
        for act in self.chance.sample(acts, self.chance.randint(0, most)):
            act()

    def _held(self, name: str, value: str) -> bool:
        """Whether a user has a name, which nobody else has then in a real tenant."""
        held = [one[name] or [] for one in self.control.dump("users")]
        return any(value in one if isinstance(one, list) else value == one for one in held)

    def _pick(self, path: str) -> Body:
        found: Body = self.chance.choice(self.control.dump(path))
        return found

    # --- what the point shows ----------------------------------------------------------------------------------------

    def _odd_nickname(self) -> None:
        group = self.chance.choice(self.groups)
        self.control.patch(f"groups/{group['id']}", {"mailNickname": f"no valid (nick) {self.seed}"})

    def _long_description(self) -> None:
        self.control.patch(f"groups/{self.chance.choice(self.groups)['id']}", {"description": "long" * 300})

    def _unverified_uri(self) -> None:
        app = self.chance.choice(self.apps)
        self.control.patch(f"applications/{app['id']}", {"identifierUris": ["https://gone.example/a"]})

    def _shared_uri(self) -> None:
        app = self.chance.choice(self.apps)
        self.control.patch(f"applications/{app['id']}", {"identifierUris": [f"api://contoso/{self.seed}"]})

    def _address(self) -> None:
        user = self.chance.choice(self.users)
        self.control.patch(f"users/{user['id']}", {"proxyAddresses": [f"smtp:a{self.seed}@contoso.com"]})

    def _role_and_scope(self) -> None:
        app = self.chance.choice(self.apps)
        same = "0b1a7d5e-4c1f-4d8e-9d0c-7f5a1e6b2c3d"
        role = {
            "allowedMemberTypes": ["User"],
            "description": "Reads",
            "displayName": "Read",
            "id": same,
            "isEnabled": True,
            "value": "Read.Both",
        }
        scope = {
            "adminConsentDescription": "Reads",
            "adminConsentDisplayName": "Read",
            "id": same,
            "isEnabled": True,
            "type": "User",
            "value": "Read.Both",
        }
        own = app["api"] or {}
        api = {**own, "oauth2PermissionScopes": [*(own.get("oauth2PermissionScopes") or ()), scope]}
        if not any(one["id"] == same for one in app["appRoles"] or ()):
            self.control.patch(f"applications/{app['id']}", {"appRoles": [*(app["appRoles"] or ()), role], "api": api})

    def _no_location(self) -> None:
        licensed = [each for each in self.users if each["assignedLicenses"]]
        if licensed:
            self.control.patch(f"users/{self.chance.choice(licensed)['id']}", {"usageLocation": None})

    # --- what happens to it ------------------------------------------------------------------------------------------

    def _new_holder(self) -> None:
        name = self.victim["userPrincipalName"]
        if not self._held("userPrincipalName", name):
            self.control.create("users", {"userPrincipalName": name, "displayName": "Holder"})

    def _renamed_holder(self) -> None:
        name = self.victim["userPrincipalName"]
        if not self._held("userPrincipalName", name):
            self.control.patch(f"users/{self.left[0]['id']}", {"userPrincipalName": name})

    def _address_taken(self) -> None:
        address = f"smtp:a{self.seed}@contoso.com"
        if not self._held("proxyAddresses", address):
            self.control.patch(f"users/{self.left[1]['id']}", {"proxyAddresses": [address]})

    def _changed(self) -> None:
        self.control.patch(f"users/{self.left[2]['id']}", {"department": "N/A", "jobTitle": None})

    def _no_seats(self) -> None:
        for sku in self.skus:
            self.control.patch(f"subscribedSkus/{sku['id']}", {"prepaidUnits": {**sku["prepaidUnits"], "enabled": 0}})

    def _application_gone(self) -> None:
        app = self.chance.choice(self.apps)
        self.control.delete(f"applications/{app['id']}")
        if self.chance.random() < 0.4:
            self.control.purge(app["id"])

    def _uri_taken(self) -> None:
        self.control.create("applications", {"displayName": "Taker", "identifierUris": [f"api://contoso/{self.seed}"]})

    def _application_changed(self) -> None:
        app = self._pick("applications")
        roles = [{**one, "isEnabled": False} for one in app["appRoles"] or ()]
        changes = {"appRoles": roles} if self.chance.random() < 0.5 else {"appRoles": [], "notes": "theirs"}
        self.control.patch(f"applications/{app['id']}", changes)

    def _members_changed(self) -> None:
        group = self.chance.choice(self.groups)["id"]
        if not any(one["id"] == group for one in self.control.dump("groups")):
            return
        held = [
            target
            for source, target, kind in sorted(self.control.edges("groups", "members"))
            if source == group and (kind == "user" or not self.harmless)
        ]
        self.control.remove_link(f"groups/{group}/members", *held[:2])
        self.control.add_link(f"groups/{group}/members", self.left[3]["id"])

    def _assignments_gone(self) -> None:
        for one in self.chance.sample(self.control.dump("appRoleAssignment"), 4):
            self.control.purge(one["id"])
        for one in self.chance.sample(self.control.dump("oauth2PermissionGrants"), 1):
            self.control.purge(one["id"])

    def _roles_changed(self) -> None:
        self.control.delete(f"{_ROLES}/{self._pick('unifiedRoleAssignment')['id']}")
        role = self._pick("unifiedRoleDefinition")["id"]
        given = {"principalId": self.left[4]["id"], "roleDefinitionId": role, "directoryScopeId": "/"}
        self.control.create(_ROLES, given)

    def _policy_changed(self) -> None:
        policy = self._pick(_POLICIES)
        path = f"{_POLICIES}/{policy['id']}"
        if self.chance.random() < 0.5:
            self.control.delete(path)
            return
        users = {**policy["conditions"]["users"], "excludeUsers": [], "excludeGroups": []}
        self.control.patch(path, {"displayName": "theirs", "conditions": {**policy["conditions"], "users": users}})

    def _location_gone(self) -> None:
        location = self._pick(_LOCATIONS)["id"]
        self.control.delete(f"{_LOCATIONS}/{location}")
        if self.chance.random() < 0.5:
            self.control.purge(location)

    def _attributes(self) -> None:
        held = {"@odata.type": "#microsoft.graph.customSecurityAttributeValue", "Clearance": "Secret"}
        self.control.patch(f"users/{self.left[5]['id']}", {"customSecurityAttributes": {"Engineering": held}})

    def _licences_changed(self) -> None:
        for user in self.chance.sample(self.left, 2):
            self.control.patch(f"users/{user['id']}", {"assignedLicenses": [], "licenseAssignmentStates": []})

    def _units_changed(self) -> None:
        unit = self._pick("directory/administrativeUnits")["id"]
        self.control.delete(f"directory/administrativeUnits/{unit}")
        if self.chance.random() < 0.5:
            self.control.purge(unit)
            # What is given over a unit ends with it; the simulated tenant keeps it.
            for one in self.control.dump("unifiedRoleEligibilitySchedule"):
                if unit in str(one["directoryScopeId"]):
                    self.control.purge(one["id"])

    def _exchanged(self) -> None:
        one, other = self.left[6:8]
        names = {each["id"]: each["userPrincipalName"] for each in self.control.dump("users")}
        self.control.patch(f"users/{one['id']}", {"userPrincipalName": f"x{names[one['id']]}"})
        self.control.patch(f"users/{other['id']}", {"userPrincipalName": names[one["id"]]})
        self.control.patch(f"users/{one['id']}", {"userPrincipalName": names[other["id"]]})


@pytest.fixture
def pictured(tmp_path: Path) -> Iterator[Callable[[int], Pictured]]:
    """Starts tenants that are restored fast: `pictured(seed)`."""
    started: list[Pictured] = []

    def start(seed: int) -> Pictured:
        for one in started:
            one.close()
        started.clear()
        folder = tmp_path / f"tenants{seed}"
        folder.mkdir()
        started.append(Pictured(Simulator(users=30, groups=10, seed=seed), folder, *TYPES))
        return started[0]

    with use_policy(IMPATIENT), pytest.MonkeyPatch.context() as patched:
        # Small tables: threads of DuckDB cost more than they bring, and nobody guesses keys of first passwords here.
        patched.setattr(duckdb, "connect", _with_one_thread(duckdb.connect))
        patched.setattr(passwords, "_COST", {**passwords._COST, "n": 2})
        yield start
        for one in started:
            one.close()


def _with_one_thread(connect: Callable[..., duckdb.DuckDBPyConnection]) -> Callable[..., duckdb.DuckDBPyConnection]:
    def connected(*args: Any, config: dict[str, str] | None = None, **options: Any) -> duckdb.DuckDBPyConnection:
        return connect(*args, config={**(config or {}), "threads": "1"}, **options)

    return connected


def unforeseen(one: Site | Pictured, plan: RestorePlan, report: RestoreReport) -> list[Any]:
    """What Graph has refused, and what did not come back as planned."""
    writes = [write for write in one.control.writes() if write["status"] in {400, 403, 404, 409}]
    found: list[Any] = [
        (write["method"], write["path"], write["status"], write["body"])
        for write in writes
        if not (isinstance(write["body"], dict) and _UNKNOWN & write["body"].keys())
    ]
    steps = {step.number: step for step in plan.steps}
    for outcome in report.outcomes:
        if outcome.result != "restored" and not any(name in outcome.reason for name in _UNKNOWN):
            found.append((steps[outcome.number].action, outcome.table, outcome.result, outcome.reason))
    return found


def test_a_dry_run_without_findings_is_an_apply_without_a_refused_write(
    pictured: Callable[[int], Pictured], request: pytest.FixtureRequest
) -> None:
    first = int(request.config.getoption("--preconditions-first"))
    wrong: dict[int, list[Any]] = {}
    told: dict[int, list[str]] = {}
    one = None
    for seed in range(first, first + int(request.config.getoption("--preconditions"))):
        if one is None or seed % TOGETHER == 0:
            one = pictured(seed // TOGETHER)
        tenant = Tenant(one.control, seed)
        if len(tenant.users) < FEWEST:
            one = pictured(seed)
            tenant = Tenant(one.control, seed)
        tenant.before()
        point = one.backup()
        tenant.damage()
        chance = random.Random(seed)
        plan = one.plan(
            point,
            f"tenant-{seed}",
            enable_policies=True,
            delete_added=chance.random() < 0.5,
            taken=chance.choice(["skip", "rename"]),
            conflict=chance.choice(["overwrite", "overwrite", "merge"]),
        )
        one.control.ledger(reset=True)
        report = one.apply(plan)
        # Whether or not there were findings: what is planned is taken, what is not is named.
        if found := unforeseen(one, plan, report):
            wrong[seed] = found
        if tenant.harmless:
            told[seed] = [
                f"{refusal.table} {refusal.id}: {refusal.reason}"
                for refusal in plan.refusals
                if refusal.kind == "unresolved"
            ]
    assert not wrong, "\n".join(f"{seed}: {each}" for seed, found in wrong.items() for each in found)
    assert not any(told.values()), told


def test_the_same_holds_of_recovery_points_that_are_read(site: Callable[..., Site]) -> None:
    one = site(*FEW)
    for seed in range(2):
        tenant = Tenant(one.control, seed)
        tenant.before()
        point = one.backup()
        tenant.damage()
        plan = one.plan(point, f"tenant-{seed}")
        one.control.ledger(reset=True)
        assert unforeseen(one, plan, one.apply(plan)) == []
