"""Views of who may do what, against what follows from the tenant itself by plain Python."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from entra_pipeline.analysis.sql import SqlSession
from tests.sql.conftest import Story
from tests.sql.policies import coverage


@pytest.fixture(scope="module")
def session(story: Story) -> Iterator[SqlSession]:
    """One session for all questions."""
    with SqlSession.of(story.project) as one:
        yield one


@pytest.fixture(params=[0, 1, 2])
def moment(request: pytest.FixtureRequest) -> int:
    """The number of a recovery point."""
    return int(request.param)


def rows(session: SqlSession, query: str) -> Counter[tuple[Any, ...]]:
    """The rows of an answer, lists as tuples."""
    found = session.ask(query).fetchall()
    return Counter(tuple(tuple(one) if isinstance(one, list) else one for one in row) for row in found)


def at(story: Story, session: SqlSession, view: str, columns: str, moment: int) -> Counter[tuple[Any, ...]]:
    """The rows of a view at a recovery point; at the newest one, those of the view without a moment are the same."""
    point = story.points[moment].recovery_point
    found = rows(session, f"SELECT {columns} FROM {view}_at('contoso', '{point}')")
    if moment == len(story.points) - 1:
        assert rows(session, f"SELECT {columns} FROM {view} WHERE scope = 'contoso'") == found
    return found


def calculated(found: Iterator[tuple[Any, ...]]) -> Counter[tuple[Any, ...]]:
    return Counter(tuple(tuple(one) if isinstance(one, list) else one for one in row) for row in found)


def test_principals(story: Story, session: SqlSession, moment: int) -> None:
    found = at(story, session, "principals", "id, kind, label, unique_name, is_enabled", moment)
    assert found == calculated(story.tenants[moment].principals())


def test_role_holders(story: Story, session: SqlSession, moment: int) -> None:
    columns = "principal, kind, role, state, how, directory_scope, since, until"
    found = at(story, session, "role_holders", columns, moment)
    assert found == calculated(one[:8] for one in story.tenants[moment].role_holders())


def test_role_holders_of_every_kind(story: Story, session: SqlSession) -> None:
    point = story.points[0].recovery_point
    found = rows(
        session,
        "SELECT principal, role, is_privileged, state, how, directory_scope_kind, directory_scope_name "
        f"FROM role_holders_at('contoso', '{point}')",
    )
    application = min(str(one["displayName"]) for one in story.tenants[0].sets["applications"])
    admin, reader = "Global Administrator", "Global Reader"
    assert found.keys() >= {
        ("Adele Vance", admin, True, "active", "directly", "directory", None),
        ("Gina Group", admin, True, "active", "through Tier zero", "directory", None),
        ("Nils Nested", admin, True, "active", "through Tier zero and Nested", "directory", None),
        ("Ella Eligible", admin, True, "eligible", "through Tier zero", "directory", None),
        ("Rolf Ready", admin, True, "eligible", "directly", "directory", None),
        ("Greta Granted", admin, True, "activated", "through Tier zero", "directory", None),
        ("Ines Inner", admin, True, "eligible", "through Tier zero and Inner circle", "directory", None),
        (
            "Olle Operator",
            admin,
            True,
            "eligible",
            "through Tier zero and Inner circle and Operators",
            "directory",
            None,
        ),
        ("Operators", reader, True, "eligible", "directly", "directory", None),
        ("Olle Operator", reader, True, "eligible", "through Operators", "directory", None),
        ("Akke Activated", "User Administrator", True, "activated", "directly", "directory", None),
        ("Ulla Unit", "User Administrator", True, "active", "directly", "administrative unit", "Sweden"),
        ("Aron App", "Application Administrator", True, "active", "directly", "application", application),
        ("Kim Keeper", "Credential keepers", True, "active", "directly", "directory", None),
    }
    assert {row[1] for row in found if not row[2]} == {
        "Directory Readers",
        "Group reader (custom)",
        "Groups Administrator",
    }


def test_role_holders_history(story: Story, session: SqlSession) -> None:
    """At each recovery point, the rows that are valid then are the holders that the tenant had."""
    for point, then in zip(story.points, story.tenants, strict=True):
        moment = f"timezone('UTC', strptime('{point.recovery_point[:20]}', '%Y-%m-%dT%H-%M-%SZ'))"
        found = rows(
            session,
            "SELECT principal, kind, role, state, how, directory_scope FROM role_holders_history "
            f"WHERE scope = 'contoso' AND valid_from <= {moment} AND coalesce(valid_to > {moment}, true)",
        )
        assert found == calculated(one[:6] for one in then.role_holders())


def test_app_permissions(story: Story, session: SqlSession, moment: int) -> None:
    columns = "client, kind, resource, permission, consent, user_name, owners"
    found = at(story, session, "app_permissions", columns, moment)
    assert found == calculated(story.tenants[moment].app_permissions())


def test_what_an_application_may_do(story: Story, session: SqlSession) -> None:
    found = rows(
        session,
        "SELECT kind, permission, tier, consent, user_name FROM app_permissions "
        "WHERE client = 'Payroll' AND list_contains(owners, 'Petra Power')",
    )
    assert found.keys() >= {
        ("application", "Group.ReadWrite.All", 0, "admin", None),
        ("delegated", "Directory.ReadWrite.All", 0, "admin", None),
        ("delegated", "User.Read", 2, "user", "Conny Consent"),
        ("delegated", "Mail.Read", 1, "user", "Conny Consent"),
    }


def test_credentials(story: Story, session: SqlSession, moment: int) -> None:
    columns = "kind, object_kind, object, credential_id, name, expires"
    found = at(story, session, "credentials", columns, moment)
    assert found == calculated(story.tenants[moment].credentials())
    assert {(row[0], row[2], row[4]) for row in found} >= {
        ("secret", "Payroll", "forgotten"),
        ("federated", "Payroll", "pipeline"),
    }


def test_members_through_groups(story: Story, session: SqlSession, moment: int) -> None:
    found = at(story, session, "group_members_transitive", "group_id, member_id, depth", moment)
    assert found == calculated(story.tenants[moment].members())


def test_groups_of_users(story: Story, session: SqlSession) -> None:
    users = {one["id"] for one in story.tenants[-1].sets["users"]}
    found = rows(session, "SELECT group_id, user_id, depth FROM user_groups_transitive")
    assert found == calculated(row for row in story.tenants[-1].members() if row[1] in users)


def test_owners(story: Story, session: SqlSession, moment: int) -> None:
    found = at(story, session, "effective_owners", "object_kind, object_id, owner_id, state, how", moment)
    assert found == calculated(story.tenants[moment].effective_owners())
    assert {row[4] for row in found} == {"directly", "through its app registration"}


def test_whom_policies_of_conditional_access_apply_to(story: Story, session: SqlSession, moment: int) -> None:
    columns = "policy, state, user_id, included_by, mfa"
    found = at(story, session, "conditional_access_coverage", columns, moment)
    assert found == calculated(coverage(story.tenants[moment]))
    assert {reason for row in found for reason in row[3]} == {"all users", "user", "group", "role", "guests"}
    assert {row[4] for row in found} == {"required", "or", None}


def test_users_without_multifactor_authentication(story: Story, session: SqlSession) -> None:
    """Who is in the excluded group, and who activated the excluded role, are covered by no policy."""
    query = (
        "SELECT p.label FROM principals p ANTI JOIN (FROM conditional_access_coverage WHERE state = 'enabled' "
        "AND mfa = 'required' AND applications = ['All']) c ON c.user_id = p.id WHERE p.kind = 'user'"
    )
    found = {name for (name,) in session.ask(query).fetchall()}
    assert found >= {"Adele Vance", "Akke Activated"}
    assert found.isdisjoint({"Ulla Unit", "Kim Keeper", "Ines Inner", "Extra External"})
