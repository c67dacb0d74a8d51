"""One backup in a process of its own, measured from inside: `python -m benchmarks.ours PROJECT [full]` prints JSON."""

from __future__ import annotations

import importlib
import resource
import sys
import time
from pathlib import Path

import msgspec

from benchmarks.tenant import SCOPE
from entra_pipeline.runtime import run_async


class Run(msgspec.Struct, kw_only=True):
    """What a backup cost.

    Attributes:
        start_up: Seconds from the start of the process until the backup began: Python, imports, configuration.
        seconds: From there to the committed manifest; signing in and opening the store are part of it.
        cpu: Seconds of processor time of the whole process.
        requests: HTTP requests, a batch being one.
        items: Requests that batches carried.
        units: Resource units.
        retries: Requests sent again.
        read: Bytes of the bodies that Graph answered with.
        stored: Bytes of the Parquet files that this run has written.
        peak: The most memory that the process ever held, in bytes.
        status: As in the manifest.
        tables: Requests, items and units of each table that cost any, and its rows.
    """

    start_up: float
    seconds: float
    cpu: float
    requests: int
    items: int
    units: float
    retries: int
    read: int
    stored: int
    peak: int
    status: str
    tables: dict[str, Table]


class Table(msgspec.Struct, kw_only=True):
    """What one table cost."""

    live: int
    changes: int
    requests: int
    items: int
    units: float
    read: int


def main(project_file: Path, spawned: float, *, full: bool) -> Run:
    """Runs a backup of the scope."""
    from entra_pipeline.backup.run import backup
    from entra_pipeline.graph.factory import open_graph
    from entra_pipeline.project import load_project
    from entra_pipeline.project.stores import open_store

    # What is imported only when the first request is made is start-up, too.
    import_libraries()
    project = load_project(project_file)
    scope = project.scope(SCOPE)
    store = open_store(project, scope)
    ready = time.time()

    async def work() -> Run:
        async with open_graph(project.tenants[scope.tenant]) as graph:
            manifest = await backup(scope, store, graph, full=full)
        seconds = time.time() - ready
        entries = manifest.tables.values()
        own = [part for entry in entries for part in entry.parts if part.recovery_point == manifest.recovery_point]
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return Run(
            start_up=ready - spawned,
            seconds=seconds,
            cpu=usage.ru_utime + usage.ru_stime,
            requests=sum(entry.requests for entry in entries),
            items=sum(entry.items for entry in entries),
            units=sum(entry.resource_units for entry in entries),
            retries=sum(entry.retries for entry in entries),
            read=sum(entry.bytes_read for entry in entries),
            stored=sum(part.bytes for part in own),
            peak=peak_memory(),
            status=manifest.status,
            tables={
                entry.table: Table(
                    live=entry.live,
                    changes=entry.added + entry.changed + entry.deleted,
                    requests=entry.requests,
                    items=entry.items,
                    units=entry.resource_units,
                    read=entry.bytes_read,
                )
                for entry in entries
                if entry.requests or entry.items or entry.live
            },
        )

    return run_async(work())


def import_libraries() -> None:
    """Imports what a backup imports on its way: azure-identity, msgraph-sdk's request adapter, httpx's engine."""
    for name in (
        "azure.identity.aio",
        "msgraph.graph_request_adapter",
        "msgraph_core",
        "kiota_http.middleware.options",
        "httpcore",
    ):
        importlib.import_module(name)


def peak_memory() -> int:
    """The most memory that this process has held, in bytes (proc(5), VmHWM).

    `ru_maxrss` would not do: it begins with what the parent held when it started this process.
    """
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


if __name__ == "__main__":
    result = main(Path(sys.argv[1]), float(sys.argv[2]), full="full" in sys.argv[3:])
    sys.stdout.buffer.write(msgspec.json.encode(result))
