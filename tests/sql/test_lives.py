"""What SQL says of the past is what the tenant was, after months of backups, prunes and holds.

The index is joined two files at a time, so that few points make files of all levels.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from entra_pipeline.analysis.sql import Relations, SqlSession
from entra_pipeline.store.commit import complete_index
from entra_pipeline.store.points import index
from entra_pipeline.store.retention.holds import hold
from entra_pipeline.store.retention.prune import prune
from entra_pipeline.store.verify import verify
from tests.support.aging import Life, State

pytestmark = pytest.mark.pure

_KEYS = {"users": "id", "user_manager": "source_id"}
_VALUES = {"users": "displayName", "user_manager": "target_id"}


def _told(life: Life, table: str) -> list[tuple[str, str, str, str | None]]:
    """Point, key, what happened and the value, by the states that the points have to give back."""
    told: list[tuple[str, str, str, str | None]] = []
    before: State = {}
    new = "baseline"
    for point in life.store.points():
        now = life.states[point][table]
        for key in sorted({*before, *now}):
            was, is_ = before.get(key), now.get(key)
            if was == is_:
                continue
            if table == "users":
                what = new if was is None else "deleted" if is_ is None else "changed"
                # What is deleted has its last values.
                told.append((point, key, what, was if is_ is None else is_))
            else:
                # Another manager is another link.
                told += [(point, key, "deleted", was)] * (was is not None)
                told += [(point, key, new, is_)] * (is_ is not None)
        before, new = now, "added"
    return sorted(told, key=str)


def _asked(session: SqlSession, table: str, where: str = "true") -> list[tuple[Any, ...]]:
    columns = f"recovery_point, {_KEYS[table]}, _change, {_VALUES[table]}"
    return sorted(session.ask(f"SELECT {columns} FROM {table}_history WHERE {where}").fetchall(), key=str)


def _check(life: Life) -> None:
    points = life.store.points()
    with SqlSession(Relations({"life": (life.store.files, [life.store.scope])})) as session:
        for table, key in _KEYS.items():
            told = _told(life, table)
            assert _asked(session, table) == told
            for one in sorted({row[1] for row in told})[:3]:
                assert _asked(session, table, f"{key} = '{one}'") == [row for row in told if row[1] == one]
            for point in {points[0], points[len(points) // 2], points[-1]}:
                rows = session.ask(f"SELECT {key}, {_VALUES[table]} FROM {table}_at('contoso', '{point}')").fetchall()
                assert dict(rows) == life.states[point][table]
        assert session.ask("SELECT list(recovery_point ORDER BY moment) FROM recovery_points").fetchall() == [(points,)]
    assert [finding for finding in verify(life.store) if not finding.ok] == []


@pytest.mark.parametrize("seed", range(4))
def test_history_is_what_happened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    monkeypatch.setattr(index, "JOINED", 2)
    chance = random.Random(seed)
    # With few keys to tell of, a point with more changes tells none, and its files are opened.
    monkeypatch.setattr(index, "_MOST_KEYS", chance.choice([3, 10_000]))
    life = Life(tmp_path, people=6, max_incrementals=chance.randrange(1, 4), retention="5 days")
    held: list[str] = []
    for number in range(30):
        life.back_up(full=chance.random() < 0.1)
        life.go_on(chance.randrange(4))
        life.time.pass_(hours=chance.choice([6, 18]))
        if number in (8, 15):
            held.append(chance.choice(life.store.points()))
            hold(life.store, held[-1], reason="an audit", by="test")
        if number % 5 == 4:
            prune(life.store, life.scope.retention, by="test")
            life.forget(life.expected(tuple(held)))
    assert {file.level for file in life.store.indexes()} >= {1, 2}
    _check(life)
    # It can be made again of what is there.
    life.store.files.delete([file.key for file in life.store.indexes()])
    assert complete_index(life.store) == life.store.points()
    _check(life)
