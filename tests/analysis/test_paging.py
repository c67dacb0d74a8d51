"""Pages of a table are what `find` finds, whether the table is kept as it is or copied."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from entra_pipeline.analysis import paging
from entra_pipeline.analysis.objects import find
from entra_pipeline.analysis.paging import ObjectPageCache
from entra_pipeline.errors import IntegrityError, NotInStore, UsageError
from entra_pipeline.simulator import Simulator
from entra_pipeline.store.manifest import Manifest
from entra_pipeline.store.recovery_points import ScopeStore
from tests.support.protected import Protected, protect

Point = tuple[ScopeStore, Manifest]
_FILTERS = (
    {},
    {"search": "FINANCE"},
    {"search": "contoso.com"},
    {"search": "värde"},
    {"search": 'department":"FIN'},
    {"search": "nobody has this"},
    {"search": "jobtitle"},
    {"where": "department = 'Finance' OR accountEnabled"},
    {"where": "department = 'Finance'", "search": "a"},
)


@pytest.fixture(scope="module")
def point(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Point]:
    """A recovery point on top of another one: base and changes."""
    with Simulator(40, 8, 5) as simulator:
        tenant = Protected(simulator, tmp_path_factory.mktemp("paged"), protect("users", "groups"))
        tenant.backup()
        for user in simulator.control.dump("users")[:5]:
            simulator.control.patch(f"users/{user['id']}", {"department": "Finance"})
        yield tenant.store, tenant.backup()


@pytest.fixture(params=["as it is", "copied"])
def pages(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, point: Point) -> ObjectPageCache:
    """Pages of a table that counts as small, and of one that has been copied."""
    made = ObjectPageCache()
    if request.param == "copied":
        monkeypatch.setattr(paging, "_LARGE", 1)
        monkeypatch.setattr(paging, "_QUIET", 0.0)
        for table in ("users", "group_members"):
            made.page(*point, table)
        made._copying.shutdown(wait=True)
        assert all(made._table(*point, table)._copied for table in ("users", "group_members"))
    return made


@pytest.mark.parametrize("chosen", _FILTERS, ids=str)
def test_pages_of_objects_follow_each_other(pages: ObjectPageCache, point: Point, chosen: dict[str, str]) -> None:
    every = list(find(*point, "users", **chosen))
    found: list[str] = []
    for offset in range(0, len(every) + 30, 30):
        one = pages.page(*point, "users", **chosen, limit=30, offset=offset)
        assert one.total == len(every)
        found += one.rows
    assert found == every
    assert bool(every) == (chosen.get("search") != "nobody has this")


@pytest.mark.parametrize("limit", [1, 7, 1000])
def test_pages_of_edges_follow_each_other(pages: ObjectPageCache, point: Point, limit: int) -> None:
    store, manifest = point
    member = next(find(store, manifest, "group_members")).split('"target_id":"')[1][:36]
    for chosen in ({}, {"search": member.upper()}, {"where": f"target_id <> '{member}'"}, {"search": "user"}):
        every = list(find(store, manifest, "group_members", **chosen))
        found: list[str] = []
        for offset in range(0, len(every) + limit, limit):
            one = pages.page(store, manifest, "group_members", **chosen, limit=limit, offset=offset)
            assert one.total == len(every)
            found += one.rows
        assert found == every
        assert every


def test_many_ask_at_once(pages: ObjectPageCache, point: Point) -> None:
    every = list(find(*point, "users", search="contoso"))
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(pages.page, *point, "users", search="contoso", limit=10, offset=n % 40) for n in range(80)]
    assert all(one.result().rows == every[n % 40 : n % 40 + 10] for n, one in enumerate(asked))


def test_what_is_wrong_is_said_each_time(pages: ObjectPageCache, point: Point) -> None:
    for _ in range(2):
        with pytest.raises(UsageError, match="not understood"):
            pages.page(*point, "users", where="nonsense =")
        with pytest.raises(UsageError, match="more than a condition"):
            pages.page(*point, "users", where="true); SELECT (1")
        with pytest.raises(UsageError, match="there is no object type"):
            pages.page(*point, "usres")
        with pytest.raises(NotInStore):
            pages.page(*point, "devices")
    with pytest.raises(UsageError):
        pages.page(*point, "users", where="EXISTS (SELECT 1 FROM read_text('/etc/hostname'))")


def test_nothing_stays_behind(monkeypatch: pytest.MonkeyPatch, point: Point, tmp_path: Path) -> None:
    monkeypatch.setattr(paging, "_LARGE", 1)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    pages = ObjectPageCache()
    pages.page(*point, "users")
    pages._copying.shutdown(wait=True)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    pages.clear()
    deadline = time.monotonic() + 30
    while list(tmp_path.iterdir()):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_file_that_is_gone_is_named(tmp_path: Path) -> None:
    with Simulator(5, 2, 5) as simulator:
        tenant = Protected(simulator, tmp_path, protect("users"))
        manifest = tenant.backup()
    for part in manifest.tables["users"].parts:
        Path(tenant.store.files.url(part.key)).unlink()
    with pytest.raises(IntegrityError, match=r"users/.* is missing"):
        ObjectPageCache().page(tenant.store, manifest, "users")
