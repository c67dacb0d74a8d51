"""What a read cost: requests, resource units, retries. One ledger per table of a run."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(slots=True)
class RequestStats:
    """Counts of one piece of work.

    Attributes:
        requests: HTTP requests sent, retries included. A `$batch` counts as one.
        items: Requests inside batches.
        pages: Pages of collections, each read to the next until Graph named none.
        resource_units: Sum of `x-ms-resource-unit` as Graph reported it (Graph doc: throttling-limits).
        retries: Requests (or parts of a batch) sent again after a passing failure.
        throttled: Answers with status 429.
        bytes_read: Bytes of response bodies, after decompression.
    """

    requests: int = 0
    items: int = 0
    pages: int = 0
    resource_units: int = 0
    retries: int = 0
    throttled: int = 0
    bytes_read: int = 0

    def take(self) -> RequestStats:
        """The counts so far; this ledger starts again at zero."""
        taken = replace(self)
        self.requests = self.items = self.pages = self.resource_units = self.retries = self.throttled = 0
        self.bytes_read = 0
        return taken
