"""Keys of recovery points: the moment in a key, and where what belongs to a point is kept.

The format is public: docs/storage-format.md.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

from entra_pipeline.errors import NotInStore, RecoveryPointRefused, UsageError
from entra_pipeline.store.backends import ObjectStore

_KEY = re.compile(r"(\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ)(-m[0-9a-f]{4})?")
_KEY_TIME = "%Y-%m-%dT%H-%M-%SZ"
_PART = "part-"
# Keys of what is one scope's: tables and logs, manifests, the index, records of jobs, days of logs.
_OF_SCOPE = re.compile(r"(?:[^_/][^/]*/(?:backup-)?scope=|_recovery_points/|_index/\d+/|_jobs/|_logs/)([^/]+)/.+")


def is_key(text: str) -> bool:
    """Tells whether a text has the form of a recovery point's key."""
    return _KEY.fullmatch(text) is not None


def key_of(moment: datetime) -> str:
    """Makes the key of a recovery point of a moment."""
    return moment.astimezone(UTC).strftime(_KEY_TIME)


def moment_of(point: str) -> datetime:
    """Reads the moment (UTC) in the key of a recovery point; raises UsageError for what is no key."""
    match = _KEY.fullmatch(point)
    try:
        if match is None:
            raise ValueError
        return datetime.strptime(match[1], _KEY_TIME).replace(tzinfo=UTC)
    except ValueError:
        raise UsageError(
            f"{point!r} is not a recovery point", remedy="A recovery point looks like 2026-11-23T05-00-00Z."
        ) from None


def moment_in(text: str) -> datetime:
    """Reads the moment that a person wrote, and returns it in UTC; raises UsageError."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(
            f"{text!r} is neither a recovery point nor a time",
            remedy="Give a recovery point, a time with its zone such as 2026-11-23T05:00:00Z, or latest.",
        ) from None
    if moment.tzinfo is None:
        raise UsageError(
            f"{text!r} does not say in which time zone it is",
            remedy=f"Add Z for UTC, or the difference from it: {moment.isoformat()}Z, or {moment.isoformat()}+01:00.",
        )
    return moment.astimezone(UTC)


def scope_in(key: str) -> str | None:
    """Returns the scope whose data an object is, by its key; None for what is no scope's, or several scopes'."""
    found = _OF_SCOPE.fullmatch(key)
    return found[1] if found else None


# --- Where things are ------------------------------------------------------------------------------------------------


def manifest_key(scope: str, point: str) -> str:
    """Makes the key of a point's manifest; raises UsageError for what is no point."""
    moment_of(point)
    return f"_recovery_points/{scope}/{point}.json"


def table_folder(scope: str, table: str) -> str:
    """Makes the start of the keys of a table's, or a log's, Parquet files.

    Readers make columns of such folders. No property of Graph is called so: names in OData have no hyphen (OData CSDL
    4.01, 15.2 Simple Identifier). None begins with an underscore either, but readers skip folders that do.
    """
    return f"{table}/backup-scope={scope}/"


def table_folders(scope: str, table: str) -> tuple[str, str]:
    """Returns where a table's Parquet files may be: the folder of today, and that of version 1 of the format."""
    return table_folder(scope, table), f"{table}/scope={scope}/"


def part_folder(scope: str, table: str, point: str) -> str:
    """Makes the start of the keys of the Parquet files that a point writes for a table."""
    return f"{table_folder(scope, table)}recovery-point={point}/"


def part_folders(scope: str, table: str, point: str) -> tuple[str, str]:
    """Returns where the Parquet files of a point may be: the folder of today, and that of version 1 of the format."""
    today, before = table_folders(scope, table)
    return f"{today}recovery-point={point}/", f"{before}recovery_point={point}/"


def part_key(scope: str, table: str, point: str, number: int) -> str:
    """Makes the key of a Parquet file of a point, by its number among those of the table, from 0."""
    return f"{part_folder(scope, table, point)}{_PART}{number:05d}.parquet"


def part_number(key: str) -> int:
    """Reads the number of a Parquet file among those that a point wrote for a table."""
    return int(key.rpartition(_PART)[2].partition(".")[0])


# --- Points never change ---------------------------------------------------------------------------------------------


def require_uncommitted(files: ObjectStore, scope: str, point: str) -> None:
    """Raises RecoveryPointRefused when a point exists already."""
    try:
        files.size(manifest_key(scope, point))
    except NotInStore:
        return
    raise refused(scope, point, "exists and never changes")


def refused(scope: str, point: str, why: str) -> RecoveryPointRefused:
    """Makes the error for a point that cannot be written."""
    return RecoveryPointRefused(
        f"recovery point {point} of scope {scope!r} {why}", remedy=f"Take a new one: entra-pipeline backup {scope}"
    )
