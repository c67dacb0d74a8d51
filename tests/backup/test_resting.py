"""Long lists that delta does not track are read once a day, and say so."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.protected import Protected, protect

Tenant = Callable[..., Protected]


def test_a_long_list_rests_for_a_day(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    # One request is many here.
    monkeypatch.setattr("entra_pipeline.backup.read.reader.FEW_REQUESTS", 0)
    one = tenant(protect("users", "user_licenses"))
    first = one.backup().tables["user_licenses"]
    one.control.delete(f"users/{one.control.dump('users')[0]['id']}")

    second = one.backup()
    resting = second.tables["user_licenses"]
    assert (resting.read, resting.requests, resting.live, resting.parts) == ("unchanged", 0, first.live, first.parts)
    assert resting.notes == (f"a long list that delta does not track: read at {first.listed}, and once a day",)
    assert second.tables["users"].deleted == 1

    assert one.backup(types=["user_licenses"]).tables["user_licenses"].deleted == 1, "somebody asked for it by name"
    one.advance(hours=23)
    one.assert_same(one.backup())


def test_a_full_backup_wakes_everything(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("entra_pipeline.backup.read.reader.FEW_REQUESTS", 0)
    one = tenant(protect("users", "user_licenses"))
    one.backup()
    one.control.delete(f"users/{one.control.dump('users')[0]['id']}")
    one.assert_same(one.backup(full=True))
