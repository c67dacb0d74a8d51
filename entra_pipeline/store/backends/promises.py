"""What a storage can promise, tried before anything rests on it: `entra-pipeline storage check`, and the console's.

1. It is looked at; when that fails, nothing else is tried.
2. What every backup needs: objects are written, read, created only when absent, written over, stored in parts.
3. What a kind of storage adds of its own (`StorageSettings.promises`): clocks, credentials, checksums, Object Lock.
4. What only retention needs: objects are deleted.
5. What only erasing people needs: a file goes with all its versions, and nothing keeps it.

What is written lies under `_check/` and is deleted; where that is refused it stays, and the next check uses it again.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from uuid import uuid4

from entra_pipeline.errors import EntraPipelineError, StoreError
from entra_pipeline.store.backends.object_store import PROBES, ObjectStore
from entra_pipeline.store.backends.promise import StoragePromise, failed, tried
from entra_pipeline.store.backends.settings import StorageSettings

_BYTES = 6 << 20
_WRITTEN, _LARGE, _DESTROYED = f"{PROBES}written", f"{PROBES}large", f"{PROBES}destroyed"

_WITHOUT = {
    "backup": "backups cannot work without it",
    "retention": "retention does not work without it",
    "safety": "a backup is less safe without it",
    "erasure": "nobody can be erased without it",
}


class StoragePromises:
    """Tries a storage.

    Args:
        settings: Its profile.
        erasure: Whether a scope in it encrypts values by person.
    """

    def __init__(self, settings: StorageSettings, *, erasure: bool = False) -> None:
        self._settings = settings.hurried()
        self._erasure = erasure

    def check(self) -> Iterator[StoragePromise]:
        """Yields each promise as it is tried; every failure is one of them."""
        try:
            files = self._settings.open()
        except EntraPipelineError as error:
            yield failed("open", error)
            return
        first = tried("list", lambda: _listed(files))
        yield first
        if first.outcome == "failed":
            return
        if self._settings.encryption is not None:
            yield tried("encryption", lambda: _encrypted(files))
        yield tried("write and read", lambda: _written(files))
        yield tried("create only when absent", lambda: _created(files))
        yield tried("large files and speed", lambda: _large(files))
        yield from self._settings.promises(files)
        yield tried("delete", lambda: _deleted(files), needed_for="retention")
        if self._erasure:
            yield tried("remove for good", lambda: _destroyed(files), needed_for="erasure")


def shortcomings(found: Sequence[StoragePromise]) -> list[str]:
    """Words what a storage cannot promise, what does not work without it, and the remedy; nothing when all is well.

    Args:
        found: What a check has found (`StoragePromises.check`).
    """
    return [
        f"{one.check}: {one.told} ({_WITHOUT[one.needed_for]})" + (f"\n  → {one.remedy}" if one.remedy else "")
        for one in found
        if one.outcome == "failed"
    ]


def _listed(files: ObjectStore) -> str:
    began = time.monotonic()
    number = len(files.folders())
    return f"{number} folders, answered in {(time.monotonic() - began) * 1000:.0f} ms"


def _encrypted(files: ObjectStore) -> str:
    files.check_key()
    return f"data key {files.vault.newest.name}" if files.vault else ""


def _written(files: ObjectStore) -> str:
    for data in (uuid4().bytes, uuid4().bytes):
        files.replace(_WRITTEN, data)
        # At once: a service that shows an older state would lose what was renewed or written over.
        if files.read(_WRITTEN) != data or files.slice(_WRITTEN, -4, 4) != (data[-4:], len(data)):
            raise StoreError(
                f"{files} gave back other bytes than were written last",
                remedy="Use a storage that shows every write at once.",
            )
    if files.size(_WRITTEN) != len(data) or _WRITTEN not in [file.key for file in files.list(PROBES)]:
        raise StoreError(
            f"{files} does not list what was written", remedy="Use a storage that lists every write at once."
        )
    return "new and overwritten objects are read and listed immediately"


def _created(files: ObjectStore) -> str:
    files.check()
    return "two backups never overwrite each other"


def _large(files: ObjectStore) -> str:
    data = os.urandom(_BYTES)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "large")
        path.write_bytes(data)
        began = time.monotonic()
        files.upload_in_parts(_LARGE, path)
        sent = time.monotonic()
    if files.read(_LARGE) != data:
        raise StoreError(f"{files} gave back other bytes than were sent in parts", remedy="Use another storage.")
    back = time.monotonic()
    return f"{_BYTES / 1e6 / (sent - began):.0f} MB/s to it, {_BYTES / 1e6 / (back - sent):.0f} MB/s from it"


def _deleted(files: ObjectStore) -> str:
    keys = [_WRITTEN, _LARGE]
    # Tried alone and together: services have them apart.
    files.replace(f"{PROBES}alone", b"")
    files.delete([f"{PROBES}alone"])
    files.delete(keys)
    if left := [file.key for file in files.list(PROBES) if file.key in keys]:
        raise StoreError(f"{left[0]} is still in {files} after it was deleted", remedy="Use another storage.")
    return "retention can delete what is past its time"


def _destroyed(files: ObjectStore) -> str:
    files.replace(_DESTROYED, b"first")
    files.replace(_DESTROYED, b"second")
    try:
        files.destroy([_DESTROYED])
    except EntraPipelineError as error:
        raise StoreError(
            f"a file cannot be removed with all its versions: {error.message}",
            remedy="Keys of persons must not be locked: take the default retention off the bucket, and let the key "
            "delete versions (s3:ListBucketVersions, s3:DeleteObjectVersion).",
        ) from None
    return "keys of persons can be destroyed"
