"""The questions of docs/sql.md have the answers that the story of the tenant gives them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from entra_pipeline.analysis.sql import SqlSession
from entra_pipeline.store.points.keys import moment_of
from tests.sql.conftest import QUESTIONS, Story
from tests.sql.policies import coverage
from tests.sql.tenant import Tenant

TAKES_OVER = {"User.ReadWrite.All", "Group.ReadWrite.All", "Directory.ReadWrite.All"}
"""Of the permissions that applications of the tenant have."""


def answers(story: Story) -> dict[str, list[tuple[Any, ...]]]:
    """The known answers."""
    facts = story.facts
    first, middle, last = (moment_of(point.recovery_point) for point in story.points)
    guests = [one for one in story.control.dump("users") if one["userType"] == "Guest"]
    members = [one for one in story.control.dump("users") if one["userType"] != "Guest"]
    before, _, after = facts["licences"]
    licences = [
        (name, moment, units)
        for name in sorted(after)
        for moment, units in [(first, before[name]), *([(last, after[name])] if after[name] != before[name] else [])]
    ]
    bought = {one["skuPartNumber"]: one["prepaidUnits"]["enabled"] for one in story.control.dump("subscribedSkus")}
    return {
        "1": sorted(
            (one.principal, one.state, one.how, one.place)
            for one in story.tenants[0].role_holders()
            if one.role == "Global Administrator" and one.kind != "group"
        ),
        "2": [
            ("Adele Vance", "ceased", "active", "directly", middle),
            ("Bo Nilsson", "became", "active", "directly", middle),
            ("Gina Group", "ceased", "active", "through Tier zero", middle),
            ("Otto Owner", "became", "active", "through Tier zero", middle),
        ],
        "3": [("Otto Owner", middle, "removed")],
        "4": [("Finance approvers",)],
        "5": [("Gustav Guest", middle)],
        "6": [(facts["application"], "nearly over", facts["expires"])],
        "7": [("Global Reader", "active", "through Auditors")],
        "8": [(name, moment, units, bought[name]) for name, moment, units in licences],
        "9": [(facts["policy"], last)],
        "10": [(last, "Update user", "unknown")],
        "11": [(last, "accountEnabled", "true", "false"), (last, "jobTitle", "Analyst", "Controller")],
        "12": [("Adele Vance", "Analyst", "Finance", True)],
        "13": [("Adele Vance",)],
        "14": [("Dora Deleted", "Member", middle)],
        "15": [("Adele Vance", last)],
        # Since then a guest and a member have come, and a member has gone.
        "16": [("Guest", len(guests) - 1, len(guests)), ("Member", len(members), len(members))],
        "17": [(*facts["grant"], 2, facts["granted"])],
        "18": [(facts["policy"], last, *facts["states"])],
        "19": [("contoso", story.points[-1].recovery_point, 0, 3)],
        "20": [(middle.date(), 2, 0, 1), (last.date(), 0, 1, 0)],
        **answers_of_views(story.tenants[-1]),
    }


def answers_of_views(tenant: Tenant) -> dict[str, list[tuple[Any, ...]]]:
    """Those that the tenant itself tells."""
    covered = {
        user
        for policy, state, user, _, mfa in coverage(tenant)
        if (state, mfa) == ("enabled", "required") and not narrow(tenant, str(policy))
    }
    users = tenant.sets["users"]
    units = {f"/administrativeUnits/{one['id']}": one["displayName"] for one in tenant.sets["units"]}
    objects = {f"/{one['id']}": one["displayName"] for one in tenant.sets["applications"]}
    expired = [row for row in tenant.credentials() if row[5] is not None and row[5] < datetime.now(UTC)]
    return {
        "21": sorted((one["displayName"],) for one in users if one["accountEnabled"] and one["id"] not in covered),
        "22": sorted(
            (client, permission, kind, consent, owners)
            for client, kind, _, permission, consent, _, owners in tenant.app_permissions()
            if permission in TAKES_OVER and owners
        ),
        "23": sorted(
            ((row[1], row[2], row[0], row[4], row[5]) for row in expired),
            key=lambda row: [(value is None, value) for value in row],
        ),
        "24": sorted(
            (one.principal, one.role, one.state, kind, names[one.place])
            for one in tenant.role_holders()
            for kind, names in (("administrative unit", units), ("application", objects))
            if one.place in names
        ),
    }


def narrow(tenant: Tenant, name: str) -> bool:
    """Whether a policy leaves out applications or locations."""
    [conditions] = [one["conditions"] for one in tenant.sets["policies"] if one["displayName"] == name]
    applications, locations = conditions["applications"], conditions.get("locations") or {}
    return applications["includeApplications"] != ["All"] or bool(locations.get("excludeLocations"))


@pytest.fixture(scope="module")
def session(story: Story) -> SqlSession:
    """One session for all questions."""
    return SqlSession.of(story.project)


def test_every_question_has_an_answer(story: Story) -> None:
    assert list(QUESTIONS) == list(answers(story)) == [str(number + 1) for number in range(24)]


@pytest.mark.parametrize("number", QUESTIONS)
def test_the_answer_is_the_one_that_is_known(story: Story, session: SqlSession, number: str) -> None:
    assert session.ask(QUESTIONS[number]).fetchall() == answers(story)[number]
