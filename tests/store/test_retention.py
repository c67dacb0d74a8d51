"""Retention takes what is past its time and nothing else, whatever happens to it meanwhile."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from entra_pipeline.backup.logs import plan
from entra_pipeline.errors import IntegrityError, NotInStore, ScopeBusy, UsageError
from entra_pipeline.store.logs import LogStore
from entra_pipeline.store.manifest import Manifest
from entra_pipeline.store.points import index
from entra_pipeline.store.points.index import IndexFile, chosen_files, index_folder
from entra_pipeline.store.points.keys import moment_of
from entra_pipeline.store.recovery_points import ScopeStore
from entra_pipeline.store.retention.holds import hold, release, retention_holds
from entra_pipeline.store.retention.prune import GRACE, PruneResult, prune
from entra_pipeline.store.retention.prune_log import PruneRecords
from entra_pipeline.store.verify import verify
from tests.store.dying import DyingFiles, Killed
from tests.support.aging import AgingFiles, Life, day, lived
from tests.support.s3 import Bucket
from tests.support.writing import put, put_log_day, upsert


def _prune(life: Life, *, dry_run: bool = False) -> PruneResult:
    return prune(life.store, life.scope.retention, by="test", dry_run=dry_run)


def _problems(store: ScopeStore) -> list[str]:
    return [finding.problem for finding in verify(store) if not finding.ok]


@pytest.fixture
def life(tmp_path: Path) -> Life:
    """Ten points, one a day; the first three are past their time."""
    life = Life(tmp_path, retention="7 days")
    lived(life, days=10)
    return life


def test_points_past_their_time_go_with_the_files_that_only_they_need(tmp_path: Path) -> None:
    life = Life(tmp_path, people=9, max_incrementals=2, retention="7 days")
    lived(life, days=9)
    assert [len(life.store.manifest(point).tables["users"].parts) for point in life.store.points()] == [
        1,
        2,
        3,
        2,
        3,
        4,
        2,
        3,
        4,
    ]
    points, before = life.store.points(), life.parts()
    pruned = _prune(life)
    # The point of the third day is exactly seven days old when the tenth day begins.
    assert pruned.forgotten == points[:3]
    assert life.store.points() == points[3:]
    assert before - life.parts() == {key for key in before if any(point in key for point in points[:3])}
    indexes = {key for key in pruned.deleted.keys if key.startswith(index_folder(life.store.scope))}
    assert {IndexFile.of(key).first for key in indexes} == set(points[:3])
    assert set(pruned.deleted.keys) - indexes == before - life.parts()
    assert life.parts() == life.named()
    life.assert_exact(*points[3:])
    assert _problems(life.store) == []
    # A point in the middle of a chain leaves, its files stay with those that need them.
    life.time.pass_(days=1)
    assert _prune(life).forgotten == points[3:4]
    life.assert_exact(*points[4:])
    assert life.parts() == life.named()


def test_a_dry_run_tells_what_the_real_one_does_and_does_nothing(life: Life) -> None:
    before = life.keys()
    told = _prune(life, dry_run=True)
    assert life.keys() == before
    done = _prune(life)
    assert told == done
    assert done.forgotten
    assert done.deleted.bytes == told.deleted.bytes


def test_retention_forever_forgets_nothing(tmp_path: Path) -> None:
    life = Life(tmp_path)
    lived(life, days=3)
    before = life.keys()
    life.time.pass_(days=40_000)
    pruned = _prune(life)
    assert (pruned.forgotten, life.keys()) == ([], before)
    assert {(one.expires, one.kept) for one in pruned.verdicts} == {("", "in its time")}


@pytest.mark.parametrize(
    ("goods", "left"),
    [
        ([True, True, True], [2]),
        ([True, True, False], [1, 2]),
        ([True, False, False], [0, 2]),
        ([False, False, False], [2]),
    ],
)
def test_the_last_good_point_and_the_newest_never_go(tmp_path: Path, goods: list[bool], left: list[int]) -> None:
    life = Life(tmp_path, retention="1 days")
    for good in goods:
        life.back_up(good=good)
        life.go_on()
        life.time.pass_(hours=1)
    points = life.store.points()
    life.time.pass_(days=1000)
    pruned = _prune(life)
    assert life.store.points() == [points[number] for number in left]
    assert [one.kept for one in pruned.verdicts if one.kept][-1:] == [
        "the last good point" if goods[-1] else "the newest point"
    ]
    life.assert_exact(*life.store.points())
    assert _problems(life.store) == []
    # The next backup builds on what is left.
    life.back_up()
    assert _problems(life.store) == []
    life.assert_exact(*life.store.points())


def test_the_last_good_point_is_found_without_reading_those_in_between(tmp_path: Path) -> None:
    life = Life(tmp_path)
    read: list[str] = []

    def reading(point: str) -> Manifest:
        read.append(point)
        return life.store.manifest(point)

    def found() -> str:
        read.clear()
        last = life.store.last_good(life.store.points(), reading)
        return last.recovery_point if last else ""

    for _ in range(3):
        life.back_up(good=False)
        life.time.pass_(hours=1)
    assert (found(), len(read)) == ("", 1)
    good = life.back_up().recovery_point
    for _ in range(3):
        life.time.pass_(hours=1)
        life.back_up(good=False)
    assert (found(), len(read)) == (good, 2)
    # Somebody has removed it, and the one before is not good: the others are looked at.
    life.store.files.delete([life.store.manifest_key(good)])
    assert found() == ""


# --- Holds -----------------------------------------------------------------------------------------------------------


def test_what_is_held_stays_until_it_is_released(life: Life) -> None:
    points = life.store.points()
    held = hold(life.store, points[1], reason=" the audit of 2026 ", by="test")
    assert retention_holds(life.store) == {points[1]: held}
    pruned = _prune(life)
    assert life.store.points() == [points[1], *points[4:]]
    assert {one.recovery_point: one.kept for one in pruned.verdicts}[points[1]] == "held: the audit of 2026"
    life.assert_exact(*life.store.points())
    # The chain leads over the points that went, on both sides of the one that stayed.
    assert _problems(life.store) == []
    assert release(life.store, points[1]) == held
    assert _prune(life).forgotten == [points[1]]
    assert life.parts() == life.named()
    assert _problems(life.store) == []


def test_of_a_held_scope_nothing_goes(life: Life, tmp_path: Path) -> None:
    hold(life.store, reason="litigation", by="test")
    put(life.store, tmp_path, "2026-11-23T05-30-00Z", [upsert("0", "Alex")])
    life.time.pass_(days=100)
    before = life.keys()
    for dry_run in (True, False):
        pruned = _prune(life, dry_run=dry_run)
        assert (pruned.forgotten, pruned.deleted.keys, life.keys()) == ([], [], before)
    release(life.store)
    assert len(_prune(life).forgotten) == 9


def test_a_hold_needs_a_reason_and_something_to_hold(life: Life) -> None:
    with pytest.raises(UsageError, match="reason"):
        hold(life.store, reason=" ", by="test")
    with pytest.raises(NotInStore):
        hold(life.store, "2026-01-01T00-00-00Z", reason="why", by="test")
    with pytest.raises(NotInStore, match="is not held"):
        release(life.store)
    assert retention_holds(life.store) == {}


def test_a_hold_that_cannot_be_read_holds_everything(life: Life) -> None:
    point = life.store.points()[0]
    hold(life.store, point, reason="why", by="test")
    life.store.files.replace(f"_holds/contoso/{point}.json", b"?")
    before = life.keys()
    with pytest.raises(IntegrityError, match="_holds"):
        _prune(life)
    assert life.keys() == before
    hold(life.store, point, reason="why", by="test")
    _prune(life)
    assert point in life.store.points()


# --- Logs ------------------------------------------------------------------------------------------------------------


def _log_days(life: Life, days: int) -> list[date]:
    """Stores so many days of a log, from the day of the first point on; the last ones are not over."""
    first = moment_of(life.store.points()[0]).date()
    stored = [first + timedelta(days=number) for number in range(days)]
    for one in stored:
        put_log_day(life.store.logs, life.folder, "sign_ins", one)
    # What is younger than the grace is left alone.
    life.time.pass_(days=3)
    return stored


def test_days_of_logs_go_as_points_do_and_are_not_read_again(life: Life) -> None:
    days = _log_days(life, 10)
    # Thirteen days after the first one began: the sixth has been over for seven days and some hours.
    dry = _prune(life, dry_run=True)
    done = _prune(life)
    assert dry.days == done.days
    assert set(dry.deleted.keys) == set(done.deleted.keys)
    assert done.days_forgotten == [("sign_ins", one) for one in days[:6]]
    assert life.store.logs.days("sign_ins") == days[6:]
    for one in life.store.logs.held("sign_ins").values():
        assert life.store.logs.problems(one) == []
    assert len(list(life.store.files.list("sign_ins/"))) == 4
    assert _prune(life).days_forgotten == []
    logs = LogStore(life.store.files, life.store.scope, life.time, life.scope.retention)
    due = plan(logs, "sign_ins", None, life.time(), timedelta(days=30), whole=False)
    assert {one.day for one in due.windows} | set(due.gone) <= {days[-1] + timedelta(days=n) for n in range(1, 5)}


def test_what_was_logged_after_a_held_point_is_held_until_the_next_one(life: Life) -> None:
    points = life.store.points()
    days = _log_days(life, 10)
    hold(life.store, points[1], reason="unusual change after it", by="test")
    done = _prune(life)
    # The next point has gone, and is known from the prune record.
    assert points[2] not in life.store.points()
    assert life.store.logs.days("sign_ins") == [days[1], days[2], *days[6:]]
    assert done.days_kept_beyond_their_time == {"held: unusual change after it": 2}
    assert _prune(life).days_forgotten == []
    release(life.store, points[1])
    assert _prune(life).days_forgotten == [("sign_ins", one) for one in days[1:3]]


def test_of_a_held_scope_no_day_goes_nor_while_logs_are_read(life: Life) -> None:
    _log_days(life, 10)
    hold(life.store, reason="litigation", by="test")
    assert _prune(life).days_forgotten == []
    release(life.store)
    with life.store.logs.lock():
        pruned = _prune(life)
    assert pruned.forgotten
    [(reason, number)] = pruned.days_kept_beyond_their_time.items()
    assert (reason.partition(":")[0], number) == ("next time", 6)
    assert len(_prune(life).days_forgotten) == 6


# --- One at a time ---------------------------------------------------------------------------------------------------


def test_a_backup_and_a_prune_of_a_scope_exclude_each_other(life: Life) -> None:
    before = life.keys()
    with ScopeStore(life.store.files, "contoso", life.time).lock(), pytest.raises(ScopeBusy):
        _prune(life)
    assert life.keys() == before


def test_files_of_a_run_that_is_young_stay(life: Life, tmp_path: Path) -> None:
    young = put(life.store, tmp_path, "2026-12-03T05-00-00Z", [upsert("0", "Alex")])
    _prune(life)
    assert life.parts() == life.named() | {young.key}
    life.time.pass_(seconds=GRACE.total_seconds() + 1)
    assert young.key in _prune(life).deleted.keys
    assert life.parts() == life.named()


def test_a_damaged_manifest_stops_everything(life: Life) -> None:
    for place in (0, 5):
        point = life.store.points()[place]
        key = life.store.manifest_key(point)
        whole = life.store.files.read(key)
        life.store.files.replace(key, whole.replace(b"finished", b"finishes"))
        parts = life.parts()
        with pytest.raises(IntegrityError):
            _prune(life)
        assert life.parts() == parts
        life.store.files.replace(key, whole)
    _prune(life)
    assert _problems(life.store) == []


# --- The prune record ------------------------------------------------------------------------------------------------


def test_verify_tells_what_was_pruned_from_what_is_missing(life: Life) -> None:
    points = life.store.points()
    _prune(life)
    first = life.store.points()[0]
    assert _problems(life.store) == []
    life.store.files.delete([life.store.manifest_key(points[6])])
    assert _problems(life.store) == [f"its parent {points[6]} is missing"]
    # Before the first point, too: nothing but a record says that there was one.
    life.store.files.delete([life.store.manifest_key(first)])
    assert f"its parent {first} is missing" in _problems(life.store)


def test_the_record_says_what_went_when_and_why(life: Life) -> None:
    manifests = [life.store.manifest(point) for point in life.store.points()]
    _prune(life)
    life.time.pass_(days=1)
    _prune(life)
    _prune(life)
    one, other = PruneRecords(life.store.files, "contoso")
    assert (one.number, one.by, one.retention, one.pruned) == (1, "test", "7 days", "2026-12-03T05:00:00Z")
    assert [point.recovery_point for point in one.points] == [each.recovery_point for each in manifests[:4]]
    assert [point.sha256 for point in one.points] == [each.parent_sha256 for each in manifests[1:5]]
    assert one.points[0].expired == "2026-11-30T05:00:00Z"
    assert (other.number, [point.recovery_point for point in other.points]) == (2, [manifests[4].recovery_point])


def _drop(life: Life, key: str) -> None:
    life.store.files.delete([key])


def _rewrite(life: Life, key: str) -> None:
    life.store.files.replace(key, life.store.files.read(key).replace(b'"by":"test"', b'"by":"them"'))


@pytest.mark.parametrize("harm", [_drop, _rewrite])
@pytest.mark.parametrize("which", [1, 2, 3])
def test_a_prune_record_that_is_changed_or_gone_is_found(
    life: Life, harm: Callable[[Life, str], None], which: int
) -> None:
    for _ in range(3):
        _prune(life)
        life.time.pass_(days=1)
    assert _problems(life.store) == []
    harm(life, f"_pruned/contoso/{which:06d}.json")
    assert _problems(life.store)


# --- Killed ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("done", [False, True])
def test_killed_at_any_moment_it_loses_nothing_and_the_next_one_ends_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, done: bool
) -> None:
    # Files of the index that have points that go, and others.
    monkeypatch.setattr(index, "JOINED", 2)
    template = Life(tmp_path, max_incrementals=1, retention="3 days")
    lived(template, days=6)
    held = template.store.points()[1]
    hold(template.store, held, reason="audit", by="test")
    expected = template.expected((held,))
    whole = tmp_path / "whole"
    shutil.copytree(tmp_path / "store", whole)
    undisturbed = Life(tmp_path, retention="3 days", files=AgingFiles(whole, template.time))
    undisturbed.time.now = template.time.now
    _prune(undisturbed)
    undisturbed.states = template.states
    for survives in range(400):
        root = tmp_path / f"killed-{survives}"
        shutil.copytree(tmp_path / "store", root)
        files = AgingFiles(root, template.time)
        template.store = ScopeStore(files, "contoso", template.time)
        try:
            dying = ScopeStore(DyingFiles(files, survives, done=done), "contoso", template.time)
            prune(dying, template.scope.retention, by="test")
        except Killed:
            pass
        else:
            break
        assert set(expected) <= set(template.store.points())
        # Whatever is still a point is a whole one.
        assert _problems(template.store) == []
        template.assert_exact(*expected)
        assert chosen_files(template.store.indexes(), expected).keys() == set(expected)
        _prune(template)
        assert template.store.points() == expected == undisturbed.store.points()
        assert template.parts() == template.named() == undisturbed.parts()
        shutil.rmtree(root)
    else:
        raise AssertionError("it never ended")
    assert survives > 15


# --- Anything in any order -------------------------------------------------------------------------------------------


class Years(RuleBasedStateMachine):
    """Backups good and bad, prunes whole and killed, holds, a retention that is changed, and time."""

    life: Life

    @initialize(
        retention=st.sampled_from(["3 days", "1 weeks", "1 months", "1 years", "forever"]),
        chain=st.integers(1, 4),
    )
    def begin(self, retention: str, chain: int) -> None:
        self.temporary = tempfile.TemporaryDirectory()
        self.life = Life(Path(self.temporary.name), people=2, max_incrementals=chain, retention=retention)
        self.held: set[str] = set()
        self.settled = True

    def teardown(self) -> None:
        if hasattr(self, "temporary"):
            self.temporary.cleanup()

    @rule(
        changes=st.integers(0, 3), good=st.booleans(), full=st.booleans(), hours=st.sampled_from([1, 24, 24 * 9, 9000])
    )
    def back_up(self, changes: int, good: bool, full: bool, hours: int) -> None:
        self.life.go_on(changes)
        self.life.back_up(good=good, full=full)
        self.life.time.pass_(hours=hours)

    @rule(survives=st.integers(0, 60), done=st.booleans())
    def prune_killed(self, survives: int, done: bool) -> None:
        store = ScopeStore(DyingFiles(self.life.store.files, survives, done=done), "contoso", self.life.time)
        before, expected = set(self.life.states), set(self.life.expected(tuple(self.held)))
        with suppress(Killed):
            prune(store, self.life.scope.retention, by="test")
        there = set(self.life.store.points())
        assert expected <= there <= before
        self.life.forget(sorted(there))
        self.settled = False

    @rule()
    def prune_whole(self) -> None:
        expected = self.life.expected(tuple(self.held))
        told = _prune(self.life, dry_run=True)
        done = _prune(self.life)
        assert (told.verdicts, told.deleted) == (done.verdicts, done.deleted)
        assert self.life.store.points() == expected
        self.life.forget(expected)
        self.settled = True
        before = self.life.time() - GRACE
        old = {file.key for file in self.life.store.files.list("") if file.modified < before}
        assert "" in self.held or (self.life.parts() & old) <= self.life.named()

    @precondition(lambda self: self.life.states)
    @rule(data=st.data())
    def hold(self, data: st.DataObject) -> None:
        point = data.draw(st.sampled_from(["", *sorted(self.life.states)]))
        hold(self.life.store, point, reason="why", by="test")
        self.held.add(point)

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        point = data.draw(st.sampled_from(sorted(self.held)))
        release(self.life.store, point)
        self.held.remove(point)

    @rule(retention=st.sampled_from(["2 days", "1 months", "2 years", "forever"]))
    def change_retention(self, retention: str) -> None:
        self.life.scope = self.life.scope.model_copy(
            update={"retention": type(self.life.scope.retention).parse(retention)}
        )

    @invariant()
    def every_point_reads_back_exactly(self) -> None:
        if hasattr(self, "life"):
            assert self.life.store.points() == sorted(self.life.states)
            self.life.assert_exact(*self.life.states)

    @invariant()
    def nothing_is_missing(self) -> None:
        if hasattr(self, "life"):
            assert _problems(self.life.store) == []


TestYears = Years.TestCase
TestYears.settings = settings(
    max_examples=8, stateful_step_count=10, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


# --- On S3 -----------------------------------------------------------------------------------------------------------


def test_a_bucket_is_pruned_as_a_folder_is(s3_bucket: Bucket, tmp_path: Path) -> None:
    life = Life(tmp_path, max_incrementals=1, retention="7 days", files=s3_bucket.files("prod"))
    lived(life, days=3)
    # Objects of a bucket are as old as they are: prune sees them from later on.
    life.time.now = day(400)
    expected = life.expected()
    assert _prune(life).forgotten == [point for point in life.states if point not in expected]
    assert life.store.points() == expected
    assert life.parts() == life.named()
    life.assert_exact(*expected)
    assert _problems(life.store) == []
