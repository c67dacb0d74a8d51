"""The audit log's chain in a period: of each event its place, SHA-256 and signature, and who did what.

Of events about other scopes only the place in the chain is told. Subject, details, host and address are left out: they
may name people.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import date
from typing import Any

from entra_pipeline.audit import DAY_CLOSED, AuditEvent, AuditLog
from entra_pipeline.evidence.proofs import ProofReader, with_proof

_TOLD = ("actor", "channel", "action", "scope", "result")


def events(reader: ProofReader, scopes: Collection[str], first: date, last: date) -> list[dict[str, Any]]:
    """Returns the events of some days in UTC, those that end a day among them, oldest first.

    Raises:
        StoreError: The storage cannot be read.
    """
    log = AuditLog(reader.files)
    # All of it: what was removed at the edges of the period is not to be seen within.
    reader.problems += [f"{problem.key} {problem.what}" for problem in log.verify()]
    chain = log.chain(first, last)
    proofs = reader.proofs([one.key for one in chain])
    return [
        with_proof(_told(one.event, scopes), proof)
        for one, proof in zip(chain, proofs, strict=True)
        if proof is not None
    ]


def _told(event: AuditEvent, scopes: Collection[str]) -> dict[str, Any]:
    """Returns what is told of an event besides its proof."""
    place = {"moment": event.moment, "number": event.number, "previous": event.previous}
    if event.action == DAY_CLOSED:
        # Whoever came first on the next day wrote it, whatever they were about to do.
        return {**place, "action": DAY_CLOSED}
    return place | ({name: getattr(event, name) for name in _TOLD} if event.scope in ("", *scopes) else {})
