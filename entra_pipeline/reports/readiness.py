"""Whether each scope could be restored today: last good point, freshness, gaps, the last drill."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec

from entra_pipeline.clock import iso
from entra_pipeline.errors import EntraPipelineError, IntegrityError
from entra_pipeline.project import Scope
from entra_pipeline.project.stores import open_store
from entra_pipeline.reports.health import FRESH, LATE, MISSING, NEVER, NO_GOOD, UNSCHEDULED, health
from entra_pipeline.reports.model import Column, Report, ReportRequest, ReportTable
from entra_pipeline.store.recovery_points import ScopeStore

_COLUMNS = (
    Column("scope", "scope", "key"),
    Column("verdict", "verdict", "status"),
    Column("freshness", "freshness", "status"),
    Column("last_good", "last good point", "key"),
    Column("age_seconds", "age", "seconds"),
    Column("last", "last point", "key"),
    Column("status", "status", "status"),
    Column("gaps", "gaps", "number"),
    Column("next", "next backup", "moment"),
    Column("drill", "last drill", "moment"),
    Column("drilled", "its outcome", "status"),
    Column("properties", "properties back", "percent"),
    Column("links", "links back", "percent"),
    Column("writes", "may write", "status"),
)
_GAPS = (
    Column("scope", "scope", "key"),
    Column("table", "type", "types"),
    Column("what", "what is missing", "prose"),
    Column("since", "shown as of"),
    Column("reason", "why", "prose"),
    Column("remedy", "what to do", "prose"),
)
_LACKING = (
    Column("scope", "scope", "key"),
    Column("table", "type", "types"),
    Column("what", "what"),
    Column("properties", "properties", "properties"),
    Column("number", "objects", "number"),
    Column("example", "for example"),
    Column("reason", "why", "prose"),
)


FELL_SHORT = "drill fell short"
_WORST_FIRST = (
    "unknown",
    NEVER,
    NO_GOOD,
    f"{MISSING} backup",
    f"{LATE} backup",
    "no right to write",
    "gaps",
    FELL_SHORT,
    "never rehearsed",
    "ready",
)


class _Difference(msgspec.Struct):
    """Something that did not come back in a drill as it was."""

    table: str
    id: str
    what: str
    name: str = ""
    properties: dict[str, Any] = {}
    reason: str = ""


class LastDrill(msgspec.Struct):
    """What is told of a drill's result: properties and links that there were, and that were equal after it."""

    finished: str
    status: str
    properties: int
    properties_equal: int
    links: int
    links_equal: int
    differences: tuple[_Difference, ...] = ()


_DRILL_DECODER = msgspec.json.Decoder(LastDrill)


def readiness(request: ReportRequest) -> Report:
    """The report; reads of each scope the newest manifest and the last good one, and its last drill."""
    rows, gaps, differences, problems = [], [], [], []
    for scope in request.scopes():
        try:
            store = open_store(request.project, scope)
            drill = last_drill(store)
            row, lacking = _scope(request, scope, store, drill)
            differences += _differences(scope, drill)
        except EntraPipelineError as error:
            problems.append(f"scope {scope.name}: {error.message}")
            row, lacking = {"scope": scope.name, "verdict": "unknown"}, []
        rows.append(row)
        gaps += lacking
    rows.sort(key=lambda row: (_WORST_FIRST.index(row["verdict"]), row["scope"]))
    verdicts = Counter(str(row["verdict"]) for row in rows)
    # Where there is nothing to look at, nothing is well.
    missing = "nothing is missing" if any(row.get("last") for row in rows) else "no recovery point yet"
    lost = "everything was restored" if any(row.get("drill") for row in rows) else "no restore drill has been completed"
    return Report(
        name="readiness",
        title="Restore readiness",
        subtitle=f"as of {request.now:%Y-%m-%d %H:%M} UTC",
        made=iso(request.now),
        facts={"scopes": len(rows), **verdicts},
        tables=[
            ReportTable("scopes", "Scopes", _COLUMNS, rows, "no scope"),
            ReportTable("gaps", "Gaps of the last recovery points", _GAPS, gaps, missing),
            ReportTable("drills", "Not restored in the last drills", _LACKING, differences, lost),
        ],
        problems=problems,
    )


def _scope(
    request: ReportRequest, scope: Scope, store: ScopeStore, drill: LastDrill | None
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    found = health(scope, store, request.now)
    tenant = request.project.tenants[scope.tenant]
    tables = found.latest.tables if found.latest else {}
    gaps = [
        {"scope": scope.name, "table": name, **msgspec.to_builtins(gap)}
        for name, entry in tables.items()
        for gap in entry.gaps
    ]
    writes = tenant.restore is not None or tenant.simulator is not None
    row = {
        "scope": scope.name,
        "freshness": found.freshness,
        "last_good": found.good,
        "age_seconds": found.age.total_seconds() if found.age is not None else None,
        "last": found.latest.recovery_point if found.latest else "",
        "status": found.latest.status if found.latest else "never backed up",
        "gaps": len(gaps),
        "next": iso(found.due) if found.due else "",
        "drill": drill.finished if drill else "",
        "drilled": drill.status if drill else "",
        "properties": _share(drill.properties_equal, drill.properties) if drill else None,
        "links": _share(drill.links_equal, drill.links) if drill else None,
        "writes": "yes" if writes else "no",
    }
    return {**row, "verdict": _verdict(found.freshness, gaps, drill, writes=writes)}, gaps


def _verdict(freshness: str, gaps: list[dict[str, Any]], drill: LastDrill | None, *, writes: bool) -> str:
    """The worst thing there is to say."""
    if freshness in (NEVER, NO_GOOD):
        return freshness
    if freshness not in (FRESH, UNSCHEDULED):
        return f"{freshness} backup"
    if not writes:
        return "no right to write"
    if gaps:
        return "gaps"
    if drill is None:
        return "never rehearsed"
    return "ready" if drill.status == "finished" else FELL_SHORT


def last_drill(store: ScopeStore) -> LastDrill | None:
    """Returns the result of a scope's last drill; None when there was none.

    Raises:
        IntegrityError: It cannot be read.
        StoreError: The store cannot be read.
    """
    keys = [file.key for file in store.files.list(f"_drills/{store.scope}/")]
    try:
        return _DRILL_DECODER.decode(store.files.read(max(keys))) if keys else None
    except msgspec.DecodeError:
        raise IntegrityError(
            "the result of its last drill cannot be read", remedy="Run a drill again: entra-pipeline drill."
        ) from None


def _differences(scope: Scope, drill: LastDrill | None) -> list[dict[str, Any]]:
    """Not restored, a row per type and reason."""
    grouped: dict[tuple[str, str, str], list[_Difference]] = {}
    for one in drill.differences if drill else ():
        grouped.setdefault((one.table, one.what, one.reason), []).append(one)
    named = {key: ", ".join(sorted({name for one in ones for name in one.properties})) for key, ones in grouped.items()}
    return [
        {
            "scope": scope.name,
            "table": table,
            "what": what,
            "properties": named[table, what, reason],
            "number": len(ones),
            "example": ones[0].name or ones[0].id,
            "reason": reason,
        }
        for (table, what, reason), ones in grouped.items()
    ]


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
