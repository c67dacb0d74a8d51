"""Making the evidence of some scopes for a period: one file, signed with the key of their storage."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, NamedTuple

from entra_pipeline.clock import iso
from entra_pipeline.errors import UsageError
from entra_pipeline.evidence.bundle import bundle
from entra_pipeline.evidence.coverage import EvidencePeriod
from entra_pipeline.evidence.events import events
from entra_pipeline.evidence.proofs import ProofReader
from entra_pipeline.evidence.scope import ScopeEvidence
from entra_pipeline.evidence.verify_evidence import MALFORMED, SIGNATURE_CHECK, EvidenceCheck
from entra_pipeline.project import Project, Scope
from entra_pipeline.store.backends.signing.keys import VerifyingKey


class EvidenceFile(NamedTuple):
    """The file.

    Attributes:
        data: Its bytes.
        key: The public key that verifies it; None when it is not signed.
        storage: Name of the storage profile.
        problems: What whoever checks the file is told besides that it is not signed: what could not be read or
            verified, and what does not fit together.
    """

    data: bytes
    key: VerifyingKey | None
    storage: str
    problems: list[str]


def make_evidence(project: Project, names: Sequence[str], first: date, last: date, now: datetime) -> EvidenceFile:
    """Gathers the evidence of some scopes.

    Args:
        project: The project.
        names: Scopes; all when there are none.
        first: The first day, in UTC.
        last: The last day.
        now: The present.

    Raises:
        UsageError: There is no such scope, they are in several storages, or the period is none.
        ConfigurationError, StoreError: The storage cannot be used.
    """
    scopes = [project.scope(name) for name in sorted({*names} or project.scopes)]
    storage = _storage(scopes)
    period = _period(first, last, now)
    reader = ProofReader(project.storage[storage])
    reader.files.check()
    items: dict[str, Any] = {}
    for scope in scopes:
        gathered = ScopeEvidence(project, scope, reader, period)
        items |= {f"{scope.name}/{name}": content for name, content in gathered.items()}
    items["audit"] = events(reader, {scope.name for scope in scopes}, first, last)
    items["keys"] = reader.public_keys()
    items["problems"] = list(dict.fromkeys(reader.problems))
    facts = {
        "end": iso(period.end),
        "first": iso(period.first),
        "made": iso(now),
        # The audit log goes on: what a head names must be in the evidence only where it reaches to the present.
        "open": period.end == period.now,
        "scopes": [scope.name for scope in scopes],
        "storage": storage,
    }
    signing = project.storage[storage].signing
    key = signing.signing_key() if signing else None
    data = bundle(items, facts, key)
    public = [key.public.text] if key else signing.public_keys if signing else []
    return EvidenceFile(data, key.public if key else None, storage, _problems(data, *public[:1]))


def _problems(data: bytes, public_key: str = "") -> list[str]:
    """Checks the file as its readers will."""
    check = EvidenceCheck(data, public_key)
    try:
        check.run()
    except MALFORMED as error:
        return [f"a record in the storage is not what was written: {error!r}"]
    return [problem for _, what, _, found in check.rows for problem in found if what != SIGNATURE_CHECK]


def _storage(scopes: Sequence[Scope]) -> str:
    """Returns the storage that the scopes are in."""
    by_storage: dict[str, list[str]] = {}
    for scope in scopes:
        by_storage.setdefault(scope.storage, []).append(scope.name)
    if not by_storage:
        raise UsageError("there is no scope", remedy="Make one: entra-pipeline scope create")
    if len(by_storage) > 1:
        told = "; ".join(f"{storage}: {' '.join(names)}" for storage, names in sorted(by_storage.items()))
        raise UsageError(
            "the scopes are in several storages, and each has a key and an audit log of its own",
            remedy=f"Name the scopes of one storage ({told}).",
        )
    return next(iter(by_storage))


def _period(first: date, last: date, now: datetime) -> EvidencePeriod:
    start, end = (datetime.combine(day, time(), UTC) for day in (first, last + timedelta(days=1)))
    if last < first:
        raise UsageError(f"{first} comes after {last}", remedy="Set --from to the earlier day.")
    if start > now:
        raise UsageError(f"{first} is in the future", remedy="Set --from to an earlier day.")
    return EvidencePeriod(start, min(end, now.replace(microsecond=0)), now.replace(microsecond=0))
