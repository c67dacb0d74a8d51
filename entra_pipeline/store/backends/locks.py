"""Holding a name exclusively: the handle of a lock, and the process that holds it.

The lock of a local folder is a lock of the operating system (`local`); the lock of a bucket is a lease (`leases`).
"""

from __future__ import annotations

import os
import platform
import socket
from pathlib import Path
from typing import Protocol

import msgspec

from entra_pipeline.errors import ScopeBusy


class LockHandle(Protocol):
    """A lock that is held."""

    def confirm(self) -> None:
        """Raises ScopeBusy when the lock was lost meanwhile; after it, nobody else can take it for a while."""


class Holder(msgspec.Struct, frozen=True, kw_only=True):
    """A process that holds a lock.

    Attributes:
        host: Name of the machine, for people.
        machine: What tells process numbers of one machine (and container) from those of another.
        pid: Number of the process.
        started: What tells the process from a later one with the same number; empty when the system does not say.
        since: When it took the lock, RFC 3339.
    """

    host: str
    machine: str
    pid: int
    started: str
    since: str

    @classmethod
    def here(cls, since: str) -> Holder:
        """Describes this process."""
        pid = os.getpid()
        return cls(host=socket.gethostname(), machine=_machine(), pid=pid, started=_started(pid), since=since)

    def is_dead(self) -> bool:
        """Tells whether the process is known to have ended; one on another machine never is."""
        if self.machine != _machine():
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            pass
        return self.started != _started(self.pid)

    def busy(self, what: str) -> ScopeBusy:
        """Makes the error for somebody who wants the lock too."""
        return ScopeBusy(
            f"{what} is held by process {self.pid} on {self.host} since {self.since}",
            remedy="Wait until it has ended; the lock of a process that died frees itself.",
        )


HOLDER_DECODER = msgspec.json.Decoder(Holder)


def _machine() -> str:
    """Joins host, boot and process namespace: containers on one machine may share a host name, not a namespace."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        namespace = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return platform.node()
    return f"{platform.node()} {boot} {namespace}"


def _started(pid: int) -> str:
    """Reads the start of a process in clock ticks since boot (proc(5), field 22 of stat); a zombie has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] == "Z" else fields[19]
