"""A store that the last release of version 1 of the format wrote is read, extended, verified, restored from and pruned.

`version-1.tar.xz` is of the tenant `Simulator(20, 3, 5)`: at its first point of groups and grants, at its second of
administrative units too, with a group changed; and a day of directory audits.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from entra_pipeline.analysis.sql import SqlSession
from entra_pipeline.project.stores import complete_indexes
from entra_pipeline.simulator import Simulator
from entra_pipeline.store.retention.prune import prune
from entra_pipeline.store.retention.sweep import sweep
from entra_pipeline.store.verify import verify
from tests.support.command import call
from tests.support.logged import Logged
from tests.support.protected import _impatience, protect

__all__ = ["_impatience"]

STORE = Path(__file__).parent / "version-1.tar.xz"
FIRST, SECOND = "2024-03-04T11-04-27Z-mc313", "2024-03-05T11-04-27Z-m97f2"
GROUP = "15c1f64a-9129-4a7c-a248-5a915d5d3cd0"
SETTINGS = protect("groups", "oauth2_permission_grants", "administrative_units") + '\nlogs = ["directory_audits"]'


@pytest.fixture
def old(tmp_path: Path) -> Iterator[Logged]:
    with tarfile.open(STORE) as archive:
        archive.extractall(tmp_path, filter="data")
    with Simulator(20, 3, 5) as simulator:
        yield Logged(simulator, tmp_path, SETTINGS)


def test_a_store_of_version_1_lives_on(old: Logged) -> None:
    described = "SELECT description FROM groups_at('contoso', '{}') WHERE id = '" + GROUP + "'"
    old.control.patch(f"groups/{GROUP}", {"description": "written since"})
    made = old.backup(types=["groups"])
    assert [finding for finding in verify(old.store) if not finding.ok] == []
    assert (made.version, made.parent) == (2, SECOND)
    # What was not read stays where it is.
    assert {key.split("/")[1] for key in made.named()} == {"scope=contoso", "backup-scope=contoso"}
    old.assert_same(made)

    assert [missing for _, missing, _ in complete_indexes(old.project)] == [2]
    with SqlSession.of(old.project) as session:
        counted = "SELECT sum(baseline) > 0, sum(added) FROM recovery_point_tables WHERE recovery_point = '{}'"
        assert session.ask(counted.format(FIRST)).fetchall() == [(True, 0)]
        assert session.ask("SELECT DISTINCT _change FROM administrative_units_history").fetchall() == [("baseline",)]
        for point, text in ((SECOND, "written by version 1"), (made.recovery_point, "written since")):
            assert session.ask(described.format(point)).fetchall() == [(text,)]
        changes = f"SELECT recovery_point, _change FROM groups_history WHERE id = '{GROUP}' ORDER BY valid_from"
        assert session.ask(changes).fetchall() == [
            (FIRST, "baseline"),
            (SECOND, "changed"),
            (made.recovery_point, "changed"),
        ]
        before = session.ask("SELECT count(*) FROM directory_audits").fetchall()[0][0]
        assert before > 0
        old.ahead = timedelta(seconds=1)
        old.read("directory_audits")
        assert session.ask("SELECT count(*) FROM directory_audits").fetchall()[0][0] == len(
            old.stored("directory_audits")
        )
    assert len(old.stored("directory_audits")) > before

    project = old.store.files.root.parent / "dagster_project.toml"
    done = call(
        "--project", project, "restore", "contoso", "--at", SECOND, "--types", "groups", "--ids", GROUP, "--yes"
    )
    assert done.code == 0, done.out + done.err
    assert (
        next(one for one in old.control.dump("groups") if one["id"] == GROUP)["description"] == "written by version 1"
    )


def test_points_of_version_1_are_pruned_and_their_files_swept(old: Logged) -> None:
    made = old.backup()
    assert prune(old.store, old.scope.retention, by="test").forgotten == [FIRST, SECOND]
    old.ahead = timedelta(days=30)
    sweep(old.store, grace=timedelta(days=1))
    left = {file.key for file in old.store.files.list("") if file.key.endswith(".parquet")}
    parts = {key for key in left if not key.startswith(("_", "directory_audits"))}
    assert parts == made.named()
    # The index of version 1, too: nobody reads it.
    assert {key.split("/")[1] for key in left if key.startswith("_index/")} == {"4"}
    assert old.stored("directory_audits")
    assert [finding for finding in verify(old.store) if not finding.ok] == []


def test_what_an_old_release_left_unfinished_is_discarded(old: Logged) -> None:
    point = "2024-03-06T11-04-27Z"
    key = f"groups/scope=contoso/recovery_point={point}/part-00000.parquet"
    old.store.files.replace(key, b"begun")
    old.store.staging.discard(point)
    assert key not in {file.key for file in old.store.files.list("groups/")}
