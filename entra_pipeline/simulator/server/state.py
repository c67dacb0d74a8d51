"""Keeps a tenant in a folder: who it is, where it listens, its keys and its objects; and who may serve it."""

from __future__ import annotations

import fcntl
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import IO

import msgspec

from entra_pipeline.simulator.generate.fill import fill
from entra_pipeline.simulator.generate.plan import DOMAIN, TenantPlan
from entra_pipeline.simulator.storage.directory import Directory


class KeptTenant(msgspec.Struct):
    """What a state folder remembers besides the tenant: who it is and where it listens."""

    seed: int
    users: int
    groups: int
    port: int
    tls_port: int
    signing_key: str
    domain: str = DOMAIN


_DECODER = msgspec.json.Decoder(KeptTenant)


def kept_tenant(folder: Path) -> KeptTenant | None:
    """Returns what the folder remembers; None when its tenant is not made yet."""
    file = folder / "simulator.json"
    return _DECODER.decode(file.read_bytes()) if file.exists() else None


def lock_folder(folder: Path) -> IO[str] | None:
    """Returns the lock of the process that serves the folder; None when another process holds it.

    The system frees the lock when the process dies.
    """
    lock = (folder / "lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        return None
    return lock


def open_directory(folder: Path, plan: TenantPlan, clock: Callable[[], datetime], *, durable: bool) -> Directory:
    """Returns the stored tenant; one that is new, or whose making was interrupted, is made."""
    path = folder / "tenant.sqlite3"
    directory = Directory(path, clock, durable=durable)
    if directory.meta("complete"):
        return directory
    directory.close()
    for file in folder.glob("tenant.sqlite3*"):
        file.unlink()
    # A tenant half made is thrown away: what makes it need not be durable, and is faster for it.
    directory = Directory(path, clock, durable=False)
    fill(directory, plan)
    directory.remember("complete", "yes")
    if not durable:
        return directory
    directory.close()
    return Directory(path, clock, durable=True)


def write_secret(path: Path, text: str) -> None:
    """Writes a file that only its owner may read."""
    path.touch(mode=0o600)
    path.write_text(text)
