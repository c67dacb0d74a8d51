"""Holds the settings of a running tenant: faults, limits, delta's habits."""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import blake2b

FAULTS = ("429", "429-no-retry-after", "503", "504", "reset", "truncated", "short")
"""Kinds of faults: refusals; a connection closed in mid-body; a 200 whose JSON is cut, with a Content-Length that
fits, and with one that promises more."""

LATE_FAULTS = ("504-after", "reset-after")
"""Faults that strike when the request has been carried out, and its answer is lost: a 504 instead of it; a connection
closed before a byte of its body."""

EXPIRY_FORMS = ("gone", "unsupported", "sync_state_not_found")
"""How a delta link that can no longer be followed is answered: 410; 400 Request_UnsupportedQuery; 404."""


@dataclass(slots=True)
class TenantSettings:
    """Holds all settings; the defaults are those of a healthy tenant.

    Attributes:
        seed: What the pages that are repeated or followed by an empty one depend on.
        throttle_units, throttle_writes, throttle_conditional_access, throttle_lanes: Enforce these limits.
        fault_rate, fault_kinds: Share of Graph requests that fail, and how.
        fault_methods: Only requests with these methods fail (`POST` = batches, too); empty = all.
        deny: Path prefixes answered with a status.
        protected: Path prefixes whose writes take an authentication context → its id (`c1`).
        user: Sign-in name of the user who signs in when an app registration asks for it; empty = nobody does.
        public_clients: App registrations may sign users in without a credential of their own.
        latency: Seconds each Graph request takes longer.
        token_lifetime: Seconds an access token is valid.
        issued_after: Access tokens issued before (seconds since 1970) are refused.
        empty_pages, repeat_pages: Share of pages followed by an empty page, or by themselves again.
        delta_page_size: Objects per page of delta.
        delta_slice_size: Links of one object per page of delta.
        replays: Changes of earlier rounds reported again on each page of delta: so many objects and so many removals.
        disorder: Objects of a delta page come in any order.
        hole: Ids of objects whose changes delta never reports.
        hidden: Ids of objects that delta rounds leave out, though they are counted and answer by themselves.
        hidden_links: The same for links, as `<owner id>/<relation>/<target id>`.
        hidden_types: The same for whole types.
        hidden_in_lists: Lists leave out what is hidden, too.
        unlicensed: Path prefixes answered 403, because the tenant lacks the licence they belong to.
        partial: Incremental rounds carry only ids and what changed.
        expired_before: Delta links issued before (seconds since 1970, the tenant's clock) have expired.
        expiry_form: One of EXPIRY_FORMS; empty = as usual for the set.
        lag: Reads see the tenant as it was up to so many seconds ago; writes see all of it.
        lag_writes: Writes about what reads cannot see yet are refused, with 404 or in the words of their service.
        conflicts: Share of writes answered 409 Directory_ConcurrencyViolation.
        collisions: So is a write that was sent before the one before it on the same object was answered.
        settling: And one that comes within so many seconds after.
        credential_lag: Seconds after which the token endpoint knows a secret that was added or removed.
        log_lag: Seconds after which the last of the log entries of a moment can be read; most come earlier.
        log_retention_days: How long logs are kept: 30 with a premium licence, 7 without.
    """

    seed: int = 0
    throttle_units: bool = True
    throttle_writes: bool = True
    throttle_conditional_access: bool = True
    throttle_lanes: bool = True
    fault_rate: float = 0.0
    fault_kinds: tuple[str, ...] = FAULTS
    fault_methods: frozenset[str] = frozenset()
    deny: dict[str, int] = field(default_factory=dict)
    protected: dict[str, str] = field(default_factory=dict)
    user: str = ""
    public_clients: bool = True
    latency: float = 0.0
    token_lifetime: int = 3599
    issued_after: float = 0.0
    empty_pages: float = 0.0
    repeat_pages: float = 0.0
    delta_page_size: int = 200
    delta_slice_size: int = 1000
    replays: int = 0
    disorder: bool = False
    hole: frozenset[str] = frozenset()
    hidden: frozenset[str] = frozenset()
    hidden_links: frozenset[str] = frozenset()
    hidden_types: frozenset[str] = frozenset()
    hidden_in_lists: bool = False
    unlicensed: frozenset[str] = frozenset()
    partial: bool = False
    expired_before: float = 0.0
    expiry_form: str = ""
    lag: float = 0.0
    lag_writes: bool = False
    conflicts: float = 0.0
    collisions: bool = True
    settling: float = 0.0
    credential_lag: float = 0.0
    log_lag: float = 0.0
    log_retention_days: int = 30

    def hits(self, kind: str, rate: float, key: str, number: int) -> bool:
        """Returns whether a fault of the rate strikes page `number` of the list `key`: the same every time."""
        if rate <= 0:
            return False
        digest = blake2b(f"{self.seed}:{kind}:{key}:{number}".encode(), digest_size=4).digest()
        return int.from_bytes(digest) < rate * 2**32
