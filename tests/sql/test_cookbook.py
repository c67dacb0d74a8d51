"""The questions of docs/sql.md have the answers that the story of the tenant gives them."""

from __future__ import annotations

from typing import Any

import pytest

from entra_pipeline.analysis.sql import SqlSession
from entra_pipeline.store.points.keys import moment_of
from tests.sql.conftest import QUESTIONS, Story


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
        "1": facts["administrators"],
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
        "7": [("Adele Vance → Auditors → Global Reader",)],
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
        "17": [(*facts["grant"], last)],
        "18": [(facts["policy"], last, *facts["states"])],
        "19": [("contoso", story.points[-1].recovery_point, 0, 3)],
        "20": [(middle.date(), 2, 0, 1), (last.date(), 0, 1, 0)],
    }


@pytest.fixture(scope="module")
def session(story: Story) -> SqlSession:
    """One session for all questions."""
    return SqlSession.of(story.project)


def test_the_administrators_of_the_story_are_of_every_kind(story: Story) -> None:
    ways = {(name, state, how) for name, state, how, _ in story.facts["administrators"]}
    assert ways >= {
        ("Adele Vance", "active", "directly"),
        ("Gina Group", "active", "through Tier zero"),
        ("Nils Nested", "active", "through Tier zero and Nested"),
        ("Ella Eligible", "eligible", "through Tier zero"),
        ("Rolf Ready", "eligible", "directly"),
    }


def test_every_question_has_an_answer(story: Story) -> None:
    assert list(QUESTIONS) == list(answers(story)) == [str(number + 1) for number in range(20)]


@pytest.mark.parametrize("number", QUESTIONS)
def test_the_answer_is_the_one_that_is_known(story: Story, session: SqlSession, number: str) -> None:
    assert session.ask(QUESTIONS[number]).fetchall() == answers(story)[number]
