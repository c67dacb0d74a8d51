"""What is protected, by category and day, and what changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import date

from entra_pipeline.analysis.manifest_rows import category, tables_in_order
from entra_pipeline.clock import iso
from entra_pipeline.errors import EntraPipelineError
from entra_pipeline.project.stores import open_store
from entra_pipeline.reports.model import Chart, Column, Report, ReportRequest, ReportTable
from entra_pipeline.store.manifest import Manifest
from entra_pipeline.store.parallel import in_parallel
from entra_pipeline.store.points.keys import moment_of
from entra_pipeline.store.recovery_points import ScopeStore

_CHANGES = ("added", "changed", "deleted")
# What the first backup of a type found was not added on that day.
_COUNTED = ("baseline", *_CHANGES)
_COUNTS = ("objects", "links", *_COUNTED)
_NUMBERS = tuple(Column(name, "first read" if name == "baseline" else name, "number") for name in _COUNTS)
_DAYS = (Column("day", "day", "key"), Column("category", "category"), *_NUMBERS)
_CATEGORIES = (Column("category", "category"), *_NUMBERS)
_SCOPES = (
    Column("scope", "scope", "key"),
    Column("recovery_points", "recovery points", "number"),
    Column("last", "last recovery point", "key"),
    Column("status", "status", "status"),
    *_NUMBERS,
)
_SHOWN_IN_CHART = 7

# Category → what is counted.
_Counts = Mapping[str, Counter[str]]


def backup_analysis(request: ReportRequest) -> Report:
    """The report; reads the manifests of the days, and of each scope the one before them."""
    days, problems, scopes = request.days(), [], []
    held: dict[date, dict[str, Counter[str]]] = {day: {} for day in days}
    for scope in request.scopes():
        try:
            store = open_store(request.project, scope)
            found = _scope_days(store, request)
        except EntraPipelineError as error:
            problems.append(f"scope {scope.name}: {error.message}")
            continue
        for day, counts in found.days.items():
            for name, numbers in counts.items():
                held[day].setdefault(name, Counter()).update(numbers)
        scopes.append({"scope": scope.name, **found.row()})
    by_day = [
        {"day": day.isoformat(), "category": name, **_row(numbers)}
        for day in days
        for name, numbers in held[day].items()
    ]
    latest = held[days[-1]]
    changed = _changes(held[day] for day in days)
    categories = [
        {"category": name, **_row(numbers), **{key: changed[name][key] for key in _COUNTED}}
        for name, numbers in latest.items()
    ]
    empty = "no recovery point"
    return Report(
        name="backup-analysis",
        title="Backup analysis",
        subtitle=request.subtitle(),
        made=iso(request.now),
        facts={
            "scopes": len(request.scopes()),
            "recovery points": sum(row["recovery_points"] for row in scopes),
            "objects protected": sum(numbers["objects"] for numbers in latest.values()),
            "links protected": sum(numbers["links"] for numbers in latest.values()),
        },
        tables=[
            ReportTable("days", "By day and category", _DAYS, by_day, empty, newest_last=True),
            ReportTable("categories", "By category, at the end of the days", _CATEGORIES, categories, empty),
            ReportTable("scopes", "By scope, at the end of the days", _SCOPES, scopes, "no scope"),
        ],
        charts=_charts(days, held) if by_day else (),
        problems=problems,
    )


class _ScopeDays:
    """A scope's days: what is held at the end of each, and what changed on it."""

    def __init__(self) -> None:
        self.days: dict[date, dict[str, Counter[str]]] = {}
        self.points = 0
        self.last: Manifest | None = None

    def row(self) -> dict[str, object]:
        end = list(self.days.values())[-1]
        changed = _changes(self.days.values())
        return {
            "recovery_points": self.points,
            "last": self.last.recovery_point if self.last else "",
            "status": self.last.status if self.last else "never backed up",
            **{name: sum(numbers[name] for numbers in end.values()) for name in ("objects", "links")},
            **{name: sum(numbers[name] for numbers in changed.values()) for name in _COUNTED},
        }


def _scope_days(store: ScopeStore, request: ReportRequest) -> _ScopeDays:
    points = [point for point in store.points() if moment_of(point) < request.end]
    inside = [point for point in points if moment_of(point) >= request.begin]
    before = points[: len(points) - len(inside)][-1:]
    found = _ScopeDays()
    found.points = len(inside)
    counted = in_parallel(lambda point: _counted(store.manifest(point)), [*before, *inside])
    by_day: dict[date, list[_Counts]] = {}
    for point, counts in zip([*before, *inside], counted, strict=True):
        by_day.setdefault(moment_of(point).date(), []).append(counts)
    state: _Counts = counted[0] if before else {}
    for day in request.days():
        of_day = by_day.get(day, [])
        state = of_day[-1] if of_day else state
        changed = _changes(of_day)
        found.days[day] = {
            name: Counter({"objects": numbers["objects"], "links": numbers["links"], **changed.get(name, {})})
            for name, numbers in state.items()
        }
    found.last = store.manifest(points[-1]) if points else None
    return found


def _counted(manifest: Manifest) -> _Counts:
    counts: dict[str, Counter[str]] = {}
    for table, entry in tables_in_order(manifest).items():
        numbers = counts.setdefault(category(table) or "Other", Counter())
        numbers["objects" if entry.kind == "objects" else "links"] += entry.live
        for name in _COUNTED:
            numbers[name] += getattr(entry, name)
    return counts


def _changes(several: Iterable[_Counts]) -> dict[str, Counter[str]]:
    total: dict[str, Counter[str]] = {}
    for counts in several:
        for name, numbers in counts.items():
            total.setdefault(name, Counter()).update({key: numbers[key] for key in _COUNTED})
    return total


def _row(numbers: Counter[str]) -> dict[str, int]:
    return {name: numbers[name] for name in _COUNTS}


def _charts(days: list[date], held: Mapping[date, _Counts]) -> list[Chart]:
    labels = [f"{day:%d %b}" for day in days]
    total: Counter[str] = Counter()
    for counts in held.values():
        total.update({name: numbers["objects"] for name, numbers in counts.items()})
    largest = [name for name, _ in total.most_common(_SHOWN_IN_CHART)]

    def at(day: date, name: str) -> int:
        return held[day][name]["objects"] if name in held[day] else 0

    series = {name: [at(day, name) for day in days] for name in largest}
    if rest := [name for name in total if name not in largest]:
        series["others"] = [sum(at(day, name) for name in rest) for day in days]
    changes = {name: [sum(numbers[name] for numbers in held[day].values()) for day in days] for name in _CHANGES}
    return [
        Chart("Objects protected at the end of each day", labels, series),
        Chart(
            "Objects and links that changed",
            labels,
            changes,
            kind="bars",
            colours={"added": "good", "changed": "warning", "deleted": "bad"},
        ),
    ]
