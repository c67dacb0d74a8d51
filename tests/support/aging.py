"""A scope that lives for years within seconds: people come, change and go, points are taken and pruned."""

from __future__ import annotations

import os
import random
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import duckdb
import msgspec

from entra_pipeline.backup.run import full_is_due
from entra_pipeline.project import Scope
from entra_pipeline.store.backends import LocalObjectStore, ObjectStore
from entra_pipeline.store.commit import commit
from entra_pipeline.store.manifest import Manifest, Part, TableEntry
from entra_pipeline.store.points.keys import moment_of
from entra_pipeline.store.recovery_points import ScopeStore
from entra_pipeline.store.state import connect, state_query
from tests.support.writing import START, Time, entry, gone, manifest, put, upsert

State = Mapping[str, str]


class AgingFiles(LocalObjectStore):
    """A folder in which files are as old as the clock says."""

    def __init__(self, root: Path, time: Time) -> None:
        super().__init__(root)
        self._time = time

    def create(self, key: str, data: bytes, *, until: datetime | None = None) -> None:
        super().create(key, data, until=until)
        self._stamp(key)

    def replace(self, key: str, data: bytes) -> None:
        super().replace(key, data)
        self._stamp(key)

    def upload(self, key: str, path: Path) -> None:
        super().upload(key, path)
        self._stamp(key)

    def _stamp(self, key: str) -> None:
        seconds = self._time().timestamp()
        os.utime(self.url(key), (seconds, seconds))


class Life:
    """A scope, what it held at each of its points, and the tenant as it is now.

    Attributes:
        scope: The settings.
        time: The clock.
        store: Where its points are.
        people: The tenant: name by id.
        states: What each point has to give back.
        manifests: Their manifests, as they were committed.
        good: The points that finished without exception.
    """

    def __init__(
        self,
        folder: Path,
        *,
        name: str = "contoso",
        begins: datetime = START,
        people: int = 4,
        place: str = "store",
        files: ObjectStore | None = None,
        **settings: str | int,
    ) -> None:
        self.folder = folder
        self.time = Time(begins)
        self.store = ScopeStore(files or AgingFiles(folder / place, self.time), name, self.time)
        self.scope = Scope.model_validate({"name": name, "tenant": "t", "storage": "s", **settings})
        self.people: dict[str, str] = {f"u{number}": f"Name {number}" for number in range(people)}
        self.states: dict[str, dict[str, State]] = {}
        self.manifests: dict[str, Manifest] = {}
        self.good: set[str] = set()
        self._random = random.Random(1)
        self._made = people

    def go_on(self, changes: int = 1) -> None:
        """Somebody comes, goes or is renamed."""
        for _ in range(changes):
            self._made += 1
            whom = self._random.choice(sorted(self.people)) if self.people else ""
            match self._random.randrange(4):
                case 0 if whom:
                    del self.people[whom]
                case 1:
                    self.people[f"u{self._made}"] = f"Name {self._made}"
                case _ if whom:
                    self.people[whom] = f"Renamed {self._made}"

    def back_up(self, *, good: bool = True, full: bool = False) -> Manifest:
        """Takes a point of the tenant as it is: of people, and of who leads whom."""
        latest = self.store.latest()
        full = full or latest is None or full_is_due(self.scope, latest, self.time())
        point = self.store.new_key()
        entries = []
        now: dict[str, State] = {"users": dict(self.people), "user_manager": self._managers()}
        for table, state in now.items():
            before = latest.tables[table] if latest else None
            known = self.states[latest.recovery_point][table] if latest else {}
            entries.append(self._entry(point, table, state, known, before, full=full))
        made = manifest(self.store, point, *entries)
        made = msgspec.structs.replace(
            made,
            kind="full" if full else "incremental",
            status="finished" if good else "finished with exception",
            last_full=point if full else latest.last_full if latest else "",
            last_good=point if good else latest.last_good if latest else "",
        )
        made = commit(self.store, made)
        self.states[point] = now
        self.manifests[point] = made
        if good:
            self.good.add(point)
        return made

    def _managers(self) -> State:
        """Everybody is led by the next one."""
        ids = sorted(self.people)
        return dict(zip(ids, ids[1:] + ids[:1], strict=True))

    def _entry(
        self, point: str, table: str, state: State, known: State, before: TableEntry | None, *, full: bool
    ) -> TableEntry:
        first = before.parts[0].recovery_point if before and before.parts else ""
        behind = sum(part.recovery_point != first for part in before.parts) if before else 0
        base = full or before is None or behind >= self.scope.max_incrementals
        follows = base and not full and before is not None
        own: list[Part] = []
        if base:
            own += self._part(point, table, state, {}, state, role="base", number=0)
        if follows or not base:
            changed = {key: value for key, value in state.items() if known.get(key) != value}
            removed = {key: value for key, value in known.items() if state.get(key) != value}
            own += self._part(point, table, changed, removed, state, role="changes", number=1)
        older = () if base or before is None else before.parts
        made = entry([*older, *own], len(state), table=table, kind="objects" if table == "users" else "edges")
        return msgspec.structs.replace(made, follows=follows)

    def _part(
        self,
        point: str,
        table: str,
        changed: State,
        removed: State,
        state: State,
        *,
        role: Literal["base", "changes"],
        number: int,
    ) -> list[Part]:
        rows = []
        if table == "users":
            raw = '{{"id":"{}","displayName":"{}"}}'
            rows = [upsert(key, value, _raw=raw.format(key, value)) for key, value in changed.items()]
            rows += [gone(key) for key in removed if key not in state]
        else:
            ends = {"target_type": "user", "_reason": None}
            rows = [{"source_id": k, "target_id": v, "_change": "upsert", **ends} for k, v in changed.items()]
            rows += [{"source_id": k, "target_id": v, "_change": "delete", **ends} for k, v in removed.items()]
        return [put(self.store, self.folder, point, rows, role=role, table=table, number=number)] if rows else []

    def expected(self, holds: tuple[str, ...] = ()) -> list[str]:
        """The points that have to be there after a prune, said in another way than the code under test says it."""
        points = sorted(self.states)
        now = self.time()
        left = [point for point in points if self.scope.retention.after(moment_of(point)) > now]
        left += [point for point in points if point in holds or "" in holds]
        left += [point for point in points if point in self.good][-1:]
        return sorted({*left, *points[-1:]})

    def forget(self, points: list[str]) -> None:
        """Follows the store: only these are left."""
        self.states = {point: state for point, state in self.states.items() if point in points}
        self.good &= set(points)

    def assert_exact(self, *points: str) -> None:
        """These points give back what was in the tenant."""
        with connect(self.store.files) as connection:
            for point in points:
                for table, state in self.states[point].items():
                    assert self._read(connection, self.store.manifest(point).tables[table]) == state, (point, table)

    def _read(self, connection: duckdb.DuckDBPyConnection, one: TableEntry) -> State:
        if not one.parts:
            return {}
        columns = "id, displayName" if one.table == "users" else "source_id, target_id"
        rows = connection.execute(state_query(self.store.files, one, columns)).fetchall()
        assert len(rows) == len(dict(rows))
        return dict(rows)

    def keys(self) -> set[str]:
        """Everything in the store but locks."""
        return {file.key for file in self.store.files.list("") if not file.key.startswith("_locks/")}

    def parts(self) -> set[str]:
        """Files of tables in the store."""
        return {key for key in self.keys() if not key.startswith("_")}

    def named(self) -> set[str]:
        """Files that the points name."""
        return {key for point in self.store.points() for key in self.store.manifest(point).named()}


def lived(life: Life, *, days: float, a_day: int = 1, changes: int = 1) -> None:
    """Takes points for some days."""
    for _ in range(round(days * a_day)):
        life.back_up()
        life.go_on(changes)
        life.time.pass_(hours=24 / a_day)


def day(number: int) -> datetime:
    """A day after the start."""
    return datetime(2026, 11, 23, 5, tzinfo=UTC) + timedelta(days=number)
