"""Writes the objects of a new tenant in bulk.

Objects are written in batches, so that a million users take no more memory than a thousand. Ids are hashes of seed,
type and number, so that a reference needs no table of what was made before.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from entra_pipeline.simulator.generate.plan import Ids, TenantPlan, identity, seeded_random
from entra_pipeline.simulator.schema import BY_NAME, LinkKind
from entra_pipeline.simulator.storage.directory import Directory


class Loader:
    """Writes one tenant.

    Attributes:
        ids: The id of the n-th object of a kind.
        who: The tenant and its app registrations.
        users, groups, applications, units, devices: How many there are.
        cost_center, level: Names of the directory extensions.
        role_holders: Users who hold directory roles, as (number, role's id).
        first: Sequence number of each type's first object; those of a type follow each other.
    """

    def __init__(self, directory: Directory, plan: TenantPlan) -> None:
        self.directory = directory
        self.plan = plan
        self.ids = Ids(plan.seed)
        self.who = identity(plan.seed, plan.domain)
        self.users = 0 if plan.empty else plan.users
        self.groups = 0 if plan.empty else plan.groups
        self.applications = 0 if plan.empty else max(5, plan.users // 200)
        self.units = 0 if plan.empty else max(3, plan.users // 500)
        self.devices = 0 if plan.empty else plan.users // 2
        self.role_holders: list[tuple[int, str]] = []
        self.first: dict[str, int] = {}
        self.next = 1
        extension = self.ids("appId", 0).replace("-", "")
        self.cost_center = f"extension_{extension}_costCenter"
        self.level = f"extension_{extension}_securityLevel"
        self._encode = msgspec.json.Encoder().encode

    def write(self, type_name: str, bodies: Iterable[dict[str, Any]], key: str = "") -> int:
        """Writes objects, numbered on; returns the number of the first.

        Args:
            type_name: Their type.
            bodies: What they hold, the property that identifies them included (singletons are known by their type).
            key: Property that serves as an alternate key.
        """
        first = self.next
        self.first.setdefault(type_name, first)
        encode, entry = self._encode, BY_NAME[type_name]

        def rows() -> Iterator[tuple[int, str, str | None, str]]:
            for seq, body in enumerate(bodies, first):
                self.next = seq + 1
                identifier = type_name if entry.singleton else body[entry.key]
                yield seq, identifier, body[key].lower() if key else None, encode(body).decode()

        self.directory.load_objects(type_name, rows())
        return first

    def write_parts(self, type_name: str, parts: Iterable[tuple[int, dict[str, Any]]], *codes: LinkKind) -> int:
        """Writes objects that belong to others, as (sequence number of the owner, body); returns the first's number."""
        owned = list(parts)
        first = self.write(type_name, [body for _, body in owned])
        for code in codes:
            self.directory.load_links(code, [(owner, first + number) for number, (owner, _) in enumerate(owned)])
        return first

    def seq(self, type_name: str, number: int) -> int:
        """Returns the sequence number of the number-th object of the type."""
        return self.first[type_name] + number

    def random(self, kind: str, number: int = 0) -> random.Random:
        """Returns the random numbers of the number-th object of the kind."""
        return seeded_random(self.plan.seed, kind, number)
