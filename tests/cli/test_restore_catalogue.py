"""The restore command over the whole catalogue: one refused property costs no other, what was added in values goes, and
what is gone for good comes back whole though nobody knows fresh objects at once.

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
from entra_pipeline.restore.objects.references import rewrite
from entra_pipeline.restore.plan.diff import meeting
from entra_pipeline.simulator import Simulator
from entra_pipeline.simulator.schema import BY_NAME
from tests.support.command import Place, write_project

Body = dict[str, Any]

# What Graph computes from other properties, or takes in requests of their own.
_APART = {"users": {"mail", "mailNickname"}, "applications": {"uniqueName"}, "groups": {"mailNickname"}}
# All that anybody may change of it is one of two models of a value.
UNDAMAGED = {"federated_token_validation_policy"}


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
        lost: An object that was deleted for good, by type.
    outcomes: What the restore came to, by type.
    """

    place: Place
    damage: dict[str, Damage] = field(default_factory=dict)
    lost: dict[str, Body] = field(default_factory=dict)
    outcomes: dict[str, list[Body]] = field(default_factory=dict)

    def now(self, table: str) -> Body:
        held: list[Body] = self.place.simulator.control.dump(CATALOGUE[table].path)
        return next(one for one in held if id_of(CATALOGUE[table], one) == self.damage[table].id)

    def ids(self) -> dict[str, str]:
        """Which id each object has now, by the one that it had."""
        every = {one["id"]: one["live_id"] for outcomes in self.outcomes.values() for one in outcomes}
        before = self.lost["applications"]
        (now,) = [one for one in self.place.simulator.control.dump("applications") if one["id"] == every[before["id"]]]
        return {**every, before["appId"]: now["appId"]}


def id_of(entry: ObjectType, body: Mapping[str, Any]) -> str:
    """What an object is known by; of what a tenant has one, its type."""
    return str(body.get(entry.key) or entry.name)


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


def other_value(value: Any) -> Any:
    """A value like another one, but for a switch, a number or an element; None where there are none."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, list):
        return value[:-1] if value else None
    members = value.items() if isinstance(value, dict) else ()
    return next(({**value, name: other} for name, one in members if (other := other_value(one)) is not None), None)


def otherwise(entry: ObjectType, body: Mapping[str, Any]) -> tuple[str, Any] | None:
    """A property with another value, of a type that has neither texts nor switches."""
    kept = entry.restore.volatile | entry.restore.create_only | BY_NAME[entry.graph_type].read_only | {entry.key}
    properties = (name for name in entry.properties if name in body and name not in kept)
    return next(((name, other) for name in properties if (other := other_value(body[name])) is not None), None)


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
        done = Damage(id_of(entry, body), body)
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
        elif other := otherwise(entry, body):
            done.changed, changes[done.changed] = other
        if more := grown(entry, body):
            done.grown = more[0]
            changes[more[0]] = more[1]
        if not changes:
            return None
        path = entry.path if taken.singleton else f"{entry.path}/{body[taken.key]}"
        control.patch(path, changes)
        return done
    return None


# Graph deletes no catalog that has packages.
_HELD = {"access_package_catalogs"}


def losable() -> list[ObjectType]:
    """Types whose objects have paths of their own, and which an application makes anew and deletes."""
    return [
        entry
        for entry in CATALOGUE.values()
        if entry.path
        and entry.restore.by_application
        and entry.restore.create == "POST"
        and entry.restore.remove
        and not (entry.parent or entry.shows or entry.optional or entry.name in _HELD)
    ]


def lose(control: Any, entry: ObjectType, besides: str) -> Body | None:
    """Deletes the last object of a type for good, but for one that was damaged."""
    for body in reversed(control.dump(entry.path)):
        if id_of(entry, body) == besides or is_kept(entry, body):
            continue
        control.delete(f"{entry.path}/{body[BY_NAME[entry.graph_type].key]}")
        if BY_NAME[entry.graph_type].bin:
            control.purge(body["id"])
        lost: Body = body
        return lost
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
                    # Others of the type are made anew, and not refused.
                    only = [] if BY_NAME[entry.graph_type].singleton else [done.id]
                    control.misbehave("property-refused", f"{entry.path}*", objects=only, property=done.refused)
        for entry in losable():
            kept = one.damage[entry.name].id if entry.name in one.damage else ""
            if (lost := lose(control, entry, kept)) is not None:
                one.lost[entry.name] = lost
        # Fresh objects are not known everywhere yet.
        control.knobs(lag=0.3, lag_writes=True)
        restored = place.call("restore", "all", "--at", "latest", "--enable-policies", "--yes", "--json")
        assert restored.code == 3, restored.err
        for outcome in restored.json["report"]["outcomes"]:
            one.outcomes.setdefault(outcome["table"], []).append(outcome)
        control.knobs(lag=0.0, lag_writes=False)
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
    before = rewrite(done.before, damaged.ids())
    assert _left(entry, before, now) == ({done.refused} if done.refused else set())
    if done.changed:
        assert same(now.get(done.changed), before.get(done.changed), done.changed)


def _left(entry: ObjectType, before: Body, now: Body) -> set[str]:
    """Properties that an object does not have again, but for those that no tenant takes."""
    wanted, found = (normalized(entry, body) for body in (before, now))
    return differing(entry, wanted, found).keys() - {"futureSetting", "futureControls"}


def test_what_is_made_anew_while_replication_lags_comes_back_whole(damaged: Damaged) -> None:
    assert len(damaged.lost) > 20, damaged.lost.keys()
    ids, wrong = damaged.ids(), {}
    for table, before in damaged.lost.items():
        entry = CATALOGUE[table]
        outcomes = [one for one in damaged.outcomes.get(table, ()) if one["id"] == id_of(entry, before)]
        bad = [one["reason"] for one in outcomes if one["result"] != "restored" and "futureSe" not in one["reason"]]
        held = {id_of(entry, one): one for one in damaged.place.simulator.control.dump(entry.path)}
        back = held.get(outcomes[0]["live_id"], {}) if outcomes else {}
        left = _left(entry, rewrite(before, ids), back) if back else {"all of it"}
        if bad or left:
            wrong[table] = (bad, left)
    assert wrong == {}
