"""A recovery point that is kept open answers alike wherever its tables are, and names what others name by id."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import closing

import pytest

from entra_pipeline.analysis.finding import find_by_name
from entra_pipeline.analysis.linking import copies, point_copy
from entra_pipeline.analysis.linking.called import called
from entra_pipeline.analysis.linking.copies import PointCopies
from entra_pipeline.analysis.linking.point_copy import PointCopy
from entra_pipeline.analysis.linking.related import related_in
from entra_pipeline.analysis.names import guids_of, named_text
from entra_pipeline.analysis.objects import find
from entra_pipeline.simulator import Simulator
from entra_pipeline.store.manifest import Manifest
from tests.support.protected import Protected, protect

_TYPES = ("users", "groups", "applications", "service_principals", "app_role_assignments", "role_definitions")
_MORE = ("role_assignments", "conditional_access_policies", "federated_identity_credentials", "subscribed_skus")


@pytest.fixture(scope="module")
def tenant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Protected]:
    """A tenant whose point has changes over a base: somebody has a new name, and a group is gone."""
    with Simulator(30, 6, 5) as simulator:
        protected = Protected(simulator, tmp_path_factory.mktemp("linking"), protect(*_TYPES, *_MORE))
        protected.backup()
        user, group = (simulator.control.dump(kind)[0]["id"] for kind in ("users", "groups"))
        simulator.control.patch(f"users/{user}", {"displayName": "Renamed"})
        simulator.control.delete(f"groups/{group}")
        protected.backup()
        yield protected


@pytest.fixture
def manifest(tenant: Protected) -> Manifest:
    return tenant.store.manifest(tenant.store.points()[-1])


def _answers(copy: PointCopy, objects: Mapping[str, str]) -> object:
    """What is asked of a point: links and names of some objects of each type, and what a text finds."""
    told: list[object] = [find_by_name(copy, "a", limit=5), find_by_name(copy, types=["users"], limit=3, offset=2)]
    for table, raw in objects.items():
        found = related_in(copy, table, json.loads(raw)["id"], raw)
        told += [found.rows, found.counts, called(copy, guids_of(json.loads(raw)))]
    return told


def test_large_tables_answer_as_small_ones_do(
    tenant: Protected, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In their files, and from the copy of what is asked of them."""
    objects = {table: next(find(tenant.store, manifest, table)) for table in (*_TYPES, *_MORE)}
    with closing(PointCopy(tenant.store, manifest)) as copy:
        assert not copy.large
        expected = _answers(copy, objects)
    monkeypatch.setattr(point_copy, "_LARGE", 2)
    with closing(PointCopy(tenant.store, manifest)) as copy:
        assert copy.large
        assert _answers(copy, objects) == expected
        monkeypatch.setattr(point_copy, "_FEW", 0)
        assert _answers(copy, objects) == expected
        copy.copy_large(lambda: None)
        assert not copy.large
        assert _answers(copy, objects) == expected


def test_points_are_kept_open_and_copied_meanwhile(
    tenant: Protected, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr(point_copy, "_LARGE", 2)
    monkeypatch.setattr(copies, "_QUIET", 0.01)
    kept = PointCopies(clock=lambda: now)
    copy = kept.of(tenant.store, manifest)
    assert kept.of(tenant.store, manifest) is copy
    end = time.monotonic() + 20
    while copy.large and time.monotonic() < end:
        time.sleep(0.02)
    assert not copy.large
    # The credentials of a storage may change.
    now = 1000.0
    assert kept.of(tenant.store, manifest) is not copy
    # Whoever still asks the one that is forgotten gets an answer.
    assert find_by_name(copy, "Renamed", limit=1)[0]


def test_assignments_are_called_after_what_they_tie(tenant: Protected, manifest: Manifest) -> None:
    control = tenant.control
    users = {one["id"]: one["displayName"] for one in control.dump("users")}
    roles = {one["id"]: one["displayName"] for one in control.dump("roleManagement/directory/roleDefinitions")}
    tie = next(one for one in control.dump("roleManagement/directory/roleAssignments") if one["principalId"] in users)
    wanted = [tie["id"], tie["principalId"], tie["roleDefinitionId"], "00000000-0000-0000-0000-000000000000"]
    with closing(PointCopy(tenant.store, manifest)) as copy:
        found = called(copy, wanted)
    assert {text: one.kind for text, one in found.items()} == {
        tie["id"]: "role_assignments",
        tie["principalId"]: "users",
        tie["roleDefinitionId"]: "role_definitions",
    }
    who, what = users[tie["principalId"]], roles[tie["roleDefinitionId"]]
    assert set(found[tie["id"]].name.split(" · ")) == {who, what}
    assert found[tie["principalId"]].name == who
    names = {text: one.name for text, one in found.items()}
    assert named_text(json.dumps([tie["principalId"], wanted[-1]]), names) == json.dumps([who, wanted[-1]])
