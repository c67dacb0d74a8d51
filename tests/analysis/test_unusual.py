"""What trips the wire, and what does not, at real incremental backups of a simulated tenant."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from entra_pipeline.analysis.unusual import verdict_of
from entra_pipeline.simulator import Simulator
from entra_pipeline.store.retention.holds import retention_holds
from tests.support.command import Place
from tests.support.post_office import PASSWORD, PostOffice

PROTECT = [
    "users",
    "groups",
    "applications",
    "service_principals",
    "app_role_assignments",
    "role_assignments",
    "role_definitions",
    "conditional_access_policies",
]
PROFILE = '[notifications.security]\nto = ["security@example.com"]\nunusual = true\n'


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator(users=120, groups=6, seed=5) as one:
        yield one


@pytest.fixture
def office(tmp_path: Path) -> Iterator[PostOffice]:
    one = PostOffice(tmp_path, implicit=False)
    one.open()
    yield one
    one.shut()


@pytest.fixture
def place(simulator: Simulator, office: PostOffice, tmp_path: Path) -> Place:
    (tmp_path / "password").write_text(PASSWORD)
    file = tmp_path / "dagster_project.toml"
    file.write_text(
        f'[storage.disk]\nkind = "local"\npath = "backup"\n{simulator.tenant_table("contoso")}\n'
        f'[scopes.all]\ntenant = "contoso"\nstorage = "disk"\nprotect = {PROTECT!r}\n{office.table()}\n{PROFILE}'
    )
    made = Place(file, simulator)
    assert made.call("backup", "all").code in {0, 3}
    return made


def found(place: Place) -> dict[str, Any]:
    """Findings of the next backup, by rule."""
    assert place.call("backup", "all").code in {0, 3}
    store = place.store()
    verdict = verdict_of(store, store.points()[-1])
    return {one.rule: one for one in verdict.findings} if verdict else {}


def test_an_ordinary_day_trips_nothing(place: Place, simulator: Simulator, office: PostOffice) -> None:
    for user in sorted(one["id"] for one in simulator.control.dump("users"))[:3]:
        simulator.control.delete(f"users/{user}")
    assert found(place) == {}
    assert retention_holds(place.store()) == {}
    assert office.mails == []


def test_deleting_a_tenth_of_the_users_is_told_and_the_point_before_is_held(
    place: Place, simulator: Simulator, office: PostOffice
) -> None:
    store = place.store()
    [before] = store.points()
    users = sorted(one["id"] for one in simulator.control.dump("users"))
    for user in users[: len(users) // 10]:
        simulator.control.delete(f"users/{user}")
    finding = found(place)["mass_deletion"]
    row = dict(zip(finding.columns, finding.rows[0], strict=True))
    assert (row["table"], row["before"], row["deleted"]) == ("users", len(users), len(users) // 10)
    assert [(held.recovery_point, held.by) for held in retention_holds(store).values()] == [(before, "unusual change")]
    [mail] = office.mails
    assert mail["Subject"] == "Unusual change in all: Mass deletion"
    assert "Previous point, on hold: " + before in mail.get_body(("plain",)).get_content()  # type: ignore[union-attr]
    # Said once: nothing more has changed since.
    assert found(place) == {}
    assert len(office.mails) == 1


def test_a_group_that_loses_its_members_is_found(place: Place, simulator: Simulator) -> None:
    control = simulator.control
    group = control.create("groups", {"displayName": "Finance <i>team</i>"})
    users = sorted(one["id"] for one in control.dump("users"))[:30]
    control.add_link(f"groups/{group}/members", *users)
    assert found(place) == {}
    control.remove_link(f"groups/{group}/members", *users[:12])
    finding = found(place)["membership_drop"]
    assert finding.rows == [["Finance <i>team</i>", group, 30, 12]]


def test_an_exclusion_added_to_a_policy_is_found(place: Place, simulator: Simulator) -> None:
    control = simulator.control
    policy = control.dump("identity/conditionalAccess/policies")[0]
    user = sorted(one["id"] for one in control.dump("users"))[0]
    conditions = policy["conditions"]
    conditions["users"]["excludeUsers"] = [*conditions["users"].get("excludeUsers", []), user]
    control.patch(f"identity/conditionalAccess/policies/{policy['id']}", {"conditions": conditions})
    finding = found(place)["conditional_access_exclusion"]
    assert finding.rows == [[policy["displayName"], policy["id"], "users.excludeUsers", user]]


def test_a_new_owner_of_a_privileged_application_is_found_and_of_another_is_not(
    place: Place, simulator: Simulator
) -> None:
    control = simulator.control
    principals = sorted(one["id"] for one in control.dump("servicePrincipals"))
    user = sorted(one["id"] for one in control.dump("users"))[0]
    taken = {one["principalId"] for one in control.dump("roleManagement/directory/roleAssignments")}
    powerful = {
        assigned["principalId"]
        for one in principals
        for assigned in control.dump(f"servicePrincipals/{one}/appRoleAssignedTo")
    }
    privileged, ordinary = [one for one in principals if one not in taken | powerful][:2]
    role = sorted(one["id"] for one in control.dump("roleManagement/directory/roleDefinitions"))[0]
    control.create(
        "roleManagement/directory/roleAssignments",
        {"principalId": privileged, "roleDefinitionId": role, "directoryScopeId": "/"},
    )
    control.add_link(f"servicePrincipals/{ordinary}/owners", user)
    assert found(place) == {}
    control.add_link(f"servicePrincipals/{privileged}/owners", user)
    finding = found(place)["privileged_app_owner"]
    assert [row[1:3] for row in finding.rows] == [[privileged, user]]


def test_thresholds_and_rules_are_the_scopes_own(place: Place, simulator: Simulator) -> None:
    own = place.file.parent / "rules"
    own.mkdir()
    (own / "any_group.sql").write_text(
        "-- title: A group was made\n-- changes: groups\n"
        "SELECT id, after->>'$.displayName' AS name FROM groups_changes WHERE change = 'added'\n"
    )
    (own / "broken.sql").write_text("-- title: Broken\nSELECT nothing FROM nowhere\n")
    place.file.write_text(
        place.file.read_text()
        + '[unusual]\nrules = "rules"\n[scopes.all.unusual]\nmass_deletion = { percent = 1, least = 2 }\n'
        + "privileged_app_owner = false\nmas_deletion = false\n"
    )
    control = simulator.control
    for user in sorted(one["id"] for one in control.dump("users"))[:3]:
        control.delete(f"users/{user}")
    control.create("groups", {"displayName": "New"})
    findings = found(place)
    assert set(findings) == {"mass_deletion", "any_group"}
    store = place.store()
    problems = verdict_of(store, store.points()[-1]).problems  # type: ignore[union-attr]
    assert any("scopes.all.unusual.mas_deletion: there is no rule" in one for one in problems)
    assert any("rule broken" in one and "nowhere" in one for one in problems)
