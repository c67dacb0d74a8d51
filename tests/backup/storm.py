"""A tenant in which everything goes wrong now and then: a backup ends, and names whatever it does not have."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from entra_pipeline.catalogue import CATALOGUE, Lane
from entra_pipeline.demo import compare
from entra_pipeline.store.manifest import Manifest
from tests.support.changing import Life
from tests.support.protected import Protected, protect, totals

Tenant = Callable[..., Protected]
TYPES = [name for name, entry in CATALOGUE.items() if entry.lane is Lane.DIRECTORY and not entry.delegated]
UNPROVABLE = ("members-hidden", "objects-hidden", "another-type", "property-missing")
"""What the only view of a relation says cannot be held against anything; `test_views` has the others."""


def unnamed(one: Protected, manifest: Manifest) -> set[str]:
    """What differs from the tenant, and is in a table without a gap."""
    found = set()
    for line in compare(one.store, manifest, one.picture()).differing:
        table, identifier, *_ = line.split()
        if manifest.tables[table].gaps:
            continue
        # Half a surrogate pair is what Graph has shown. Objects without an id are told apart by what they say.
        shown = one.objects(manifest, table) if table in CATALOGUE else {}
        if "\ufffd" not in str(shown.get(identifier, shown if identifier.startswith("{") else {})):
            found.add(f"{table} {identifier}")
    return found


@pytest.mark.parametrize("seed", [5])
def test_all_misbehaviours_at_once_leave_nothing_unsaid(tenant: Tenant, seed: int) -> None:
    one = tenant(protect(*TYPES), users=20, groups=6, seed=seed)
    life = Life(one.control, seed)
    requests = {"calm": 0, "stormy": 0}
    for weather in requests:
        if weather == "stormy":
            one.control.misbehave("all", probability=0.02)
            # Objects are stored as Graph writes them, id and all.
            one.control.behave("ids-in-capitals")
            for name in UNPROVABLE:
                one.control.behave(name)
        for full in (True, False, False):
            life.go_on(10)
            manifest = one.backup(full=full)
            requests[weather] += totals(manifest)[0]
            assert unnamed(one, manifest) == set()
            assert manifest.status == ("finished" if weather == "calm" else "finished with exception")
    one.control.behave()
    assert requests["stormy"] <= 1.5 * requests["calm"]
    manifest = one.backup()
    assert (unnamed(one, manifest), manifest.status) == (set(), "finished")
