"""The most memory that a full backup holds, by the size of the tenant."""

from __future__ import annotations

from pathlib import Path

from benchmarks.processes import backup
from benchmarks.report import Bound, Section
from benchmarks.tenant import MEMBERSHIPS_PER_USER, measured

_SIZES = (100_000, 300_000, 1_000_000)
_GIB = 2**30


def measure(folder: Path, scale: float) -> list[Section]:
    """Backs up a tenant of each size."""
    rows: list[dict[str, object]] = []
    peaks: list[int] = []
    for size in (round(size * scale) for size in _SIZES):
        with measured(folder, size, size // 10) as tenant:
            tenant.protect(["users", "groups"])
            run = backup(tenant, full=True)
        peaks.append(run.peak)
        rows.append(
            {
                "users": size,
                "memberships": size * MEMBERSHIPS_PER_USER,
                "seconds": run.seconds,
                "peak": round(run.peak / 1e6),
            }
        )
    return [
        Section(
            title="Memory",
            method="Full backups of tenants of three sizes, with one group for ten users. Memory is the peak of the "
            "process, including Python and libraries.",
            columns={"users": "users", "memberships": "memberships", "seconds": "seconds", "peak": "peak memory, MB"},
            rows=rows,
            bounds=[
                Bound("the largest tenant against the smallest", peaks[-1] / peaks[0], 1.5),
                Bound("the largest tenant against 1 GiB", peaks[-1] / _GIB, 1),
            ],
        )
    ]
