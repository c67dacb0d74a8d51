"""The keys of persons: a few small files for each scope, outside of its recovery points.

A backup that meets somebody new adds a file. To destroy a key is to write one file with all others, and to remove those
that had it with all their versions: killed in between, the key no longer counts, and the next one who writes here
removes what is left of it. Files have names of their own and are never written over, so that nobody who still has an
older state in memory brings a destroyed key back.

What belongs here: where keys are, and that a destroyed one is gone. What does not: what they encrypt (`sealing`).
"""

from __future__ import annotations

import secrets
import threading
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol

import msgspec

from entra_pipeline.errors import IntegrityError, NotInStore, StoreError
from entra_pipeline.store.backends.encryption.sealing import PersonKey
from entra_pipeline.store.manifest import canonical, decode_record

FOLDER = "_people/"
"""What the keys of the files start with."""
FORMAT = "entra-pipeline/person-keys"
_MANY = 8
_LOST = "Restore the file from a copy of the storage: without it nothing can be read that its keys encrypted."


class PersonKeysRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Keys as they are stored.

    Attributes:
        scope: Name of the scope.
        keys: The keys of each person, Base64, by the person's id. Mostly one: two who meet somebody at once make two.
        erased: Ids of keys that were destroyed, Base64.
        format, version: Of this file.
    """

    scope: str
    keys: Mapping[str, tuple[str, ...]] = {}
    erased: tuple[str, ...] = ()
    format: str = FORMAT
    version: int = 1


_DECODER = msgspec.json.Decoder(PersonKeysRecord)


class KeyFile(Protocol):
    """A file in a listing."""

    @property
    def key(self) -> str: ...  # noqa: D102


class KeyFiles(Protocol):
    """What is needed of a place (`ObjectStore`)."""

    def list(self, prefix: str) -> Iterator[KeyFile]: ...  # noqa: D102
    def read(self, key: str) -> bytes: ...  # noqa: D102
    def create(self, key: str, data: bytes) -> None: ...  # noqa: D102
    def destroy(self, keys: Iterable[str]) -> None: ...  # noqa: D102


class ScopeKeys:
    """The keys of the persons of one scope, for threads that write its rows.

    Args:
        files: The place.
        scope: Name of the scope.
    """

    def __init__(self, files: KeyFiles, scope: str) -> None:
        self._files, self.scope = files, scope
        self._lock = threading.Lock()
        self._names: frozenset[str] = frozenset()
        self._keys: dict[str, list[PersonKey]] = {}
        self._by_id: dict[bytes, PersonKey] = {}
        self._erased: set[bytes] = set()
        self._new: dict[str, PersonKey] = {}
        self._left: set[bytes] = set()
        self.reload()

    def reload(self) -> None:
        """Reads what is stored; keys that are not stored yet stay.

        Raises:
            IntegrityError: A file is not what was written.
        """
        while True:
            names = self._listed()
            if names == self._names:
                return
            try:
                records = [self._read(name) for name in sorted(names)]
                break
            except NotInStore:
                # Somebody has just joined them; another file has what was in it.
                if self._listed() == names:
                    raise
        with self._lock:
            self._names = names
            self._erased = {b64decode(one) for record in records for one in record.erased}
            self._keys, self._by_id, self._left = {}, {}, set()
            for record in records:
                for person, keys in record.keys.items():
                    for text in keys:
                        self._know(person, PersonKey.of(b64decode(text)))
            for person, key in self._new.items():
                self._know(person, key)

    def _listed(self) -> frozenset[str]:
        return frozenset(file.key for file in self._files.list(f"{FOLDER}{self.scope}/"))

    def _know(self, person: str, key: PersonKey) -> None:
        if key.id in self._erased:
            self._left.add(key.id)
        elif key.id not in self._by_id:
            self._by_id[key.id] = key
            self._keys.setdefault(person, []).append(key)

    def _read(self, name: str) -> PersonKeysRecord:
        record = decode_record(self._files.read(name), name, _DECODER, remedy=_LOST)
        if record.format != FORMAT or record.scope != self.scope:
            raise IntegrityError(f"{name} has not the keys of scope {self.scope!r}", remedy=_LOST)
        return record

    @property
    def exist(self) -> bool:
        """Whether values of this scope are encrypted by person."""
        return bool(self._names)

    @property
    def destroyed(self) -> int:
        """How many keys were destroyed."""
        return len(self._erased)

    def begin(self) -> None:
        """Begins to encrypt by person: writes the first file, without keys; then shows that such a file can be removed.

        Raises:
            StoreError: It cannot be removed for good: nobody could be erased.
        """
        self._try_to_destroy()
        self._write(PersonKeysRecord(scope=self.scope))
        self.reload()

    def key(self, person: str) -> PersonKey:
        """Returns the key that a person's values are encrypted with now; makes one for somebody new.

        A new key has to be stored (`save`) before anything is that it encrypts.
        """
        with self._lock:
            if person not in self._keys:
                self._new[person] = key = PersonKey.new()
                self._know(person, key)
            return self._keys[person][0]

    def save(self) -> None:
        """Stores new keys."""
        with self._lock:
            if self._new:
                keys = {person: (_text(key.secret),) for person, key in self._new.items()}
                self._names |= {self._write(PersonKeysRecord(scope=self.scope, keys=keys))}
                self._new = {}

    def find(self, key_id: bytes) -> PersonKey | None:
        """Returns the key of an id; None when it was destroyed.

        Raises:
            NotInStore: It is none of this scope's.
        """
        if key_id in self._erased:
            return None
        if key_id not in self._by_id:
            raise NotInStore("the key is none of this scope's")
        return self._by_id[key_id]

    def is_stored(self, key_id: bytes) -> bool:
        """Tells whether a key is stored, be it one that no longer counts: whoever destroyed it was interrupted."""
        return key_id in self._by_id or key_id in self._left

    @property
    def left(self) -> int:
        """How many keys no longer count, and are still stored."""
        return len(self._left)

    def keys_of(self, person: str) -> list[PersonKey]:
        """Returns the keys of a person; none when nothing of theirs was ever encrypted, or they were erased."""
        return list(self._keys.get(person, ()))

    # --- By whoever holds the scope ----------------------------------------------------------------------------------

    def destroy(self, person: str) -> int:
        """Destroys the keys of a person, and finishes what was begun before; returns how many keys this person had.

        Raises:
            StoreError: A file that has one cannot be removed with all its versions.
        """
        self.reload()
        gone = self._keys.pop(person, [])
        self._erased |= {key.id for key in gone}
        self._rewrite()
        return len(gone)

    def settle(self) -> None:
        """Joins files when there are many, and removes what is left of keys that were destroyed.

        Raises:
            DeleteRefused: Files cannot be removed: all stays as it is.
        """
        if self._left or len(self._names) > _MANY:
            self._try_to_destroy()
            self._rewrite()

    def _try_to_destroy(self) -> None:
        self._files.destroy([self._write(PersonKeysRecord(scope=self.scope))])

    def _rewrite(self) -> None:
        """Writes one file in place of all others."""
        keys = {person: tuple(_text(key.secret) for key in found) for person, found in self._keys.items()}
        erased = tuple(sorted(_text(one) for one in self._erased))
        before = self._names
        name = self._write(PersonKeysRecord(scope=self.scope, keys=keys, erased=erased))
        self._files.destroy(sorted(before))
        self._new = {}
        self.reload()
        if self._names != {name}:
            raise StoreError(
                f"the keys of persons of scope {self.scope!r} were written by another process meanwhile",
                remedy="Run it again when no backup of the scope runs.",
            )

    def _write(self, record: PersonKeysRecord) -> str:
        name = f"{FOLDER}{self.scope}/{secrets.token_hex(8)}.json"
        self._files.create(name, canonical(record))
        return name


class PersonKeys:
    """The keys of the persons of all scopes of a storage.

    Args:
        files: The place.
    """

    def __init__(self, files: KeyFiles) -> None:
        self._files = files
        self._scopes: dict[str, ScopeKeys] = {}
        self._lock = threading.Lock()

    def of(self, scope: str) -> ScopeKeys:
        """Returns the keys of a scope, as they were stored when they were first asked for."""
        with self._lock:
            if scope not in self._scopes:
                self._scopes[scope] = ScopeKeys(self._files, scope)
            return self._scopes[scope]

    def find(self, key_id: bytes) -> PersonKey | None:
        """Returns the key of an id; None when it was destroyed.

        Raises:
            IntegrityError: It is not stored, and nobody destroyed it here.
        """
        try:
            return self._find(key_id)
        except NotInStore:
            # Made since then, or of a scope that nobody asked for.
            for scope in {file.key.split("/")[1] for file in self._files.list(FOLDER)}:
                self.of(scope).reload()
        try:
            return self._find(key_id)
        except NotInStore:
            raise IntegrityError(
                f"a key of a person is missing from {FOLDER}, and was not destroyed by entra-pipeline erase",
                remedy="Restore the files there from a copy of the storage: what it encrypted cannot be read.",
            ) from None

    def is_known(self, key_id: bytes) -> bool:
        """Tells whether a key is stored, or was destroyed."""
        try:
            self.find(key_id)
        except IntegrityError:
            return False
        return True

    def _find(self, key_id: bytes) -> PersonKey | None:
        for keys in list(self._scopes.values()):
            try:
                return keys.find(key_id)
            except NotInStore:
                continue
        raise NotInStore("the key is none of a scope that is known")


def _text(data: bytes) -> str:
    return b64encode(data).decode()
