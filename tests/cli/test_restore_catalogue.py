"""The restore command over the whole catalogue: one refused property costs no other, and what was added in values goes.

All types are damaged at once, and restored by one call; each type is then looked at by itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import duckdb
import msgspec
import pytest

from entra_pipeline.analysis.equality import same
from entra_pipeline.catalogue import CATALOGUE, ObjectType
from entra_pipeline.catalogue.sdk import PropertyKind, model_properties
from entra_pipeline.restore.execute.requests.partial import dispensable
from entra_pipeline.restore.objects.normalize import differing, normalized
from entra_pipeline.restore.plan.diff import meeting
from entra_pipeline.simulator import Simulator
from entra_pipeline.simulator.schema import BY_NAME
from tests.support.command import Place, write_project

Body = dict[str, Any]

# What Graph computes from other properties, or takes in requests of their own.
_APART = {"users": {"mail", "mailNickname"}, "applications": {"uniqueName"}, "groups": {"mailNickname"}}
# They have neither texts nor switches that anybody may change: lists, numbers, and values inside values.
UNDAMAGED = {
    "authentication_flows_policy",
    "cross_tenant_access_policy",
    "cross_tenant_access_policy_default",
    "cross_tenant_access_policy_partners",
    "federated_token_validation_policy",
    "group_settings",
    "lifecycle_management_settings",
}


@dataclass
class Damage:
    """What was done to one object of a type.

    Attributes:
        id: The object.
        before: The object as it was.
        refused: The property that Graph refuses from now on; empty when the type has none that it may refuse.
        changed: Another property that was changed.
        grown: A property inside whose value something was added.
    """

    id: str
    before: Body
    refused: str = ""
    changed: str = ""
    grown: str = ""


@dataclass
class Damaged:
    """All types, damaged and restored.

    Attributes:
        place: The project.
        damage: By type.
        outcomes: What the restore came to, by type.
    """

    place: Place
    damage: dict[str, Damage] = field(default_factory=dict)
    outcomes: dict[str, list[Body]] = field(default_factory=dict)

    def now(self, table: str) -> Body:
        held: list[Body] = self.place.simulator.control.dump(CATALOGUE[table].path)
        return next(one for one in held if str(one.get("id", table)) == self.damage[table].id)


def damageable() -> list[ObjectType]:
    """Types whose objects have paths of their own, and take a PATCH of an application."""
    return [
        entry
        for entry in CATALOGUE.values()
        if entry.path
        and entry.restore.by_application
        and entry.restore.change == "PATCH"
        and not (entry.shows or entry.optional or entry.name in UNDAMAGED)
    ]


def properties_of(entry: ObjectType, body: Mapping[str, Any], wanted: PropertyKind) -> list[str]:
    """Properties of a kind that an application may change."""
    rule = entry.restore
    apart = rule.volatile | rule.create_only | {entry.key, "id", *_APART.get(entry.name, ())}
    named = {name.partition(".")[0] for name in (*rule.names, *rule.unique, *rule.refers, *rule.later, *rule.texts)}
    return [
        name
        for name, kind in entry.properties.items()
        if kind.kind is wanted
        and not kind.many
        and name in body
        and name not in apart | named | BY_NAME[entry.graph_type].read_only | BY_NAME[entry.graph_type].immutable
    ]


def grown(entry: ObjectType, body: Mapping[str, Any]) -> tuple[str, Body] | None:
    """A property with one member more in its value than it had."""
    for name, kind in entry.properties.items():
        value = body.get(name)
        if kind.kind is not PropertyKind.COMPLEX or kind.many or not isinstance(value, dict):
            continue
        if name in entry.restore.volatile | entry.restore.create_only or name in entry.restore.parts:
            continue
        try:
            members = model_properties(snake(kind.model))
        except ModuleNotFoundError:
            # What stands for values of several types has no model of its own.
            continue
        for member, inner in members.items():
            if inner.kind is PropertyKind.BOOLEAN and not inner.many and value.get(member) is None:
                return name, {**value, member: True}
    return None


def snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("_")


def is_kept(entry: ObjectType, body: Body) -> bool:
    """Tells whether nobody changes an object: it is built in, or managed elsewhere."""
    text = msgspec.json.encode(body).decode()
    rule = entry.restore
    with duckdb.connect() as connection:
        found = [meeting(connection, one, {"it": text}) for one in (rule.fixed, rule.mastered, rule.derived) if one]
    return any(found)


def damage_of(control: Any, entry: ObjectType) -> Damage | None:
    """Damages the first object of a type that is nobody else's."""
    taken = BY_NAME[entry.graph_type]
    for body in control.dump(entry.path):
        if is_kept(entry, body):
            continue
        texts = properties_of(entry, body, PropertyKind.STRING)
        loose = [name for name in texts if name in dispensable(entry, [name], there=True) and body.get(name)]
        done = Damage(str(body.get("id", entry.name)), body)
        changes: Body = {}
        if loose and len(texts) > 1:
            done.refused = loose[-1]
            changes[done.refused] = f"{body[done.refused]} changed"
        rest = [name for name in texts if name != done.refused]
        switches = properties_of(entry, body, PropertyKind.BOOLEAN)
        if rest:
            done.changed = rest[0]
            changes[done.changed] = f"{body.get(done.changed) or ''} changed"
        elif switches:
            done.changed = switches[0]
            changes[done.changed] = not body[done.changed]
        if more := grown(entry, body):
            done.grown = more[0]
            changes[more[0]] = more[1]
        if not changes:
            return None
        path = entry.path if taken.singleton else f"{entry.path}/{body[taken.key]}"
        control.patch(path, changes)
        return done
    return None


@pytest.fixture(scope="module")
def damaged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Damaged]:
    with Simulator(users=20, groups=6, seed=5) as simulator:
        control = simulator.control
        control.knobs(throttle_conditional_access=False, throttle_lanes=False)
        place = Place(write_project(tmp_path_factory.mktemp("catalogue"), simulator), simulator)
        assert place.call("backup", "all").code == 0
        one = Damaged(place)
        for entry in damageable():
            if (done := damage_of(control, entry)) is not None:
                one.damage[entry.name] = done
                if done.refused:
                    control.misbehave("property-refused", f"{entry.path}*", property=done.refused)
        restored = place.call("restore", "all", "--at", "latest", "--enable-policies", "--yes", "--json")
        assert restored.code == 3, restored.err
        for outcome in restored.json["report"]["outcomes"]:
            one.outcomes.setdefault(outcome["table"], []).append(outcome)
        control.behave()
        yield one


@pytest.mark.parametrize("table", [entry.name for entry in damageable()])
def test_a_refused_property_costs_no_other_and_what_was_added_goes(table: str, damaged: Damaged) -> None:
    if table not in damaged.damage:
        pytest.fail(f"nothing of {table} can be damaged")
    done, now, entry = damaged.damage[table], damaged.now(table), CATALOGUE[table]
    (outcome,) = [one for one in damaged.outcomes[table] if one["id"] == done.id]
    assert outcome["result"] == ("restored with differences" if done.refused else "restored"), outcome
    if done.refused:
        assert f"without {done.refused}" in outcome["reason"]
    wanted, found = (normalized(entry, body) for body in (done.before, now))
    left = {name for name in differing(entry, wanted, found) if name not in {"futureSetting", "futureControls"}}
    assert left == ({done.refused} if done.refused else set())
    if done.changed:
        assert same(now.get(done.changed), done.before.get(done.changed), done.changed)
