"""SQL over a thousand recovery points: what a question costs against reading one full snapshot.

The points are made by the store's own writer, without a tenant: 10,000 users, ten of whom change from point to point,
a new base after 30 incrementals, and every other table of the catalogue as it was at the first point.
"""

from __future__ import annotations

import json
import random
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from uuid import UUID

import duckdb
import msgspec
import pyarrow as pa

from benchmarks.report import Bound, Section
from entra_pipeline.analysis.sql import Relations, SqlSession
from entra_pipeline.backup.rows.parquet import write_edges, write_objects
from entra_pipeline.catalogue import CATALOGUE, table_names
from entra_pipeline.clock import iso
from entra_pipeline.store.backends import LocalObjectStore, ObjectStore
from entra_pipeline.store.manifest import Manifest, Part, TableEntry, canonical, seal, sha256
from entra_pipeline.store.parallel import in_parallel
from entra_pipeline.store.points.index import JOINED, join_indexes, write_index
from entra_pipeline.store.points.keys import key_of, part_key
from entra_pipeline.store.recovery_points import ScopeStore
from entra_pipeline.store.retention.prune import GRACE
from entra_pipeline.store.retention.sweep import sweep
from tests.support.s3 import ceph, ceph_is_installed, new_bucket
from tests.support.writing import entry

_USERS = 10_000
_CHANGED = 10
_INCREMENTALS = 30
_COUNTS = (100, 1_000)
_ROUNDS = 5
_SCOPE = "contoso"
_START = datetime(2026, 1, 1, tzinfo=UTC)
_EVERY = timedelta(hours=6)


def measure(folder: Path, scale: float) -> list[Section]:
    """Asks the same of 100 points and of 1,000, in a folder and on S3 where Ceph is installed."""
    users = round(_USERS * scale)
    sections = []
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        stores = {count: _written(Path(temporary, str(count)), count, users) for count in _COUNTS}
        sections.append(_section("in a folder", users, dict(stores)))
        if ceph_is_installed():
            with ceph(Path(temporary, "ceph")) as endpoint:
                copies: dict[int, ObjectStore] = {count: new_bucket(endpoint).files() for count in _COUNTS}
                for count, store in stores.items():
                    _copy(store, copies[count])
                sections.append(_section("on S3 (Ceph)", users, copies))
    return sections


# --- What is asked ---------------------------------------------------------------------------------------------------


def _questions(files: ObjectStore, count: int) -> dict[str, tuple[str, int]]:
    """Question → SQL, and how many times the reading of a full snapshot it may take; 0 where that is only shown."""
    middle = _point(count // 2 + 10)
    someone = _identifier(0)
    return {
        "a full snapshot's files": (f"FROM read_parquet('{files.url(_base(_point(0)))}')", 0),
        "users_at": (f"FROM users_at('{_SCOPE}', '{middle}')", 3),
        "users": ("FROM users", 0),
        "users_history of one user": (f"FROM users_history WHERE id = '{someone}'", 5),
        "changes per day of a week": (
            'SELECT moment::DATE AS day, "table", sum(added), sum(changed), sum(deleted) FROM recovery_point_tables '
            f"WHERE recovery_point >= '{_point(count - 28)}' GROUP BY ALL",
            5,
        ),
    }


def _section(where: str, users: int, stores: dict[int, ObjectStore]) -> Section:
    times: dict[int, dict[str, float]] = {}
    for count, files in stores.items():
        with SqlSession(Relations({"bench": (files, [_SCOPE])})) as session:
            times[count] = {name: _taken(session, sql) for name, (sql, _) in _questions(files, count).items()}
    few, many = _COUNTS
    questions = _questions(stores[many], many)
    base = next(iter(questions))
    rows = [{"question": name, "few": times[few][name], "many": times[many][name]} for name in questions]
    bounds = [
        Bound(f"{name} at {many:,} points, against a full snapshot", times[many][name] / times[many][base], limit)
        for name, (_, limit) in questions.items()
        if limit
    ]
    return Section(
        title=f"SQL over time {where}",
        method=f"{users:,} users, of whom {_CHANGED} change between two points; a new base after {_INCREMENTALS} "
        f"incrementals; {len(table_names()) - 1} other tables that do not change. Queries fetch all columns of all "
        f"rows. Times are medians of {_ROUNDS} runs after a first one.",
        columns={"question": "query", "few": f"{few:,} points, s", "many": f"{many:,} points, s"},
        rows=rows,
        bounds=bounds,
    )


def _taken(session: SqlSession, query: str) -> float:
    def ask() -> float:
        started = time.perf_counter()
        session.ask(query).fetch_arrow_table()
        return time.perf_counter() - started

    ask()
    return median(ask() for _ in range(_ROUNDS))


# --- The points ------------------------------------------------------------------------------------------------------


def _point(number: int) -> str:
    return key_of(_START + number * _EVERY)


def _base(point: str) -> str:
    return part_key(_SCOPE, "users", point, 0)


def _identifier(number: int) -> str:
    return str(UUID(int=random.Random(number).getrandbits(128), version=4))


def _user(number: int, version: int) -> str:
    identifier = _identifier(number)
    name = f"User {number:05d}"
    mail = f"user{number:05d}@contoso.example"
    return json.dumps(
        {
            "id": identifier,
            "accountEnabled": number % 17 != 0,
            "businessPhones": [f"+46 8 {number:07d}"],
            "city": "Stockholm",
            "companyName": "Contoso",
            "country": "Sweden",
            "createdDateTime": iso(_START - timedelta(minutes=number)),
            "department": ("Finance", "Sales", "IT", "HR")[number % 4],
            "displayName": name,
            "employeeId": f"{number:06d}",
            "givenName": "User",
            "identities": [
                {"signInType": "userPrincipalName", "issuer": "contoso.example", "issuerAssignedId": mail},
            ],
            "jobTitle": f"Title {version}",
            "mail": mail,
            "mailNickname": f"user{number:05d}",
            "onPremisesExtensionAttributes": {f"extensionAttribute{n}": None for n in range(1, 16)},
            "proxyAddresses": [f"SMTP:{mail}"],
            "securityIdentifier": f"S-1-12-1-{random.Random(-number).getrandbits(120)}",
            "surname": f"{number:05d}",
            "userPrincipalName": mail,
            "userType": "Member" if number % 10 else "Guest",
        }
    )


def _written(root: Path, count: int, users: int) -> ObjectStore:
    """A store with points."""
    files = LocalObjectStore(root)
    store = ScopeStore(files, _SCOPE)
    random_ = random.Random(count)
    rows = {_identifier(number): (number, 0) for number in range(users)}
    someone = _identifier(0)
    with tempfile.TemporaryDirectory() as work, duckdb.connect() as connection:
        path = Path(work, "part.parquet")

        def part(point: str, table: str, file: int, chosen: list[tuple[str, str]], role: str) -> Part:
            if table in CATALOGUE:
                made = pa.table(
                    {
                        "id": [identifier for identifier, _ in chosen],
                        "parent_id": pa.nulls(len(chosen), pa.string()),
                        "change": ["upsert"] * len(chosen),
                        "raw": [raw for _, raw in chosen],
                    }
                )
                connection.register("made", made)
                write_objects(connection, "made", table, path)
            else:
                made = pa.table({"source_id": ["a"], "target_id": ["b"], "target_type": ["user"], "change": ["upsert"]})
                connection.register("made", made.append_column("reason", pa.nulls(1, pa.string())))
                write_edges(connection, "made", table, path)
            rows_ = max(len(chosen), 1)
            return store.staging.write_part(
                point, table, file, path, role="base" if role == "base" else "changes", rows=rows_
            )

        def sorted_users() -> list[tuple[str, str]]:
            return [(identifier, _user(*rows[identifier])) for identifier in sorted(rows)]

        first = _point(0)
        still = {
            table: _entry(table, (part(first, table, 0, [("x", '{"id":"x"}')], "base"),), 1)
            for table in table_names()
            if table != "users"
        }
        parts: tuple[Part, ...] = ()
        parent, digest = "", ""
        for number in range(count):
            point = _point(number)
            changed = random_.sample(sorted(rows), _CHANGED - 1) if number else []
            if number % 100 == 50:
                changed.append(someone)
            for identifier in changed:
                rows[identifier] = (rows[identifier][0], number)
            chosen = [(identifier, _user(*rows[identifier])) for identifier in sorted(set(changed))]
            own = (part(point, "users", 1, chosen, "changes"),) if chosen else ()
            base = number % (_INCREMENTALS + 1) == 0
            if base:
                parts = (part(point, "users", 0, sorted_users(), "base"), *own)
            else:
                parts = (*parts, *own)
            manifest = seal(
                Manifest(
                    tool="benchmark",
                    scope=_SCOPE,
                    tenant_id=str(UUID(int=1)),
                    recovery_point=point,
                    kind="incremental" if number else "full",
                    status="finished",
                    started=iso(_START + number * _EVERY),
                    finished=iso(_START + number * _EVERY),
                    parent=parent,
                    parent_sha256=digest,
                    last_full=first,
                    tables={**still, "users": _entry("users", parts, users, follows=base and number > 0)},
                    selection={},
                )
            )
            write_index(files, manifest)
            files.create(store.manifest_key(point), canonical(manifest))
            parent, digest = point, sha256(canonical(manifest))
            if number % JOINED == JOINED - 1:
                join_indexes(files, _SCOPE, store.indexes(), store.points())
    # As the daily prune leaves it: without the files of the index that others have taken the place of.
    sweep(ScopeStore(files, _SCOPE, lambda: datetime.now(UTC) + GRACE), grace=GRACE)
    return files


def _entry(table: str, parts: tuple[Part, ...], live: int, *, follows: bool = False) -> TableEntry:
    made = entry(parts, live, table=table, kind="objects" if table in CATALOGUE else "edges")
    return msgspec.structs.replace(made, read="incremental", changed=_CHANGED, follows=follows)


def _copy(source: ObjectStore, target: ObjectStore) -> None:
    in_parallel(lambda file: target.replace(file.key, source.read(file.key)), list(source.list("")))
