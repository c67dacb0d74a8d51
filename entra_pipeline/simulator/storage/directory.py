"""The directory: objects and links in SQLite, with a change counter from which delta follows.

What belongs here: storing, finding, soft deletion, restoring, purging. What does not: what Graph allows, how an object
looks in a response (`graph.projection`), which page comes next (`graph`).

An object's JSON holds what was ever set: a property set back to null stays as null, one never set is absent. That is
the difference Graph's delta makes (Graph doc: user-delta).
"""

from __future__ import annotations

import sqlite3
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from itertools import chain, compress, groupby, repeat
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from entra_pipeline.simulator.schema import BY_NAME, DIRECTORY_OBJECTS, OWNING, Link

Body = dict[str, Any]
"""An object's JSON, decoded."""

KEEP_DELETED = timedelta(days=30)
"""How long the recycle bin keeps an object (Entra doc: recover-from-deletions)."""


FIRST_CHANGE = 1
"""Number of the state a tenant is generated in; so that 0 can mean "from the beginning"."""


class State(IntEnum):
    """What has become of an object. HIDDEN: a part of something that lies in the recycle bin."""

    LIVE = 0
    DELETED = 1
    PURGED = 2
    HIDDEN = 3


class Row(NamedTuple):
    """A stored object; `body` is its JSON."""

    seq: int
    type: str
    id: str
    body: bytes
    state: int
    changed: int
    created: int


class Ends(NamedTuple):
    """Links of an object: how many, the target of the last one, and their texts with commas between them."""

    number: int
    last: int
    text: bytes


_COLUMNS = "o.seq, o.type, o.id, CAST(o.json AS BLOB), o.state, o.changed, o.created"

_TABLES = """
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
"""
# Made after the bulk of a tenant is written: one sorted build is faster than a million insertions. The partial ones are
# empty in a fresh tenant and grow with its changes only.
_INDEXES = """
CREATE INDEX IF NOT EXISTS objects_id ON objects (id);
CREATE INDEX IF NOT EXISTS objects_type ON objects (type, state, seq);
CREATE INDEX IF NOT EXISTS objects_key ON objects (type, key) WHERE key IS NOT NULL;
CREATE INDEX IF NOT EXISTS objects_shown ON objects (seq, state, type, id);
CREATE INDEX IF NOT EXISTS objects_changed ON objects (changed) WHERE changed > 0;
CREATE INDEX IF NOT EXISTS links_target ON links (target, code);
CREATE INDEX IF NOT EXISTS links_changed ON links (changed) WHERE changed > 0;
"""


class Directory:
    """The stored tenant. Thread-safe: one connection, one lock.

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
        self._db.executescript(_TABLES)
        if self.meta("complete"):
            # Kept by an earlier version, it may lack one.
            self._db.executescript(_INDEXES)
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

    # --- the tenant as a whole ---------------------------------------------------------------------------------------

    def meta(self, key: str) -> str:
        """A remembered setting; empty when there is none."""
        found = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return str(found[0]) if found else ""

    def remember(self, key: str, value: str) -> None:
        """Remembers a setting."""
        self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    def now(self) -> datetime:
        """The tenant's time: the clock's, moved by what `advance` added."""
        return self._clock() + self._offset

    def stamp(self) -> str:
        """The tenant's time as Graph writes it: UTC, seven fractional digits are allowed, none are used."""
        return self.now().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def advance(self, seconds: float) -> None:
        """Moves the tenant's time, and empties the recycle bin of what is then older than 30 days."""
        self._offset += timedelta(seconds=seconds)
        self.remember("clock_offset", str(self._offset.total_seconds()))
        limit = (self.now() - KEEP_DELETED).isoformat()
        old = self._db.execute(
            "SELECT seq FROM objects WHERE state = ? AND deleted < ?", (State.DELETED, limit)
        ).fetchall()
        with self.writing():
            for (seq,) in old:
                self.purge(seq)

    @property
    def change(self) -> int:
        """Number of the latest change."""
        return self._change

    def next_change(self) -> int:
        """The number of a new change."""
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
        """One transaction; may be nested."""
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

    # --- the audit log -----------------------------------------------------------------------------------------------

    def audit(self, ticks: int, identifier: str, body: Body) -> None:
        """Takes down what was done, at a time in ticks (see `graph.logs`)."""
        self._db.execute("INSERT INTO audits (ticks, id, json) VALUES (?, ?, ?)", (ticks, identifier, _json(body)))

    def audited(self, first: int, end: int) -> list[tuple[int, str, bytes]]:
        """What was taken down between two times, as (ticks, id, JSON) in their order."""
        with self.lock:
            return self._db.execute(
                "SELECT ticks, id, CAST(json AS BLOB) FROM audits WHERE ticks >= ? AND ticks < ? ORDER BY ticks, id",
                (first, end),
            ).fetchall()

    # --- generation --------------------------------------------------------------------------------------------------

    def load_objects(self, type_name: str, rows: Iterable[tuple[int, str, str | None, str]]) -> None:
        """Writes (seq, id, key, JSON) rows of a new tenant, in order of seq."""
        self._db.executemany(f"INSERT INTO objects (seq, type, id, key, json) VALUES (?, '{type_name}', ?, ?, ?)", rows)

    def load_links(self, code: Link, rows: Iterable[tuple[int, int]]) -> None:
        """Writes (source, target) rows of a new tenant; a pair given twice counts once."""
        self._db.executemany(f"INSERT OR IGNORE INTO links (code, source, target) VALUES ({int(code)}, ?, ?)", rows)

    def finish_loading(self) -> None:
        """Builds the indexes, once everything is written."""
        self._db.executescript(_INDEXES)
        self._db.execute("ANALYZE")

    # --- finding -----------------------------------------------------------------------------------------------------

    def find(self, key: str, type_name: str = "", *, states: Sequence[int] = (State.LIVE,)) -> Row | None:
        """The object with the id or, when a type is named, the alternate key.

        Services outside the directory choose ids of their own, which may be those of others: where no type is named,
        directory objects come first.
        """
        wanted = f"o.state IN ({','.join(str(int(state)) for state in states)})"
        found = self._rows(f"SELECT {_COLUMNS} FROM objects o WHERE o.id = ? AND {wanted}", (key,))
        found = [row for row in found if not type_name or row.type == type_name]
        if not found and key != key.lower():
            found = self._rows(f"SELECT {_COLUMNS} FROM objects o WHERE o.id = ? AND {wanted}", (key.lower(),))
            found = [row for row in found if not type_name or row.type == type_name]
        if not found and type_name and BY_NAME[type_name].alternate:
            found = self.by_key(type_name, key)
        return min(found, key=lambda row: (row.type not in DIRECTORY_OBJECTS, row.seq), default=None)

    def by_key(self, type_name: str, key: str) -> list[Row]:
        """Live objects of the type with the alternate key."""
        return self._rows(
            f"SELECT {_COLUMNS} FROM objects o WHERE o.type = ? AND o.key = ? AND o.state = {State.LIVE:d}",
            (type_name, key.lower()),
        )

    def by_seq(self, seq: int) -> Row:
        """The object, whatever its state."""
        return self._rows(f"SELECT {_COLUMNS} FROM objects o WHERE o.seq = ?", (seq,))[0]

    def by_ids(self, ids: Sequence[str]) -> list[Row]:
        """Live objects with the ids, in no particular order."""
        marks = ",".join("?" * len(ids))
        return self._rows(f"SELECT {_COLUMNS} FROM objects o WHERE o.id IN ({marks}) AND o.state = 0", ids)

    def page(
        self,
        type_name: str,
        *,
        after: int = 0,
        limit: int = -1,
        where: str = "1",
        values: Sequence[object] = (),
        state: int = State.LIVE,
        order: str = "o.seq",
        offset: int = 0,
    ) -> list[Row]:
        """Objects of a type in order, `limit` of them (-1 = all), those after the sequence number `after`."""
        return self._rows(
            f"SELECT {_COLUMNS} FROM objects o WHERE o.type = ? AND o.state = ? AND o.seq > ? AND ({where})"
            f" ORDER BY {order} LIMIT ? OFFSET ?",
            (type_name, int(state), after, *values, limit, offset),
        )

    def count(self, type_name: str, where: str = "1", values: Sequence[object] = (), *, state: int = State.LIVE) -> int:
        """How many objects of the type match."""
        if where == "1" and state == State.LIVE and type_name in self._counts:
            return self._counts[type_name]
        found = self._db.execute(
            f"SELECT count(*) FROM objects o WHERE o.type = ? AND o.state = ? AND ({where})",
            (type_name, int(state), *values),
        ).fetchone()
        if where == "1" and state == State.LIVE:
            self._counts[type_name] = int(found[0])
        return int(found[0])

    def linked(
        self,
        codes: Sequence[int],
        seq: int,
        *,
        inverse: bool = False,
        transitive: bool = False,
        after: int = 0,
        limit: int = -1,
        where: str = "1",
        values: Sequence[object] = (),
    ) -> list[Row]:
        """Live objects at the other end of the object's links, in order of their sequence number."""
        return self._rows(
            f"{self._linked_sql(_COLUMNS, codes, inverse, transitive, where)} ORDER BY o.seq LIMIT ?",
            (seq, after, *values, limit),
        )

    def linked_each(
        self, codes: Sequence[int], seqs: Sequence[int], *, inverse: bool = False, limit: int
    ) -> dict[int, list[Row]]:
        """As `linked`, of several objects asked for together: the first `limit` of each, by its number."""
        here, there = ("target", "source") if inverse else ("source", "target")
        kinds = ",".join(str(int(code)) for code in codes)
        sql = (
            f"WITH ends AS (SELECT DISTINCT l.{here} AS here, l.{there} AS there FROM links l"
            f" JOIN objects o INDEXED BY objects_shown ON o.seq = l.{there} WHERE l.code IN ({kinds})"
            f" AND l.{here} IN (SELECT value FROM json_each(?)) AND l.live AND o.state = 0),"
            " ranked AS (SELECT here, there, row_number() OVER (PARTITION BY here ORDER BY there) AS place FROM ends)"
            f" SELECT here, {_COLUMNS} FROM ranked JOIN objects o ON o.seq = there WHERE place <= ?"
            " ORDER BY here, there"
        )
        found: dict[int, list[Row]] = {}
        with self.lock:
            for owner, *row in self._db.execute(sql, (msgspec.json.encode(seqs), limit)).fetchall():
                found.setdefault(owner, []).append(Row(*row))
        return found

    def matching(self, code: int, source: str, type_name: str, wanted: Body) -> list[Row]:
        """Live objects of the type that the source (by id) is linked to, and that have the wanted properties."""
        owner = self.find(source)
        return [
            row
            for row in (self.linked((code,), owner.seq) if owner else ())
            if row.type == type_name and _values(row, wanted) == wanted
        ]

    def count_linked(
        self,
        codes: Sequence[int],
        seq: int,
        *,
        inverse: bool = False,
        transitive: bool = False,
        where: str = "1",
        values: Sequence[object] = (),
    ) -> int:
        """How many live objects are at the other end of the links."""
        inner = self._linked_sql("o.seq", codes, inverse, transitive, where)
        return int(self._db.execute(f"SELECT count(*) FROM ({inner})", (seq, 0, *values)).fetchone()[0])

    @staticmethod
    def _linked_sql(columns: str, codes: Sequence[int], inverse: bool, transitive: bool, where: str) -> str:
        here, there = ("target", "source") if inverse else ("source", "target")
        kinds = ",".join(str(int(code)) for code in codes)
        if transitive:
            reach = (
                f"WITH RECURSIVE reach(seq) AS (SELECT {there} FROM links WHERE {here} = ? AND code IN ({kinds})"
                f" AND live UNION SELECT l.{there} FROM reach r JOIN objects g ON g.seq = r.seq AND g.state = 0"
                f" JOIN links l ON l.{here} = r.seq AND l.code IN ({kinds}) AND l.live) "
            )
            return (
                f"{reach}SELECT {columns} FROM reach JOIN objects o USING (seq)"
                f" WHERE o.state = 0 AND o.seq > ? AND ({where})"
            )
        return (
            f"SELECT DISTINCT {columns} FROM links l JOIN objects o ON o.seq = l.{there}"
            f" WHERE l.{here} = ? AND l.code IN ({kinds}) AND l.live AND o.state = 0 AND o.seq > ? AND ({where})"
        )

    def ends(
        self, code: int, sources: Sequence[int], shown: str, *, since: int = 0, after: int = 0, limit: int
    ) -> dict[int, Ends]:
        """The first links of some sources, in the order of sources and targets, by source.

        Asked for together, because a tenant has millions of links.

        Args:
            code: Of the links.
            sources: Numbers of the sources.
            shown: SQL of the text of a link `l` to the object `o`: of the link only whether it is live, of the object
                only its type, id and state.
            since: With 0 the links that are present; else those that changed since then, whichever way.
            after: Only links to targets numbered behind this one.
            limit: How many links in all.
        """
        if not since:
            return self._present_ends(code, sources, shown, after, limit)
        found = self._db.execute(
            "SELECT source, count(*), max(target), CAST(group_concat(shown) AS BLOB) FROM ("
            f" SELECT l.source, l.target, {shown} AS shown FROM links l"
            " JOIN objects o INDEXED BY objects_shown ON o.seq = l.target"
            " WHERE l.code = ? AND l.source IN (SELECT value FROM json_each(?)) AND l.target > ?"
            " AND l.changed > ? ORDER BY l.source, l.target LIMIT ?) GROUP BY source",
            (code, msgspec.json.encode(sources), after, since, limit),
        )
        return {source: Ends(*ends) for source, *ends in found}

    def _present_ends(self, code: int, sources: Sequence[int], shown: str, after: int, limit: int) -> dict[int, Ends]:
        """The links that are present."""
        links = self._db.execute(
            "SELECT source, target FROM links WHERE code = ? AND source IN (SELECT value FROM json_each(?))"
            " AND target > ? AND live ORDER BY source, target",
            (code, msgspec.json.encode(sources), after),
        )
        present: list[tuple[int, int]] = []
        texts: list[bytes] = []
        while (room := limit - len(texts)) and (found := links.fetchmany(room)):
            told = self._texts_of(shown, [target for _, target in found])
            present += compress(found, told)
            texts += filter(None, told)
        ends: dict[int, Ends] = {}
        start = 0
        for source, group in groupby(present, itemgetter(0)):
            end = start + len(list(group))
            ends[source] = Ends(end - start, present[end - 1][1], b",".join(texts[start:end]))
            start = end
        return ends

    def _texts_of(self, shown: str, targets: Sequence[int]) -> list[bytes]:
        """The texts of live links to objects; empty when the object is not live.

        Kept until something changes, because the same objects are members of many groups. They are in a list by number:
        of so many, a dictionary costs several times what it takes SQLite to find the links.
        """
        known = self._texts[shown]
        known.extend(repeat(None, max(targets, default=-1) + 1 - len(known)))
        if missing := [target for target in targets if known[target] is None]:
            found = self._db.execute(
                f"SELECT o.seq, CAST({shown} AS BLOB) FROM (SELECT true AS live) l, objects o INDEXED BY objects_shown"
                " WHERE o.seq IN (SELECT value FROM json_each(?)) AND o.state = 0",
                (msgspec.json.encode(missing),),
            )
            for target, text in chain(zip(missing, repeat(b"")), found):
                known[target] = text
        return [text for target in targets if (text := known[target]) is not None]

    def changed(self, type_name: str, codes: Sequence[int], since: int, after: int, limit: int) -> list[Row]:
        """Objects of the type that changed, or whose links of the codes did, in order; whatever their state."""
        kinds = ",".join(str(int(code)) for code in codes) or "0"
        return self._rows(
            f"SELECT {_COLUMNS} FROM objects o WHERE o.type = ? AND o.seq > ? AND o.seq IN ("
            " SELECT seq FROM objects WHERE changed > 0 AND changed > ? UNION"
            f" SELECT source FROM links WHERE changed > 0 AND changed > ? AND code IN ({kinds}))"
            " ORDER BY o.seq LIMIT ?",
            (type_name, after, since, since, limit),
        )

    def changed_properties(self, seq: int, since: int) -> set[str]:
        """Names of the properties set since the change."""
        found = self._db.execute("SELECT name FROM property_changes WHERE seq = ? AND changed > ?", (seq, since))
        return {str(name) for (name,) in found}

    def links(
        self, codes: Sequence[int], owner: str, *, inverse: bool = False, binned: bool = False, batch: int = 10_000
    ) -> Iterator[tuple[str, str, str]]:
        """All visible links of the codes from objects of type `owner` as (its id, other end's id, other end's type).

        With `binned`, also those that come back with an end that is in the recycle bin.
        """
        shown = int(State.DELETED if binned else State.LIVE)
        mine, other = ("o", "s") if inverse else ("s", "o")
        for code in codes:
            after = (0, 0)
            while found := self._db.execute(
                f"SELECT l.source, l.target, {mine}.id, {other}.id, {other}.type,"
                f" s.state > ? OR o.state > ? OR {mine}.type != ? FROM links l JOIN objects s ON s.seq = l.source"
                " JOIN objects o ON o.seq = l.target WHERE l.code = ? AND l.live"
                " AND (l.source, l.target) > (?, ?) ORDER BY l.source, l.target LIMIT ?",
                (shown, shown, owner, code, *after, batch),
            ).fetchall():
                after = (found[-1][0], found[-1][1])
                yield from ((owning, end, kind) for _, _, owning, end, kind, hidden in found if not hidden)

    def owner_of(self, code: int, target: int) -> int | None:
        """Sequence number of the (one) source that owns the target."""
        found = self._db.execute("SELECT source FROM links WHERE code = ? AND target = ? AND live", (code, target))
        row = found.fetchone()
        return int(row[0]) if row else None

    def has_link(self, code: int, source: int, target: int) -> bool:
        """Whether the link exists; links to objects in the recycle bin do."""
        return bool(
            self._db.execute(
                "SELECT 1 FROM links WHERE code = ? AND source = ? AND target = ? AND live", (code, source, target)
            ).fetchone()
        )

    def leads_anywhere(self, code: int, source: int) -> bool:
        """Whether the object has a link of the code, to something that is not gone for good."""
        return bool(
            self._db.execute("SELECT 1 FROM links WHERE code = ? AND source = ? AND live", (code, source)).fetchone()
        )

    def extensions(self) -> dict[str, tuple[str, tuple[str, ...]]]:
        """Registered directory extensions: name → (data type, types it may be set on)."""
        if self._extensions is None:
            self._extensions = {}
            for row in self.page("extensionProperty"):
                body = msgspec.json.decode(row.body)
                self._extensions[body["name"]] = (body["dataType"], tuple(body["targetObjects"]))
        return self._extensions

    # --- changing ----------------------------------------------------------------------------------------------------

    def insert(self, type_name: str, identifier: str, body: Body, key: str | None = None) -> Row:
        """Adds a live object."""
        change = self.next_change()
        seq = int(self._db.execute("SELECT coalesce(max(seq), 0) + 1 FROM objects").fetchone()[0])
        self._db.execute(
            "INSERT INTO objects (seq, type, id, key, json, changed, created) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                seq,
                type_name,
                identifier,
                key.lower() if key else None,
                _json({**_identified(type_name, identifier), **body}),
                change,
                change,
            ),
        )
        self._forget(type_name)
        return self.by_seq(seq)

    def update(self, seq: int, changes: Body, *, key: str | None = None) -> None:
        """Sets properties; null stays as null."""
        change = self.next_change()
        row = self.by_seq(seq)
        body = {**msgspec.json.decode(row.body), **changes}
        self._db.execute("UPDATE objects SET json = ?, changed = ? WHERE seq = ?", (_json(body), change, seq))
        if key is not None:
            self._db.execute("UPDATE objects SET key = ? WHERE seq = ?", (key.lower(), seq))
        self._db.executemany(
            "INSERT OR REPLACE INTO property_changes VALUES (?, ?, ?)", [(seq, name, change) for name in changes]
        )
        self._forget(row.type)

    def soft_delete(self, seq: int) -> None:
        """Moves a live object to the recycle bin; its parts are hidden, its links wait."""
        change = self.next_change()
        row = self.by_seq(seq)
        body = msgspec.json.decode(row.body)
        body["deletedDateTime"] = self.stamp()
        if row.type == "user":
            # So that the name is free for somebody else meanwhile (Entra doc: user-delete).
            body["userPrincipalName"] = row.id.replace("-", "") + body["userPrincipalName"]
        self._db.execute(
            "UPDATE objects SET state = ?, changed = ?, json = ?, deleted = ? WHERE seq = ?",
            (State.DELETED, change, _json(body), self.now().isoformat(), seq),
        )
        self._touch_incoming(seq, change)
        for part in self._parts(seq, State.LIVE):
            self._set_state(part, State.HIDDEN, change)
        self._forget(row.type)

    def restore(self, seq: int, changes: Body | None = None) -> Row:
        """Brings an object back from the recycle bin with its links and parts; to delta it is new."""
        change = self.next_change()
        row = self.by_seq(seq)
        body = msgspec.json.decode(row.body)
        body.pop("deletedDateTime", None)
        if row.type == "user":
            body["userPrincipalName"] = body["userPrincipalName"][32:]
        body.update(changes or {})
        self._db.execute(
            "UPDATE objects SET state = ?, changed = ?, created = ?, json = ?, deleted = NULL WHERE seq = ?",
            (State.LIVE, change, change, _json(body), seq),
        )
        if BY_NAME[row.type].alternate:
            alternate = str(body[BY_NAME[row.type].alternate]).lower()
            self._db.execute("UPDATE objects SET key = ? WHERE seq = ?", (alternate, seq))
        self._touch_incoming(seq, change)
        self._db.execute("UPDATE links SET changed = ? WHERE source = ? AND live", (change, seq))
        for part in self._parts(seq, State.HIDDEN):
            if not self._owners_missing(part):
                self._set_state(part, State.LIVE, change)
        self._forget(row.type)
        return self.by_seq(seq)

    def purge(self, seq: int) -> None:
        """Deletes for good: links and parts go, a tombstone stays for delta."""
        row = self.by_seq(seq)
        if row.state == State.PURGED:
            return
        if row.type == "user":
            self._release_seats(msgspec.json.decode(row.body))
        change = self.next_change()
        self._db.execute(
            "UPDATE objects SET state = ?, changed = ?, json = ?, key = NULL, deleted = NULL WHERE seq = ?",
            (State.PURGED, change, _json({"id": row.id}), seq),
        )
        if row.state == State.LIVE:
            self._touch_incoming(seq, change)
        for part in (*self._parts(seq, State.LIVE), *self._parts(seq, State.HIDDEN)):
            self.purge(part)
        self._db.execute("UPDATE links SET live = 0 WHERE source = ? OR target = ?", (seq, seq))
        self._forget(row.type)

    def _release_seats(self, user: Body) -> None:
        """Gives back the licences of a user who is deleted for good."""
        held = {one["skuId"] for one in user.get("assignedLicenses") or ()}
        for row in self.page("subscribedSku") if held else ():
            sku = msgspec.json.decode(row.body)
            if sku["skuId"] in held:
                self.update(row.seq, {"consumedUnits": max(0, sku["consumedUnits"] - 1)})

    def link(self, code: int, source: int, target: int) -> None:
        """Adds a link; one that exists stays as it is."""
        change = self.next_change()
        self._db.execute(
            "INSERT INTO links VALUES (?, ?, ?, 1, ?) ON CONFLICT DO UPDATE SET live = 1, changed = excluded.changed"
            " WHERE NOT live",
            (code, source, target, change),
        )

    def unlink(self, code: int, source: int, target: int) -> None:
        """Removes a link."""
        self._db.execute(
            "UPDATE links SET live = 0, changed = ? WHERE code = ? AND source = ? AND target = ? AND live",
            (self.next_change(), code, source, target),
        )

    def _rows(self, sql: str, values: Sequence[object]) -> list[Row]:
        with self.lock:
            return [Row(*found) for found in self._db.execute(sql, tuple(values)).fetchall()]

    def _touch_incoming(self, seq: int, change: int) -> None:
        self._db.execute("UPDATE links SET changed = ? WHERE target = ? AND live", (change, seq))

    def _set_state(self, seq: int, state: State, change: int) -> None:
        self._db.execute("UPDATE objects SET state = ?, changed = ? WHERE seq = ?", (state, change, seq))
        if state == State.LIVE:
            self._db.execute("UPDATE objects SET created = ? WHERE seq = ?", (change, seq))

    def _parts(self, seq: int, state: State) -> list[int]:
        kinds = ",".join(map(str, OWNING))
        found = self._db.execute(
            "SELECT DISTINCT l.target FROM links l JOIN objects o ON o.seq = l.target"
            f" WHERE l.source = ? AND l.code IN ({kinds}) AND l.live AND o.state = ?",
            (seq, state),
        )
        return [int(part) for (part,) in found.fetchall()]

    def _owners_missing(self, part: int) -> bool:
        kinds = ",".join(map(str, OWNING))
        return bool(
            self._db.execute(
                "SELECT 1 FROM links l JOIN objects o ON o.seq = l.source"
                f" WHERE l.target = ? AND l.code IN ({kinds}) AND l.live AND o.state != 0",
                (part,),
            ).fetchone()
        )

    def _forget(self, type_name: str) -> None:
        if type_name == "extensionProperty":
            self._extensions = None


def _identified(type_name: str, identifier: str) -> Body:
    """The property that identifies an object, if its type shows one."""
    entry = BY_NAME[type_name]
    return {} if entry.anonymous else {entry.key: identifier}


def _values(row: Row, names: Iterable[str]) -> Body:
    """The named properties; null for those that were never set."""
    body = msgspec.json.decode(row.body)
    return {name: body.get(name) for name in names}


def _json(body: Body) -> str:
    return msgspec.json.encode(body).decode()
