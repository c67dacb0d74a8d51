"""Names that somebody else has by now, of every type and property that holds names which only one object may have.

Each is told in the plan with who has it and what can be done, and costs nothing else. Where what was added since may be
deleted, who has the name goes first, and nothing is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from entra_pipeline.analysis.equality import same
from entra_pipeline.catalogue import CATALOGUE
from entra_pipeline.graph.retry import use_policy
from entra_pipeline.restore.objects.model import RestorePlan
from entra_pipeline.restore.objects.selection import is_bin
from entra_pipeline.restore.plan.rules.holders import name_properties
from entra_pipeline.restore.records.id_map import lineage
from entra_pipeline.simulator import Simulator
from entra_pipeline.store.manifest import Manifest
from tests.restore.pictured import Pictured
from tests.restore.test_preconditions import unforeseen
from tests.support.patience import IMPATIENT

Body = dict[str, Any]

TYPES = ("users", "groups", "applications", "service_principals", "domains")
_PATHS = {
    "users": "users",
    "groups": "groups",
    "applications": "applications",
    "service_principals": "servicePrincipals",
}
_ISSUER = "contoso.onmicrosoft.com"


def identities(number: int) -> Body:
    mail = f"local{number}@mail.example"
    return {"identities": [{"signInType": "emailAddress", "issuer": _ISSUER, "issuerAssignedId": mail}]}


def addresses(number: int) -> Body:
    return {"proxyAddresses": [f"SMTP:own{number}@contoso.com", f"smtp:shared{number}@contoso.com"]}


def mail(number: int) -> Body:
    return {"mail": f"mail{number}@contoso.com", "proxyAddresses": [f"SMTP:mail{number}@contoso.com"]}


CASES: dict[tuple[str, str], Callable[[int], Body]] = {
    ("users", "userPrincipalName"): lambda n: {"userPrincipalName": f"taken{n}@contoso.com"},
    ("users", "proxyAddresses"): addresses,
    ("users", "mail"): mail,
    ("users", "identities"): identities,
    ("groups", "mailNickname"): lambda n: {"mailNickname": f"taken{n}"},
    ("groups", "mail"): mail,
    ("groups", "proxyAddresses"): addresses,
    ("groups", "uniqueName"): lambda n: {"uniqueName": f"group-{n}"},
    ("applications", "uniqueName"): lambda n: {"uniqueName": f"app-{n}"},
    ("applications", "identifierUris"): lambda n: {"identifierUris": [f"api://contoso/{n}"]},
    # The same: an application has one enterprise application, whose names are its own and the application's.
    ("service_principals", "appId"): lambda n: {},
    ("service_principals", "servicePrincipalNames"): lambda n: {},
}
"""What an object has of a property, by type and property; who takes the name has the same."""


class Lost(NamedTuple):
    """An object that was deleted, and whose name somebody has.

    Attributes:
        table, property: Its type, and what holds the name.
        purged: It is not in the recycle bin.
        id: The object.
        holder: Who has the name.
        value: The name, as the property has it.
    """

    table: str
    property: str
    purged: bool
    id: str
    holder: str
    value: Any


def test_every_property_is_tried_that_holds_such_names() -> None:
    named = {
        (name, prop)
        for name, entry in CATALOGUE.items()
        if entry.restore.possible and not is_bin(entry) and not entry.shows
        for prop in name_properties(name)
    }
    assert CASES.keys() == named


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Pictured]:
    with use_policy(IMPATIENT):
        one = Pictured(Simulator(users=10, groups=4, seed=7), tmp_path, *TYPES)
        yield one
        one.close()


def make(site: Pictured, table: str, number: int, who: str, given: Body) -> str:
    """Makes an object with some names; returns its id."""
    body = {"displayName": f"{who} {number}"}
    if table == "users":
        body |= {"userPrincipalName": f"{who}{number}@contoso.com", "accountEnabled": True}
    if table == "groups":
        body |= {
            "groupTypes": ["Unified"],
            "mailEnabled": True,
            "securityEnabled": False,
            "mailNickname": f"{who}{number}",
        }
    if table == "service_principals" and "appId" not in given:
        app = site.control.create("applications", body)
        given = {"appId": next(one["appId"] for one in site.control.dump("applications") if one["id"] == app)}
    return str(site.control.create(_PATHS[table], {**body, **given}))


def shown(site: Pictured, table: str, id_: str) -> Body:
    found: Body = next(one for one in site.control.dump(_PATHS[table]) if one["id"] == id_)
    return found


def lose(site: Pictured) -> tuple[Manifest, list[Lost]]:
    """Makes objects, takes a recovery point, deletes them, and gives their names away."""
    kinds = [(table, prop, purged) for table, prop in CASES for purged in (False, True)]
    ids = [make(site, table, n, "own", CASES[table, prop](n)) for n, (table, prop, _) in enumerate(kinds)]
    bodies = [shown(site, table, id_) for id_, (table, *_) in zip(ids, kinds, strict=True)]
    point = site.backup()
    lost = []
    for number, (id_, body, (table, prop, purged)) in enumerate(zip(ids, bodies, kinds, strict=True)):
        site.control.delete(f"{_PATHS[table]}/{id_}")
        if purged:
            site.control.purge(id_)
        given = {"appId": body["appId"]} if table == "service_principals" else {prop: body[prop]}
        holder = make(site, table, number, "holder", given)
        lost.append(Lost(table, prop, purged, id_, holder, body[prop]))
    return point, lost


def back(site: Pictured, one: Lost) -> Body | None:
    """The object as the tenant has it again, also where the one that has its name is known to be the same."""
    names = lineage(site.store, site.simulator.tenant_id)
    live = names.get(one.id, one.id)
    return next((body for body in site.control.dump(_PATHS[one.table]) if body["id"] == live), None)


def is_whole(site: Pictured, one: Lost) -> bool:
    body = back(site, one)
    return body is not None and same(body[one.property], one.value, one.property)


def told(plan: RestorePlan, one: Lost) -> list[str]:
    """What a plan says of an object: why it does not come back, or what it comes back without."""
    notes = [note for step in plan.steps if (step.table, step.id) == (one.table, one.id) for note in step.notes]
    # What no backup has is no word about a name.
    notes = [note for note in notes if not note.startswith("not restored: ")]
    return notes + [refusal.reason for refusal in plan.refusals if (refusal.table, refusal.id) == (one.table, one.id)]


def restored(site: Pictured, plan: RestorePlan, lost: list[Lost]) -> list[Lost]:
    """Applies a plan; what is not as it was, all of which the plan has told."""
    site.control.ledger(reset=True)
    report = site.apply(plan)
    assert unforeseen(site, plan, report) == []
    lacking = [one for one in lost if not is_whole(site, one)]
    assert [one for one in lacking if not told(plan, one)] == []
    return lacking


def test_a_name_that_is_taken_is_told_with_its_holder_and_costs_nothing_else(site: Pictured) -> None:
    point, lost = lose(site)
    plan = site.plan(point, "first")
    lacking = restored(site, plan, lost)
    kept = {(one.table, one.property) for one in lacking}
    assert kept >= {("users", "userPrincipalName"), ("users", "proxyAddresses"), ("applications", "identifierUris")}
    remedies = {refusal.id: refusal.remedy for refusal in plan.refusals if refusal.kind == "unresolved"}
    for one in lacking:
        if one.id in remedies:
            assert any(one.holder in reason for reason in told(plan, one)), one
            assert remedies[one.id].startswith("Choose: "), one
    # Nothing that was whole before is asked for again.
    again = site.plan(point, "again")
    assert {step.id for step in again.steps} <= {one.id for one in lacking}


def test_who_has_a_name_goes_first_where_that_is_asked_for(site: Pictured) -> None:
    point, lost = lose(site)
    plan = site.plan(point, "first", delete_added=True)
    lacking = restored(site, plan, lost)
    # What the recycle bin keeps is not freed, and addresses are Exchange's.
    beyond = {"identifierUris", "uniqueName", "proxyAddresses", "mail", "servicePrincipalNames", "appId"}
    assert {one.property for one in lacking} <= beyond, lacking
