"""What a tenant is made from: how large it is to be, who it is, its ids and times; all of it follows from the seed.

What belongs here: what needs no storage. What does not: what a tenant contains (`generate`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b
from random import Random

DOMAIN = "contoso.com"
"""Main domain of a tenant that is not given another."""

EPOCH = datetime(2021, 3, 1, 8, 0, 0, tzinfo=UTC)
"""When the tenant was founded."""


@dataclass(frozen=True, slots=True)
class TenantPlan:
    """How large a tenant to make.

    Attributes:
        users, groups: How many.
        memberships: Group memberships in all; None = five per user.
        seed: What everything is derived from.
        empty: Only what a fresh tenant has.
        domain: Its main domain; the first label of it is that of the initial domain, too.
    """

    users: int
    groups: int
    memberships: int | None = None
    seed: int = 1
    empty: bool = False
    domain: str = DOMAIN


@dataclass(frozen=True, slots=True)
class Identity:
    """Who the tenant and its app registrations are; derived from the seed."""

    tenant_id: str
    initial_domain: str
    domain: str
    client_id: str
    client_secret: str
    restore_client_id: str
    restore_client_secret: str
    owner_client_id: str
    owner_client_secret: str


def identity(seed: int, domain: str = DOMAIN) -> Identity:
    """Returns the identity of the tenant made from the seed."""
    ids = Ids(seed)
    return Identity(
        tenant_id=ids("tenant", 0),
        initial_domain=f"{domain.partition('.')[0]}.onmicrosoft.com",
        domain=domain,
        client_id=ids("client", 0),
        client_secret="simulated~" + ids("secret", 0).replace("-", ""),
        restore_client_id=ids("client", 1),
        restore_client_secret="simulated~" + ids("secret", 1).replace("-", ""),
        owner_client_id=ids("client", 2),
        owner_client_secret="simulated~" + ids("secret", 2).replace("-", ""),
    )


class Ids:
    """Ids by seed, kind and number: stable, spread evenly, and computable in any order."""

    def __init__(self, seed: int) -> None:
        self._prefix = f"{seed}:".encode()

    def __call__(self, kind: str, number: int) -> str:
        """Returns the id of the number-th object of the kind."""
        digest = blake2b(self._prefix + f"{kind}:{number}".encode(), digest_size=16).hexdigest()
        return f"{digest[:8]}-{digest[8:12]}-4{digest[13:16]}-a{digest[17:20]}-{digest[20:]}"


def seeded_random(*seed: object) -> Random:
    """Returns a generator of random numbers that depends on nothing but the parts of its seed."""
    return Random(":".join(map(str, seed)))  # noqa: S311 - reproducible on purpose, and no secret


def stamp(moment: datetime, fraction: str = "") -> str:
    """Returns a time as Graph writes it; `fraction` is what stands behind the decimal point."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S") + (f".{fraction}Z" if fraction else "Z")
