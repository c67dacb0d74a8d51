"""An object that a list of Graph shows and that answers 404 by itself is not gone: it is kept, and named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from entra_pipeline.backup.read.reader import ObjectReader
from entra_pipeline.store.manifest import Manifest
from tests.support.protected import Protected, protect

Tenant = Callable[..., Protected]
WORKFLOWS = "identityGovernance/lifecycleWorkflows/workflows"


def named(manifest: Manifest, table: str) -> list[tuple[str, bool]]:
    return [(gap.object, "404" in gap.reason) for gap in manifest.tables[table].gaps]


@pytest.mark.parametrize("full", [True, False])
def test_a_listed_workflow_that_answers_404_is_kept_and_named_until_the_list_leaves_it_out(
    tenant: Tenant, full: bool
) -> None:
    one = tenant(protect("lifecycle_workflows"), users=20, groups=4)
    before = one.objects(one.backup(), "lifecycle_workflows")
    workflow = min(before)
    one.control.misbehave("fails", f"{WORKFLOWS}/*", objects=[workflow], status=404)
    manifest = one.backup(full=full)
    assert one.objects(manifest, "lifecycle_workflows") == before
    assert (manifest.status, named(manifest, "lifecycle_workflows")) == ("finished with exception", [(workflow, True)])
    one.control.delete(f"{WORKFLOWS}/{workflow}")
    one.assert_same(one.backup(full=full))


def test_a_listed_workflow_that_has_never_been_read_is_named(tenant: Tenant) -> None:
    one = tenant(protect("lifecycle_workflows"), users=20, groups=4)
    workflow = min(object_["id"] for object_ in one.control.dump(WORKFLOWS))
    one.control.misbehave("fails", f"{WORKFLOWS}/*", objects=[workflow], status=404)
    manifest = one.backup()
    assert workflow not in one.objects(manifest, "lifecycle_workflows")
    assert (workflow, True) in named(manifest, "lifecycle_workflows")
    one.control.behave()
    one.assert_same(one.backup())


def test_a_workflow_that_only_the_count_shows_is_stored_as_a_whole(tenant: Tenant) -> None:
    one = tenant(protect("lifecycle_workflows"), users=20, groups=4)
    workflow = min(object_["id"] for object_ in one.control.dump(WORKFLOWS))
    one.control.misbehave("objects-hidden", WORKFLOWS, objects=[workflow], views=["list"], times=1)
    one.assert_same(one.backup())


def test_a_workflow_that_is_deleted_after_it_was_listed_is_gone(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = tenant(protect("lifecycle_workflows"), users=20, groups=4)
    one.backup()
    read = ObjectReader._singly

    async def delete_first(self: ObjectReader, entry: Any, ids: list[str], stats: Any) -> Any:
        if len(one.control.dump(WORKFLOWS)) == len(ids):
            one.control.delete(f"{WORKFLOWS}/{ids[0]}")
        return await read(self, entry, ids, stats)

    monkeypatch.setattr(ObjectReader, "_singly", delete_first)
    one.assert_same(one.backup())


@pytest.mark.parametrize("table", ["users", "domains"])
def test_an_object_that_cannot_be_read_in_the_list_is_not_gone_because_it_answers_404(
    tenant: Tenant, table: str
) -> None:
    one = tenant(protect(table), users=20, groups=4)
    before = one.objects(one.backup(), table)
    bad = min(before)
    one.control.misbehave(
        "not-utf8", f"{table}*", objects=[bad], property="id" if table == "domains" else "displayName"
    )
    one.control.misbehave("fails", f"{table}/*", objects=[bad], status=404)
    manifest = one.backup(full=True)
    assert one.objects(manifest, table) == before
    assert bad in {gap.object for gap in manifest.tables[table].gaps}
