"""Changes the tenant: objects and links, each change numbered, so that delta follows from the numbers.

What belongs here: storing, finding, soft deletion, restoring, purging. What does not: what Graph allows, how an object
looks in a response (`graph.projection`), which page comes next (`graph`).

An object's JSON holds what was ever set: a property set back to null stays as null, one never set is absent. That is
the difference Graph's delta makes (Graph doc: user-delta).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

import msgspec

from entra_pipeline.simulator.schema import BY_NAME, OWNING, LinkKind
from entra_pipeline.simulator.storage.database import INDEXES, Entity, State, StoredObject
from entra_pipeline.simulator.storage.links import DirectoryReader

KEEP_DELETED = timedelta(days=30)
"""How long the recycle bin keeps an object (Entra doc: recover-from-deletions)."""


class Directory(DirectoryReader):
    """Reads and writes the tenant."""

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

    def audit(self, ticks: int, identifier: str, body: Entity) -> None:
        """Records what was done, at a time in ticks (see `graph.logs`)."""
        self._db.execute("INSERT INTO audits (ticks, id, json) VALUES (?, ?, ?)", (ticks, identifier, _json(body)))

    def audited(self, first: int, end: int) -> list[tuple[int, str, bytes]]:
        """Returns the audit entries between two times, as (ticks, id, JSON) in their order."""
        return self._logged("audits", first, end)

    def sign_app_in(self, ticks: int, identifier: str, body: Entity) -> None:
        """Records that an app registration signed in, at a time in ticks (see `graph.logs`)."""
        with self.lock:
            self._db.execute(
                "INSERT INTO app_sign_ins (ticks, id, json) VALUES (?, ?, ?)", (ticks, identifier, _json(body))
            )

    def app_sign_ins(self, first: int, end: int) -> list[tuple[int, str, bytes]]:
        """Returns the sign-ins of app registrations between two times, as `audited` does."""
        return self._logged("app_sign_ins", first, end)

    def _logged(self, table: str, first: int, end: int) -> list[tuple[int, str, bytes]]:
        with self.lock:
            return self._db.execute(
                f"SELECT ticks, id, CAST(json AS BLOB) FROM {table} WHERE ticks >= ? AND ticks < ? ORDER BY ticks, id",
                (first, end),
            ).fetchall()

    def load_objects(self, type_name: str, rows: Iterable[tuple[int, str, str | None, str]]) -> None:
        """Writes (seq, id, key, JSON) rows of a new tenant, in order of seq."""
        self._db.executemany(f"INSERT INTO objects (seq, type, id, key, json) VALUES (?, '{type_name}', ?, ?, ?)", rows)

    def load_links(self, code: LinkKind, rows: Iterable[tuple[int, int]]) -> None:
        """Writes (source, target) rows of a new tenant; a pair given twice counts once."""
        self._db.executemany(f"INSERT OR IGNORE INTO links (code, source, target) VALUES ({int(code)}, ?, ?)", rows)

    def finish_loading(self) -> None:
        """Builds the indexes, once everything is written."""
        self._db.executescript(INDEXES)
        self._db.execute("ANALYZE")

    def insert(self, type_name: str, identifier: str, body: Entity, key: str | None = None) -> StoredObject:
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

    def update(self, seq: int, changes: Entity, *, key: str | None = None) -> None:
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
            # Frees the name for another user meanwhile (Entra doc: user-delete).
            body["userPrincipalName"] = row.id.replace("-", "") + body["userPrincipalName"]
        self._db.execute(
            "UPDATE objects SET state = ?, changed = ?, json = ?, deleted = ? WHERE seq = ?",
            (State.DELETED, change, _json(body), self.now().isoformat(), seq),
        )
        self._touch_incoming(seq, change)
        for part in self._parts(seq, State.LIVE):
            self._set_state(part, State.HIDDEN, change)
        self._forget(row.type)

    def restore(self, seq: int, changes: Entity | None = None) -> StoredObject:
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

    def _release_seats(self, user: Entity) -> None:
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

    def _touch_incoming(self, seq: int, change: int) -> None:
        self._db.execute("UPDATE links SET changed = ? WHERE target = ? AND live", (change, seq))

    def _set_state(self, seq: int, state: State, change: int) -> None:
        self._db.execute("UPDATE objects SET state = ?, changed = ? WHERE seq = ?", (state, change, seq))
        if state == State.LIVE:
            self._db.execute("UPDATE objects SET created = ? WHERE seq = ?", (change, seq))
        # It may be a directory extension: nobody can set one while its application is in the recycle bin.
        self._extensions = None

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


def _identified(type_name: str, identifier: str) -> Entity:
    """Returns the property that identifies an object, if its type shows one."""
    entry = BY_NAME[type_name]
    return {} if entry.anonymous else {entry.key: identifier}


def _json(body: Entity) -> str:
    return msgspec.json.encode(body).decode()
