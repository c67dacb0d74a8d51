"""What runs in a process that answers pages: one question after the other, until nobody asks any more."""

from __future__ import annotations

import os
import resource
import tempfile
from collections import Counter, OrderedDict
from collections.abc import Collection, Mapping, Sequence
from itertools import islice
from multiprocessing.connection import Connection
from time import monotonic
from typing import Any

import msgspec

from entra_pipeline.analysis.authors import audited_changes
from entra_pipeline.analysis.browse import states
from entra_pipeline.analysis.change_rows import change_rows, summary_rows
from entra_pipeline.analysis.changes import bases
from entra_pipeline.analysis.finding import find_by_name
from entra_pipeline.analysis.linking.called import called
from entra_pipeline.analysis.linking.copies import PointCopies
from entra_pipeline.analysis.linking.related import related_in
from entra_pipeline.analysis.names import guids_of, named_text, short_pair
from entra_pipeline.analysis.objects import known_ids
from entra_pipeline.analysis.paging import ObjectPageCache
from entra_pipeline.analysis.sql.bounded import LESS, TOO_MUCH
from entra_pipeline.catalogue import CATALOGUE, RELATIONS, table_names, with_children
from entra_pipeline.console.alerts import Seats
from entra_pipeline.console.reading import bounds
from entra_pipeline.console.reading.bounds import REQUEST_DECODER, ReadOutcome, ReadRequest
from entra_pipeline.console.reading.reporting import attention, named, people, report_file, report_page
from entra_pipeline.errors import EntraPipelineError, UsageError
from entra_pipeline.project import Project, load_project
from entra_pipeline.project.stores import open_store
from entra_pipeline.store.erasure.erase import Erasure
from entra_pipeline.store.manifest import Manifest
from entra_pipeline.store.points.keys import moment_of
from entra_pipeline.store.points.usage import stored_bytes
from entra_pipeline.store.recovery_points import ScopeStore

KINDS = ("added", "removed", "modified")
"""Changes that a comparison shows."""
_TOO_LARGE = f"the answer has more than {bounds.BYTES // 1_000_000} MB"
_MANIFESTS = 100
_TABLES = 8
_PARTS = 20
# Of a change, the names of the object and of the other end of a link, and the ids that these are of.
_ENDS = (("name", "id"), ("target_name", "target_id"))
# Seconds after which a store is opened anew: what it has hashed by then is hashed again before it is believed.
_AGE = 900.0


def answer(project: str, folder: str, asked: Connection) -> None:
    """Answers questions of a project's console, as `ReadRequest` in bytes, until the other side closes.

    Args:
        project: The configuration file.
        folder: Where it writes what does not fit into memory; the one who asks removes it.
        asked: Where questions come from and answers go.
    """
    for limit, most in ((resource.RLIMIT_AS, bounds.ADDRESS_SPACE), (resource.RLIMIT_CORE, 0)):
        resource.setrlimit(limit, (most, most))
    os.umask(0o077)
    os.chdir(folder)
    tempfile.tempdir = folder
    reader: Reader | None = None
    while True:
        try:
            data = asked.recv_bytes()
        except (EOFError, OSError):
            os._exit(0)
        try:
            reader = reader or Reader(load_project(project))
            outcome = ReadOutcome(answer=reader.answer(REQUEST_DECODER.decode(data)))
        except EntraPipelineError as error:
            outcome = ReadOutcome(kind=type(error).__name__, message=error.message, remedy=error.remedy)
        except MemoryError:
            outcome = ReadOutcome(kind="UsageError", message=TOO_MUCH, remedy=LESS)
        asked.send_bytes(encoded(outcome))


def encoded(outcome: ReadOutcome) -> bytes:
    """An outcome as it is sent; one that is too large is refused here, where memory is bounded."""
    data = msgspec.msgpack.encode(outcome)
    if len(data) <= bounds.BYTES:
        return data
    return msgspec.msgpack.encode(ReadOutcome(kind="UsageError", message=_TOO_LARGE, remedy=LESS))


class Reader:
    """What can be asked about the recovery points of a project.

    Args:
        project: The configuration.
    """

    def __init__(self, project: Project) -> None:
        self._project = project
        self._stores: dict[str, tuple[ScopeStore, float]] = {}
        self._manifests: OrderedDict[tuple[str, str], Manifest] = OrderedDict()
        self._pages = ObjectPageCache(tables=_TABLES)
        self._copies = PointCopies()
        self._seats = Seats()
        self._parts: OrderedDict[tuple[str, ...], Project] = OrderedDict()

    def answer(self, request: ReadRequest) -> Any:
        """What is asked for, as MessagePack has it.

        Raises:
            EntraPipelineError: As the functions of `analysis` that find it.
        """
        given = dict(request.arguments)
        project = self._visible(request.visible)
        if request.what == "report":
            return report_page(project, given)
        if request.what == "file":
            return report_file(project, given, given.pop("format"))
        if request.what == "attention":
            return attention(project, self._store, self._seats, **given)
        if request.what == "people":
            return people(project, **given)
        if request.what == "named":
            return named(project, **given)
        store = self._store(project.scope(request.scope).name)
        if request.what == "stored":
            return stored_bytes(store.files, store.scope, table_names())
        if request.what == "erasure":
            return _erasure(store, **given)
        if request.what == "differences":
            return self._differences(store, **given)
        if request.what == "states":
            points = given.pop("points")
            return states(store, [self._manifest(store, point) for point in points], **given)
        if request.what == "authors":
            first, end = moment_of(given["first"]), moment_of(given["end"])
            changes = audited_changes(store, given["identifier"], first, end)
            return {"found": [one._asdict() for one in changes.found], "kept": changes.kept}
        manifest = self._manifest(store, given.pop("point"))
        if request.what == "page":
            some = self._pages.page(store, manifest, **given)
            return {"rows": some.rows, "total": some.total}
        if request.what == "known":
            return sorted(_known(store, manifest, **given))
        if request.what == "find":
            return self._found(store, manifest, **given)
        if request.what == "called":
            return self._called(store, manifest, **given)
        if request.what == "one":
            return self._pages.one(store, manifest, **given)
        raw = self._pages.one(store, manifest, given["table"], given["identifier"])
        found = related_in(self._copies.of(store, manifest), raw=raw, **given)
        return {"counts": [[*key, number] for key, number in found.counts.items()], "rows": found.rows}

    def _visible(self, scopes: tuple[str, ...] | None) -> Project:
        """The configuration with some scopes only, or the whole; what was made of it stays while it is asked for."""
        if scopes is None:
            return self._project
        part = self._parts.pop(scopes, None)
        self._parts[scopes] = part = part or self._project.narrowed(scopes)
        while len(self._parts) > _PARTS:
            self._parts.popitem(last=False)
        return part

    def _store(self, scope: str) -> ScopeStore:
        store, since = self._stores.get(scope, (None, 0.0))
        if store is None or monotonic() - since > _AGE:
            store = open_store(self._project, scope)
            self._stores[scope] = store, monotonic()
        return store

    def _manifest(self, store: ScopeStore, point: str) -> Manifest:
        key = (store.scope, point)
        if key not in self._manifests:
            self._manifests[key] = store.manifest(point)
        self._manifests.move_to_end(key)
        while len(self._manifests) > _MANIFESTS:
            self._manifests.popitem(last=False)
        return self._manifests[key]

    def _called(self, store: ScopeStore, manifest: Manifest, texts: Collection[str]) -> dict[str, tuple[str, str, str]]:
        """Which objects some ids and aliases are: text → type, id, what people call it."""
        found = called(self._copies.of(store, manifest), texts) if texts else {}
        return {text: (one.kind, one.id, one.name) for text, one in found.items()}

    def _found(self, store: ScopeStore, manifest: Manifest, **asked: Any) -> list[Any]:
        """Objects that a text finds, and how many there are; those that have only an id are called as people do."""
        found, totals = find_by_name(self._copies.of(store, manifest), **asked)
        names = self._called(store, manifest, {one.id for one in found if one.name in ("", one.id)})
        return [[one._replace(name=names[one.id][2]) if one.id in names else one for one in found], totals]

    def _names_in_changes(
        self, store: ScopeStore, then: Manifest, now: Manifest, rows: Sequence[dict[str, Any]]
    ) -> dict[str, str]:
        """What people call the objects whose ids are in changes: at the later point, else at the earlier one."""
        before, after = _unnamed(rows)
        names = {text: name for text, (_, _, name) in self._called(store, now, before | after).items()}
        # To open another point takes time: only what was there before may be known there alone.
        left = self._called(store, then, before - names.keys())
        return names | {text: name for text, (_, _, name) in left.items()}

    def _differences(
        self, store: ScopeStore, *, before: str, after: str, chosen: str, kind: str, offset: int, limit: int
    ) -> dict[str, Any]:
        """A page of what differs between two points, and how much differs in all."""
        then, now = self._manifest(store, before), self._manifest(store, after)
        if chosen and chosen not in table_names():
            raise UsageError(f"there is no object type {chosen!r}", remedy="Choose one of the list.")
        tables = table_names(with_children([chosen])) if chosen in CATALOGUE else [chosen] if chosen else None
        counted: Counter[tuple[str, str]] = Counter()

        def read_rows() -> Any:
            for row in change_rows(store, then, now, tables):
                counted[row["table"], row["change"]] += 1
                if row["change"] != "volatile" and kind in ("", row["change"]):
                    yield row

        rows = read_rows()
        # Counted are all; kept are those that the page shows.
        passed = sum(1 for _ in islice(rows, offset))
        some = list(islice(rows, limit))
        total = passed + len(some) + sum(1 for _ in rows)
        summary = summary_rows(bases(then, now, tables), counted)
        new = _new_sources(store, then, some)
        names = self._names_in_changes(store, then, now, some)
        return {
            "rows": [{**_line(row, names), "new": (row["table"], row["id"]) in new} for row in some],
            "summary": [row for row in summary if any(row[one] for one in KINDS)],
            "notes": [row for row in summary if row["notes"]],
            "total": total,
        }


def _erasure(store: ScopeStore, name: str) -> dict[str, Any]:
    """Whom a name means, and what erasing that person takes away."""
    erasure = Erasure.plan(store, name)
    return {
        "person": erasure.person,
        "called": erasure.called,
        "rows": dict(erasure.found.rows),
        "points": erasure.found.points,
        "naming": erasure.naming,
        "held": erasure.held(),
    }


def _known(store: ScopeStore, manifest: Manifest, ids: Sequence[str], types: Sequence[str]) -> set[str]:
    """Those of the ids that a recovery point has; looked for in the types that are named, and only then in all."""
    found = known_ids(store, manifest, [name for name in types if name in CATALOGUE], ids)
    if left := set(ids) - found:
        others = [name for name in manifest.tables if name in CATALOGUE and name not in types]
        found |= known_ids(store, manifest, others, left)
    return found


def _new_sources(store: ScopeStore, then: Manifest, rows: list[dict[str, Any]]) -> set[tuple[str, str]]:
    """The added links, by relation and source, whose source the earlier point does not have: they came with it."""
    new: set[tuple[str, str]] = set()
    wanted: dict[str, set[str]] = {}
    for row in rows:
        if row["change"] == "added" and row["table"] in RELATIONS:
            wanted.setdefault(row["table"], set()).add(row["id"])
    for relation, ids in wanted.items():
        owner = RELATIONS[relation][0].name
        # Of a type that the earlier point never read, nobody knows what was there.
        if owner in then.tables and then.tables[owner].read != "never":
            new |= {(relation, one) for one in ids - known_ids(store, then, [owner], ids)}
    return new


def _unnamed(rows: Sequence[dict[str, Any]]) -> tuple[set[str], set[str]]:
    """The ids in changes that nothing names yet: those of what was before, and those of what is now."""
    before: set[str] = set()
    after: set[str] = set()
    for row in rows:
        for values in row.get("properties", {}).values():
            before |= guids_of(values["before"])
            after |= guids_of(values["after"])
        # A name may be made of ids.
        ends = [(row[name], row[of]) for name, of in _ENDS if of in row]
        ids = {one for name, of in ends for one in ({of} if name in ("", of) else guids_of(name))}
        if row["change"] == "removed":
            before |= ids
        else:
            after |= ids
    return before, after


def _line(row: dict[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """A change as a line for people."""
    properties = [
        (key, *short_pair(one["before"], one["after"], names)) for key, one in row.get("properties", {}).items()
    ]
    wanted = {key: value for key, value in row.items() if key not in ("object", "volatile")}
    ends = {
        name: names.get(row[of], row[of]) if row[name] in ("", row[of]) else named_text(row[name], names)
        for name, of in _ENDS
        if of in row
    }
    return {**wanted, **ends, "properties": properties}
