"""Drills: a whole small tenant comes back in an empty one, and what did not is told."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from entra_pipeline.catalogue import CATALOGUE
from entra_pipeline.cli import run
from entra_pipeline.cli.jobs.drill import drill_markdown
from entra_pipeline.demo import prepare
from entra_pipeline.restore.check.drill import Drill, drill, drills
from entra_pipeline.restore.check.fidelity import fidelity
from entra_pipeline.restore.plan.diff import Side
from entra_pipeline.simulator import Simulator
from entra_pipeline.store.manifest import Manifest
from tests.support.protected import Protected


@pytest.fixture(scope="module")
def protected(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Protected, Manifest, Path]]:
    """The tenant of the demonstration, as its first recovery point shows it."""
    folder = tmp_path_factory.mktemp("drill")
    with Simulator(200, 20, 7) as simulator:
        site = Protected(simulator, folder)
        prepare(site.control)
        yield site, site.backup(), folder


@pytest.fixture(scope="module")
def drilled(protected: tuple[Protected, Manifest, Path]) -> tuple[int, Drill]:
    site, _, folder = protected
    code = run(["--project", str(folder / "dagster_project.toml"), "drill", "contoso"])
    return code, drills(site.store)[-1]


def test_a_whole_tenant_comes_back(drilled: tuple[int, Drill]) -> None:
    code, result = drilled
    assert (code, result.status) == (0, "finished")
    assert result.properties_equal >= 0.99 * result.properties > 1000
    assert result.links_equal == result.links > 100
    assert result.writes >= result.steps - sum(result.refused.values())
    # What the tenant has that Graph shows and takes from nobody.
    assert {(one.table, *one.properties) for one in result.differences} == {
        ("applications", "futureSetting"),
        ("conditional_access_policies", "futureControls"),
    }
    assert all(one.reason for one in result.differences)


def test_the_documented_score_is_the_score(drilled: tuple[int, Drill]) -> None:
    _, result = drilled
    text = Path(__file__).parents[2].joinpath("docs", "drill.md").read_text(encoding="utf-8")
    documented = re.search(r"<!-- score: .*? -->\n(.*?)\n<!-- /score -->", text, re.S)
    assert documented is not None
    assert documented[1] == drill_markdown(result)


def test_every_type_is_scored_or_left_out_with_a_reason(
    drilled: tuple[int, Drill], protected: tuple[Protected, Manifest, Path]
) -> None:
    _, point, _ = protected
    _, result = drilled
    bins = {name for name, entry in CATALOGUE.items() if name.startswith("deleted_") and entry.shows}
    scored = {score.table for score in result.scores}
    assert scored == {
        name for name, entry in point.tables.items() if entry.read != "never" and not name.startswith(tuple(bins))
    } - {name for name in point.tables if name.startswith("deleted_")}
    for score in result.scores:
        assert all(score.left_out), score.table
        restorable = CATALOGUE[score.table].restore.by_application if score.table in CATALOGUE else True
        assert restorable or not score.compared


def test_a_drill_leaves_nothing_behind_but_its_result(
    drilled: tuple[int, Drill], protected: tuple[Protected, Manifest, Path]
) -> None:
    site, point, _ = protected
    _, result = drilled
    assert site.store.points() == [point.recovery_point]
    assert not list(site.store.files.list("_restore/"))
    record = next(one for one in site.store.jobs.all() if one.type == "drill")
    assert (record.id, record.status, record.details["links"]) == (result.id, "finished", result.links)


def test_a_tenant_that_did_not_come_back_scores_nothing(
    protected: tuple[Protected, Manifest, Path], tmp_path: Path
) -> None:
    site, point, _ = protected
    with Simulator(empty=True, seed=77) as empty:
        folder = tmp_path / "other"
        folder.mkdir()
        other = Protected(empty, folder, 'protect = ["users", "groups"]')
        bare = other.backup()
    wanted = Side(site.store, point)
    found = Side(other.store, bare)
    score = {one.table: one for one in fidelity(wanted, found, found, {}, {}).scores}
    assert score["users"].equal == score["group_members"].equal == 0
    assert score["users"].compared > 200
    same = fidelity(wanted, wanted, wanted, {}, {})
    assert same.differences == ()
    assert all(one.equal == one.compared for one in same.scores)


def test_what_leads_beyond_the_scope_is_told_apart(protected: tuple[Protected, Manifest, Path], tmp_path: Path) -> None:
    site, _, _ = protected
    few = Protected(site.simulator, tmp_path, 'protect = ["users", "user_licenses", "groups", "domains"]')
    store, point = few.store, few.backup()
    result = asyncio.run(drill(store, point, trigger="test"))
    assert result.differences == ()
    assert (result.status, result.links_equal, result.properties_equal) == ("finished", result.links, result.properties)
    apart = {score.table: score.left_out for score in result.scores}
    assert apart["group_members"]["leads to contacts, which the scope does not protect"] > 0
    assert apart["users"]["values whose definitions the scope does not protect"] > 0


def test_what_was_changed_or_made_besides_is_told(protected: tuple[Protected, Manifest, Path]) -> None:
    site, point, _ = protected
    user = next(one["id"] for one in site.control.dump("users") if not one["onPremisesSyncEnabled"])
    group = next(g["id"] for g in site.control.dump("groups") if not g["groupTypes"] and not g["onPremisesSyncEnabled"])
    made = site.control.create("users", {"displayName": "Nobody asked for"})
    site.control.patch(f"users/{user}", {"city": "Elsewhere"})
    site.control.add_link(f"groups/{group}/members", made)
    after = Side(site.store, site.backup(types=["users", "groups"]))
    wanted = Side(site.store, point)
    told = fidelity(wanted, wanted, after, {}, {("users", user): "somebody was faster"}).differences
    by_id = {(one.table, one.id): one for one in told}
    assert by_id["users", user].reason == "somebody was faster"
    assert by_id["users", user].properties["city"][1] == "Elsewhere"
    assert by_id["users", made].what == "too much"
    assert [list(side) for side in by_id["group_members", group].properties["members"]] == [[], [made]]
