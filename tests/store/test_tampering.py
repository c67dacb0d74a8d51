"""Whoever may write to a signed store and has no key changes nothing unseen."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from entra_pipeline.audit import Act, AuditLog, Origin
from entra_pipeline.errors import IntegrityError, NotInStore, UsageError
from entra_pipeline.operations.anchor import Anchor, anchor_of, compare_anchor
from entra_pipeline.settings.periods import Period
from entra_pipeline.store.backends.signing.envelope import BadSignature
from entra_pipeline.store.commit import settle_heads
from entra_pipeline.store.points.head import head_key
from entra_pipeline.store.recovery_points import ScopeStore
from entra_pipeline.store.retention.holds import hold, release, retention_holds
from entra_pipeline.store.retention.prune import prune
from entra_pipeline.store.verify import verify
from tests.store.tampered import TAMPERINGS, Tampering, World, build, copy, manifest_of
from tests.support.aging import AgingFiles, Life
from tests.support.signing import signed
from tests.support.writing import START, Time, take

pytestmark = pytest.mark.pure


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[World, Anchor]:
    return build(tmp_path_factory.mktemp("built"))


@pytest.fixture
def world(built: tuple[World, Anchor], tmp_path: Path) -> World:
    return copy(built[0], tmp_path)


@pytest.fixture
def store(world: World) -> ScopeStore:
    return ScopeStore(signed(world.place), "contoso", Time())


def _problems(world: World, anchor: Anchor) -> dict[str, list[str]]:
    """What each command finds."""
    store = ScopeStore(signed(world.place), "contoso", Time())
    log = AuditLog(store.files)
    return {
        "verify": [f"{one.point}{one.table}: {one.problem}" for one in verify(store) if not one.ok],
        "verify --audit": [f"{key}: {what}" for key, what in log.verify()],
        "verify --expect": compare_anchor(store, log, anchor),
    }


def test_nothing_is_found_in_a_store_that_was_left_alone(built: tuple[World, Anchor]) -> None:
    world, anchor = built
    assert len(world.points) == 5
    assert _problems(world, anchor) == {"verify": [], "verify --audit": [], "verify --expect": []}
    assert Anchor.parse(str(anchor)) == anchor


def test_there_are_sixty_ways_and_more() -> None:
    assert len({one.name for one in TAMPERINGS}) == len(TAMPERINGS) >= 60


@pytest.mark.parametrize("one", TAMPERINGS, ids=[one.name for one in TAMPERINGS])
def test_tampering_is_found(built: tuple[World, Anchor], world: World, one: Tampering) -> None:
    one.act(world)
    found = _problems(world, built[1])
    assert found[one.found_by], found


# --- Reading ---------------------------------------------------------------------------------------------------------


def test_a_hold_that_cannot_be_verified_holds_until_it_is_released(world: World, store: ScopeStore) -> None:
    held = world.points[0]
    for harm in ('"reason"', '"since"'):
        world.edit(f"_holds/contoso/{held}.json", harm, harm.upper())
        assert "not what was signed" in retention_holds(store)[held].reason
    world.place.delete([f"_holds/contoso/{held}.json"])
    assert "was removed" in retention_holds(store)[held].reason
    late = ScopeStore(store.files, "contoso", Time(START.replace(year=2030)))
    assert held not in prune(late, Period.parse("30 days"), by="test").forgotten
    release(store, held)
    assert retention_holds(store) == {}
    assert [one for one in verify(store) if not one.ok and one.table.startswith(("_holds", "_heads"))] == []


def test_nothing_is_pruned_while_nobody_knows_what_is_held(world: World, store: ScopeStore) -> None:
    world.place.delete(["_heads/contoso/holds.json"])
    with pytest.raises(IntegrityError, match="nobody knows what is held"):
        prune(store, Period.parse("1 day"), by="test", dry_run=True)


def test_a_loss_is_still_told_after_the_next_backup(world: World, store: ScopeStore, tmp_path: Path) -> None:
    store = ScopeStore(store.files, "contoso", Time(START.replace(year=2028)))
    world.place.delete([world.newest()])
    take(store, tmp_path, store.new_key(), "Adele")
    assert any(world.points[-1] in one.problem for one in verify(store) if not one.ok)
    world.place.delete([head_key("contoso")])
    store.clock.pass_(days=1)  # type: ignore[attr-defined]
    take(store, tmp_path, store.new_key(), "Adele")
    assert any("head was gone" in one.problem for one in verify(store) if not one.ok)
    # Whoever knows why says so.
    settle_heads(store)
    assert [one for one in verify(store) if not one.ok] == []


def test_the_log_goes_on_after_an_event_that_nobody_signed(world: World, store: ScopeStore) -> None:
    log = AuditLog(store.files, Time(START.replace(year=2028)))
    last = [file.key for file in world.place.list("_audit/2")][-1]
    planted = last.replace(last[-18:-6], f"{int(last[-18:-6]) + 1:012d}")
    world.place.create(planted, b'{"action":"day closed","details":{"next":"2999-01-01"}}\n')
    origin = Origin(actor="anna", channel="cli", host="here")
    made = log.write(Act(action="backup", result="finished"), origin)
    assert made.number > int(planted[-18:-6]) and made.moment.startswith("2028")
    assert [key for key, _ in log.verify()] == [planted]
    assert [one.action for one in log.events(START.date(), START.date().replace(year=2029))].count(
        "unreadable event"
    ) == 1


def test_a_killed_commit_leaves_a_head_that_is_one_behind(world: World, store: ScopeStore, tmp_path: Path) -> None:
    behind = world.place.read(head_key("contoso"))
    store = ScopeStore(store.files, "contoso", Time(START.replace(year=2028)))
    made = take(store, tmp_path, store.new_key(), "Adele")
    world.place.replace(head_key("contoso"), behind)
    assert [one for one in verify(store) if not one.ok] == []
    store.clock.pass_(days=1)  # type: ignore[attr-defined]
    take(store, tmp_path, store.new_key(), "Adele")
    assert [one for one in verify(store) if not one.ok] == []
    world.place.delete([manifest_of(made.recovery_point)])
    assert [one for one in verify(store) if not one.ok]


# --- The head that is kept elsewhere ---------------------------------------------------------------------------------


def test_a_head_of_long_ago_is_still_met(tmp_path: Path) -> None:
    life = Life(tmp_path, files=signed(AgingFiles(tmp_path / "store", Time())), retention="30 days")
    log = AuditLog(life.store.files, life.time)
    with pytest.raises(NotInStore):
        anchor_of(life.store, log)
    anchors: list[Anchor] = []
    for _ in _days(life, 45):
        log.write(Act(action="backup", result="finished"), Origin(actor="anna", channel="cli", host="here"))
        anchors.append(anchor_of(life.store, log))
        if life.time().day % 9 == 0:
            prune(life.store, life.scope.retention, by="test")
        if life.time().day == 11:
            hold(life.store, life.store.points()[0], reason="test", by="test")
    assert len(life.store.points()) < len(anchors)
    assert {problem for anchor in anchors[::4] for problem in compare_anchor(life.store, log, anchor)} == set()
    assert [one for one in verify(life.store) if not one.ok] == [] and list(log.verify()) == []


def _days(life: Life, number: int) -> Iterator[int]:
    for day in range(number):
        life.back_up()
        yield day
        life.go_on()
        life.time.pass_(days=1)


@pytest.mark.parametrize(
    "text", ["", "contoso", "contoso:x:" + "0" * 64 + ":0:", "contoso:2026-11-23T05-00-00Z:" + "0" * 64 + ":1:"]
)
def test_what_is_no_head_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="no head"):
        Anchor.parse(text)


def test_the_head_of_another_scope_is_refused(store: ScopeStore) -> None:
    with pytest.raises(UsageError, match="not of 'contoso'"):
        compare_anchor(store, AuditLog(store.files), Anchor("fabrikam", store.points()[0], "0" * 64, 0, ""))


def test_forged_records_are_refused_where_they_are_read(world: World) -> None:
    for one in itertools.islice((one for one in TAMPERINGS if one.name.startswith("an approval")), 1):
        one.act(world)
    with pytest.raises(BadSignature, match="is not signed"):
        signed(world.place).read("_restore/plan-one/approved.json")
