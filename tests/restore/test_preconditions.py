"""What Graph will refuse is known when a plan is made: a dry run that ends with 0 is an apply without a refused write.

Tenants are damaged at random, with what the catalogue's preconditions are about among the damage, over real HTTP.
`--preconditions N` tries N of them.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from tests.restore.test_disasters_undone import Site, site

__all__ = ["site"]

TYPES = ("users", "groups", "applications", "service_principals", "user_licenses", "domains", "subscribed_skus")
Body = dict[str, Any]


class Tenant:
    """A tenant, what of it may be damaged, and how.

    Args:
        one: The site.
        seed: What the damage follows from.
    """

    def __init__(self, one: Site, seed: int) -> None:
        self.control: Any = one.control
        self.chance = random.Random(seed)
        self.seed = seed
        roles = {each["principalId"] for each in self.control.dump("unifiedRoleAssignment")}
        self.users = [
            each
            for each in self.control.dump("users")
            if each["userType"] == "Member" and not each["onPremisesSyncEnabled"] and each["id"] not in roles
        ]
        self.groups = [
            each for each in self.control.dump("groups") if not each["groupTypes"] and not each["onPremisesSyncEnabled"]
        ]
        self.apps = self.control.dump("applications")

    def before(self) -> None:
        """Sets what the recovery point is to show, and Graph takes no more."""
        user, group, app = (self.chance.choice(some) for some in (self.users, self.groups, self.apps))
        for act in self.chance.sample(
            [
                lambda: self.control.patch(f"groups/{group['id']}", {"mailNickname": f"no valid (nick) {self.seed}"}),
                lambda: self.control.patch(f"groups/{group['id']}", {"description": "long" * 300}),
                lambda: self.control.patch(f"applications/{app['id']}", {"identifierUris": ["https://gone.example/a"]}),
                lambda: self.control.patch(
                    f"users/{user['id']}", {"proxyAddresses": [f"smtp:a{self.seed}@contoso.com"]}
                ),
            ],
            self.chance.randint(0, 3),
        ):
            act()

    def damage(self) -> None:
        """Deletes, changes, and gives names away."""
        users, groups = self.chance.sample(self.users, 3), self.chance.sample(self.groups, 1)
        app = self.chance.choice(self.apps)
        for each in (*users, *groups):
            path = "groups" if each in groups else "users"
            self.control.delete(f"{path}/{each['id']}")
            if self.chance.random() < 0.4:
                self.control.purge(each["id"])
        if self.chance.random() < 0.5:
            self.control.delete(f"applications/{app['id']}")
        left = [each for each in self.users if each not in users]
        victim = self.chance.choice(users)
        for act in self.chance.sample(
            [
                lambda: self.control.create(
                    "users", {"userPrincipalName": victim["userPrincipalName"], "displayName": "Holder"}
                ),
                lambda: self.control.patch(
                    f"users/{left[0]['id']}", {"userPrincipalName": victim["userPrincipalName"]}
                ),
                lambda: self.control.patch(
                    f"users/{left[1]['id']}", {"proxyAddresses": [f"smtp:a{self.seed}@contoso.com"]}
                ),
                lambda: self.control.patch(f"users/{left[2]['id']}", {"department": "N/A", "jobTitle": None}),
                lambda: [
                    self.control.patch(
                        f"subscribedSkus/{sku['id']}", {"prepaidUnits": {**sku["prepaidUnits"], "enabled": 0}}
                    )
                    for sku in self.control.dump("subscribedSkus")
                ],
            ],
            self.chance.randint(0, 3),
        ):
            act()


def test_a_dry_run_without_findings_is_an_apply_without_a_refused_write(
    site: Callable[..., Site], request: pytest.FixtureRequest
) -> None:
    one = site(*TYPES)
    clean = 0
    for seed in range(int(request.config.getoption("--preconditions"))):
        tenant = Tenant(one, seed)
        tenant.before()
        point = one.backup()
        tenant.damage()
        plan = one.plan(point, f"tenant-{seed}")
        named = {refusal.id for refusal in plan.refusals if refusal.kind == "unresolved"}
        one.control.ledger(reset=True)
        report = one.apply(plan)
        refused = [write for write in one.control.writes() if write["status"] in {400, 403, 409}]
        bad = {outcome.id: outcome.reason for outcome in report.outcomes if not outcome.result.startswith("restored")}
        # Whether or not there were findings: what is planned is taken, what is not is named.
        assert (refused, bad) == ([], {}), (seed, named)
        clean += not named
    assert clean > 0
