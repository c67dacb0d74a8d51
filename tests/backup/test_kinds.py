"""When a backup is full, incremental or synthetic, for the point as a whole and for each type."""

from __future__ import annotations

from collections.abc import Callable

from entra_pipeline.analysis.sql import Relations, SqlSession
from entra_pipeline.store.manifest import Manifest
from tests.support.changing import Life
from tests.support.protected import MAIN_TYPES, Protected, parts_of, protect

Tenant = Callable[..., Protected]


def reads(manifest: Manifest) -> dict[str, str]:
    return {table: entry.read for table, entry in manifest.tables.items()}


def roles(manifest: Manifest, table: str) -> list[str]:
    return [part.role for part in manifest.tables[table].parts]


def test_after_many_incrementals_a_base_is_made_of_stored_files(tenant: Tenant) -> None:
    one = tenant(f"{protect('users', 'groups', 'domains')}\nmax_incrementals = 3")
    life = Life(one.control, seed=1)
    user = min(user["id"] for user in one.control.dump("users"))
    history = [(one.backup(), one.picture())]
    for round_ in range(5):
        life.go_on(10)
        one.control.patch(f"users/{user}", {"jobTitle": f"Title {round_}"})
        history.append((one.backup(), one.picture()))
    for manifest, picture in history:
        one.assert_same(manifest, picture)
    kinds = [manifest.tables["users"].read for manifest, _ in history]
    assert kinds == ["full", "incremental", "incremental", "incremental", "synthetic full", "incremental"]
    based, _ = history[4]
    assert based.kind == "incremental"
    assert roles(based, "users") == ["base", "changes"]
    assert [manifest.tables["users"].follows for manifest, _ in history] == [number == 4 for number in range(6)]
    assert parts_of(based, based.tables["users"]) == list(based.tables["users"].parts)
    assert based.tables["users"].requests < history[0][0].tables["users"].requests + 3
    assert roles(history[5][0], "users") == ["base", "changes", "changes"]
    # Types without changes have nothing to make a base of.
    assert roles(history[5][0], "domains") == ["base"]
    assert history[5][0].tables["domains"].parts == history[0][0].tables["domains"].parts
    # The history is the same whatever a point was stored as.
    with SqlSession(Relations({"store": (one.store.files, [one.store.scope])})) as session:
        titles = f"SELECT recovery_point, jobTitle FROM users_history WHERE id = '{user}' ORDER BY valid_from"
        assert session.ask(titles).fetchall()[1:] == [
            (manifest.recovery_point, f"Title {round_}") for round_, (manifest, _) in enumerate(history[1:])
        ]
        counts = "SELECT recovery_point, _change, count(*) FROM users_history GROUP BY ALL"
        told = {(point, what): count for point, what, count in session.ask(counts).fetchall()}
    entries = [(manifest.recovery_point, manifest.tables["users"]) for manifest, _ in history]
    numbers = {
        (p, what): getattr(entry, what) for p, entry in entries for what in ("baseline", "added", "changed", "deleted")
    }
    assert told == {key: number for key, number in numbers.items() if number}


def test_a_synthetic_full_is_made_for_edges_and_listed_types_too(tenant: Tenant) -> None:
    one = tenant(f"{protect('groups', 'domains')}\nmax_incrementals = 1")
    control = one.control
    group = min(group["id"] for group in control.dump("groups"))
    domain = min(domain["id"] for domain in control.dump("domains"))
    users = sorted(user["id"] for user in control.dump("users"))
    taken = {target for source, target, _ in control.edges("groups", "members") if source == group}
    one.backup()
    for number, user in enumerate([user for user in users if user not in taken][:4]):
        control.add_link(f"groups/{group}/members", user)
        control.patch(f"domains/{domain}", {"passwordValidityPeriodInDays": 100 + number})
        manifest = one.backup()
        one.assert_same(manifest)
        expected = "synthetic full" if number % 2 else "incremental"
        assert (reads(manifest)["group_members"], manifest.tables["group_members"].added) == (expected, 1)
        assert (roles(manifest, "group_members"), roles(manifest, "domains")) == (
            (["base", "changes"],) * 2 if not number else (["base", "changes", *["changes"] * (1 - number % 2)],) * 2
        )


def test_a_full_backup_is_due_after_its_frequency(tenant: Tenant) -> None:
    one = tenant(f'{protect("users", "domains")}\nfull_backup_frequency = "20 days"')
    kinds = []
    for _ in range(8):
        one.assert_same(manifest := one.backup())
        kinds.append(manifest.kind)
        one.advance(days=5)
    assert kinds == ["full", *["incremental"] * 3, "full", *["incremental"] * 3]


def test_a_full_backup_can_be_asked_for(tenant: Tenant) -> None:
    one = tenant(protect("users", "domains"))
    one.backup()
    manifest = one.backup(full=True)
    one.assert_same(manifest)
    assert manifest.kind == "full"
    assert set(reads(manifest).values()) == {"full"}
    assert all(entry.parts == tuple(parts_of(manifest, entry)) for entry in manifest.tables.values())


def test_a_point_is_full_only_when_everything_was_read_in_full(tenant: Tenant) -> None:
    one = tenant(protect("users", "domains"))
    one.control.deny("domains")
    first = one.backup()
    assert (first.kind, first.last_full) == ("full", first.recovery_point)
    one.control.deny("users")
    nothing = one.backup(full=True)
    assert (nothing.kind, nothing.last_full) == ("incremental", first.recovery_point)
    one.control.deny("users", 0)
    one.control.deny("domains", 0)
    part = one.backup(full=True, types=["users"])
    assert (part.kind, part.last_full) == ("incremental", first.recovery_point)
    one.control.deny("domains")
    whole = one.backup(full=True)
    assert (whole.kind, whole.last_full) == ("full", whole.recovery_point)


def test_a_delta_link_older_than_six_days_is_not_used(tenant: Tenant) -> None:
    one = tenant(protect("users"))
    one.backup()
    one.advance(days=5, hours=23)
    assert reads(one.backup())["users"] == "unchanged"
    Life(one.control, seed=2).go_on(10)
    # The link is that of the point before, minted just now: its age counts, not that of the base.
    one.advance(days=5, hours=23)
    assert reads(one.backup())["users"] == "incremental"
    one.advance(days=6, seconds=5)
    manifest = one.backup()
    assert reads(manifest)["users"] == "full"
    assert one.control.ledger()["statuses"].get("400") is None
    one.assert_same(manifest)


def test_a_new_directory_extension_brings_its_values_by_a_full_read(tenant: Tenant) -> None:
    one = tenant(protect("users", "groups"))
    control = one.control
    one.backup()
    application = min(one["id"] for one in control.dump("applications"))
    made = {"name": "extension_0123456789abcdef0123456789abcdef_shoeSize", "dataType": "Integer"}
    control.create(f"applications/{application}/extensionProperties", {**made, "targetObjects": ["User"]})
    user = min(user["id"] for user in control.dump("users"))
    control.patch(f"users/{user}", {made["name"]: 43})
    manifest = one.backup()
    one.assert_same(manifest)
    assert one.objects(manifest, "users")[user][made["name"]] == 43
    assert (reads(manifest)["users"], reads(manifest)["user_manager"]) == ("full", "full")
    assert manifest.tables["groups"].read != "full"


def test_types_that_are_not_asked_for_are_carried(tenant: Tenant) -> None:
    one = tenant(protect(*MAIN_TYPES, "domains"))
    life = Life(one.control, seed=3)
    first, then = one.backup(), one.picture()
    life.go_on(40)
    second = one.backup(types=["groups"])
    assert second.status == "finished"
    now = one.picture()
    for table, entry in second.tables.items():
        if table.startswith("group"):
            assert entry.read != "carried"
        else:
            assert entry.read == "carried"
            assert entry.parts == first.tables[table].parts
            assert entry.notes == ("not requested in this run",)
    assert one.objects(second, "groups").keys() == now.objects["groups"].keys()
    assert one.objects(second, "users").keys() == then.objects["users"].keys()
    life.go_on(40)
    one.assert_same(one.backup())


def test_what_a_type_lacks_it_lacks_until_it_is_read_again(tenant: Tenant) -> None:
    one = tenant(protect("users", "domains", "named_locations"))
    for refused, status in (("domains", 403), ("identity/conditionalAccess/namedLocations", 500)):
        one.control.deny(refused, status)
    first = one.backup()
    lacking = {table: entry.gaps for table, entry in first.tables.items() if entry.gaps}
    assert {table: [gap.permission for gap in gaps] for table, gaps in lacking.items()} == {
        "domains": ["Domain.Read.All"],
        "named_locations": [""],
    }
    second = one.backup(types=["users"])
    assert second.status == "finished with exception"
    assert {table: entry.gaps for table, entry in second.tables.items() if entry.gaps} == lacking
    for refused in ("domains", "identity/conditionalAccess/namedLocations"):
        one.control.deny(refused, 0)
    third = one.backup(types=["named_locations"])
    assert (third.status, third.kind) == ("finished with exception", "incremental")
    assert {table for table, entry in third.tables.items() if entry.gaps} == {"domains"}
    assert one.backup(types=["domains"]).status == "finished"


def test_types_that_were_never_read_have_no_rows_and_say_so(tenant: Tenant) -> None:
    one = tenant(protect("users", "domains"))
    first = one.backup(types=["domains"])
    assert (first.tables["users"].read, first.tables["users"].live) == ("never", 0)
    assert first.tables["users"].notes
    one.assert_same(one.backup())


def test_what_only_its_owners_delta_tells_is_read_with_the_owner(tenant: Tenant) -> None:
    one = tenant(protect("applications", "application_key_credentials"))
    first = one.backup()
    application = min(one.control.dump("applications"), key=lambda app: len(app["keyCredentials"]))["id"]
    key = {
        "keyId": "6f1a6d5e-2c0b-4a7e-9f0e-0d7f5a8f4b11",
        "type": "AsymmetricX509Cert",
        "usage": "Verify",
        "key": "AAAA",
    }
    one.control.patch(f"applications/{application}", {"keyCredentials": [key]})
    part = one.backup(types=["applications"])
    assert application in one.objects(part, "application_key_credentials")
    last = one.backup()
    one.assert_same(last)
    assert last.tables["application_key_credentials"].live == first.tables["application_key_credentials"].live + 1
