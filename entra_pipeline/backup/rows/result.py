"""What the read of a table brought, or why it brought nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from entra_pipeline.backup.rows.staging import Staged
from entra_pipeline.errors import GraphError
from entra_pipeline.graph import RequestStats
from entra_pipeline.store.manifest import Gap

ENDED_EARLY = "not read to its end"
"""What the gap of a table is about of which a part came: that is stored, and the rest is as it was known."""


@dataclass(slots=True)
class ReadResult:
    """What the read of one table brought.

    Attributes:
        table: Name of the object type or relation.
        staged: Rows in the order of arrival.
        complete: The rows are the whole table; otherwise changes since the parent.
        delta_link: Where the next round starts, for tables read by delta.
        delta_minted: When that link was minted, by our clock.
        signature: Hash of everything that shapes the query; another signature asks for a full read.
        started, finished: The read window.
        stats: What it cost. Relations tracked by their owner's delta cost nothing of their own.
        counted: What Graph counted in the same answer, None when it did not.
        owners: Owners whose rows were read to the end, for tables that are read owner by owner.
        notes: What a person should know and is not a gap.
        gaps: Parts of the table that could not be read; their known rows are among the staged ones.
        linked: Ids of objects of which a later delta round told links and nothing else: they are not among the rows.
        broken: Why the list or round ended before its end, None when it did not: the rows are what came until then, and
            not complete.
    """

    table: str
    staged: Staged
    complete: bool
    started: datetime
    finished: datetime
    stats: RequestStats
    delta_link: str = ""
    delta_minted: str = ""
    signature: str = ""
    counted: int | None = None
    owners: int = 0
    notes: list[str] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    linked: frozenset[str] = frozenset()
    broken: GraphError | None = None


@dataclass(frozen=True, slots=True)
class ReadFailure:
    """A table that could not be read, and why."""

    table: str
    error: GraphError
    stats: RequestStats


@dataclass(frozen=True, slots=True)
class NotOffered:
    """A table that Graph does not offer to this application or tenant, so that nothing is missing without it."""

    table: str
    reason: str
    stats: RequestStats


TableOutcome = ReadResult | ReadFailure | NotOffered
