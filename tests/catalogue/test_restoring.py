"""The restore rules of the catalogue: held against msgraph-sdk's models, DuckDB, and what the simulated Graph takes."""

from __future__ import annotations

from collections.abc import Iterator

import duckdb
import pytest

from entra_pipeline.catalogue import CATALOGUE, RELATIONS, ObjectType, restore_permissions_for
from entra_pipeline.catalogue.model import LinkWrite, Restore
from entra_pipeline.catalogue.restoring import WriteStrategy, kept
from entra_pipeline.simulator.schema import BY_NAME, SETS, EntitySet
from tests.support.command import call

pytestmark = pytest.mark.pure

RESTORABLE = [entry for entry in CATALOGUE.values() if entry.restore.possible]
WRITES = {name: relation.write for name, (_, relation) in RELATIONS.items() if relation.write is not None}
# Made or changed by requests of their own, which the set of the objects does not show.
_BY_REQUEST = {
    WriteStrategy.SCHEDULE,
    WriteStrategy.ENTITLEMENT,
    WriteStrategy.LICENSES,
    WriteStrategy.GROUP_RULES,
}


def names_of(rule: Restore) -> Iterator[str]:
    """The properties that a rule names, without what is below them."""
    sets = (
        rule.volatile,
        rule.create_only,
        rule.change_only,
        rule.cloud_owned,
        rule.refers,
        rule.later,
        rule.required,
        rule.names_others,
    )
    mappings = (rule.gated, rule.parts, rule.prefixed)
    paths = [*(name for names in (*sets, *mappings) for name in names), *rule.secrets]
    paths += [rule.guard[0]] if rule.guard else []
    return (path.partition(".")[0] for path in paths if path not in {"@odata.type", "extension_*"})


@pytest.mark.parametrize("entry", CATALOGUE.values(), ids=lambda entry: entry.name)
def test_rules_name_properties_of_their_type(entry: ObjectType) -> None:
    assert set(names_of(entry.restore)) <= entry.properties.keys()


@pytest.mark.parametrize("entry", RESTORABLE, ids=lambda entry: entry.name)
def test_rules_do_not_contradict_themselves(entry: ObjectType) -> None:
    rule = entry.restore
    assert rule.create or rule.change
    assert bool(rule.permissions) is rule.by_application
    sent = {name.partition(".")[0] for name in (*rule.create_only, *rule.change_only, *rule.required, *rule.secrets)}
    assert sent & rule.volatile == set()
    assert rule.create_only & rule.change_only == set()
    assert set(rule.required) & rule.change_only == set()
    assert set(rule.required) <= set(entry.properties) | {"@odata.type"}
    assert set(rule.after) <= CATALOGUE.keys() - {entry.name}
    assert (rule.guard[0] if rule.guard else "") not in rule.volatile
    assert bool(rule.bin) == (f"deleted_{entry.name}" in CATALOGUE)
    # Who cannot be made needs no path to be made at.
    assert not (rule.path and not rule.create)
    for path in (rule.path, rule.item, rule.bin):
        assert not path.startswith("/")


def test_what_is_kept_as_evidence_is_never_written() -> None:
    for entry in CATALOGUE.values():
        if not entry.restore.possible:
            rule = entry.restore
            assert rule == kept(rule.how, volatile=rule.volatile, unique=rule.unique, names=rule.names), entry.name
            assert all(relation.write is None for relation in entry.relations), entry.name


def test_conditions_are_sql() -> None:
    rules: list[Restore | LinkWrite] = [*(entry.restore for entry in CATALOGUE.values()), *WRITES.values()]
    conditions = {rule.derived for rule in rules} | {rule.mastered for rule in rules}
    conditions |= {rule.fixed for rule in rules if isinstance(rule, Restore)}
    with duckdb.connect() as connection:
        for condition in conditions - {""}:
            found = connection.execute(f"SELECT ({condition}) IS TRUE FROM (SELECT '{{}}'::JSON AS raw)").fetchall()
            assert found == [(False,)], condition


@pytest.mark.parametrize(
    ("name", "raw", "expected"),
    [
        ("groups", '{"groupTypes": [], "mailEnabled": true}', True),
        ("groups", '{"groupTypes": ["Unified"], "mailEnabled": true}', False),
        ("groups", '{"groupTypes": [], "mailEnabled": false, "onPremisesSyncEnabled": true}', True),
        ("users", '{"onPremisesSyncEnabled": null}', False),
        ("users", '{"onPremisesSyncEnabled": true}', True),
        ("service_principals", '{"servicePrincipalType": "ManagedIdentity"}', True),
    ],
)
def test_objects_that_are_mastered_elsewhere_are_told_apart(name: str, raw: str, expected: bool) -> None:
    assert _true(CATALOGUE[name].restore.mastered, raw) is expected


@pytest.mark.parametrize(
    ("condition", "raw", "expected"),
    [
        (CATALOGUE["role_definitions"].restore.fixed, '{"isBuiltIn": true}', True),
        (CATALOGUE["role_definitions"].restore.fixed, '{"isBuiltIn": false}', False),
        (CATALOGUE["permission_grant_policies"].restore.fixed, '{"id": "microsoft-user-default-low"}', True),
        (
            CATALOGUE["identity_providers"].restore.fixed,
            '{"@odata.type": "#microsoft.graph.builtInIdentityProvider"}',
            True,
        ),
        (
            CATALOGUE["identity_providers"].restore.fixed,
            '{"@odata.type": "#microsoft.graph.socialIdentityProvider"}',
            False,
        ),
        (
            CATALOGUE["role_assignment_schedules"].restore.derived,
            '{"memberType": "Direct", "assignmentType": "Assigned"}',
            False,
        ),
        (
            CATALOGUE["role_assignment_schedules"].restore.derived,
            '{"memberType": "Direct", "assignmentType": "Activated"}',
            True,
        ),
        (CATALOGUE["role_eligibility_schedules"].restore.derived, '{"memberType": "Group"}', True),
        (WRITES["group_members"].derived, '{"groupTypes": ["DynamicMembership"]}', True),
        (WRITES["group_members"].derived, '{"groupTypes": []}', False),
        (WRITES["administrative_unit_members"].derived, '{"membershipType": "Dynamic"}', True),
        (WRITES["administrative_unit_members"].derived, "{}", False),
    ],
)
def test_what_nobody_writes_is_told_apart(condition: str, raw: str, expected: bool) -> None:
    assert _true(condition, raw) is expected


def _true(condition: str, raw: str) -> bool:
    with duckdb.connect() as connection:
        row = connection.execute(f"SELECT ({condition}) IS TRUE FROM (SELECT ?::JSON AS raw)", [raw]).fetchone()
    assert row is not None
    return bool(row[0])


# --- Against Graph's rules of writing, as the simulator holds them ---------------------------------------------------


@pytest.mark.parametrize("entry", RESTORABLE, ids=lambda entry: entry.name)
def test_graph_takes_what_the_rules_send(entry: ObjectType) -> None:
    rule = entry.restore
    taken = _set_of(entry)
    # Whoever may write the owner may write what is kept with it.
    owner = _set_of(CATALOGUE[entry.parent.type]).write if entry.parent else ()
    if rule.strategy not in _BY_REQUEST and not entry.projection:
        assert {*rule.permissions, *rule.delegated} & set(taken.by_user or taken.write or owner)
        assert rule.change in {*taken.changes, ""} if taken.update else not rule.change
        assert {"POST": taken.create, "PUT": "PUT" in taken.upsert, "PATCH": "PATCH" in taken.upsert, "": True}[
            rule.create
        ]
        assert set(taken.required) <= {*rule.required, *_made_up(rule), *({"id"} if rule.create == "PATCH" else set())}
        sent = set(entry.properties) - rule.volatile - rule.later - {"id", entry.key}
        # What has a path of its own below the object is not sent with it.
        parts = {name for name, _ in taken.inline} if rule.strategy is WriteStrategy.PARTS else set()
        assert sent & taken.read_only - parts == set()
        assert taken.immutable - {"id", entry.key} <= rule.create_only | {"allowedCombinations"}
        assert taken.bin == rule.bin


def _set_of(entry: ObjectType) -> EntitySet:
    """The set by its path, because some types are in two; parts of others have none."""
    return next((one for one in SETS if one.path and one.path == entry.path), BY_NAME[entry.graph_type])


def _made_up(rule: Restore) -> set[str]:
    return {"passwordProfile"} if rule.strategy is WriteStrategy.USER else set()


@pytest.mark.parametrize("name", WRITES)
def test_graph_takes_the_links(name: str) -> None:
    entry, relation = RELATIONS[name]
    write = WRITES[name]
    if write.from_target:
        for kind, path in write.from_target.items():
            taken = next(one for one in BY_NAME[kind].relations if one.name == path.rpartition("/")[2])
            assert entry.graph_type in taken.targets
            assert {*write.permissions, *write.besides} & set(taken.write)
        return
    taken = next(one for one in BY_NAME[entry.graph_type].relations if one.name == relation.segment)
    assert taken.targets
    assert set(write.permissions) & set(taken.write or BY_NAME[entry.graph_type].write)
    assert (write.add == "put") == (not relation.many)


# --- Permissions ------------------------------------------------------------------------------------------------------


def test_the_permissions_of_the_second_app_registration_are_listed() -> None:
    everything = restore_permissions_for(list(CATALOGUE))
    assert call("catalogue", "--permissions", "--restore", "--json").json == everything
    *listed, by_person = call("catalogue", "--permissions", "--restore").out.splitlines()
    assert listed == everything
    # What no application permission allows is told apart.
    (delegated,) = call("catalogue", "--permissions", "--restore", "--delegated", "--json").json
    assert delegated == "RoleManagementPolicy.ReadWrite.Directory"
    assert by_person == f"{delegated} (delegated, for restore --sign-in)"
    assert call("catalogue", "--permissions", "--restore", "--delegated").out.split() == [delegated]
    assert call("catalogue", "--permissions", "--delegated").code == 2
    assert call("catalogue", "--restore").code == 2
    needed = restore_permissions_for(["groups"])
    assert needed == [
        "Group.ReadWrite.All",
        "GroupMember.ReadWrite.All",
        "LicenseAssignment.ReadWrite.All",
        "RoleManagement.ReadWrite.Directory",
    ]
    assert restore_permissions_for(["subscribed_skus", "devices"]) == []
    assert set(needed) < set(everything)
