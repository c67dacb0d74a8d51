"""What is shown of the store: points, objects, verify."""

from __future__ import annotations

import csv
import io
import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from entra_pipeline.catalogue import EVERYTHING, table_names
from tests.support.command import Place


def _raw_in_files(place: Place, table: str) -> dict[str, str]:
    """The `_raw` of the latest full point's objects, read by stock DuckDB."""
    store = place.store()
    first = store.manifest(store.points()[0])
    file = store.files.url(first.tables[table].parts[0].key)
    return dict(duckdb.sql(f"SELECT id, _raw FROM '{file}'").fetchall())


def test_points_are_listed_oldest_first_with_what_they_hold(backed_up: Place) -> None:
    points = backed_up.call("points", "all", "--json").json

    assert [point["kind"] for point in points] == ["full", "incremental"]
    assert set(points[0]) == {
        "recovery_point",
        "kind",
        "status",
        "started",
        "finished",
        "types",
        "proof",
        "gaps",
        "taken_for",
        "older",
    }
    assert points[0]["recovery_point"] < points[1]["recovery_point"]
    assert list(points[0]["types"]) == table_names(EVERYTHING)
    assert points[1]["types"]["users"] == len(backed_up.simulator.control.dump("users"))
    assert points[1]["gaps"] == []


def test_a_scope_without_points_says_how_to_get_one(place: Place) -> None:
    assert place.call("points", "few", "--json").json == []
    # The path is the shorter one, as seen from here or from the root.
    assert f"{place.file.parent.name}/{place.file.name} backup few takes one" in place.call("points", "few").out
    refused = place.call("objects", "few", "users")
    assert refused.code == 2
    assert "no recovery point" in refused.err


def test_objects_are_the_bytes_that_graph_sent(backed_up: Place) -> None:
    point = backed_up.call("points", "all", "--json").json[0]["recovery_point"]
    for table in ("users", "conditional_access_policies", "named_locations"):
        text = backed_up.call("objects", "all", table, "--at", point, "--json").out
        kept = _raw_in_files(backed_up, table)
        assert text == "[\n" + ",\n".join(kept[identifier] for identifier in sorted(kept)) + "\n]\n"


def test_the_latest_objects_are_those_of_the_tenant(backed_up: Place) -> None:
    shown = {one["id"]: one for one in backed_up.call("objects", "all", "groups", "--json").json}
    for truth in backed_up.simulator.control.dump("groups"):
        present = {key: value for key, value in truth.items() if value is not None}
        assert {key: value for key, value in shown.pop(truth["id"]).items() if value is not None} == present
    assert not shown


def test_links_are_shown_with_both_ends(backed_up: Place) -> None:
    links = backed_up.call("objects", "all", "group_members", "--json").json
    assert {tuple(link) for link in links} == {("source_id", "target_id", "target_type")}
    assert {tuple(link.values()) for link in links} == backed_up.simulator.control.edges("groups", "members")


def test_a_moment_is_a_point_or_any_time_after_it(backed_up: Place) -> None:
    first, second = backed_up.call("points", "all", "--json").json
    by_key = backed_up.call("objects", "all", "users", "--at", first["recovery_point"], "--json").out
    # Keys have whole seconds, and name the moment at which the run began.
    begun = datetime.strptime(first["recovery_point"][:20], "%Y-%m-%dT%H-%M-%SZ").replace(tzinfo=UTC)
    by_time = backed_up.call("objects", "all", "users", "--at", begun.isoformat(), "--json").out
    future = (begun + timedelta(days=1)).isoformat()

    assert by_key == by_time
    latest = backed_up.call("objects", "all", "users", "--json").out
    assert latest == backed_up.call("objects", "all", "users", "--at", future, "--json").out
    assert latest == backed_up.call("objects", "all", "users", "--at", second["recovery_point"], "--json").out
    assert latest != by_key


def test_a_condition_a_text_and_a_limit_choose(backed_up: Place) -> None:
    users = backed_up.simulator.control.dump("users")
    finance = {user["id"] for user in users if user.get("department") == "Finance"}
    where = ("--where", "department = 'Finance' -- a comment")

    assert finance
    assert {one["id"] for one in backed_up.call("objects", "all", "users", *where, "--json").json} == finance
    assert len(backed_up.call("objects", "all", "users", "--limit", 2, "--json").json) == 2
    name = users[0]["userPrincipalName"]
    assert [
        one["id"] for one in backed_up.call("objects", "all", "users", "--search", name.upper(), "--json").json
    ] == [users[0]["id"]]
    assert backed_up.call("objects", "all", "users", "--search", "100% 'nobody' here", "--json").out == "[]\n"


def test_csv_is_plain(backed_up: Place) -> None:
    rows = list(csv.DictReader(io.StringIO(backed_up.call("objects", "all", "users", "--csv").out)))
    truth = {user["id"]: user for user in backed_up.simulator.control.dump("users")}

    assert {row["id"] for row in rows} == set(truth)
    assert {row["accountEnabled"] for row in rows} <= {"true", "false"}
    points = list(csv.DictReader(io.StringIO(backed_up.call("points", "all", "--csv").out)))
    assert all(int(row["links"]) > 0 for row in points)


def test_the_table_says_when_there_is_more(backed_up: Place) -> None:
    shown = backed_up.call("objects", "all", "group_members").out
    assert "more; --limit N" in shown
    assert "more" not in backed_up.call("objects", "all", "domains").out


@pytest.mark.parametrize(
    "condition",
    [
        "displayName LIKE",
        "nme = 'a'",
        "1 = 1); DROP TABLE x; --",
        "1 = 1); SELECT (1",
        "count(*) > 1",
        "displayName::INT = 3",
        "error('x')",
        "(SELECT count(*) FROM read_text('/etc/hostname')) > 0",
        "id IN (SELECT id FROM '**/*.parquet')",
    ],
)
def test_a_wrong_condition_is_a_usage_error(backed_up: Place, condition: str) -> None:
    for form in ("--json", "--csv"):
        result = backed_up.call("objects", "all", "users", "--where", condition, form)
        assert result.code == 2
        assert "the condition" in result.err
        assert "→" in result.err
        assert result.out == ""


def test_what_was_written_is_verified(backed_up: Place) -> None:
    result = backed_up.call("verify", "all")
    assert result.code == 0
    assert "2 recovery points" in result.out
    findings = backed_up.call("verify", "all", "--at", "latest", "--json").json
    assert {finding["table"] for finding in findings} == {"", *table_names(EVERYTHING)}
    assert all(finding["ok"] for finding in findings)


def test_damage_is_found_and_named(backed_up: Place, tmp_path: Path) -> None:
    shutil.copytree(backed_up.file.parent, tmp_path, dirs_exist_ok=True)
    copy = Place(tmp_path / backed_up.file.name, backed_up.simulator)
    store = copy.store()
    part = store.manifest(store.points()[0]).tables["domains"].parts[0]
    file = tmp_path / "backup" / part.key
    file.chmod(0o644)
    file.write_bytes(b"PAR0" + file.read_bytes()[4:])

    verified = copy.call("verify", "all")
    assert verified.code == 1
    assert part.key in verified.out
    assert "domains" in verified.out
    assert "users" not in verified.out

    file.write_bytes(b"nothing at all")
    shown = copy.call("objects", "all", "domains", "--where", "isDefault", "--json")
    assert shown.code == 1
    assert "toml verify shows" in shown.err
    assert "Traceback" not in shown.err


def test_scopes_show_their_state(backed_up: Place) -> None:
    rows = {row["scope"]: row for row in backed_up.call("scope", "list", "--json").json}
    latest = backed_up.call("points", "all", "--json").json[-1]

    assert rows["all"]["recovery_points"] == 2
    assert rows["all"]["last_good"] == latest["recovery_point"]
    assert rows["all"]["age"]
    assert datetime.fromisoformat(rows["all"]["next"]).hour == 5
    assert rows["few"]["status"] == "never backed up"
    assert rows["few"]["next"] == ""

    shown = backed_up.call("scope", "show", "few", "--json").json
    assert shown["types"] == ["users", "groups", "domains"]
    assert "Domain.Read.All" in shown["permissions"]
    assert "Policy.Read.All" not in shown["permissions"]
    assert "Domain.Read.All" in backed_up.call("scope", "show", "few").out


def test_json_of_a_backup_is_its_point_and_more(place: Place) -> None:
    result = place.call("backup", "few", "--json")
    told = json.loads(result.out)
    point = place.call("points", "few", "--json").json[-1]

    assert result.code == 0
    assert point.items() <= told.items()
    assert {table["table"]: table["live"] for table in told["tables"]} == point["types"]
    assert told["totals"]["objects"] > 60
    assert "users: full" in result.err
