"""The tenant itself: the same by seed, kept over restarts, shared between processes, large, or empty."""

from __future__ import annotations

import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest

from entra_pipeline.simulator import Simulator, SimulatorError
from entra_pipeline.simulator.schema import SETS
from tests.simulator.conftest import Client

_SERVING = """
import sys
from entra_pipeline.simulator import Simulator

with Simulator(30, 5, state=sys.argv[1]):
    print("serving", flush=True)
    sys.stdin.read()
"""


def everything(simulator: Simulator) -> dict[str, object]:
    found: dict[str, object] = {}
    for entry in SETS:
        found[entry.name] = simulator.control.dump(entry.name)
        for relation in entry.relations:
            if not relation.inverse and not relation.transitive:
                found[f"{entry.name}.{relation.name}"] = simulator.control.edges(entry.name, relation.name)
    return found


def test_the_same_seed_gives_the_same_tenant() -> None:
    with Simulator(40, 8, seed=5) as one, Simulator(40, 8, seed=5) as other, Simulator(40, 8, seed=6) as third:
        assert everything(one) == everything(other)
        assert one.tenant_id == other.tenant_id != third.tenant_id
        ids = {user["id"] for user in one.control.dump("users")}
        assert not ids & {user["id"] for user in third.control.dump("users")}


def test_references_lead_to_objects(shared: Simulator) -> None:
    ids = {(item.get(entry.key), entry.name) for entry in SETS for item in shared.control.dump(entry.name)}
    for entry in SETS:
        for relation in entry.relations:
            if relation.inverse or relation.transitive:
                continue
            edges = shared.control.edges(entry.name, relation.name)
            assert edges or relation.name in {"sponsors", "oauth2PermissionGrants", "appRoleAssignments"}
            assert {(target, kind) for _, target, kind in edges} <= ids
    for policy in shared.control.dump("conditionalAccessPolicy"):
        users = policy["conditions"]["users"]
        assert {(item, "user") for item in users["excludeUsers"]} <= ids
        assert {(item, "group") for item in users["includeGroups"]} <= ids
        locations = policy["conditions"]["locations"]["excludeLocations"]
        assert {(item, "namedLocation") for item in locations} <= ids
        applications = policy["conditions"]["applications"]
        contexts = applications["includeAuthenticationContextClassReferences"]
        assert {(item, "authenticationContextClassReference") for item in contexts} <= ids
        assert {(item, "agreement") for item in policy["grantControls"]["termsOfUse"]} <= ids
    apps = {app["appId"] for app in shared.control.dump("applications")}
    assert apps < {principal["appId"] for principal in shared.control.dump("servicePrincipals")}
    assert len(shared.control.edges("groups", "members")) >= 5 * 300 * 0.9


def test_memberships_are_as_many_as_asked_for() -> None:
    with Simulator(200, 10, memberships=300) as simulator:
        assert 270 <= len(simulator.control.edges("groups", "members")) <= 330


def test_an_empty_tenant_has_what_every_tenant_has() -> None:
    with Simulator(users=0, groups=0, empty=True) as simulator:
        counts = {name: number for name, number in simulator.control.counts().items() if number}
        assert counts == {
            "organization": 1,
            "domains": 1,
            "subscribedSkus": 3,
            "directoryRoles": 7,
            "roleManagement/directory/roleDefinitions": 10,
            "policies/authenticationStrengthPolicies": 3,
            "servicePrincipals": 1,
            **dict.fromkeys((e.path for e in SETS if e.singleton and e.name != "multiTenantOrganization"), 1),
            "policies/permissionGrantPolicies": 4,
            "roleManagement/directory/resourceNamespaces/microsoft.directory/resourceActions": 19,
            "policies/roleManagementPolicies": 10,
            "policies/roleManagementPolicyAssignments": 10,
            "groupSettingTemplates": 2,
            "directory/subscriptions": 3,
            "serviceConfigurationRecord": 2,
            "verificationDnsRecord": 2,
            "identity/identityProviders": 2,
            "identity/userFlowAttributes": 4,
            "identityGovernance/entitlementManagement/catalogs": 1,
            "roleManagement/entitlementManagement/roleDefinitions": 2,
        }
        client = Client(simulator)
        assert client.round("users/delta")[0] == []
        client.http.close()


def test_a_kept_tenant_survives_a_restart(tmp_path: Path) -> None:
    with Simulator(30, 5, state=tmp_path) as first:
        new = first.control.create("users", {"displayName": "Kept"})
        client = Client(first)
        _, link = client.round("users/delta?$select=displayName")
        client.http.close()
        before = (first.graph_url, first.authority, first.client_secret, first.ca_bundle.read_bytes())
    with Simulator(30, 5, state=tmp_path) as second:
        assert (second.graph_url, second.authority, second.client_secret, second.ca_bundle.read_bytes()) == before
        second.control.patch(f"users/{new}", {"displayName": "Changed"})
        client = Client(second)
        assert client.round(link)[0] == [{"id": new, "displayName": "Changed"}]
        client.http.close()


def test_a_second_simulator_on_the_same_state_uses_the_first(tmp_path: Path) -> None:
    with Simulator(30, 5, state=tmp_path) as first:
        with Simulator(30, 5, state=tmp_path) as second:
            assert second.attached
            assert second.graph_url == first.graph_url
            new = second.control.create("users")
        assert new in {user["id"] for user in first.control.dump("users")}


def test_a_second_simulator_takes_over_from_a_first_that_is_killed(tmp_path: Path) -> None:
    first = subprocess.Popen(
        [sys.executable, "-c", _SERVING, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert first.stdout is not None
        assert first.stdout.readline() == "serving\n"
        with Simulator(30, 5, state=tmp_path) as second:
            assert second.attached
            client = Client(second)
            _, link = client.round("users/delta?$select=displayName")
            new = second.control.create("users", {"displayName": "Before"})
            first.kill()
            first.wait()
            deadline = time.monotonic() + 30
            while second.attached and time.monotonic() < deadline:
                time.sleep(0.05)
            assert client.round(link)[0] == [{"id": new, "displayName": "Before"}]
            client.http.close()
    finally:
        first.kill()
        first.communicate()


def test_a_tenant_whose_making_was_interrupted_is_made_again(tmp_path: Path) -> None:
    (tmp_path / "tenant.sqlite3").write_bytes(b"")
    with Simulator(30, 5, state=tmp_path) as simulator:
        assert simulator.control.counts()["users"] == 30


def test_a_taken_port_is_explained(tmp_path: Path) -> None:
    with Simulator(3, 1) as first:
        port = int(first.graph_url.split(":")[2].split("/")[0])
        with pytest.raises(SimulatorError, match=f"port {port}"), Simulator(3, 1, port=port):
            pass


def test_the_tenant_table_is_toml_and_its_secrets_are_in_files(shared: Simulator) -> None:
    table = tomllib.loads(shared.tenant_table("demo"))["tenants"]["demo"]
    assert table["graph_url"] == shared.graph_url
    assert Path(table["client_secret"]["file"]).read_text() == shared.client_secret
    assert Path(table["restore"]["client_secret"]["file"]).read_text() == shared.restore_client_secret
    assert shared.client_secret not in shared.tenant_table("demo")


def test_a_large_tenant_is_read_whole() -> None:
    with Simulator(20_000, 200, memberships=40_000) as simulator:
        client = Client(simulator)
        ids = [user["id"] for user in client.all("users?$top=999&$select=id")]
        assert len(ids) == len(set(ids)) == 20_000
        told = [
            link["id"]
            for item in client.round("groups/delta?$select=id,members")[0]
            for link in item.get("members@delta", ())
        ]
        assert len(told) == len(simulator.control.edges("groups", "members"))
        client.http.close()
