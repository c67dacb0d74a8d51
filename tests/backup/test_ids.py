"""An id is one id in whatever letter case Graph writes it, where it is a GUID; other ids keep theirs."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from entra_pipeline.backup.rows.ids import in_one_form, one_form
from entra_pipeline.backup.rows.page_parser import endpoint, identify, read_items, split_expanded
from tests.support.protected import Protected, protect

Tenant = Callable[..., Protected]
GUID = "9a8f0ad5-0a3b-4d0c-9d1e-1c9a5a0f3b11"
CASED = "zX37MRLyF0uvE-xf2WH4B7x-6CPLfudNnxFGj800htpBXqkxW7bITqGb6Rj4kuTuS"
CAPITALS = ("groups/delta", "groups/*/members", "users", "users/*/sponsors", "devices*", "*/scopedRoleMembers")
COLUMNS = {
    "group_members": "source_id, target_id, target_type",
    "user_sponsors": "source_id, target_id, target_type",
    "device_registered_owners": "source_id, target_id, target_type",
    "administrative_units": "id",
    "scoped_role_members": "id, _parent_id",
}


def test_only_guids_are_folded() -> None:
    assert one_form(GUID.upper()) == GUID
    assert one_form(CASED) == CASED
    assert one_form(f"{GUID.upper()}/x") == f"{GUID.upper()}/x"
    assert in_one_form([GUID.upper(), CASED]) == [GUID, CASED]
    plain = [GUID, "a"]
    assert in_one_form(plain) is plain


def test_whatever_has_an_id_is_read_by_it() -> None:
    raw = msgspec.json.encode({"id": GUID.upper(), "owners": [{"id": GUID.upper()}]})
    assert identify(raw) == endpoint(raw).id == read_items([msgspec.Raw(raw)]).ids[0] == GUID
    assert split_expanded([raw], "owners")[0][0].id == GUID


@pytest.mark.parametrize("full", [True, False])
def test_ids_in_capitals_double_and_lose_nothing(tenant: Tenant, full: bool) -> None:
    one = tenant(
        protect("users", "groups", "devices", "administrative_units", "scoped_role_members"), users=20, groups=4
    )
    first = one.backup()
    links = {table: set(one.rows(first, table, columns)) for table, columns in COLUMNS.items()}
    assert all(links.values())
    for path in CAPITALS:
        one.control.misbehave("ids-in-capitals", path)
    one.control.patch(f"groups/{min(links['group_members'])[0]}", {"description": "changed"})
    manifest = one.backup(full=full)
    assert manifest.status == "finished"
    assert {table: set(one.rows(manifest, table, columns)) for table, columns in COLUMNS.items()} == links
    for entry in manifest.tables.values():
        assert (entry.added, entry.deleted) == (0, 0), entry.table
