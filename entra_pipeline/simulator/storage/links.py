"""Follows links between objects: forwards, backwards, to any depth, in pages, and as texts for delta."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, compress, groupby, repeat
from operator import itemgetter
from typing import NamedTuple

import msgspec

from entra_pipeline.simulator.storage.database import COLUMNS, Entity, State, StoredObject
from entra_pipeline.simulator.storage.objects import StoredObjectReader


class LinkTexts(NamedTuple):
    """Links of an object: how many, the target of the last one, and their texts with commas between them."""

    number: int
    last: int
    text: bytes


class DirectoryReader(StoredObjectReader):
    """Reads the objects and links of a tenant."""

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
    ) -> list[StoredObject]:
        """Returns live objects at the other end of the object's links, in order of their sequence number."""
        return self._rows(
            f"{self._linked_sql(COLUMNS, codes, inverse, transitive, where)} ORDER BY o.seq LIMIT ?",
            (seq, after, *values, limit),
        )

    def linked_each(
        self, codes: Sequence[int], seqs: Sequence[int], *, inverse: bool = False, limit: int
    ) -> dict[int, list[StoredObject]]:
        """Returns the first `limit` of `linked` for each of several objects, by its number."""
        here, there = ("target", "source") if inverse else ("source", "target")
        kinds = ",".join(str(int(code)) for code in codes)
        sql = (
            f"WITH ends AS (SELECT DISTINCT l.{here} AS here, l.{there} AS there FROM links l"
            f" JOIN objects o INDEXED BY objects_shown ON o.seq = l.{there} WHERE l.code IN ({kinds})"
            f" AND l.{here} IN (SELECT value FROM json_each(?)) AND l.live AND o.state = 0),"
            " ranked AS (SELECT here, there, row_number() OVER (PARTITION BY here ORDER BY there) AS place FROM ends)"
            f" SELECT here, {COLUMNS} FROM ranked JOIN objects o ON o.seq = there WHERE place <= ?"
            " ORDER BY here, there"
        )
        found: dict[int, list[StoredObject]] = {}
        with self.lock:
            for owner, *row in self._db.execute(sql, (msgspec.json.encode(seqs), limit)).fetchall():
                found.setdefault(owner, []).append(StoredObject(*row))
        return found

    def matching(self, code: int, source: str, type_name: str, wanted: Entity) -> list[StoredObject]:
        """Returns live objects of the type that the source (by id) links to, and that have the wanted properties."""
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
        """Returns how many live objects are at the other end of the links."""
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
    ) -> dict[int, LinkTexts]:
        """Returns the first links of some sources, in the order of sources and targets, by source.

        One query for all sources, because a tenant has millions of links.

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
        return {source: LinkTexts(*ends) for source, *ends in found}

    def _present_ends(
        self, code: int, sources: Sequence[int], shown: str, after: int, limit: int
    ) -> dict[int, LinkTexts]:
        """Returns the links that are present."""
        links = self._db.execute(
            "SELECT source, target FROM links WHERE code = ? AND source IN (SELECT value FROM json_each(?))"
            " AND target > ? AND live ORDER BY source, target",
            (code, msgspec.json.encode(sources), after),
        )
        present: list[tuple[int, int]] = []
        texts: list[bytes] = []
        while (room := limit - len(texts)) and (found := links.fetchmany(room)):
            reported = self._texts_of(shown, [target for _, target in found])
            present += compress(found, reported)
            texts += filter(None, reported)
        ends: dict[int, LinkTexts] = {}
        start = 0
        for source, group in groupby(present, itemgetter(0)):
            end = start + len(list(group))
            ends[source] = LinkTexts(end - start, present[end - 1][1], b",".join(texts[start:end]))
            start = end
        return ends

    def _texts_of(self, shown: str, targets: Sequence[int]) -> list[bytes]:
        """Returns the texts of live links to objects; empty when the object is not live.

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

    def links(
        self, codes: Sequence[int], owner: str, *, inverse: bool = False, binned: bool = False, batch: int = 10_000
    ) -> Iterator[tuple[str, str, str]]:
        """Yields the visible links of the codes from objects of type `owner` as (its id, other end's id and type).

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
        """Returns the sequence number of the (one) source that owns the target."""
        found = self._db.execute("SELECT source FROM links WHERE code = ? AND target = ? AND live", (code, target))
        row = found.fetchone()
        return int(row[0]) if row else None

    def has_link(self, code: int, source: int, target: int) -> bool:
        """Returns whether the link exists; links to objects in the recycle bin do."""
        return bool(
            self._db.execute(
                "SELECT 1 FROM links WHERE code = ? AND source = ? AND target = ? AND live", (code, source, target)
            ).fetchone()
        )

    def leads_anywhere(self, code: int, source: int) -> bool:
        """Returns whether the object has a link of the code, to something that is not gone for good."""
        return bool(
            self._db.execute("SELECT 1 FROM links WHERE code = ? AND source = ? AND live", (code, source)).fetchone()
        )


def _values(row: StoredObject, names: Iterable[str]) -> Entity:
    """Returns the named properties; null for those that were never set."""
    body = msgspec.json.decode(row.body)
    return {name: body.get(name) for name in names}
