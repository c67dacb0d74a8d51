"""A full backup against a plain download, dlt and the typed SDK; an incremental against the full."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Protocol, TypeVar

from benchmarks.ours import Run
from benchmarks.plain import Download
from benchmarks.processes import backup, program
from benchmarks.report import Bound, Section
from benchmarks.tenant import MEMBERSHIPS_PER_USER, Measured, measured
from benchmarks.typed_sdk import Sample
from benchmarks.with_dlt import Extract

_USERS, _GROUPS = 200_000, 20_000
_ROUNDS = 3
# Small listings that every backup asks for whole: which extension properties there are.
_FIXED = {"directoryObjects/getAvailableExtensionProperties"}
_SAMPLE = 4_000
_SAMPLE_OF_GROUPS = 100
_CHANGED = 0.001
# Graph takes some 0.3 s for a page. Even at a third of that requests are what a backup waits for, as in reality.
_LATENCY = 0.1


class _Timed(Protocol):
    seconds: float


_T = TypeVar("_T", bound=_Timed)


def measure(folder: Path, scale: float) -> list[Section]:
    """Runs everything on one tenant."""
    users, groups = round(_USERS * scale), round(_GROUPS * scale)
    with measured(folder, users, groups) as tenant:
        tenant.protect(["users", "groups"])
        tenant.control.ledger(reset=True)
        backup(tenant, full=True)
        paths = collections(tenant)
        deltas = [path for path in paths if "/delta" in path]
        # Sponsors come by a listing of their own. That of the owners of groups only proves what delta has told.
        extract = [*deltas, *(path for path in paths if path.startswith("users?"))]
        rounds: list[_Round] = []
        for _ in range(_ROUNDS):
            # In turn, so that what else the machine does meets all.
            tenant.protect(["users", "groups"])
            full = backup(tenant, full=True)
            plain = program("plain", Download, tenant.project_file, *paths)
            rounds.append(
                _Round(full, plain, program("with_dlt", Extract, "as-installed", tenant.project_file, *extract))
            )
        tuned = program("with_dlt", Extract, "tuned", tenant.project_file, *extract)
        two = [next(path for path in deltas if path.startswith(name)) for name in ("users", "groups")]
        sample = program(
            "typed_sdk", Sample, tenant.project_file, *two, min(_SAMPLE, users), min(_SAMPLE_OF_GROUPS, groups)
        )
        changes = tenant.change(_CHANGED)
        tenant.control.ledger(reset=True)
        incremental = backup(tenant)
        asked = [entry["path"] for entry in tenant.control.ledger(entries=True)["entries"]]
        fixed = sum(path in _FIXED for path in asked)
        tenant.control.knobs(latency=_LATENCY)
        waiting = [backup(tenant, full=True).seconds]
        tenant.change(_CHANGED, seed=2)
        waiting.append(backup(tenant).seconds)
        tenant.control.knobs(latency=0.0)
    full = _middle(one.full for one in rounds)
    return [
        _full(users, groups, rounds, tuned, sample),
        _incremental(full, incremental, changes, fixed, waiting),
        _stored(full),
    ]


@dataclass(frozen=True, slots=True)
class _Round:
    """What ran in turn."""

    full: Run
    plain: Download
    dlt: Extract


def _middle(runs: Iterable[_T]) -> _T:
    """The run that took the median time."""
    ordered = sorted(runs, key=lambda run: run.seconds)
    return ordered[len(ordered) // 2]


def collections(tenant: Measured) -> list[str]:
    """The first requests of all collections that the last backup read page by page."""
    asked = [
        (entry["method"], entry["path"], entry["query"]) for entry in tenant.control.ledger(entries=True)["entries"]
    ]
    whole = [
        f"{path}?{query}"
        for method, path, query in dict.fromkeys(asked)
        if method == "GET" and "$select" in query and path.removesuffix("/delta") in {"users", "groups"}
    ]
    return sorted(
        (url for url in whole if "$count" not in url and "$filter" not in url), key=lambda url: "/delta" not in url
    )


def _full(users: int, groups: int, rounds: list[_Round], tuned: Extract, sample: Sample) -> Section:
    full = _middle(one.full for one in rounds)
    plain = _middle(one.plain for one in rounds)
    dlt = _middle(one.dlt for one in rounds)
    typed = sample.scaled(users, groups)
    return Section(
        title="Full backup",
        method=f"The tenant has {users:,} users and {groups:,} groups with {users * MEMBERSHIPS_PER_USER:,} "
        "memberships. The time is from the first request to the committed manifest. The backup holds all properties, "
        "managers, sponsors, members and owners, and its verification against Graph. One process serves the same "
        f"tenant to all, over HTTP and without limits. Times are medians of {len(rounds)} alternating runs.\n\n"
        f"The typed SDK reads {sample.users:,} users and {sample.groups:,} groups with {sample.members:,} members, "
        "without managers, sponsors and owners; its time is scaled to the whole tenant. dlt runs with its defaults, "
        "which put every list into a table of its own. It runs once more tuned: two workers, large buffers, lists and "
        f"objects kept as JSON. Tuned, it takes {tuned.seconds / full.seconds:.3g} times as long as entra-pipeline.",
        columns={"what": "", "seconds": "seconds", "pages": "requests", "peak": "peak memory, MB"},
        rows=[
            {"what": "entra-pipeline", "seconds": full.seconds, "pages": full.requests, "peak": round(full.peak / 1e6)},
            {"what": "… its start-up (Python, imports, configuration)", "seconds": full.start_up},
            {"what": "(a) httpx, pages thrown away", "seconds": plain.seconds, "pages": plain.pages},
            {"what": "(b) dlt, rest_api source to Parquet", "seconds": dlt.seconds},
            {"what": "… tuned", "seconds": tuned.seconds},
            {"what": "(c) msgraph-sdk models, PageIterator, pandas (scaled)", "seconds": typed},
        ],
        bounds=[
            Bound("speed against (a)", _ratio(rounds, lambda one: one.plain.seconds), 0.8, least=True),
            Bound("speed against (b)", _ratio(rounds, lambda one: one.dlt.seconds), 5, least=True),
            Bound("speed against (c)", typed / full.seconds, 200, least=True),
        ],
    )


def _ratio(rounds: list[_Round], other: Callable[[_Round], float]) -> float:
    return median(other(one) / one.full.seconds for one in rounds)


def _incremental(full: Run, incremental: Run, changes: int, fixed: int, waiting: list[float]) -> Section:
    return Section(
        title="Incremental backup",
        method=f"The same tenant after {changes:,} changes: {_CHANGED:.1%} of the users, groups and memberships each, "
        "evenly distributed. When a membership changes, delta reports the whole group. Extension properties are "
        f"listed in every backup. The compared times are with {_LATENCY * 1000:.0f} ms per request, less than Graph "
        "takes. Without latency the time is processor time only.",
        columns={"what": "", "full": "full", "incremental": "incremental"},
        rows=[
            {"what": f"seconds at {_LATENCY * 1000:.0f} ms a request", "full": waiting[0], "incremental": waiting[1]},
            {"what": "seconds without latency", "full": full.seconds, "incremental": incremental.seconds},
            {"what": "HTTP requests", "full": full.requests, "incremental": incremental.requests},
            {"what": "… of them listings that no change makes longer", "full": fixed, "incremental": fixed},
            {"what": "requests inside of batches", "full": full.items, "incremental": incremental.items},
            {"what": "resource units", "full": full.units, "incremental": incremental.units},
            {"what": "bytes read", "full": full.read, "incremental": incremental.read},
            {"what": "bytes stored", "full": full.stored, "incremental": incremental.stored},
        ],
        bounds=[
            Bound("HTTP requests, without those listings", (incremental.requests - fixed) / full.requests, 0.01),
            Bound("time", waiting[1] / waiting[0], 0.03),
            Bound("stored bytes", incremental.stored / full.stored, 0.01),
        ],
    )


def _stored(full: Run) -> Section:
    return Section(
        title="Stored bytes",
        method=f"The full backup above. {full.read / 1e6:,.0f} MB of JSON were served. "
        f"{full.stored / 1e6:,.1f} MB of Parquet are stored, including `_raw`, the JSON itself.",
        bounds=[Bound("stored bytes against JSON served", full.stored / full.read, 0.1)],
    )
