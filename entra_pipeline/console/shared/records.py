"""Records that all processes of a console share: who has signed in, what waits for somebody, what people prefer."""

from __future__ import annotations

from datetime import UTC, datetime
from threading import Lock

import msgspec

from entra_pipeline.console.shared.sealing import Sealer
from entra_pipeline.errors import NotInStore
from entra_pipeline.store.backends import ObjectStore
from entra_pipeline.store.manifest import canonical

PREFIX = "_console/"
"""What keys of these records begin with."""
_SUFFIX = ".json"


class _Sealed(msgspec.Struct, frozen=True):
    """A sealed record as it is stored."""

    sealed: str


_DECODER = msgspec.json.Decoder(_Sealed)


class ConsoleRecords:
    """Small records by name.

    Args:
        sealer: Seals those that only a console may make.
        files: Where they are kept; None = in the memory of this process.
    """

    def __init__(self, sealer: Sealer, files: ObjectStore | None = None) -> None:
        self._sealer = sealer
        self._files = files
        self._lock = Lock()
        self._memory: dict[str, tuple[bytes, datetime]] = {}

    def read(self, name: str) -> bytes | None:
        """Returns a record that was written as it is; None where there is none.

        Raises:
            StoreError: The place cannot be read.
        """
        if self._files is None:
            with self._lock:
                return self._memory[name][0] if name in self._memory else None
        try:
            return self._files.read(_key(name))
        except NotInStore:
            return None

    def write(self, name: str, data: bytes) -> None:
        """Writes a record as it is, in place of an earlier one: an object of JSON.

        Raises:
            StoreError: The place cannot be written to.
        """
        if self._files is None:
            with self._lock:
                self._memory[name] = data, datetime.now(UTC)
        else:
            self._files.replace(_key(name), data)

    def read_sealed(self, name: str) -> bytes | None:
        """Returns a sealed record; None where there is none, or none that a console with this key has written.

        Raises:
            StoreError: The place cannot be read.
        """
        if (data := self.read(name)) is None:
            return None
        try:
            return self._sealer.open(name, _DECODER.decode(data).sealed)
        except msgspec.DecodeError:
            return None

    def write_sealed(self, name: str, data: bytes) -> None:
        """Writes a record that nobody else can make, read, or put under another name; raises as `write`."""
        self.write(name, canonical(_Sealed(self._sealer.seal(name, data))))

    def remove(self, *names: str) -> None:
        """Removes records; what is not there is removed. Raises StoreError when the place cannot be written to."""
        if self._files is None:
            with self._lock:
                for name in names:
                    self._memory.pop(name, None)
        elif names:
            self._files.delete([_key(name) for name in names])

    def listed(self, folder: str) -> dict[str, datetime]:
        """Returns the names of the records in a folder, with when each was written; raises StoreError."""
        if self._files is None:
            with self._lock:
                return {name: when for name, (_, when) in self._memory.items() if name.startswith(f"{folder}/")}
        found = self._files.list(f"{PREFIX}{folder}/")
        return {file.key.removeprefix(PREFIX).removesuffix(_SUFFIX): file.modified for file in found}


def _key(name: str) -> str:
    return f"{PREFIX}{name}{_SUFFIX}"
