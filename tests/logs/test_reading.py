"""TenantLogs are read whole, once, and late entries too; what cannot be had is named."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
import pytest

from entra_pipeline.backup.logs import LATENESS, OVERLAP, due
from entra_pipeline.catalogue.logs import LOGS
from entra_pipeline.errors import GraphProtocolError, GraphUnavailable, ScopeBusy, StoreError
from entra_pipeline.store.logs import LogDay, LogPart, LogStore
from entra_pipeline.store.retention.sweep import sweep
from tests.support.logged import Logged

GRAPH_TYPES = {
    "directory_audits": "directoryAudit",
    "sign_ins": "signIn",
    "app_sign_ins": "signIn",
    "provisioning": "provisioningObjectSummary",
}
Start = Callable[..., Logged]


def test_the_first_read_brings_all_that_entra_keeps_in_few_requests(tenant: Start) -> None:
    one = tenant()
    one.control.ledger(reset=True)
    before = one.clock()
    days = one.read()
    requests = one.control.ledger()["sets"]
    sent: Counter[str] = Counter()
    for log in LOGS:
        # The oldest moments may be dropped while the test runs.
        assert one.happened(log, before) - set(one.stored(log)) == set()
        found = [day for day in days if day.log == log]
        assert [day.date for day in found] == [one.day(30 - number) for number in range(31)]
        assert [day.complete for day in found] == [True] * 28 + [False] * 3
        assert all(not day.gaps for day in found)
        sent[GRAPH_TYPES[log]] += sum(day.reads[0].requests for day in found)
    # Newest two days first, then the others at once; 4,500 sign-ins take five pages, those of our apps one.
    assert requests == {"directoryAudit": 2, "signIn": 8, "provisioningObjectSummary": 2, "subscribedSku": 1}
    assert sent == {kind: number for kind, number in requests.items() if kind != "subscribedSku"}


def test_what_is_stored_is_what_graph_said_and_has_typed_columns(tenant: Start) -> None:
    one = tenant()
    one.read("sign_ins")
    (day,) = one.logs.held("sign_ins", [one.day(5)]).values()
    # As a stranger reads it, without this package.
    rows = duckdb.sql(
        "SELECT id, createdDateTime, isInteractive, location->>'$.city', json_extract_string(_raw, '$.createdDateTime')"
        f" FROM read_parquet('{one.store.files.url(day.parts[0].key)}') ORDER BY createdDateTime"
    ).fetchall()
    assert len(rows) == day.rows == day.parts[0].rows
    assert [row[0] for row in rows] == [
        entry["id"] for entry in one.control.log("auditLogs/signIns") if entry["createdDateTime"][:10] == day.day
    ]
    assert {row[2:4] for row in rows} == {(True, "Stockholm")}
    assert all(f"{row[1].astimezone(UTC):%Y-%m-%dT%H:%M:%S}" == row[4][:19] for row in rows)
    assert day.misfits == {}
    assert one.logs.problems(day) == []


def test_nothing_new_costs_one_request_a_log_and_writes_no_file(tenant: Start) -> None:
    one = tenant()
    one.read()
    files = {file.key for log in LOGS for file in one.store.files.list(f"{log}/")}
    one.control.ledger(reset=True)
    days = one.read("directory_audits")
    assert one.control.ledger()["sets"] == {"directoryAudit": 1}
    assert {day.date for day in days} <= {one.day(0), one.day(1)}
    assert {file.key for log in LOGS for file in one.store.files.list(f"{log}/")} == files


def test_late_entries_are_caught_and_a_day_closes_when_none_can_come(tenant: Start) -> None:
    one = tenant()
    one.control.knobs(log_lag=30 * 3600)
    day = one.today()
    one.read("sign_ins", days=[day])
    rows = [0]
    while not (found := one.logs.day("sign_ins", day)).complete:
        rows.append(found.rows)
        one.advance(hours=9)
        one.read("sign_ins", days=[day])
    assert rows == sorted(rows)
    closed = datetime.fromisoformat(found.reads[-1].started)
    assert closed >= datetime.combine(day, datetime.min.time(), UTC) + timedelta(days=1) + LATENESS
    happened = {
        item["id"] for item in one.control.log("auditLogs/signIns") if item["createdDateTime"][:10] == found.day
    }
    assert happened == set(one.stored("sign_ins"))
    assert len(found.parts) > 2
    assert sum(part.rows for part in found.parts) == found.rows
    assert any(read.added for read in found.reads[1:])


def test_what_is_done_to_the_tenant_is_in_the_next_read(tenant: Start) -> None:
    one = tenant()
    one.read("directory_audits")
    user = one.control.create("users", {"displayName": "Adele"})
    days = one.read("directory_audits")
    assert days[-1].reads[-1].added >= 1
    assert any(user in raw and '"Add user"' in raw for raw in one.stored("directory_audits").values())


def test_an_entry_that_changed_is_stored_as_it_is_now(tenant: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    one = tenant()
    day = one.day(1)
    one.read("sign_ins", days=[day])
    before = one.stored("sign_ins")
    from entra_pipeline.simulator.graph import logs

    made = logs.TenantLogs._sign_in

    def risky(self: logs.TenantLogs, person: dict[str, Any], chance: Any, key: str) -> dict[str, Any]:
        body = made(self, person, chance, key)
        return {**body, "riskState": "atRisk"} if key.endswith("7") else body

    monkeypatch.setattr(logs.TenantLogs, "_sign_in", risky)
    (found,) = one.read("sign_ins", days=[day], whole=True)
    after = one.stored("sign_ins")
    changed = {entry for entry in before if before[entry] != after[entry]}
    assert changed
    assert all('"riskState":"atRisk"' in after[entry] for entry in changed)
    assert (found.reads[-1].added, found.reads[-1].changed, found.rows) == (0, len(changed), len(before))
    assert found.parts[-1].rows == len(changed)


def test_a_pause_longer_than_entra_keeps_is_named_and_told_once(tenant: Start) -> None:
    one = tenant()
    one.read("directory_audits")
    stopped = one.today()
    one.advance(days=40)
    days = {day.date: day for day in one.read("directory_audits")}
    lost = [day for day in days.values() if day.gaps]
    # The days that were open, the hole, and the day of which Entra keeps a part.
    assert [day.date for day in lost] == [stopped + timedelta(days=number) for number in range(-2, 11)]
    assert "came late" in lost[0].gaps[0].what
    assert lost[3].rows == 0
    assert lost[3].gaps[0].what.startswith("entries from ")
    assert not lost[3].complete
    # What Entra still has of it is all there; whether that is anything depends on the time of day.
    assert lost[-1].complete
    again = one.read("directory_audits")
    assert not any(day.gaps for day in again)
    assert one.logs.day("directory_audits", lost[3].date).gaps == lost[3].gaps


def test_a_day_older_than_entra_keeps_is_a_gap_when_asked_for(tenant: Start) -> None:
    one = tenant()
    one.control.ledger(reset=True)
    (day,) = one.read("sign_ins", days=[one.day(45)])
    assert (day.rows, day.complete, len(day.gaps)) == (0, False, 1)
    assert one.control.ledger()["requests"] == 0


def test_without_a_premium_licence_a_week_is_sure(tenant: Start) -> None:
    one = tenant()
    one.control.knobs(log_retention_days=7)
    for sku in one.control.dump("subscribedSkus"):
        one.control.patch(f"subscribedSkus/{sku['id']}", {"servicePlans": []})
    days = {day.date: day for day in one.read("directory_audits")}
    assert not any(day.gaps for day in days.values())
    assert {day for day, found in days.items() if found.notes} == {one.day(number) for number in range(7, 31)}
    assert "7 days" in days[one.day(20)].notes[0]
    (asked,) = one.read("directory_audits", days=[one.day(21)], whole=True)
    assert asked.rows == 0
    other = tenant('protect = ["users"]\nlogs = ["directory_audits"]\nentra_log_retention = "90 days"')
    assert len(other.read()) == 91


def test_sign_ins_of_a_tenant_without_the_licence_are_a_note_and_their_loss_a_gap(tenant: Start) -> None:
    one = tenant()
    one.control.unlicensed("auditLogs/signIns")
    days = one.read()
    sign_ins = [day for day in days if day.log == "sign_ins"]
    assert len(sign_ins) == 31
    assert all("Microsoft Entra ID P1" in day.notes[0] and not day.gaps for day in sign_ins)
    assert one.stored("directory_audits")
    one.control.unlicensed()
    days = one.read("sign_ins")
    assert not any(day.notes for day in days[1:])
    one.control.unlicensed("auditLogs/signIns")
    days = one.read("sign_ins")
    assert days
    assert all(day.gaps[0].what == "the log" and "AuditLog.Read.All" in day.gaps[0].remedy for day in days)
    one.control.unlicensed()
    assert not any(day.gaps for day in one.read("sign_ins"))


def test_a_missing_permission_is_a_gap_until_it_is_granted(tenant: Start) -> None:
    one = tenant()
    one.control.deny("auditLogs/provisioning")
    days = one.read("provisioning", "directory_audits")
    assert all(day.gaps for day in days if day.log == "provisioning")
    manifest = one.store.files.read(one.logs.manifest_key("provisioning", one.day(3)))
    one.read("provisioning")
    assert one.store.files.read(one.logs.manifest_key("provisioning", one.day(3))) == manifest
    one.control.deny("auditLogs/provisioning", 0)
    one.read("provisioning")
    assert one.happened("provisioning") - set(one.stored("provisioning")) == set()
    assert not any(day.gaps for day in one.logs.held("provisioning").values())


def test_one_log_that_fails_does_not_keep_the_others(tenant: Start) -> None:
    one = tenant()
    one.control.deny("auditLogs/signIns", 503)
    with pytest.raises(GraphUnavailable):
        one.read()
    assert (one.logs.days("sign_ins"), len(one.logs.days("provisioning"))) == ([], 31)
    one.control.deny("auditLogs/signIns", 0)
    one.read()
    assert len(one.logs.days("sign_ins")) == 31


def test_a_list_that_is_broken_off_is_begun_anew_and_split(tenant: Start) -> None:
    one = tenant()
    one.control.misbehave("page-size-refused", "auditLogs/directoryAudits", largest=20)
    one.control.misbehave("page-token-expired", "auditLogs/directoryAudits", times=4)
    days = one.read("directory_audits")
    assert one.stored("directory_audits").keys() == one.happened("directory_audits")
    assert not any(day.gaps for day in days)

    # What is always broken off is read in pieces of one page.
    one.control.misbehave("page-token-expired", "auditLogs/directoryAudits")
    days = one.read("directory_audits", days=[one.day(1), one.day(2)], whole=True)
    assert not any(day.gaps for day in days)
    assert one.stored("directory_audits").keys() == one.happened("directory_audits")


def test_faults_on_the_way_lose_and_double_nothing(tenant: Start) -> None:
    one = tenant(users=100)
    before = one.clock()
    one.control.faults(0.3)
    days = one.read("sign_ins")
    one.control.faults(0)
    assert one.happened("sign_ins", before) - set(one.stored("sign_ins")) == set()
    assert max(read.pages for day in days for read in day.reads) > 10


@pytest.mark.parametrize("name", ["element-null", "element-without-id", "lone-surrogate"])
def test_an_entry_that_cannot_be_read_costs_only_itself(tenant: Start, name: str) -> None:
    one = tenant()
    before = one.clock()
    one.control.misbehave(name, "auditLogs/provisioning")
    one.read("provisioning")
    struck = [one for one in one.control.misbehaviours() if one["struck"]]
    assert struck
    held = one.logs.held("provisioning").values()
    lost = one.happened("provisioning", before) - set(one.stored("provisioning"))
    assert any(day.gaps for day in held) == (name != "lone-surrogate")
    assert bool(lost) == (name == "element-without-id")
    one.control.behave()
    one.read("provisioning")
    assert one.happened("provisioning", before) - set(one.stored("provisioning")) == set()
    assert not any(day.gaps for day in one.logs.held("provisioning").values())


def test_a_graph_that_ignores_the_window_is_not_believed(tenant: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    one = tenant()
    from entra_pipeline.simulator.graph.logs import TenantLogs

    whole = TenantLogs._query
    monkeypatch.setattr(TenantLogs, "_query", staticmethod(lambda entry, text: whole(entry, "")))
    with pytest.raises(GraphProtocolError, match="no time in the requested window"):
        one.read("sign_ins", days=[one.day(3)])
    assert one.logs.days("sign_ins") == []


def test_a_death_between_file_and_manifest_leaves_an_orphan_and_no_entry(
    tenant: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = tenant()
    one.read("provisioning")
    kept = one.stored("provisioning")
    one.advance(hours=36)

    class Died(Exception):
        pass

    commit = LogStore.commit

    def die(store: LogStore, day: LogDay, fresh: Sequence[LogPart] = (), **more: bool) -> LogDay:
        # How much of the day is left depends on the time of the day: a day may bring nothing.
        if fresh:
            raise Died
        return commit(store, day, fresh, **more)

    with monkeypatch.context() as patched:
        patched.setattr(LogStore, "commit", die)
        with pytest.raises(Died):
            one.read("provisioning")
    assert one.stored("provisioning") == kept
    orphans = {file.key for file in one.store.files.list("provisioning/")} - one.logs.named()
    assert len(orphans) == 1
    one.read("provisioning")
    assert one.happened("provisioning") - set(one.stored("provisioning")) == set()
    stored = one.stored("provisioning")
    one.backup()
    one.ahead += timedelta(days=2)
    assert set(sweep(one.store, grace=timedelta(hours=24)).keys) == orphans
    assert one.stored("provisioning") == stored


def test_logs_and_backups_do_not_wait_for_each_other_but_logs_for_logs(tenant: Start) -> None:
    one = tenant()
    with one.store.lock():
        assert one.read("provisioning")
    with one.logs.lock(), pytest.raises(ScopeBusy, match="the logs of scope 'contoso'"):
        one.read("provisioning")


def test_logs_of_another_tenant_are_refused(tenant: Start) -> None:
    one, other = tenant(), tenant(seed=6)
    one.read("provisioning")
    other.store = one.store
    with pytest.raises(StoreError, match="Give every tenant"):
        other.read("provisioning")


def test_a_part_of_a_tenant_is_protected_without_logs_unless_it_says_so(tenant: Start) -> None:
    assert tenant("").scope.log_types() == list(LOGS)
    one = tenant('protect = ["users"]')
    assert one.scope.log_types() == []
    one.configure('protect = ["users"]\nlogs = ["provisioning", "sign_ins"]')
    assert one.scope.log_types() == ["sign_ins", "provisioning"]
    one.configure("logs = false")
    assert one.scope.log_types() == []


@pytest.mark.parametrize(
    ("read_to", "hours_later", "wanted"),
    [
        ("", 1, (0, 24)),
        ("2026-03-01T10:00:00Z", 12, (4, 24)),
        ("2026-03-01T03:00:00Z", 12, (0, 24)),
        ("2026-03-02T00:00:00Z", 30, None),
        ("2026-03-01T20:00:00Z", 30, (14, 24)),
        ("2026-03-02T00:00:00Z", 24 + 48, (0, 24)),
    ],
)
def test_what_is_due_of_a_day(read_to: str, hours_later: int, wanted: tuple[int, int] | None) -> None:
    start = datetime(2026, 3, 1, tzinfo=UTC)
    held = LogDay(tool="", scope="contoso", tenant_id="", log="sign_ins", day="2026-03-01", read_to=read_to)
    window = due(start.date(), held, start + timedelta(hours=hours_later))
    hours = (window.first - start, window.end - start) if window else None
    assert hours == (wanted and tuple(timedelta(hours=number) for number in wanted))
    assert timedelta(hours=6) == OVERLAP
