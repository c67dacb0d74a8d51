"""The anchor: a short line that says how far a scope is, to be kept where nobody can reach who reaches the storage.

A storage that was put back to an earlier state, signatures and all, is right in itself: only what was kept elsewhere
tells that there was more.
"""

from __future__ import annotations

import re
from typing import NamedTuple, Self

from entra_pipeline.audit import AuditLog
from entra_pipeline.errors import IntegrityError, NotInStore, UsageError
from entra_pipeline.store.manifest import sha256
from entra_pipeline.store.points.keys import is_key
from entra_pipeline.store.recovery_points import ScopeStore
from entra_pipeline.store.retention.prune_log import PruneRecords

_SHA256 = re.compile(r"[0-9a-f]{64}")


class Anchor(NamedTuple):
    """How far a scope was.

    Attributes:
        scope: Name of the scope.
        point: Its newest recovery point.
        sha256: SHA-256 of that point's manifest.
        audit: Number of an event at the end of the storage's audit log; 0 without any.
        audit_sha256: SHA-256 of that event; empty without any.
    """

    scope: str
    point: str
    sha256: str
    audit: int
    audit_sha256: str

    def __str__(self) -> str:
        return ":".join(map(str, self))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads the line that `__str__` gives; raises UsageError for any other."""
        match text.strip().split(":"):
            case [scope, point, digest, number, event] if (
                is_key(point)
                and _SHA256.fullmatch(digest)
                and number.isascii()
                and number.isdigit()
                and bool(int(number)) == bool(_SHA256.fullmatch(event))
            ):
                return cls(scope, point, digest, int(number), event)
        raise UsageError(
            f"{text!r} is no head of a scope",
            remedy="Give the whole line that entra-pipeline points SCOPE --head printed.",
        )


def anchor_of(store: ScopeStore, log: AuditLog) -> Anchor:
    """Tells how far a scope is.

    Args:
        store: The scope's store.
        log: The audit log of its storage.

    Raises:
        NotInStore: It has no recovery point.
        IntegrityError: The newest manifest or the log's head cannot be verified.
    """
    points = store.points()
    if not points:
        raise NotInStore(
            f"scope {store.scope!r} has no recovery point yet", remedy=f"Run: entra-pipeline backup {store.scope}"
        )
    return Anchor(store.scope, points[-1], sha256(store.manifest_bytes(points[-1])), *log.newest())


def compare_anchor(store: ScopeStore, log: AuditLog, anchor: Anchor) -> list[str]:
    """Compares a scope with an anchor of earlier; returns what of it is gone or differs.

    Raises:
        UsageError: The anchor is of another scope.
    """
    if anchor.scope != store.scope:
        raise UsageError(
            f"the head is of scope {anchor.scope!r}, not of {store.scope!r}", remedy="Give the head of this scope."
        )
    found = []
    try:
        digest = _digest(store, anchor.point)
    except IntegrityError as error:
        found.append(f"what there is of recovery point {anchor.point} cannot be believed: {error.message}")
    else:
        if not digest:
            found.append(f"recovery point {anchor.point} is gone: no prune record tells of it")
        elif digest != anchor.sha256:
            found.append(f"the manifest of {anchor.point} is another than it was")
    if anchor.audit and not (event := log.digest(anchor.audit)):
        found.append(f"event {anchor.audit} of the audit log is gone")
    elif anchor.audit and event != anchor.audit_sha256:
        found.append(f"event {anchor.audit} of the audit log is another than it was")
    return found


def _digest(store: ScopeStore, point: str) -> str:
    """Returns the SHA-256 of a point's manifest, of a prune record where it was pruned; empty when neither tells it."""
    if point in store.points():
        return sha256(store.manifest_bytes(point))
    pruned = PruneRecords(store.files, store.scope).points().get(point)
    return pruned.sha256 if pruned else ""
