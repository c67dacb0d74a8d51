"""Finds objects: by id, key or number, by type in pages, by what changed."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from entra_pipeline.simulator.schema import BY_NAME, DIRECTORY_OBJECTS
from entra_pipeline.simulator.storage.database import COLUMNS, Database, State, StoredObject


class StoredObjectReader(Database):
    """Reads the objects of a tenant."""

    def find(self, key: str, type_name: str = "", *, states: Sequence[int] = (State.LIVE,)) -> StoredObject | None:
        """Returns the object with the id or, when a type is named, the alternate key.

        Services outside the directory choose ids of their own, which may be those of others: where no type is named,
        directory objects come first.
        """
        wanted = f"o.state IN ({','.join(str(int(state)) for state in states)})"
        found = self._rows(f"SELECT {COLUMNS} FROM objects o WHERE o.id = ? AND {wanted}", (key,))
        found = [row for row in found if not type_name or row.type == type_name]
        if not found and key != key.lower():
            found = self._rows(f"SELECT {COLUMNS} FROM objects o WHERE o.id = ? AND {wanted}", (key.lower(),))
            found = [row for row in found if not type_name or row.type == type_name]
        if not found and type_name and BY_NAME[type_name].alternate:
            found = self.by_key(type_name, key)
        return min(found, key=lambda row: (row.type not in DIRECTORY_OBJECTS, row.seq), default=None)

    def by_key(self, type_name: str, key: str) -> list[StoredObject]:
        """Returns live objects of the type with the alternate key."""
        return self._rows(
            f"SELECT {COLUMNS} FROM objects o WHERE o.type = ? AND o.key = ? AND o.state = {State.LIVE:d}",
            (type_name, key.lower()),
        )

    def by_seq(self, seq: int) -> StoredObject:
        """Returns the object, whatever its state."""
        return self._rows(f"SELECT {COLUMNS} FROM objects o WHERE o.seq = ?", (seq,))[0]

    def by_ids(self, ids: Sequence[str]) -> list[StoredObject]:
        """Returns live objects with the ids, in no particular order."""
        marks = ",".join("?" * len(ids))
        return self._rows(f"SELECT {COLUMNS} FROM objects o WHERE o.id IN ({marks}) AND o.state = 0", ids)

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
    ) -> list[StoredObject]:
        """Returns up to `limit` objects of a type (-1 = all) in order, those after the sequence number `after`."""
        return self._rows(
            f"SELECT {COLUMNS} FROM objects o WHERE o.type = ? AND o.state = ? AND o.seq > ? AND ({where})"
            f" ORDER BY {order} LIMIT ? OFFSET ?",
            (type_name, int(state), after, *values, limit, offset),
        )

    def count(self, type_name: str, where: str = "1", values: Sequence[object] = (), *, state: int = State.LIVE) -> int:
        """Returns how many objects of the type match."""
        if where == "1" and state == State.LIVE and type_name in self._counts:
            return self._counts[type_name]
        found = self._db.execute(
            f"SELECT count(*) FROM objects o WHERE o.type = ? AND o.state = ? AND ({where})",
            (type_name, int(state), *values),
        ).fetchone()
        if where == "1" and state == State.LIVE:
            self._counts[type_name] = int(found[0])
        return int(found[0])

    def changed(self, type_name: str, codes: Sequence[int], since: int, after: int, limit: int) -> list[StoredObject]:
        """Returns objects of the type that changed, or whose links of the codes did, in order, in any state."""
        kinds = ",".join(str(int(code)) for code in codes) or "0"
        return self._rows(
            f"SELECT {COLUMNS} FROM objects o WHERE o.type = ? AND o.seq > ? AND o.seq IN ("
            " SELECT seq FROM objects WHERE changed > 0 AND changed > ? UNION"
            f" SELECT source FROM links WHERE changed > 0 AND changed > ? AND code IN ({kinds}))"
            " ORDER BY o.seq LIMIT ?",
            (type_name, after, since, since, limit),
        )

    def changed_properties(self, seq: int, since: int) -> set[str]:
        """Returns names of the properties set since the change."""
        found = self._db.execute("SELECT name FROM property_changes WHERE seq = ? AND changed > ?", (seq, since))
        return {str(name) for (name,) in found}

    def extensions(self) -> dict[str, tuple[str, tuple[str, ...]]]:
        """Returns registered directory extensions: name → (data type, types it may be set on)."""
        if self._extensions is None:
            # Other threads read it, and never see a part of it.
            found = [msgspec.json.decode(row.body) for row in self.page("extensionProperty")]
            self._extensions = {one["name"]: (one["dataType"], tuple(one["targetObjects"])) for one in found}
        return self._extensions
