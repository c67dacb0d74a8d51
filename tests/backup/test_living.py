"""The tenant lives while it is read: a point hangs together, and what it missed is in the next."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from entra_pipeline.backup.run import NullBackupProgress
from entra_pipeline.catalogue import BY_GRAPH_TYPE, RELATIONS
from entra_pipeline.store.manifest import Manifest
from tests.support.changing import Life
from tests.support.protected import MAIN_TYPES, Protected, protect

Tenant = Callable[..., Protected]


class Meanwhile(NullBackupProgress):
    """Lets life go on at every page that is read, and at every phase."""

    def __init__(self, life: Life) -> None:
        self._life = life

    def rows(self, table: str, rows: int) -> None:
        """A page has been read."""
        self._life.go_on(1)

    def phase(self, text: str) -> None:
        """Another phase begins."""
        self._life.go_on(3)


def dangling(one: Protected, manifest: Manifest) -> list[tuple[str, str, str, str]]:
    """Edges of which an end is not stored, although all objects of its type should be."""
    stored = {table: one.objects(manifest, table).keys() for table in MAIN_TYPES}
    return [
        (table, *edge)
        for table in manifest.tables.keys() & RELATIONS.keys()
        for edge in one.edges(manifest, table)
        for owner, identifier in ((RELATIONS[table][0].name, edge[0]), (BY_GRAPH_TYPE[edge[2]].name, edge[1]))
        if owner in stored and identifier not in stored[owner]
    ]


@pytest.mark.parametrize("seed", [1, 2])
def test_a_point_taken_while_the_tenant_changes_hangs_together(seed: int, tenant: Tenant) -> None:
    one = tenant(protect(*MAIN_TYPES), seed=seed)
    one.control.delta(page_size=10, slice_size=5)
    life = Life(one.control, seed)
    for _ in range(3):
        manifest = one.backup(progress=Meanwhile(life))
        assert [gap for entry in manifest.tables.values() for gap in entry.gaps] == []
        assert manifest.status == "finished"
        assert dangling(one, manifest) == []
    one.assert_same(one.backup())
