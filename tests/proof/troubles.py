"""What can go wrong with Graph while a backup reads, as a seed draws it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from entra_pipeline.simulator.faults.misbehave import MISBEHAVIOURS
from entra_pipeline.simulator.faults.settings import EXPIRY_FORMS, FAULTS

PATHS: dict[str, tuple[str, tuple[str, ...]]] = {
    "users": ("users", ("users/*/manager", "users/*/sponsors")),
    "groups": ("groups", ("groups/*/members", "groups/*/owners")),
    "administrative_units": ("directory/administrativeUnits", ("directory/administrativeUnits/*/members",)),
    "directory_roles": ("directoryRoles", ("directoryRoles/*/members",)),
    "applications": ("applications", ("applications/*/owners",)),
    "scoped_role_members": (
        "directory/administrativeUnits/*/scopedRoleMembers",
        ("directory/administrativeUnits/*/scopedRoleMembers",),
    ),
    "group_specific_settings": ("groups/*/settings", ("groups/*/settings",)),
    "named_locations": ("identity/conditionalAccess/namedLocations", ()),
    "authorization_policy": ("policies/authorizationPolicy", ()),
}
"""Where each object type and its relations are read."""
EXPANDED = ("users/*/sponsors", "applications/*/owners")
"""Relations that delta does not tell: a link that `$expand` has never shown is asked for nowhere else.

So that view is not made to hide links here; that known ones stay is in tests/backup/test_views.py.
"""
OWNERS = {"scoped_role_members": "administrative_units", "group_specific_settings": "groups"}
"""Types that are read owner by owner, and the type of their owners."""
OWNED_PATHS = tuple(PATHS[name][0] for name in OWNERS)
_MANAGER = "users/*/manager"
_LISTED_ONLY = (*OWNERS, "named_locations", "authorization_policy")
PAGED = ("page-token-expired", "next-page-fails")
"""Misbehaviours that strike second pages."""
LINKS = (
    ["@odata.deltaLink"],
    ["@odata.deltaLink"],
    ["@odata.nextLink"],
    ["@odata.nextLink", "@odata.deltaLink"],
)
"""Which links of a page lead elsewhere: what the next backup begins with shows most."""
ROUNDS = ("foreign-link", "other-set-link", "empty-delta-link")
"""Misbehaviours that strike links: other answers than those of delta have one page, and no link, in a small tenant."""
SINGLE = ("error-body", "wrong-body")
"""Misbehaviours that are worst where the answer is an object, not a page."""
UNANSWERED = ("fails", "owner-not-found", "next-page-fails", *SINGLE)
"""Misbehaviours that are worst where owners are asked one by one."""
LEFT_OUT: dict[str, str] = {
    "write-fails": "a backup writes nothing to Graph",
    "property-refused": "a backup writes nothing to Graph",
    "sign-in-unavailable": "tokens come without azure-identity here; tests/graph has the sign-in",
    "sign-in-odd": "tokens come without azure-identity here; tests/graph has the sign-in",
    "sign-in-transient": "tokens come without azure-identity here; tests/graph has the sign-in",
    "ids-in-capitals": "objects are stored as Graph writes them, id and all; tests/backup/test_ids.py has it",
    "lone-surrogate": "it is another text, which is rightly stored; tests/backup/test_surrogates.py has it",
    "hidden-membership": "the application may read hidden memberships; tests/backup/test_views.py has it",
}
"""Misbehaviours that are not drawn, and why."""
DRAWN = tuple(name for name in MISBEHAVIOURS if name not in LEFT_OUT)
_RARE = ("members-hidden", "owner-not-found", "error-body", "other-set-link")
"""Misbehaviours that show a fault where much else meets: they are drawn twice as often."""


def draw_favoured(draw: random.Random) -> tuple[str, ...]:
    """Draws the misbehaviours that most of a simulation is about; none, where it is about everything.

    A fault of the engine shows where one misbehaviour meets the tenant, the moment and the next backup that it needs,
    and seldom where many get in each other's way (swarm testing: Groce et al., ISSTA 2012).
    """
    if draw.random() < 0.6:
        return tuple(draw.sample((*DRAWN, *_RARE), draw.choice((1, 1, 2))))
    return ()


def draw_misbehaviour(draw: random.Random, types: Sequence[str], names: Sequence[str] = DRAWN) -> dict[str, Any]:
    """Draws one of some misbehaviours, as `Control.misbehave` takes it; `objects` are numbers of objects of the set."""
    name = draw.choice(names)
    known = MISBEHAVIOURS[name]
    rule: dict[str, Any] = {"name": name}
    whole, relations = PATHS[draw.choice(types)]
    owned = [one for one in types if one in OWNERS]
    if name in UNANSWERED and owned and draw.random() < 0.7:
        whole, relations = PATHS[draw.choice(owned)]
    related = draw.choice(relations or PATHS["groups"][1])
    rule["path"] = related if known.on_relations else draw.choice((whole, f"{whole}/delta", f"{whole}/*", related, "*"))
    rule["probability"] = draw.choice((1.0, 1.0, 0.5, 0.2))
    if (times := draw.choice((0, 1, 1, 2, 5))) and not known.on_elements:
        rule["times"] = times
    if name in SINGLE and "authorization_policy" in types and draw.random() < 0.5:
        rule["path"] = PATHS["authorization_policy"][0]
    elif not known.on_elements and not known.on_relations and draw.random() < (0.6 if whole in OWNED_PATHS else 0.4):
        # One object is the bad one: it may cost itself at most.
        rule["path"] = related
        rule["number"] = draw.randrange(20)
        rule["probability"] = draw.choice((1.0, 1.0, 0.5))
    if name in ROUNDS and draw.random() < 0.7:
        rule["path"] = f"{PATHS[main_of(types)][0]}/delta"
        rule.pop("number", None)
    match name:
        case "members-hidden":
            many = [one for name in types for one in PATHS[name][1] if one not in (*EXPANDED, *OWNED_PATHS, _MANAGER)]
            if many and draw.random() < 0.7:
                rule["path"] = related = draw.choice(many)
            # What no view shows cannot be known.
            views = (
                ["list", "count"],
                ["list", "count"],
                ["list", "count"],
                ["list"],
                ["count"],
                ["delta"],
                ["expand"],
            )
            rule["views"] = draw.choice(views[:6] if related in EXPANDED else views)
        case "objects-hidden":
            # Of a type that is only listed, nothing else tells.
            rule["path"] = "groups" if whole in {PATHS[one][0] for one in _LISTED_ONLY} else whole
            rule["views"] = draw.choice((["list"], ["count"], ["list", "count"]))
        case "owner-not-found":
            rule["path"] = related
        case "count-wrong" | "count-fails":
            rule["path"] = draw.choice((whole, related)) + "/$count"
        case "expand-null":
            rule["absent"] = draw.random() < 0.5
        case "expand-cut":
            rule["limit"] = draw.choice((0, 1, 2))
        case "fails":
            rule["status"] = draw.choice((400, 403, 404, 500) if "number" in rule else (400, 403, 404, 500, 503))
        case "page-token-expired" if draw.random() < 0.7:
            # Other answers have one page in a tenant of this size.
            rule["path"] = draw.choice((f"{PATHS[main_of(types)][0]}/delta", "*"))
            rule.pop("number", None)
        case "next-page-fails":
            rule["status"] = draw.choice((404, 500))
        case "element-null" | "element-not-object" | "element-without-id":
            rule["within"] = draw.choice(("", "members@delta", "owners@delta"))
            if name == "element-not-object" and draw.random() < 0.5:
                rule["value"] = draw.choice((7, [], [{"id": "x"}], True))
            if name == "element-without-id":
                rule[draw.choice(("null", "empty"))] = draw.random() < 0.6
        case "property-missing":
            rule["within"] = draw.choice(("", "members@delta", "owners@delta", "members", "owners"))
        case "wrong-kind":
            rule["property"] = draw.choice(("members@delta", "owners@delta", "manager@delta", "displayName"))
            rule["value"] = draw.choice((None, "text", 7, {}, []))
        case "wrong-body":
            rule["body"] = draw.choice(("text", None, [], {}, {"value": None}, {"value": "text"}, {"value": []}))
        case "endless-pages":
            rule["pages"], rule["empty"] = draw.choice((1, 2, 3)), draw.random() < 0.3
        case "foreign-link":
            rule["links"] = draw.choice(LINKS)
        case "other-set-link":
            rule["links"] = draw.choice(LINKS)
            rule["to"] = draw.choice([one for one in ("groups", "users", "applications") if one not in rule["path"]])
        case "empty-delta-link":
            rule |= draw.choice(({"value": ""}, {"value": 7}, {"absent": True}))
        case "redirected" if draw.random() < 0.5:
            rule["root"] = ""
            rule["to"] = draw.choice(("", "groups", "users/delta"))
        case "throttled":
            rule["retry_after"] = draw.choice(("0.249", "1", "0", "soon"))
            if draw.random() < 0.7:
                rule = {"name": name, "path": rule["path"], "seconds": draw.choice((45, 120, 300))}
    return rule


def main_of(types: Sequence[str]) -> str:
    """Returns the first of some types that has delta; the first of all where none has."""
    return next((name for name in types if name not in _LISTED_ONLY), types[0])


def passes(rule: dict[str, Any]) -> bool:
    """Tells whether a misbehaviour is over before a backup's patience is: then nothing may be missing."""
    match rule["name"]:
        case "throttled":
            return bool(rule.get("seconds", 0))
        case "token-expired" | "page-token-expired":
            return rule.get("times", 0) in {1, 2}
        case "byte-order-mark":
            return True
    return False


def draw_graph(draw: random.Random, types: Sequence[str], favoured: Sequence[str] = ()) -> dict[str, Any]:
    """Draws what a backup meets on the way to Graph, as options of a step."""
    options: dict[str, Any] = {}
    chance = draw.random()
    if favoured:
        if chance < 0.65:
            options["misbehave"] = [draw_misbehaviour(draw, types, favoured) for _ in range(draw.choice((1, 1, 1, 2)))]
    elif chance < 0.15:
        options["faults"] = draw.choice((0.05, 0.2, 0.4))
        options["fault_kinds"] = draw.sample(FAULTS, draw.randint(1, len(FAULTS)))
    elif chance < 0.55:
        options["misbehave"] = [draw_misbehaviour(draw, types) for _ in range(draw.choice((1, 1, 1, 2, 3)))]
    elif chance < 0.6:
        options["deny"] = PATHS[draw.choice(types)][0]
    elif chance < 0.65:
        options["expired"] = draw.choice(("", *EXPIRY_FORMS))
    elif chance < 0.7:
        options["tokens_expire"] = True
    return options


def draw_habits(draw: random.Random) -> dict[str, Any]:
    """Draws how the tenant pages and tells its deltas from now on."""
    return {
        "delta_page_size": draw.choice((1, 2, 5, 200)),
        "delta_slice_size": draw.choice((1, 3, 1000)),
        "replays": draw.choice((0, 0, 2)),
        "disorder": draw.random() < 0.5,
        "partial": draw.random() < 0.5,
        "empty_pages": draw.choice((0.0, 0.5)),
        "repeat_pages": draw.choice((0.0, 0.3)),
    }
