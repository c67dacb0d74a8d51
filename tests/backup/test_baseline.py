"""What the first read of a type finds was there before: it counts as a baseline, and as no change."""

from __future__ import annotations

from collections.abc import Callable

from entra_pipeline.analysis.sql import Relations, SqlSession
from entra_pipeline.backup.jobs import totals
from tests.support.protected import Protected, protect


def test_what_a_first_read_finds_is_a_baseline(tenant: Callable[..., Protected]) -> None:
    one = tenant(protect("groups"), users=20, groups=3)
    first = one.backup()
    one.configure(protect("groups", "users", "domains"))
    one.control.deny("domains", 403)
    group = min(group["id"] for group in one.control.dump("groups"))
    one.control.patch(f"groups/{group}", {"description": "changed"})
    later = one.backup()
    assert later.tables["domains"].read == "never"
    one.control.deny("domains", 0)
    user = one.control.create(
        "users",
        {"displayName": "New", "userPrincipalName": "new@example.com", "mailNickname": "new", "accountEnabled": True},
    )
    last = one.backup()

    counts = {
        (manifest.recovery_point, table): (entry.baseline, entry.added, entry.changed, entry.deleted)
        for manifest in (first, later, last)
        for table, entry in manifest.tables.items()
        if entry.live
    }
    points = [manifest.recovery_point for manifest in (first, later, last)]
    live = {
        (manifest.recovery_point, table): entry.live
        for manifest in (first, later, last)
        for table, entry in manifest.tables.items()
    }
    firsts = {
        "groups": 0,
        "group_members": 0,
        "group_owners": 0,
        "users": 1,
        "user_manager": 1,
        "user_sponsors": 1,
        "domains": 2,
    }
    for (point, table), told in counts.items():
        if points[firsts[table]] == point:
            assert told == (live[point, table], 0, 0, 0), table
        else:
            assert told[0] == 0, table
    assert counts[points[1], "groups"] == (0, 0, 1, 0)
    assert counts[points[2], "users"] == (0, 1, 0, 0)
    assert (totals(first)["baseline"], totals(first)["added"]) == (sum(e.live for e in first.tables.values()), 0)

    with SqlSession(Relations({"store": (one.store.files, [one.store.scope])})) as session:
        columns = 'recovery_point, "table", baseline, added, changed, deleted'
        asked = f"SELECT {columns} FROM recovery_point_tables WHERE live > 0"
        assert {(p, t): told for p, t, *told in session.ask(asked).fetchall()} == {k: [*v] for k, v in counts.items()}
        asked = "SELECT id FROM users_history WHERE _change = 'added'"
        assert session.ask(asked).fetchall() == [(user,)]
        asked = "SELECT DISTINCT _change FROM domains_history"
        assert session.ask(asked).fetchall() == [("baseline",)]
