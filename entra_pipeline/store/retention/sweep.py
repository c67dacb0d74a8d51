"""The sweep: files that no recovery point and no day of a log names go, when they are old enough.

What belongs here: which files nobody needs. What does not: which recovery points and days go (`prune`).
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from entra_pipeline.errors import IntegrityError
from entra_pipeline.store.backends import StoredFile
from entra_pipeline.store.logs import DayOfLog
from entra_pipeline.store.parallel import in_parallel, in_turns
from entra_pipeline.store.points.index import IndexFile, chosen_files, former_folders, index_folder, trim_indexes
from entra_pipeline.store.points.keys import table_folders
from entra_pipeline.store.points.staging import staging_folder
from entra_pipeline.store.points.unreadable import points_with_unreadable
from entra_pipeline.store.recovery_points import ScopeStore

_log = logging.getLogger(__name__)
# Longer than a question takes that has looked up which files of the index to read.
_READING = timedelta(hours=1)


class SweepResult(NamedTuple):
    """What was removed, or, dry, would be.

    Attributes:
        keys: Keys.
        bytes: What they took, as far as their size is known.
        locked: Keys of what Object Lock still keeps.
    """

    keys: list[str]
    bytes: int
    locked: list[str]


def sweep(
    store: ScopeStore,
    *,
    grace: timedelta,
    without: Collection[str] = (),
    without_days: Collection[DayOfLog] = (),
    dry_run: bool = False,
) -> SweepResult:
    """Removes files that no recovery point and no day of a log names.

    Args:
        store: The scope's store.
        grace: Only files older than this; longer than any run takes.
        without: Recovery points to leave out of account, as if they were forgotten; for a dry run.
        without_days: Days of logs to leave out of account.
        dry_run: Say what would be removed, and remove nothing.

    Raises:
        ScopeBusy: A backup of the scope is running.
        IntegrityError: A manifest cannot be read, so that nobody knows which files it names; nothing is removed.
    """
    if dry_run:
        return _sweep(store, grace, without, without_days, dry_run=True)
    with store.held():
        try:
            trim_indexes(store.files, store.scope, store.indexes(), store.points())
        except IntegrityError as error:
            # What a point needs is in its manifest: a damaged index keeps nothing from going.
            _log.warning("the indexes of scope %s were not trimmed: %s", store.scope, error.message)
        return _sweep(store, grace, (), (), dry_run=False)


def _sweep(
    store: ScopeStore, grace: timedelta, without: Collection[str], without_days: Collection[DayOfLog], *, dry_run: bool
) -> SweepResult:
    before = store.clock() - grace
    # Files first, manifests second: what is committed in between is not taken for an orphan.
    indexes = list(store.files.list(index_folder(store.scope)))
    prefixes = [staging_folder(store.scope), *former_folders(store.scope)]
    tables = [name for name in store.files.folders() if not name.startswith("_")]
    prefixes += [folder for name in tables for folder in table_folders(store.scope, name)]
    old = [file for prefix in prefixes for file in store.files.list(prefix) if file.modified < before]
    remaining = set(store.points()) - set(without)
    named: set[str] = set()
    for manifest in in_turns(store.manifest, sorted(remaining)):
        named |= manifest.named()
    # Logs lie beside the object types.
    named |= store.logs.named(without_days)
    orphans = [file for file in old if file.key not in named]
    orphans += _unread(store, indexes, remaining, before)
    orphans += [
        file
        for point, file in points_with_unreadable(store.files, store.scope)
        if point not in remaining and file.modified < before
    ]
    locked = _locked(store, [file.key for file in orphans])
    orphans = [file for file in orphans if file.key not in locked]
    if not dry_run:
        store.files.delete([file.key for file in orphans])
    unfinished = store.files.clear_unfinished(before, dry_run=dry_run)
    return SweepResult(
        [*(file.key for file in orphans), *unfinished], sum(file.size for file in orphans), sorted(locked)
    )


def _unread(
    store: ScopeStore, indexes: Sequence[StoredFile], remaining: Collection[str], before: datetime
) -> list[StoredFile]:
    """Finds files of the index that no query reads: those without a point, and those that joined files replace.

    The others have been there for longer than a question takes: who looked up before which to read has read them.
    """
    since = store.clock() - _READING
    settled = {IndexFile.of(file.key): file for file in indexes if file.modified < since}
    counting = set(chosen_files(settled, remaining).values())
    there = sorted(remaining)
    return [
        file
        for one, file in settled.items()
        if one not in counting and (file.modified < before or any(map(one.may_have, there)))
    ]


def _locked(store: ScopeStore, keys: Sequence[str]) -> set[str]:
    """Returns those of some files that Object Lock still keeps."""
    if not store.files.object_lock:
        return set()
    now = store.clock()
    ends = zip(keys, in_parallel(store.files.retained_until, keys), strict=True)
    return {key for key, end in ends if end is not None and end > now}
