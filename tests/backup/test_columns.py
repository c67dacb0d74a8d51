"""The columns that an analyst reads: typed by the catalogue, honest about what does not fit; `_raw` has everything."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec
import pytest

from entra_pipeline.catalogue import CATALOGUE, EVERYTHING, ObjectType
from entra_pipeline.catalogue.columns import column_types
from entra_pipeline.simulator import Simulator
from entra_pipeline.store.manifest import Manifest
from entra_pipeline.store.state import connect, state_query
from tests.support.protected import Protected, protect

Tenant = Callable[..., Protected]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Protected, Manifest]]:
    with Simulator(users=60, groups=10, seed=2) as simulator:
        protected = Protected(simulator, tmp_path_factory.mktemp("whole"))
        yield protected, protected.backup()


def stored(manifest: Manifest) -> list[tuple[str, ObjectType]]:
    """The object types of which the point has rows."""
    return [(name, entry) for name, entry in CATALOGUE.items() if name in EVERYTHING and manifest.tables[name].parts]


def test_the_columns_are_those_of_the_catalogue(whole: tuple[Protected, Manifest]) -> None:
    protected, manifest = whole
    with connect(protected.store.files) as connection:
        for name, entry in stored(manifest):
            state = state_query(protected.store.files, manifest.tables[name])
            found = {row[0]: row[1] for row in connection.execute(f"DESCRIBE {state}").fetchall()}
            names = {"TIMESTAMPTZ": "TIMESTAMP WITH TIME ZONE"}
            expected = {column: names.get(kind, kind) for column, kind in column_types(entry).items()}
            own = {"id": "VARCHAR", "_raw": "VARCHAR"} | ({"_parent_id": "VARCHAR"} if entry.parent else {})
            assert found == {**expected, **own}


def test_every_column_says_what_raw_says(whole: tuple[Protected, Manifest]) -> None:
    protected, manifest = whole
    seen = set()
    for name, entry in stored(manifest):
        types = column_types(entry)
        columns = ", ".join(f'"{column}"' for column in types)
        for raw, *values in protected.rows(manifest, name, f"_raw, {columns}"):
            body = msgspec.json.decode(raw)
            for (column, kind), value in zip(types.items(), values, strict=True):
                if body.get(column) is not None:
                    seen.add(kind)
                assert (name, column, plain(kind, value)) == (name, column, expected(kind, body.get(column)))
        assert manifest.tables[name].misfits == {}
    assert seen >= {"VARCHAR", "BOOLEAN", "BIGINT", "TIMESTAMPTZ", "JSON", "VARCHAR[]"}


def plain(kind: str, value: Any) -> Any:
    """A column's value as JSON would have it, but for times."""
    if kind == "JSON" and value is not None:
        return msgspec.json.decode(value)
    return value


def expected(kind: str, value: Any) -> Any:
    """What the column has to hold for a value in `_raw`."""
    if value is not None and kind == "TIMESTAMPTZ":
        return datetime.fromisoformat(value.replace("Z", "+00:00"))
    if value is not None and kind == "DATE":
        return date.fromisoformat(value)
    return value


@pytest.mark.parametrize(
    ("told", "stored"),
    [
        ("2024-02-29T12:34:56Z", datetime(2024, 2, 29, 12, 34, 56, tzinfo=UTC)),
        ("2024-02-29T12:34:56.1234567Z", datetime(2024, 2, 29, 12, 34, 56, 123456, tzinfo=UTC)),
        ("2024-02-29T12:34:56.1Z", datetime(2024, 2, 29, 12, 34, 56, 100000, tzinfo=UTC)),
        ("2024-02-29T12:34:56+05:30", datetime(2024, 2, 29, 7, 4, 56, tzinfo=UTC)),
        ("0001-01-01T00:00:00Z", datetime(1, 1, 1, tzinfo=UTC)),
        ("9999-12-31T23:59:59.9999999Z", datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)),
    ],
)
def test_times_keep_their_microseconds(told: str, stored: datetime, tenant: Tenant) -> None:
    one = tenant(protect("users"), users=3, groups=1)
    user = min(user["id"] for user in one.control.dump("users"))
    one.control.patch(f"users/{user}", {"employeeHireDate": told})
    manifest = one.backup()
    one.assert_same(manifest)
    ((found,),) = [row[1:] for row in one.rows(manifest, "users", 'id, "employeeHireDate"') if row[0] == user]
    assert abs(found - stored) <= timedelta(microseconds=1)
    assert manifest.tables["users"].misfits == {}


def test_a_value_that_does_not_fit_is_null_counted_and_kept(tenant: Tenant) -> None:
    one = tenant(protect("users", "domains"), users=10, groups=1)
    control = one.control
    users = sorted(user["id"] for user in control.dump("users"))
    odd: dict[str, Any] = {
        "accountEnabled": "perhaps",
        "createdDateTime": "yesterday",
        "businessPhones": {"home": "+46"},
        "displayName": {"en": "Not a string"},
        "assignedLicenses": "not a list",
        "proxyAddresses": ["SMTP:one@contoso.com", {"smtp": "two@contoso.com"}],
    }
    control.patch(f"users/{users[0]}", odd)
    # A text may look like an object, or like an array.
    brackets = {"displayName": '{"en":"A string"}', "proxyAddresses": ["[smtp:one@contoso.com]"]}
    control.patch(f"users/{users[1]}", {"createdDateTime": "2024-13-45T99:00:00Z", **brackets})
    control.patch(f"domains/{control.dump('domains')[0]['id']}", {"passwordValidityPeriodInDays": "ninety"})
    for manifest in (one.backup(), one.backup(full=True)):
        one.assert_same(manifest)
        misfits = {
            "accountEnabled": 1,
            "businessPhones": 1,
            "createdDateTime": 2,
            "displayName": 1,
            "proxyAddresses": 1,
        }
        assert manifest.tables["users"].misfits == misfits
        assert manifest.tables["domains"].misfits == {"passwordValidityPeriodInDays": 1}
        found = {row[0]: row[1:] for row in one.rows(manifest, "users", f"id, {', '.join(odd)}")}
        assert found[users[0]] == (None, None, None, None, '"not a list"', None)
        assert (found[users[1]][3], found[users[1]][5]) == tuple(brackets.values())

    control.patch(f"users/{users[2]}", {"accountEnabled": [True]})
    manifest = one.backup()
    one.assert_same(manifest)
    assert manifest.tables["users"].misfits == {"accountEnabled": 1}
