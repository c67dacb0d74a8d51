"""How many of a subscription's seats are used: enabled users of type member, per tenant, over time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from datetime import date
from typing import Any

import duckdb

from entra_pipeline.clock import iso
from entra_pipeline.errors import EntraPipelineError
from entra_pipeline.project import Scope
from entra_pipeline.project.stores import open_store
from entra_pipeline.reports.model import Chart, Column, Report, ReportRequest, ReportTable
from entra_pipeline.store.manifest import Part, TableEntry
from entra_pipeline.store.parallel import in_parallel
from entra_pipeline.store.points.keys import moment_of
from entra_pipeline.store.recovery_points import ScopeStore
from entra_pipeline.store.state import connect

WARNING = 0.9
"""Share of the seats from which on there is a warning."""

# Microsoft's page "user resource type": userType is Member or Guest, and null for members of old.
_SEAT = "accountEnabled AND coalesce(userType, 'Member') = 'Member'"
_LINES = 6
_Counted = dict[date, tuple[int, str]]
_TENANTS = (
    Column("tenant", "tenant", "key"),
    Column("seats", "seats", "number"),
    Column("used", "used", "number"),
    Column("share", "share", "percent"),
    Column("state", "state", "status"),
    Column("as_of", "as of", "key"),
    Column("scope", "by scope", "key"),
)
_DAYS = (
    Column("day", "day", "key"),
    Column("tenant", "tenant", "key"),
    Column("used", "used", "number"),
    Column("seats", "seats", "number"),
)


def subscription(request: ReportRequest) -> Report:
    """The report; reads the users of each tenant at the last recovery point of each day that has other users."""
    rows: list[dict[str, Any]] = []
    days: list[dict[str, Any]] = []
    problems = []
    for tenant, scope, counted in _by_tenant(request):
        seats = request.project.tenants[tenant].seats
        if isinstance(counted, EntraPipelineError):
            problems.append(f"tenant {tenant}: {counted.message}")
            continue
        used, point = list(counted.values())[-1] if counted else (None, "")
        share = used / seats if used is not None and seats else None
        rows.append(
            {
                "tenant": tenant,
                "seats": seats,
                "used": used,
                "share": share,
                "state": _state(used, share),
                "as_of": point,
                "scope": scope.name,
            }
        )
        days += [
            {"day": day.isoformat(), "tenant": tenant, "used": number, "seats": seats}
            for day, (number, _) in counted.items()
        ]
        if scope.select is not None:
            problems.append(f"tenant {tenant}: scope {scope.name} protects selected users only; others are not counted")
    for tenant in request.project.tenants:
        if tenant not in _scopes(request) and not request.scope:
            problems.append(f"tenant {tenant}: no scope protects its users")
    rows.sort(key=lambda row: row["share"] or 0, reverse=True)
    days.sort(key=lambda row: (row["day"], row["tenant"]))
    return Report(
        name="subscription",
        title="Subscription",
        subtitle=request.subtitle(),
        made=iso(request.now),
        facts={
            "seats": sum(row["seats"] or 0 for row in rows),
            "used": sum(row["used"] or 0 for row in rows),
            "warning from": f"{WARNING * 100:.0f} %",
        },
        tables=[
            ReportTable("tenants", "Tenants", _TENANTS, rows, "no tenant"),
            ReportTable(
                "days",
                "Over time",
                _DAYS,
                days,
                "no recovery point",
                newest_last=True,
            ),
        ],
        charts=_chart(request, rows, days) if days else (),
        problems=problems,
    )


def _scopes(request: ReportRequest) -> dict[str, Scope]:
    """For each tenant the scope that knows its users best."""
    found: dict[str, Scope] = {}
    for scope in request.scopes():
        before = found.get(scope.tenant)
        if "users" in scope.types() and (before is None or (before.select and not scope.select)):
            found[scope.tenant] = scope
    return found


def _by_tenant(request: ReportRequest) -> Iterator[tuple[str, Scope, _Counted | EntraPipelineError]]:
    """The tenants, the scope that tells of each, and what was counted, or why nothing could be."""
    with ExitStack() as open_:
        connections: dict[str, duckdb.DuckDBPyConnection] = {}
        for tenant, scope in _scopes(request).items():
            try:
                store = open_store(request.project, scope)
                if scope.storage not in connections:
                    connections[scope.storage] = open_.enter_context(connect(store.files))
                yield tenant, scope, _counted(store, request, connections[scope.storage])
            except EntraPipelineError as error:
                yield tenant, scope, error


def _counted(store: ScopeStore, request: ReportRequest, connection: duckdb.DuckDBPyConnection) -> _Counted:
    """Used seats at the end of each day, with the recovery point; days before the first are left out."""
    last: dict[date, str] = {}
    before = ""
    for point in store.points():
        moment = moment_of(point)
        if moment < request.begin:
            before = point
        elif moment < request.end:
            last[moment.date()] = point
    counts: dict[tuple[Part, ...], int] = {}
    found: _Counted = {}
    state: tuple[int, str] | None = None

    def users(point: str) -> tuple[str, TableEntry | None]:
        return point, store.manifest(point).tables.get("users")

    tables = dict(in_parallel(users, [point for point in (before, *last.values()) if point]))

    def count(point: str) -> tuple[int, str] | None:
        entry = tables[point]
        if entry is None or entry.read == "never":
            return None
        if entry.parts not in counts:
            query = store.intact_state(entry, "accountEnabled, userType")
            (row,) = connection.execute(f"SELECT count(*) FROM ({query}) WHERE {_SEAT}").fetchall()
            counts[entry.parts] = int(row[0])
        return counts[entry.parts], point

    for day in request.days():
        if point := last.get(day) or (before if state is None and before else ""):
            state = count(point) or state
            before = ""
        if state is not None and day <= request.now.date():
            found[day] = state
    return found


def _state(used: int | None, share: float | None) -> str:
    if used is None:
        return "never backed up"
    if share is None:
        return "no seats set"
    return "over" if share > 1 else "warning" if share >= WARNING else "ok"


def _chart(request: ReportRequest, rows: list[dict[str, Any]], days: list[dict[str, Any]]) -> list[Chart]:
    fullest = [row for row in rows if row["used"] is not None][:_LINES]
    used = {(row["day"], row["tenant"]): row["used"] for row in days}
    labels = [f"{day:%d %b}" for day in request.days()]
    if len(fullest) == 1:
        [row] = fullest
        series = {row["tenant"]: [used.get((day.isoformat(), row["tenant"])) for day in request.days()]}
        return [Chart("Seats used", labels, series, kind="lines", limit=row["seats"])]
    shares = {row["tenant"]: [_percent(used, day, row) for day in request.days()] for row in fullest if row["seats"]}
    title = "Share of the seats used, in per cent" + (", of the fullest tenants" if len(rows) > len(fullest) else "")
    return [Chart(title, labels, shares, kind="lines", limit=100)] if shares else []


def _percent(used: Mapping[tuple[str, str], int], day: date, row: Mapping[str, Any]) -> float | None:
    number = used.get((day.isoformat(), row["tenant"]))
    return None if number is None else number / row["seats"] * 100
