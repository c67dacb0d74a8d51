"""A scope of four points a day, pruned daily (`make years`: for 400 days).

Two independent accounts of what has to be there meet: the tenant as it was at every point, and which points a person
would expect to be kept. After every prune each point must be made of files that are there, byte for byte as long
as they were, and a point of each state is read back; all points are read back every thirty days and at the end.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from entra_pipeline.store.points.index import chosen_files
from entra_pipeline.store.retention.prune import prune
from entra_pipeline.store.verify import verify
from tests.support.aging import Life

_A_DAY = 4
_ALL_READ_DAYS = 30


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A few days with a short retention, or what was asked for with the ones that people have."""
    days = metafunc.config.getoption("--retention-days")
    lives = [(one, 30) for one in ("2 years", "1 years", "30 days")] if days > 30 else [("4 days", 6)]
    metafunc.parametrize(("retention", "chain", "days"), [(*one, days) for one in lives])


def _daily(life: Life, days: int) -> Iterator[int]:
    """Lives, and stops after the prune of each day."""
    for number in range(days):
        for _ in range(_A_DAY):
            life.go_on()
            life.back_up(good=number % 7 != 5)
            life.time.pass_(hours=24 / _A_DAY)
        expected = life.expected()
        pruned = prune(life.store, life.scope.retention, by="test")
        assert life.store.points() == expected
        assert sorted({*expected, *pruned.forgotten}) == sorted(life.states)
        life.forget(expected)
        yield number


def _needed(life: Life) -> int:
    """Bytes of the files that the points name, each as long as it was, of their manifests and of their index."""
    there = {file.key: file.size for file in life.store.files.list("")}
    parts = [part for p in life.states for one in life.manifests[p].tables.values() for part in one.parts]
    needed = {part.key: part.bytes for part in parts}
    assert {key: there.get(key) for key in needed} == needed
    told = [life.store.manifest_key(point) for point in life.states]
    index = chosen_files(life.store.indexes(), life.states)
    assert index.keys() == life.states.keys()
    told += [one.key for one in set(index.values())]
    return sum(needed.values()) + sum(there[key] for key in told)


def test_every_point_reads_back_and_nothing_is_stored_in_vain(
    tmp_path: Path, retention: str, chain: int, days: int
) -> None:
    life = Life(tmp_path, people=40, max_incrementals=chain, retention=retention)
    worst = 0.0
    for number in _daily(life, days):
        points = sorted(life.states)
        stored = sum(
            file.size for file in life.store.files.list("") if not file.key.startswith(("_locks/", "_pruned/"))
        )
        worst = max(worst, stored / _needed(life))
        every = number % _ALL_READ_DAYS == _ALL_READ_DAYS - 1 or number == days - 1
        life.assert_exact(*(points if every else (points[0], points[number % len(points)], points[-1])))
    assert worst <= 1.2
    # What is remembered for ever of the points that went is little.
    assert sum(file.size for file in life.store.files.list("_pruned/")) < 500 * (days * _A_DAY - len(points)) + 1000
    assert life.parts() == life.named()
    assert [finding for finding in verify(life.store, points[-5:]) if not finding.ok] == []
