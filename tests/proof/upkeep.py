"""What is done with points that are there: pruned, held, tampered with and verified, asked for by SQL."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import msgspec

from entra_pipeline.analysis.sql.relations import Relations
from entra_pipeline.analysis.sql.session import SqlSession
from entra_pipeline.settings.periods import Period
from entra_pipeline.store.backends import ObjectStore
from entra_pipeline.store.points.keys import moment_of
from entra_pipeline.store.recovery_points import ScopeStore
from entra_pipeline.store.verify import verify
from tests.proof.model import Recorded, State


def must_stay(points: Mapping[str, Recorded], retention: Period, now: datetime, holds: set[str]) -> set[str]:
    """Returns the points that no prune may take, said in another way than the code under test says it."""
    ordered = sorted(points)
    stay = {point for point in ordered if retention.after(moment_of(point)) > now or point in holds or "" in holds}
    stay |= set([point for point in ordered if points[point].manifest.status == "finished"][-1:])
    return stay | set(ordered[-1:])


# --- Tampering -------------------------------------------------------------------------------------------------------


def tamperable(store: ScopeStore, points: Mapping[str, Recorded]) -> list[str]:
    """Returns the keys of files that `verify` answers for, in order."""
    parts = {key for known in points.values() for key in known.manifest.named()}
    told = {store.manifest_key(point) for point in points}
    records = {file.key for file in store.files.list(f"_pruned/{store.scope}/")}
    return sorted(parts | told | records)


def tampered(data: bytes, how: str, other: bytes, number: int) -> bytes | None:
    """Returns what a stored file is changed to; None: it is deleted."""
    place = number % len(data)
    match how:
        case "flip":
            return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
        case "cut":
            return data[:place]
        case "empty":
            return b""
        case "swap":
            return other
    return None


def struck_by(
    store: ScopeStore, points: Mapping[str, Recorded], key: str, how: str
) -> tuple[set[str], set[str]] | None:
    """Returns the points whose verification must fail when a file was tampered with, and those that may besides.

    None: it cannot be known (docs/storage-format.md, "What they cannot show by themselves").
    """
    ordered = sorted(points)
    if key.startswith("_pruned/"):
        left = [file.key for file in store.files.list(f"_pruned/{store.scope}/")]
        orphans = {point for point in ordered if points[point].manifest.parent not in {"", *ordered}}
        return None if how == "delete" and (not left or key > left[-1]) else ({""}, orphans)
    for place, point in enumerate(ordered):
        if key == store.manifest_key(point):
            after = set(ordered[place + 1 : place + 2])
            if how != "delete":
                return {point, *after}, set()
            return (after, set()) if after else None
    return {point for point in ordered if key in points[point].manifest.named()}, set()


def failing(store: ScopeStore) -> set[str]:
    """Returns the points of which `verify` finds something; an empty name stands for the prune records."""
    return {one.point for one in verify(store) if not one.ok}


# --- SQL -------------------------------------------------------------------------------------------------------------


def sql_differences(files: ObjectStore, scope: str, point: str, known: Recorded) -> Iterator[str]:
    """Yields what SQL says otherwise than a point held when it was committed."""
    with SqlSession(Relations({"disk": (files, [scope])})) as session:
        for table, held in known.states.items():
            objects = known.manifest.tables[table].kind == "objects"
            columns = "id, _raw" if objects else "source_id, target_id, target_type"
            rows = session.ask(f"SELECT {columns} FROM {table}_at('{scope}', '{point}')").fetchall()
            found: State = (
                {key: _without_nulls(msgspec.json.decode(raw)) for key, raw in rows}
                if objects
                else {(source, target): kind for source, target, kind in rows}
            )
            if len(rows) != len(found) or found != held:
                yield f"{table}_at {point}: {len(rows)} rows, {_first(found, held)}"
        keys = {str(row[0]) for row in session.ask("SELECT recovery_point FROM recovery_points").fetchall()}
        if point not in keys:
            yield f"recovery_points does not have {point}"


def _first(found: State, held: State) -> str:
    odd = sorted(key for key in found.keys() | held.keys() if found.get(key) != held.get(key))
    return f"{odd[:1]} is {found.get(odd[0])!r} for {held.get(odd[0])!r}" if odd else "keys twice"


def _without_nulls(body: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in body.items() if value is not None}
