"""Erasing a person: what it takes away, whether it may be done, and doing it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from entra_pipeline.clock import iso
from entra_pipeline.errors import UsageError
from entra_pipeline.store.backends.encryption.person_keys import FOLDER, ScopeKeys
from entra_pipeline.store.backends.encryption.sealing import PersonKey
from entra_pipeline.store.erasure.persons import PersonRows, ScopePersons
from entra_pipeline.store.erasure.record import ErasureRecord, ErasureRecords
from entra_pipeline.store.recovery_points import ScopeStore
from entra_pipeline.store.retention.holds import holds_settled, retention_holds

_BY_JOB = ("_restore/", "_drills/")
_SINGLE = ("_unusual/", "_unreadable/", "_notifications/")


@dataclass(frozen=True, slots=True)
class Erasure:
    """What erasing a person takes away.

    Attributes:
        store: The scope's store.
        person: Id of the person.
        called: What the person is called in the recovery points, sorted; nothing of it may be written down.
        keys: The person's keys.
        found: Where values of theirs are.
        naming: Keys of records outside of the recovery points that name the person, and stay readable.
    """

    store: ScopeStore
    person: str
    called: tuple[str, ...]
    keys: tuple[PersonKey, ...]
    found: PersonRows
    naming: tuple[str, ...]

    @classmethod
    def plan(cls, store: ScopeStore, name: str) -> Erasure:
        """Finds out what would be taken away; changes nothing.

        Args:
            store: The scope's store.
            name: An id, or a name such as userPrincipalName.

        Raises:
            NotInStore: Nobody is called so.
            UsageError: Several are; or values of this scope are not encrypted by person.
        """
        keys = _keys(store)
        persons = ScopePersons.of(store)
        person = persons.find(name, lambda one: bool(keys.keys_of(one)))
        own = tuple(keys.keys_of(person))
        called = persons.texts(person)
        return cls(store, person, tuple(sorted(called)), own, persons.rows(own), tuple(sorted(persons.naming(called))))

    def held(self) -> list[str]:
        """Returns why nobody may, or can, erase the person now.

        That is a hold on the scope, or on a point with values of theirs; or Object Lock on the keys.
        """
        return [*_holds(self.store, self.found.points), *_locks(self.store)]

    def erase(self, *, by: str, reason: str) -> ErasureRecord:
        """Destroys the keys: from now on nobody can read the values.

        Args:
            by: Who asks for it.
            reason: Why.

        Raises:
            UsageError: A hold covers the person.
            ScopeBusy: A backup or a prune of the scope runs.
            StoreError: A key could not be removed for good, and no longer counts; `finish` goes on with it.
        """
        with self.store.lock(), holds_settled(self.store):
            if held := self.held():
                raise UsageError(
                    f"{self.person} is not erased: {'; '.join(held)}",
                    remedy="Release the hold, when that may be: entra-pipeline hold. Keys must not be locked: take the "
                    "default retention off the bucket.",
                )
            keys = _keys(self.store)
            record = ErasureRecords(self.store.files, self.store.scope).append(
                self.person,
                [key.id for key in keys.keys_of(self.person)],
                erased=iso(self.store.clock()),
                by=by,
                reason=reason,
                points=len(self.found.points),
                rows=self.found.rows,
            )
            keys.destroy(self.person)
            return record

    def remove_records(self) -> list[str]:
        """Removes the records that name the person, of restores all files; returns the keys of those that stay.

        Manifests and records of jobs stay.
        """
        files = self.store.files
        jobs = {"/".join(key.split("/")[:2]) for key in self.naming if key.startswith(_BY_JOB)}
        gone = [file.key for job in sorted(jobs) for file in files.list(f"{job}/")]
        gone += [key for key in self.naming if key.startswith(_SINGLE)]
        files.delete(gone)
        return sorted({*self.naming} - {*gone})


def finish(store: ScopeStore) -> int:
    """Removes keys that no longer count, which an interrupted erasure has left; returns how many there were.

    Raises:
        UsageError: Values of this scope are not encrypted by person.
        ScopeBusy, StoreError: As `Erasure.erase`.
    """
    if not (left := _keys(store).left):
        return 0
    with store.lock():
        _keys(store).settle()
    return left


def is_finished(store: ScopeStore, record: ErasureRecord) -> bool:
    """Tells whether the keys that a record names are gone."""
    return not any(_keys(store).is_stored(bytes.fromhex(one)) for one in record.keys)


def _keys(store: ScopeStore) -> ScopeKeys:
    vault = store.files.vault
    keys = vault.people.of(store.scope) if vault else None
    if keys is None or not keys.exist:
        raise UsageError(
            f"values in scope {store.scope!r} are not encrypted by person: nobody can be erased from it",
            remedy='Set erasure = "per-person" in a new scope; docs/erasure.md says what it takes.',
        )
    keys.reload()
    return keys


def _holds(store: ScopeStore, points: Sequence[str]) -> list[str]:
    holds = retention_holds(store)
    found = []
    for point in ("", *points):
        if point in holds:
            what = f"recovery point {point}" if point else f"scope {store.scope!r}"
            found.append(f"{what} is held ({holds[point].reason})")
    return found


def _locks(store: ScopeStore) -> list[str]:
    found = []
    for file in store.files.list(f"{FOLDER}{store.scope}/"):
        if until := store.files.retained_until(file.key):
            found.append(f"Object Lock keeps {file.key} until {iso(until)}")
    return found
