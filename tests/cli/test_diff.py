"""What differs between points, and what an object is linked with, as the command tells it."""

from __future__ import annotations

import csv
import io

from tests.support.command import Place


def test_a_diff_of_the_last_two_points_is_the_default(backed_up: Place) -> None:
    first, second = (point["recovery_point"] for point in backed_up.call("points", "all", "--json").json)
    told = backed_up.call("diff", "all", "--json").json
    manifest = backed_up.store().manifest(second)

    assert (told["from"], told["to"]) == (first, second)
    assert told == backed_up.call("diff", "all", "--from", first, "--to", second, "--json").json
    counted = {row["table"]: row for row in told["tables"]}
    assert list(counted) == [row["type"] for row in backed_up.call("objects", "all", "--json").json]
    for table, row in counted.items():
        entry = manifest.tables[table]
        assert row["comparable"] == (entry.read != "never")
        if row["comparable"]:
            assert (row["added"], row["removed"]) == (entry.added, entry.deleted)
    for change in told["changes"]:
        assert change["name"]
        assert change["change"] in {"added", "removed", "modified", "volatile"}
        assert ("target_name" in change) == (manifest.tables[change["table"]].kind == "edges")
        assert ("object" in change) == ("target_name" not in change and change["change"] in {"added", "removed"})
    policies = [change for change in told["changes"] if change["table"] == "conditional_access_policies"]
    assert {name for change in policies for name in change["properties"]} >= {"state"}


def test_csv_has_a_line_for_every_property(backed_up: Place) -> None:
    told = backed_up.call("diff", "all", "--types", "users", "--json").json
    lines = list(csv.DictReader(io.StringIO(backed_up.call("diff", "all", "--types", "users", "--csv").out)))

    expected = sum(max(1, len(one.get("properties", {})) + len(one.get("volatile", {}))) for one in told["changes"])
    assert len(lines) == expected
    titles = [line for line in lines if line["property"] == "jobTitle"]
    assert all(line["before"] != line["after"] and line["change"] == "modified" for line in titles)
    assert {line["table"] for line in lines} <= {"users", "user_manager", "user_sponsors"}


def test_people_see_counts_then_details(backed_up: Place) -> None:
    shown = backed_up.call("diff", "all").out
    assert shown.index("modified") < shown.index(" → ")
    assert "Astrid Lind" in shown
    assert "other tables: no difference" in shown
    short = backed_up.call("diff", "all", "--limit", 1).out
    assert "more; --limit N" in short
    point = backed_up.call("points", "all", "--json").json[0]["recovery_point"]
    assert "no difference" in backed_up.call("diff", "all", "--from", point, "--to", point).out


def test_the_live_tenant_is_a_recovery_point_taken_now(place: Place) -> None:
    assert place.call("diff", "few").code == 2
    assert place.call("backup", "few").code == 0
    alone = place.call("diff", "few")
    assert alone.code == 2
    assert "--to live" in alone.err

    user = place.simulator.control.create("users", {"displayName": "Astrid Live"})
    live = place.call("diff", "few", "--to", "live", "--types", "users", "--json")
    assert live.code == 0
    points = [point["recovery_point"] for point in place.call("points", "few", "--json").json]
    assert [live.json["from"], live.json["to"]] == points
    assert f"recovery point {points[1]}, taken now" in live.err
    assert [(one["change"], one["id"]) for one in live.json["changes"]] == [("added", user)]
    place.simulator.control.delete(f"users/{user}")
    place.simulator.control.purge(user)

    # What was not asked for was not read: it is as old as it was.
    stale = place.call("diff", "few", "--to", points[1], "--types", "groups")
    assert "not requested in this run" in stale.out
    assert "groups" in stale.out
    # Neither of two such points has read it, which is said once.
    again = place.call("diff", "few", "--to", "live", "--types", "users", "--json")
    # It compares with the backup again, not with what was looked at in between.
    assert again.json["from"] == points[0]
    both = place.call("diff", "few", "--from", points[1], "--to", again.json["to"])
    [told] = [line for line in both.out.splitlines() if "groups" in line]
    assert told.startswith("as of another time")


def test_wrong_arguments_are_explained(backed_up: Place) -> None:
    for arguments, words in (
        (("--types", "user"), "did you mean"),
        (("--from", "yesterday"), "neither a recovery point nor a time"),
        (("--json", "--csv"), "exclude each other"),
    ):
        result = backed_up.call("diff", "all", *arguments)
        assert result.code == 2
        assert words in result.err
        assert "→" in result.err


def test_what_an_object_is_linked_with_is_shown(backed_up: Place) -> None:
    source, target, _ = min(
        edge for edge in backed_up.simulator.control.edges("groups", "members") if edge[2] == "user"
    )
    names = {one["id"]: one["displayName"] for one in backed_up.simulator.control.dump("groups")}
    rows = backed_up.call("objects", "all", "users", "--id", target, "--related", "--json").json
    row = next(one for one in rows if one["id"] == source)

    assert row == {
        "relation": "memberOf",
        "direction": "from",
        "type": "groups",
        "id": source,
        "name": names[source],
    }
    shown = backed_up.call("objects", "all", "groups", "--id", source, "--related", "--limit", 1).out
    assert "in all; --limit N" in shown
    one = backed_up.call("objects", "all", "groups", "--id", source, "--json").json
    assert one["displayName"] == names[source]
    assert names[source] in backed_up.call("objects", "all", "groups", "--id", source).out

    assert backed_up.call("objects", "all", "--id", source).code == 2
    assert backed_up.call("objects", "all", "groups", "--related").code == 2
    assert backed_up.call("objects", "all", "--where", "1 = 1").code == 2
    assert "no object nobody" in backed_up.call("objects", "all", "users", "--id", "nobody").err


def test_a_point_is_shown_by_category(backed_up: Place) -> None:
    shown = backed_up.call("objects", "all").out
    assert shown.index("Users") < shown.index("Groups") < shown.index("Conditional access")
    every = backed_up.call("objects", "all", "users", "--json").json
    some = backed_up.call("objects", "all", "users", "--limit", 3, "--offset", 2, "--json").json
    assert some == every[2:5]
