"""Graph fails as Graph does: what is stored is what would be without, and nothing is asked much more often."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from entra_pipeline.backup.run import NullBackupProgress
from entra_pipeline.simulator.faults.settings import EXPIRY_FORMS, FAULTS
from entra_pipeline.store.manifest import Manifest
from tests.support.changing import Life
from tests.support.protected import MAIN_TYPES, Protected, protect, totals

Tenant = Callable[..., Protected]
TABLES = protect(*MAIN_TYPES, "applications", "service_principals", "app_role_assignments", "devices")


def state(one: Protected, manifest: Manifest) -> dict[str, str]:
    """A hash of the state of each table: same state, same bytes."""
    hashes = {}
    for table, entry in manifest.tables.items():
        columns = "*" if entry.kind == "objects" else "source_id, target_id, target_type"
        rows = sorted(map(repr, one.rows(manifest, table, columns)))
        hashes[table] = hashlib.sha256("\n".join(rows).encode()).hexdigest()
    return hashes


@pytest.fixture
def calm_and_stormy(tenant: Tenant, tmp_path: Path) -> tuple[Protected, Protected]:
    """Two scopes on one tenant, each with a store of its own."""
    calm = tenant(TABLES, users=200, groups=30)
    calm.control.delta(page_size=4)
    return calm, Protected(calm.simulator, tmp_path, TABLES)


def test_faults_change_nothing_but_the_number_of_requests(calm_and_stormy: tuple[Protected, Protected]) -> None:
    calm, stormy = calm_and_stormy
    life = Life(calm.control, seed=1)
    requests = {"calm": 0, "stormy": 0}
    retries = 0
    for _ in range(2):
        expected = calm.backup()
        calm.control.faults(0.05, FAULTS)
        found = stormy.backup()
        calm.control.faults(0)
        assert state(stormy, found) == state(calm, expected)
        stormy.assert_same(found)
        requests["calm"] += totals(expected)[0]
        requests["stormy"] += totals(found)[0]
        retries += sum(entry.retries for entry in found.tables.values())
        life.go_on(40)
    assert retries >= 5
    assert requests["stormy"] <= 1.3 * requests["calm"]


@pytest.mark.parametrize("kind", FAULTS)
def test_each_kind_of_fault_is_survived(kind: str, tenant: Tenant) -> None:
    one = tenant(protect("users", "groups", "applications"))
    one.control.delta(page_size=5)
    # Graph's own pause after a 429 is a second: a few are enough.
    one.control.faults(0.15 if kind == "429" else 0.3, [kind])
    manifest = one.backup()
    one.assert_same(manifest)
    assert sum(entry.retries for entry in manifest.tables.values()) > 0


def test_tokens_that_live_for_seconds_and_are_revoked_in_the_middle_of_a_run(tenant: Tenant) -> None:
    one = tenant(protect(*MAIN_TYPES))
    one.control.delta(page_size=2)
    one.control.token_lifetime(1)
    rows = 0

    class Revoker(NullBackupProgress):
        """Has every token revoked, again and again, while the run reads."""

        def rows(self, table: str, number: int) -> None:
            nonlocal rows
            rows += 1
            if rows % 15 == 0:
                one.control.expire_tokens()

    one.assert_same(one.backup(progress=Revoker()))
    assert rows > 30
    assert one.control.ledger()["statuses"].get("401")


@pytest.mark.parametrize("form", EXPIRY_FORMS)
def test_an_expired_delta_link_brings_a_full_read(form: str, tenant: Tenant) -> None:
    types = ["users", "groups"]
    one = tenant(protect(*types))
    one.backup()
    Life(one.control, seed=3).go_on(20)
    one.control.expire_delta_links(form)
    manifest = one.backup()
    one.assert_same(manifest)
    for table in types:
        assert manifest.tables[table].read == "full"
        assert any("delta link had expired" in note for note in manifest.tables[table].notes)
    Life(one.control, seed=4).go_on(20)
    after = one.backup()
    one.assert_same(after)
    assert {after.tables[table].read for table in types} <= {"incremental", "unchanged"}
