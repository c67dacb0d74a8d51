"""A catalog of entitlement management that was deleted for good, or added since, with all that hangs from it.

Graph deletes no catalog that has access packages, no package that has assignments, and no extension that a policy uses.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from entra_pipeline.graph.retry import use_policy
from entra_pipeline.restore.objects.model import RestorePlan
from entra_pipeline.restore.records.report import RestoreReport
from entra_pipeline.simulator import Simulator
from tests.restore.pictured import Pictured
from tests.support.patience import IMPATIENT

TYPES = (
    "users",
    "groups",
    "service_principals",
    "access_package_catalogs",
    "access_package_resources",
    "custom_workflow_extensions",
    "connected_organizations",
    "access_packages",
    "access_package_assignment_policies",
    "access_package_assignments",
    "access_review_definitions",
    "lifecycle_workflows",
    "custom_task_extensions",
)
_ROOT = "identityGovernance/entitlementManagement"
_CATALOGS, _PACKAGES, _POLICIES = (f"{_ROOT}/{one}" for one in ("catalogs", "accessPackages", "assignmentPolicies"))
_ASSIGNMENTS, _REQUESTS = f"{_ROOT}/assignments", f"{_ROOT}/assignmentRequests"
_WORKFLOWS = "identityGovernance/lifecycleWorkflows"
_UNKNOWN = {"futureSetting", "futureControls"}


class Governed(Pictured):
    """A tenant with access packages."""

    def fuller(self) -> str:
        """Returns the id of the catalog whose packages have most assignments."""
        catalogs = {one["id"]: one["catalog"]["id"] for one in self.control.dump(_PACKAGES)}
        held = [catalogs[one["accessPackage"]["id"]] for one in self.assignments()]
        return max(held, key=held.count)

    def assignments(self) -> list[dict[str, Any]]:
        """The assignments that are delivered."""
        return [one for one in self.control.dump(_ASSIGNMENTS) if one["state"] == "delivered"]

    def given(self) -> list[tuple[str, str, str]]:
        """Who is assigned to which package by which policy, by name."""
        packages, policies = (
            {one["id"]: one["displayName"] for one in self.control.dump(path)} for path in (_PACKAGES, _POLICIES)
        )
        return sorted(
            (packages[one["accessPackage"]["id"]], policies[one["assignmentPolicy"]["id"]], one["target"]["objectId"])
            for one in self.assignments()
        )

    def links(self) -> set[tuple[str, str, str]]:
        """Packages that exclude each other, and groups that packages exclude, by name."""
        names = {one["id"]: one["displayName"] for path in (_PACKAGES, "groups") for one in self.control.dump(path)}
        return {
            (segment, names[source], names[target])
            for segment in ("incompatibleAccessPackages", "incompatibleGroups")
            for source, target, _ in self.control.edges(_PACKAGES, segment)
        }

    def refused(self) -> list[tuple[str, str, Any]]:
        """Writes that Graph refused, but for properties that the simulated tenant shows and never takes."""
        return [
            (write["method"], write["path"], write["body"])
            for write in self.control.writes()
            if write["status"] >= 400 and not (isinstance(write["body"], dict) and _UNKNOWN & write["body"].keys())
        ]


def bad(report: RestoreReport) -> list[tuple[str, str, str]]:
    """Outcomes that are not as they should be."""
    return [
        (one.table, one.result, one.reason)
        for one in report.outcomes
        if one.result != "restored" and not any(name in one.reason for name in _UNKNOWN)
    ]


@pytest.fixture
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Governed]:
    with use_policy(IMPATIENT):
        one = Governed(Simulator(users=12, groups=6, seed=3), tmp_path_factory.mktemp("governed"), *TYPES)
        yield one
        one.close()


def replaced(plan: RestorePlan) -> set[tuple[str, str]]:
    """What the plan makes anew, though it is there."""
    going = {(one.table, one.id) for one in plan.steps if one.action == "delete"}
    return going & {(one.table, one.id) for one in plan.steps if one.action == "create"}


def test_a_catalog_that_is_gone_for_good_comes_back_with_all_that_hangs_from_it(site: Governed) -> None:
    catalog = site.fuller()
    packages = [one["id"] for one in site.control.dump(_PACKAGES) if one["catalog"]["id"] == catalog]
    site.control.add_link(f"{_PACKAGES}/{packages[0]}/incompatibleGroups", site.control.dump("groups")[0]["id"])
    given, links, point = site.given(), site.links(), site.backup()
    site.control.purge(catalog)

    plan = site.plan(point, "first")
    assert [one for one in plan.refusals if one.kind == "unresolved"] == []
    assert {("access_packages", one) for one in packages} <= replaced(plan)
    assert {table for table, _ in replaced(plan)} >= {
        "access_package_assignment_policies",
        "access_package_assignments",
    }
    site.control.ledger(reset=True)
    report = site.apply(plan)
    assert (site.refused(), bad(report)) == ([], [])
    assert (site.given(), site.links()) == (given, links)
    assert not {one["id"] for one in site.control.dump(_PACKAGES)} & set(packages)
    assert site.plan(point, "again").steps == ()


def test_a_package_whose_assignment_cannot_be_removed_stays_and_goes_when_it_can(site: Governed) -> None:
    catalog = site.fuller()
    given, point = site.given(), site.backup()
    site.control.purge(catalog)
    plan = site.plan(point, "first")
    held = next(one for one in plan.steps if one.action == "delete" and one.table == "access_package_assignments")
    package = next(one["accessPackage"]["id"] for one in site.assignments() if one["id"] == held.id)
    site.control.misbehave("write-fails", _REQUESTS, status=400, times=1, code="InvalidModel", message="Not now.")
    report = site.apply(plan)
    told = {(one.table, one.id): one.reason for one in report.outcomes if one.result == "failed"}
    assert held.id in told["access_packages", package]
    assert "which cannot be without it, could not be removed" in told["access_packages", package]
    assert package in {one["id"] for one in site.control.dump(_PACKAGES)}

    assert bad(site.apply(plan)) == []
    assert site.given() == given
    assert site.plan(point, "again").steps == ()


def test_what_was_added_since_goes_in_the_order_that_graph_takes(site: Governed) -> None:
    point = site.backup()
    control = site.control
    user = control.dump("users")[0]["id"]
    catalog = control.create(_CATALOGS, {"displayName": "Added"})
    package = control.create(_PACKAGES, {"displayName": "Added", "catalog": {"id": catalog}})
    policy = control.create(_POLICIES, {"displayName": "Added", "accessPackage": {"id": package}})
    held = {
        "accessPackage": {"id": package},
        "assignmentPolicy": {"id": policy},
        "target": {"id": user, "objectId": user, "subjectType": "user"},
    }
    control.create(_ASSIGNMENTS, {"state": "delivered", "schedule": {"expiration": {"type": "noExpiration"}}, **held})
    extension = control.create(f"{_WORKFLOWS}/customTaskExtensions", {"displayName": "Added"})
    workflow = control.dump(f"{_WORKFLOWS}/workflows")[0]
    task = {**workflow["tasks"][0], "arguments": [{"name": "customTaskExtensionID", "value": extension}]}
    made = {name: workflow[name] for name in ("category", "executionConditions")}
    control.create(f"{_WORKFLOWS}/workflows", {**made, "displayName": "Added", "tasks": [task]})
    for conflict in ("merge", "overwrite"):
        plan = site.plan(point, conflict, delete_added=True, conflict=conflict)
        actions = [(one.action, one.table) for one in plan.steps]
        assert ("delete", "access_package_assignments") in actions
        assert ("delete", "custom_task_extensions") in actions
    control.ledger(reset=True)
    report = site.apply(plan)
    assert (site.refused(), bad(report)) == ([], [])
    left = (*control.dump(_CATALOGS), *control.dump(_PACKAGES), *control.dump(f"{_WORKFLOWS}/customTaskExtensions"))
    assert "Added" not in {one["displayName"] for one in left}
