"""Tables of recovery points, page after page: what one page takes is kept for the next.

What belongs here: which rows match and in which order, found once for all pages of a search; and a copy of a large
table that finds texts and objects sooner than its files do. What does not: what a condition or a text means
(`objects`).
"""

from __future__ import annotations

import logging
import shutil
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from tempfile import mkdtemp
from threading import Lock
from time import monotonic
from typing import Any, NamedTuple
from weakref import finalize

import duckdb
import pyarrow as pa

from entra_pipeline.analysis.names import title_sql
from entra_pipeline.analysis.objects import LINK, ObjectTable, table_entry
from entra_pipeline.catalogue import CATALOGUE
from entra_pipeline.runtime import QuietMoments, lower_thread_priority
from entra_pipeline.single_flight import SingleFlightCache
from entra_pipeline.store.manifest import Manifest
from entra_pipeline.store.recovery_points import ScopeStore
from entra_pipeline.store.state import connect, sql_text

# Tables that are kept open, how many of them with a copy, and searches of each whose matches are: those asked last.
_TABLES = 24
_COPIES = 4
_SEARCHES = 16
# Seconds that a table is kept: the credentials of a storage may change, and nobody may look at it any more.
_AGE = 900.0
# Rows from which on a copy is worth making; and the most memory that a table takes, what it copies is on disk.
_LARGE = 20_000
_MEMORY = "512MB"
# Rows of a search that are read as it is looked for: a page.
_FIRST = 50
# Rows of the copy that are written together: of users 40 MB.
_GROUP = 16_384
_NICE = 10
# A copy begins when nobody has asked anything for so many seconds; and after so many, whoever asks.
_QUIET, _PATIENCE = 3.0, 60.0
_COPY = "kept.rows"
_EDGE = "source_id, target_id, target_type"

_log = logging.getLogger(__name__)


class ObjectPage(NamedTuple):
    """Some rows of many: the rows as JSON text, and how many there are in all."""

    rows: list[str]
    total: int


class ObjectPageCache:
    """Pages of tables, for many threads at once.

    Args:
        tables: How many tables are kept open at the most.
        clock: Seconds; only differences count.
    """

    def __init__(self, tables: int = _TABLES, clock: Callable[[], float] = monotonic) -> None:
        self._tables = tables
        self._clock = clock
        self._lock = Lock()
        self._kept: OrderedDict[tuple[str, ...], tuple[float, _Kept]] = OrderedDict()
        self._copying = ThreadPoolExecutor(1, "copy-of-a-table")

    def page(
        self,
        store: ScopeStore,
        manifest: Manifest,
        table: str,
        *,
        where: str = "",
        search: str = "",
        order: str = "",
        limit: int = 50,
        offset: int = 0,
    ) -> ObjectPage:
        """A page of what `objects.find` finds; it raises the same.

        Objects are ordered by a property, with a minus in front the other way round; by what people call them for
        `name`, and by their ids for none. Links always have the order of their ids.
        """
        return self._table(store, manifest, table).page(where, search, order, limit, offset)

    def one(self, store: ScopeStore, manifest: Manifest, table: str, identifier: str) -> str:
        """What `objects.one` gives; it raises the same."""
        return self._table(store, manifest, table).one(identifier)

    def clear(self) -> None:
        """Forgets everything."""
        with self._lock:
            self._kept.clear()

    def _table(self, store: ScopeStore, manifest: Manifest, table: str) -> _Kept:
        entry = table_entry(manifest, table)
        key = (store.scope, table, *(part.key for part in entry.parts))
        with self._lock:
            now = self._clock()
            for over in [one for one, (since, _) in self._kept.items() if now - since > _AGE]:
                del self._kept[over]
            since, kept = self._kept.pop(key, (now, None))
            if kept is None:
                kept = _Kept(store, manifest, table)
                if kept.large:
                    self._copying.submit(kept.copy)
            self._kept[key] = since, kept
            copies = [one for one, (_, table_) in self._kept.items() if table_.large]
            for over in [*copies[:-_COPIES], *list(self._kept)[: -self._tables]]:
                self._kept.pop(over, None)
        return kept


@dataclass(frozen=True, slots=True)
class _Matches:
    """The rows that match, in order.

    Attributes:
        keys: Ids of the objects; of edges the sources that have any.
        ends: Of edges, how many there are up to and with each source.
        first: The first objects, where they were read already.
    """

    keys: Any
    ends: Sequence[int] | None
    first: Sequence[str] = ()

    @property
    def total(self) -> int:
        """How many rows there are."""
        return len(self.keys) if self.ends is None else self.ends[-1] if self.ends else 0


class _Kept:
    """A table that is kept open. It ends with the last reference to it: threads may be asking it still."""

    def __init__(self, store: ScopeStore, manifest: Manifest, table: str) -> None:
        entry = table_entry(manifest, table)
        self._objects = entry.kind == "objects"
        self._name = table
        self.large = entry.live >= _LARGE
        self._store = store
        self._folder = self._file = None
        if self.large:
            self._folder = Path(mkdtemp(prefix="entra-pipeline-"))
            self._file = self._folder / "copy"
            finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        self._table = ObjectTable(store, manifest, table, temp=self._folder, memory=_MEMORY, besides=self._file)
        self._copied = False
        self._questions = QuietMoments(_QUIET, _PATIENCE)
        self._matches = SingleFlightCache[_Matches](_SEARCHES)

    def copy(self) -> None:
        """Copies the rows in their order, and once more in lower case; the copy's file has no name any more then."""
        if self._file is None:
            return
        # Whoever has just opened the table often searches it at once: that would take half as long again meanwhile.
        self._questions.wait()
        # Whoever asks later goes first, too.
        lower_thread_priority(_NICE)
        place = sql_text(str(self._file))
        columns, order = ("id, _raw", "id") if self._objects else (_EDGE, "source_id, target_id")
        try:
            with closing(connect(self._store.files, temp=self._folder, memory=_MEMORY)) as copying:
                copying.execute("SET threads = 1")
                copying.execute(f"ATTACH {place} AS kept (ROW_GROUP_SIZE {_GROUP})")
                copying.execute(
                    f"CREATE TABLE {_COPY} AS SELECT {columns}, lower({self._table.text}) AS text "
                    f"FROM {self._table.state} ORDER BY {order}"
                )
                copying.execute("CHECKPOINT kept")
            self._table.cursor().execute(f"ATTACH {place} AS kept (READ_ONLY)")
            self._copied = True
        except duckdb.Error as error:
            # No room, say. Without a copy it takes longer.
            _log.warning("no copy of a table is kept: %s", str(error).splitlines()[0])
        finally:
            self._file.unlink(missing_ok=True)

    def page(self, where: str, search: str, order: str, limit: int, offset: int) -> ObjectPage:
        """A page."""
        with self._table.explaining(where):
            found = self._matches.get((where, search, order), lambda: self._find(where, search, order))
            if offset >= found.total:
                return ObjectPage([], found.total)
            if found.ends is None and min(offset + limit, found.total) <= len(found.first):
                return ObjectPage(list(found.first[offset : offset + limit]), found.total)
            if found.ends is None:
                return ObjectPage(self._bodies(found.keys.slice(offset, limit)), found.total)
            return ObjectPage(self._edges(found.keys, found.ends, where, search, limit, offset), found.total)

    def one(self, identifier: str) -> str:
        """An object."""
        with self._table.explaining():
            return self._table.one(identifier, _COPY if self._copied else "")

    def _find(self, where: str, search: str, order: str) -> _Matches:
        if self._objects and order:
            # What tells the order is in the bodies: those of the page that is asked for first come with it.
            by = f"{self._by(order)}, id"
            first = f"CASE WHEN row_number() OVER (ORDER BY {by}) <= {_FIRST} THEN _raw END AS raw"
            found = self._ask(f"id, {first}", f"ORDER BY {by}", where, search).fetch_arrow_table()
            return _Matches(found["id"], None, found["raw"].slice(0, _FIRST).to_pylist())
        if self._objects and search and not self._copied:
            # All is read to find them: the page that is asked for first comes with it.
            [[ids, first]] = self._ask(f"list(id), arg_min(_raw, id, {_FIRST})", "", where, search).fetchall()
            return _Matches(pa.array(sorted(ids or ()), pa.string()), None, first or ())
        if self._objects:
            return _Matches(self._ask("id", "ORDER BY id", where, search).fetch_arrow_table()["id"], None)
        counted = self._ask(
            "source_id, count(*) AS edges", "GROUP BY source_id ORDER BY source_id", where, search
        ).fetch_arrow_table()
        return _Matches(counted["source_id"], [*accumulate(counted["edges"].to_pylist())])

    def _by(self, order: str) -> str:
        """Makes the SQL of an order; objects that lack the property come last."""
        name = order.removeprefix("-")
        value = (
            title_sql(CATALOGUE[self._name])
            if name == "name"
            else f"json_extract_string(_raw, {sql_text(f'$.{name}')})"
        )
        return f"lower({value}) {'DESC' if order.startswith('-') else 'ASC'} NULLS LAST"

    def _bodies(self, ids: Any) -> list[str]:
        # Which objects first, and then only those: what fills a table is the text of its objects.
        rows = dict(self._ask("id, _raw", "", within=f"id IN ({_listed(ids)})").fetchall())
        return [str(rows[one]) for one in ids.to_pylist()]

    def _edges(self, sources: Any, ends: Sequence[int], where: str, search: str, limit: int, offset: int) -> list[str]:
        first = bisect_right(ends, offset)
        last = bisect_left(ends, offset + limit)
        before = ends[first - 1] if first else 0
        # Of these sources only, in the place of all.
        chosen = f"source_id IN ({_listed(sources.slice(first, last - first + 1))})"
        tail = f"ORDER BY source_id, target_id LIMIT {limit} OFFSET {offset - before}"
        return [str(row[0]) for row in self._ask(LINK, tail, where, search, chosen).fetchall()]

    def _ask(
        self, what: str, tail: str, where: str = "", search: str = "", within: str = "true"
    ) -> duckdb.DuckDBPyConnection:
        """Asks the copy; or the files, where there is none, and for a condition: that may be over any column."""
        self._questions.disturb()
        if where or not self._copied:
            return self._table.ask(what, tail, where=where, search=search, within=within)
        query = f"SELECT {what} FROM {_COPY} WHERE {within} AND contains(text, lower(?)) {tail}"
        return self._table.cursor().execute(query, [search])


def _listed(texts: Any) -> str:
    return ", ".join(sql_text(text) for text in texts.to_pylist())
