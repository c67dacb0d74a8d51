"""What a backup builds on is hashed before it is believed, and only what it uses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from entra_pipeline.analysis.browse import states
from entra_pipeline.analysis.changes import changes
from entra_pipeline.analysis.linking.related import related
from entra_pipeline.analysis.objects import find, known_ids, one
from entra_pipeline.errors import IntegrityError
from entra_pipeline.simulator import Simulator
from entra_pipeline.store import checksums
from entra_pipeline.store.backends import ObjectStore
from entra_pipeline.store.checksums import StoredPart
from entra_pipeline.store.manifest import Manifest
from tests.support.protected import Protected, protect


@pytest.fixture
def people(tmp_path: Path) -> Iterator[Protected]:
    with Simulator(12, 3, 5) as simulator:
        yield Protected(simulator, tmp_path, protect("users", "groups"))


def _change(tenant: Protected, manifest: Manifest, table: str) -> None:
    """Changes a byte of a stored part, which is as long as before."""
    [url] = [tenant.store.files.url(part.key) for part in manifest.tables[table].parts]
    file = Path(url.removeprefix("file://"))
    data = bytearray(file.read_bytes())
    data[len(data) // 3] ^= 0x20
    file.chmod(0o600)
    file.write_bytes(data)


def test_an_incremental_builds_on_no_changed_base_and_a_full_does_without(people: Protected) -> None:
    first = people.backup()
    _change(people, first, "users")
    user = people.control.dump("users")[0]
    people.control.patch(f"users/{user['id']}", {"department": "Changed"})
    with pytest.raises(IntegrityError, match=r"users/.* SHA-256") as error:
        people.backup()
    assert "--full" in error.value.remedy
    assert people.store.points() == [first.recovery_point]
    again = people.backup(full=True)
    entry = again.tables["users"]
    assert again.status == "finished" and entry.live == 12 and entry.baseline == 12 and not entry.added
    assert any("changed or are missing" in note for note in entry.notes)
    assert not any("changed or are missing" in note for note in again.tables["groups"].notes)
    assert again.tables["groups"].baseline == 0
    assert people.backup().status == "finished"


def test_an_incremental_hashes_what_it_uses(people: Protected, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[str] = []
    problem: Callable[[ObjectStore, StoredPart], str] = checksums.part_problem

    def counted(files: ObjectStore, part: StoredPart) -> str:
        hashed.append(part.key.split("/")[0])
        return problem(files, part)

    monkeypatch.setattr(checksums, "part_problem", counted)
    people.backup()
    assert not hashed
    people.backup()
    # Users and groups are compared with the owners that a probe of their sponsors and owners has shown.
    assert not {"group_members", "user_manager"} & set(hashed)
    assert len(hashed) == len(set(hashed))
    hashed.clear()
    user = people.control.dump("users")[0]
    people.control.patch(f"users/{user['id']}", {"department": "Changed"})
    people.backup()
    assert hashed.count("users") == 1 and "group_members" not in hashed


def test_nothing_is_shown_of_a_changed_part(people: Protected) -> None:
    first = people.backup()
    user = people.control.dump("users")[0]
    people.control.patch(f"users/{user['id']}", {"department": "Changed"})
    second = people.backup()
    _change(people, first, "users")
    store, asked = people.store, user["id"]
    shown: tuple[Callable[[], object], ...] = (
        lambda: list(find(store, first, "users")),
        lambda: list(find(store, second, "users", where="accountEnabled")),
        lambda: one(store, second, "users", asked),
        lambda: related(store, second, "users", asked),
        lambda: states(store, [first, second], "users", asked),
        lambda: known_ids(store, second, ["users"], [asked]),
        lambda: list(changes(store, first, store, second)),
    )
    for show in shown:
        with pytest.raises(IntegrityError, match="SHA-256"):
            show()
    assert list(find(store, second, "groups"))
