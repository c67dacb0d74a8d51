"""Holds the SQLite file of a tenant: its tables, settings, time, change counter and transactions.

What belongs here: what objects and links have in common. What does not: SQL about either of them.
"""

from __future__ import annotations

import sqlite3
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from pathlib import Path
from typing import Any, NamedTuple

Entity = dict[str, Any]
"""An object's JSON, decoded."""

FIRST_CHANGE = 1
"""Number of the state a tenant is generated in; so that 0 can mean "from the beginning"."""


class State(IntEnum):
    """What has become of an object. HIDDEN: a part of something that lies in the recycle bin."""

    LIVE = 0
    DELETED = 1
    PURGED = 2
    HIDDEN = 3


class StoredObject(NamedTuple):
    """A stored object; `body` is its JSON."""

    seq: int
    type: str
    id: str
    body: bytes
    state: int
    changed: int
    created: int


COLUMNS = "o.seq, o.type, o.id, CAST(o.json AS BLOB), o.state, o.changed, o.created"

TABLES = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS objects (
    seq INTEGER PRIMARY KEY, type TEXT NOT NULL, id TEXT NOT NULL, key TEXT, json TEXT NOT NULL,
    state INTEGER NOT NULL DEFAULT 0, changed INTEGER NOT NULL DEFAULT 0, created INTEGER NOT NULL DEFAULT 0,
    deleted TEXT
);
CREATE TABLE IF NOT EXISTS links (
    code INTEGER NOT NULL, source INTEGER NOT NULL, target INTEGER NOT NULL, live INTEGER NOT NULL DEFAULT 1,
    changed INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (code, source, target)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS property_changes (
    seq INTEGER NOT NULL, name TEXT NOT NULL, changed INTEGER NOT NULL, PRIMARY KEY (seq, name)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS audits (number INTEGER PRIMARY KEY, ticks INTEGER NOT NULL, id TEXT NOT NULL, json TEXT);
CREATE INDEX IF NOT EXISTS audits_ticks ON audits (ticks);
CREATE TABLE IF NOT EXISTS app_sign_ins (
    number INTEGER PRIMARY KEY, ticks INTEGER NOT NULL, id TEXT NOT NULL, json TEXT
);
CREATE INDEX IF NOT EXISTS app_sign_ins_ticks ON app_sign_ins (ticks);
"""
# Made after the bulk of a tenant is written: one sorted build is faster than a million insertions. The partial ones are
# empty in a fresh tenant and grow with its changes only.
INDEXES = """
CREATE INDEX IF NOT EXISTS objects_id ON objects (id);
CREATE INDEX IF NOT EXISTS objects_type ON objects (type, state, seq);
CREATE INDEX IF NOT EXISTS objects_key ON objects (type, key) WHERE key IS NOT NULL;
CREATE INDEX IF NOT EXISTS objects_shown ON objects (seq, state, type, id);
CREATE INDEX IF NOT EXISTS objects_changed ON objects (changed) WHERE changed > 0;
CREATE INDEX IF NOT EXISTS links_target ON links (target, code);
CREATE INDEX IF NOT EXISTS links_changed ON links (changed) WHERE changed > 0;
"""


class Database:
    """Opens the file of a tenant. Thread-safe: one connection, one lock.

    Args:
        path: SQLite file; a new one is given its tables.
        clock: The real time, to which the tenant's own offset is added.
        durable: Keep the file over a crash (write-ahead log); else it is as short-lived as the process.
    """

    def __init__(self, path: Path, clock: Callable[[], datetime], *, durable: bool) -> None:
        self.lock = threading.RLock()
        self.path = path
        self._clock = clock
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._db.execute(f"PRAGMA journal_mode = {'WAL' if durable else 'MEMORY'}")
        self._db.execute(f"PRAGMA synchronous = {'NORMAL' if durable else 'OFF'}")
        self._db.execute("PRAGMA cache_size = -131072")
        self._db.execute("PRAGMA temp_store = MEMORY")
        self._db.executescript(TABLES)
        if self.meta("complete"):
            # Kept by an earlier version, it may lack one.
            self._db.executescript(INDEXES)
        self._offset = timedelta(seconds=float(self.meta("clock_offset") or 0))
        self._change = int(self.meta("change") or FIRST_CHANGE)
        self._extensions: dict[str, tuple[str, tuple[str, ...]]] | None = None
        self.passwords: dict[str, str] = {}
        """Passwords of users that were set since the start, by user principal name in small letters."""
        self._drop_kept()

    def close(self) -> None:
        """Closes the file."""
        with self.lock:
            self._db.close()

    def allow_readers(self) -> None:
        """Lets other connections read an older state while this one writes; not within a transaction."""
        with self.lock:
            self._db.execute("PRAGMA journal_mode = WAL")

    def meta(self, key: str) -> str:
        """Returns a remembered setting; empty when there is none."""
        found = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return str(found[0]) if found else ""

    def remember(self, key: str, value: str) -> None:
        """Remembers a setting."""
        self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    def now(self) -> datetime:
        """Returns the tenant's time: the clock's, moved by what `advance` added."""
        return self._clock() + self._offset

    def stamp(self) -> str:
        """Returns the tenant's time as Graph writes it: UTC, seven fractional digits are allowed, none are used."""
        return self.now().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    @property
    def change(self) -> int:
        """Number of the latest change."""
        return self._change

    def next_change(self) -> int:
        """Counts a new change and returns its number."""
        self._change += 1
        self.remember("change", str(self._change))
        self._drop_kept()
        return self._change

    def _drop_kept(self) -> None:
        """Drops what was kept of the state as it was: objects by type, texts of links by their SQL and target."""
        self._counts: dict[str, int] = {}
        self._texts: defaultdict[str, list[bytes | None]] = defaultdict(list)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Opens one transaction; may be nested."""
        with self.lock:
            if self._db.in_transaction:
                yield
                return
            self._db.execute("BEGIN")
            try:
                yield
            except BaseException:
                self._db.execute("ROLLBACK")
                self._change = int(self.meta("change") or FIRST_CHANGE)
                self._extensions = None
                self._drop_kept()
                raise
            self._db.execute("COMMIT")

    def _rows(self, sql: str, values: Sequence[object]) -> list[StoredObject]:
        with self.lock:
            return [StoredObject(*found) for found in self._db.execute(sql, tuple(values)).fetchall()]
