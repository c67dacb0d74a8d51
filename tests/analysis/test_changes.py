"""Real changes of a tenant come out as exactly the differences that they are, and what cannot be compared is named."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from entra_pipeline.analysis.changes import Change, bases, changes, differing
from entra_pipeline.errors import IntegrityError, NotInStore
from entra_pipeline.store.manifest import Manifest
from tests.support.protected import Protected, protect

Tenant = Callable[..., Protected]
_TYPES = ("users", "groups")
_RELATIONS = {
    "user_manager": ("users", "manager"),
    "user_sponsors": ("users", "sponsors"),
    "group_members": ("groups", "members"),
    "group_owners": ("groups", "owners"),
}


def _found(tenant: Protected, before: Manifest, after: Manifest, **only: list[str]) -> list[Change]:
    return list(changes(tenant.store, before, tenant.store, after, **only))


def _links(tenant: Protected) -> set[tuple[str, str, str]]:
    """The links of the tenant as it is: relation, source, target."""
    return {
        (name, source, target)
        for name, place in _RELATIONS.items()
        for source, target, _ in tenant.control.edges(*place)
    }


def test_changes_of_the_tenant_are_the_differences(tenant: Tenant) -> None:
    one = tenant(protect(*_TYPES))
    first = one.backup()
    links = _links(one)
    users = [user for user in one.control.dump("users") if not user.get("onPremisesSyncEnabled")]
    groups = [group for group in one.control.dump("groups") if not group.get("membershipRule")]
    patched, cleared, deleted = users[:3]
    was = {key: patched.get(key) for key in ("jobTitle", "otherMails")}
    one.control.patch(f"users/{patched['id']}", {"jobTitle": "Diver", "otherMails": ["b@example.com", "a@example.com"]})
    one.control.patch(f"users/{cleared['id']}", {"department": "Diving"})
    one.control.patch(f"users/{cleared['id']}", {"department": cleared.get("department")})
    one.control.delete(f"users/{deleted['id']}")
    created = one.control.create("users", {"displayName": "Astrid"})
    one.control.add_link(f"groups/{groups[0]['id']}/members", created)
    one.control.add_link(f"groups/{groups[0]['id']}/owners", created)
    one.control.patch(f"groups/{groups[1]['id']}", {"description": "Changed"})
    second = one.backup()
    # Everything read anew, and nothing in common with the files of the others.
    third = one.backup(full=True)

    for newer in (second, third):
        found = _found(one, first, newer)
        objects = {(change.table, *change.key): change for change in found if change.table in _TYPES}
        assert {key: change.kind for key, change in objects.items()} == {
            ("users", patched["id"]): "modified",
            ("users", deleted["id"]): "removed",
            ("users", created): "added",
            ("groups", groups[1]["id"]): "modified",
        }
        assert objects["users", patched["id"]].properties == {
            "jobTitle": (was["jobTitle"], "Diver"),
            "otherMails": (was["otherMails"], ["b@example.com", "a@example.com"]),
        }
        assert objects["groups", groups[1]["id"]].properties == {
            "description": (groups[1].get("description"), "Changed")
        }
        assert (objects["users", created].after or {})["displayName"] == "Astrid"
        assert (objects["users", deleted["id"]].before or {})["displayName"] == deleted["displayName"]
        edges = [change for change in found if change.table in _RELATIONS]
        assert {(c.table, *c.key) for c in edges if c.kind == "added"} == _links(one) - links
        assert {(c.table, *c.key) for c in edges if c.kind == "removed"} == links - _links(one)
        assert len(edges) == len(_links(one) ^ links)
        assert all(basis.comparable and not basis.notes for basis in bases(first, newer).values())
    assert _found(one, second, third) == []

    mirrored = {"added": "removed", "removed": "added", "modified": "modified"}
    back = [(c.table, c.key, mirrored[c.kind]) for c in _found(one, second, first)]
    assert back == [(c.table, c.key, c.kind) for c in _found(one, first, second)]


def test_only_what_was_asked_for_is_compared(tenant: Tenant) -> None:
    one = tenant(protect("users", "groups", "applications", "federated_identity_credentials"))
    group = next(group for group in one.control.dump("groups") if not group.get("membershipRule"))
    application = one.control.dump("applications")[0]["id"]
    first = one.backup()
    made = one.control.create_many("users", [{}, {}])
    for user in made:
        one.control.add_link(f"groups/{group['id']}/members", user)
    credential = one.control.create(
        f"applications/{application}/federatedIdentityCredentials",
        {"name": "ci", "issuer": "https://example.com", "subject": "main", "audiences": ["api://AzureADTokenExchange"]},
    )
    second = one.backup()

    def keys(**only: list[str]) -> set[tuple[str, ...]]:
        return {(change.table, *change.key) for change in _found(one, first, second, **only)}

    joined = {("group_members", group["id"], user) for user in made}
    assert keys(ids=[made[0]]) == {("users", made[0]), ("group_members", group["id"], made[0])}
    assert keys(ids=[group["id"]]) == joined
    assert keys(ids=[application]) == {("federated_identity_credentials", credential)}
    assert keys(tables=["users"]) == {("users", user) for user in made}
    assert keys(tables=["group_members"], ids=["nobody"]) == set()
    parents = [change.parent for change in _found(one, first, second) if change.key == (credential,)]
    assert parents == [application]
    rows = list(differing(one.store, first, one.store, second, "group_members"))
    assert {row.key for row in rows} == {key[1:] for key in joined}
    assert all(row.before is None and row.after is not None for row in rows)


def test_what_was_not_protected_is_not_comparable(tenant: Tenant) -> None:
    one = tenant(protect("users"))
    first = one.backup()
    one.configure(protect("users", "groups"))
    second = one.backup()

    named = bases(first, second)
    assert named["users"].comparable
    assert not named["groups"].comparable
    assert not named["group_members"].comparable
    assert first.recovery_point in named["groups"].notes[0]
    assert {change.table for change in _found(one, first, second)} == set()
    with pytest.raises(NotInStore, match="did not protect it"):
        list(differing(one.store, first, one.store, second, "groups"))
    assert bases(first, first, ["domains"])["domains"].comparable is False


def test_what_was_not_read_is_named_with_its_age(tenant: Tenant) -> None:
    one = tenant(protect("users", "groups", "domains"))
    first = one.backup()
    one.control.create("groups", {"displayName": "Divers"})
    one.advance(hours=3)
    second = one.backup(types=["users"])
    one.control.deny("groups", 403)
    third = one.backup()

    carried = bases(first, second)["groups"]
    assert carried.comparable
    assert f"{second.recovery_point} shows it as of" in carried.notes[0]
    assert "not requested in this run" in carried.notes[0]
    assert bases(first, second)["users"].notes == ()
    lacking = bases(second, third)["groups"]
    assert any(note.startswith(f"{third.recovery_point} shows it as of") for note in lacking.notes)
    assert any("403" in note or "nsufficient" in note for note in lacking.notes)

    never = tenant(protect("users", "groups"), seed=6)
    never.control.deny("groups", 403)
    begun = never.backup()
    assert not bases(begun, begun)["groups"].comparable
    assert "never read" in bases(begun, begun)["groups"].notes[0]


def test_points_of_two_scopes_are_compared(tenant: Tenant) -> None:
    one, other = tenant(protect("users"), seed=9), tenant(protect("users"), seed=9)
    user = one.control.dump("users")[0]
    other.control.patch(f"users/{user['id']}", {"jobTitle": "Diver"})
    mine, theirs = one.backup(), other.backup()

    found = list(changes(one.store, mine, other.store, theirs, ["users", "user_manager"]))
    changed = {change.key: change.properties for change in found if "jobTitle" in change.properties}
    assert changed == {(user["id"],): {"jobTitle": (user.get("jobTitle"), "Diver")}}
    rows = {row.key: row for row in differing(one.store, mine, other.store, theirs, "users")}
    assert json.loads(rows[user["id"],].after or "{}")["jobTitle"] == "Diver"


def test_a_damaged_file_is_an_explained_error(tenant: Tenant) -> None:
    one = tenant(protect("users"))
    first = one.backup()
    one.control.create("users", {})
    second = one.backup(full=True)
    one.store.files.replace(second.tables["users"].parts[0].key, b"nothing at all")
    with pytest.raises(IntegrityError, match=r"users/.* has 14 bytes instead of"):
        _found(one, first, second)
