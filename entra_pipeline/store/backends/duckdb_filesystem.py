"""A place as a file system of DuckDB's: every byte that DuckDB reads comes through this process.

So DuckDB needs no access to disk or network, gets no secret, and cannot write.
"""

from __future__ import annotations

import io
import re
from datetime import UTC, datetime
from typing import Any, BinaryIO

import duckdb
from fsspec import AbstractFileSystem

from entra_pipeline.errors import NotInStore
from entra_pipeline.store.backends.object_store import ObjectStore

# DuckDB asks whether a file has changed since it looked; what is read here never changes under its name.
_ALWAYS = datetime(2000, 1, 1, tzinfo=UTC)


class DuckDBFilesystem:
    """A place whose objects DuckDB reads by addresses that mean something to this process only.

    Args:
        files: The place.
        name: What tells it from others: addresses start with `store-NAME://`.
    """

    def __init__(self, files: ObjectStore, name: str) -> None:
        self._files = files
        self._scheme = f"store-{name}"

    def url(self, key: str) -> str:
        """Returns the address by which DuckDB reads an object."""
        return f"{self._scheme}://{key}"

    def prepare(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Enables a connection to read what `url` gives."""
        connection.register_filesystem(_ReadOnly(self._files, self._scheme))


class _ReadOnly(AbstractFileSystem):  # type: ignore[misc]
    """What DuckDB calls: to list and to read."""

    cachable = False

    def __init__(self, files: ObjectStore, scheme: str) -> None:
        super().__init__()
        self.protocol = scheme
        self._files = files

    def _key(self, path: str) -> str:
        key = path.removeprefix(f"{self.protocol}://")
        if {"", ".", ".."}.intersection(key.split("/")):
            raise PermissionError("this is no key of the store")
        return key

    def glob(self, path: str, **_: Any) -> list[str]:
        """Returns the keys that match a pattern."""
        key = self._key(path)
        plain = re.split(r"[*?\[]", key, maxsplit=1)[0]
        wanted = re.compile(_expression(key))
        return [found.key for found in self._files.list(plain) if wanted.fullmatch(found.key)]

    def open(self, path: str, mode: str = "rb", **_: Any) -> BinaryIO:
        """Opens an object, to read."""
        if mode != "rb":
            raise PermissionError("the store is only read")
        return io.BytesIO(self._files.read(self._key(path)))

    def size(self, path: str) -> int:
        """Returns the object's size."""
        return self._files.size(self._key(path))

    def exists(self, path: str, **_: Any) -> bool:
        """Tells whether an object exists."""
        try:
            self.size(path)
        except NotInStore:
            return False
        return True

    def isdir(self, path: str) -> bool:
        """Returns False: a place has objects, no folders."""
        return False

    def modified(self, path: str) -> datetime:
        """Returns a moment that never changes, as objects never do."""
        return _ALWAYS


def _expression(pattern: str) -> str:
    """Returns a pattern of `glob` as a regular expression: `*` and `?` stay within a part of the key."""
    found = []
    for piece in re.findall(r"\[[^\]]+\]|.", pattern, re.S):
        if piece == "*":
            found.append("[^/]*")
        elif piece == "?":
            found.append("[^/]")
        else:
            found.append(re.escape(piece[1:-1] if len(piece) > 1 else piece))
    return "".join(found)
