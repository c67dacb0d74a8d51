"""The order in which types and links come back, held against whom the objects of a tenant truly refer to."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest

from entra_pipeline.catalogue import BY_GRAPH_TYPE, CATALOGUE, RELATIONS, ObjectType
from entra_pipeline.catalogue.order import ORDER, STAGES, Stage, depends_on, later_stage, stage_of
from entra_pipeline.demo import look
from entra_pipeline.simulator import Simulator
from entra_pipeline.simulator.schema import BY_NAME

_GUID = re.compile(r"(?!0{8}-)[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
PLACES = {table: place for place, table in enumerate(ORDER)}


def test_every_restorable_table_is_in_the_order_once() -> None:
    types = {name for name, entry in CATALOGUE.items() if entry.restore.possible}
    relations = {name for name, (_, relation) in RELATIONS.items() if relation.write is not None}
    assert set(ORDER) == types | relations
    assert len(ORDER) == len(PLACES)


def test_stages_follow_one_another() -> None:
    for before, after in pairwise(ORDER):
        assert STAGES.index(stage_of(before)) <= STAGES.index(stage_of(after)), (before, after)
    assert {*map(stage_of, ORDER), Stage.ENABLE} == {*STAGES}


@pytest.mark.parametrize("table", ORDER)
def test_what_a_table_depends_on_comes_before_it(table: str) -> None:
    for other in depends_on(table):
        assert PLACES[other] < PLACES[table]


@pytest.mark.parametrize("name", [name for name in ORDER if name in RELATIONS])
def test_both_ends_of_links_come_before_them(name: str) -> None:
    entry, relation = RELATIONS[name]
    write = relation.write
    assert write is not None
    targets = {*write.from_target} or {
        target for one in BY_NAME[entry.graph_type].relations if one.name == relation.segment for target in one.targets
    }
    assert targets
    for target in targets:
        other = BY_GRAPH_TYPE[target]
        assert not other.restore.possible or PLACES[other.name] < PLACES[name]


def test_what_goes_round_in_circles_is_sent_later() -> None:
    # An application may have values of directory extensions that an application, perhaps itself, defines.
    assert "applications" in depends_on("extension_properties")
    assert "extension_*" in CATALOGUE["applications"].restore.later
    for name, entry in CATALOGUE.items():
        if entry.restore.later:
            assert STAGES.index(later_stage(name)) > STAGES.index(stage_of(name))
        if entry.extensible and entry.restore.possible and "extension_*" not in entry.restore.later:
            assert "extension_properties" in entry.restore.after, name


def test_objects_refer_to_what_their_type_waits_for() -> None:
    types = [name for name in ORDER if name in CATALOGUE and not CATALOGUE[name].shows]
    with Simulator(users=20, groups=8) as simulator:
        objects = look(simulator.control, types).objects
    homes = {
        str(body[key]): table
        for key, tables in (("appId", ["applications"]), ("id", types))
        for table in tables
        for body in objects.get(table, {}).values()
        if _found_by_id(CATALOGUE[table]) and _GUID.fullmatch(str(body.get(key)))
    }
    seen = set()
    for table, found in objects.items():
        rule = CATALOGUE[table].restore
        for body in found.values():
            own = {body.get("id"), body.get("appId")}
            for path, text in _texts({name: value for name, value in body.items() if name not in rule.volatile}):
                for home in {homes[one] for one in _GUID.findall(text) if one in homes and one not in own}:
                    waits = home in _all_before(table) or path.partition(".")[0] in rule.later
                    assert waits, f"{table}.{path} leads to {home}"
                    seen.add((table, home))
    assert len(seen) > 25


def _found_by_id(entry: ObjectType) -> bool:
    """Whether an id tells an object of the type from all others, and the object may be missing."""
    return entry.key == "id" and not entry.local_ids and bool(entry.restore.create)


def _texts(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """All strings in a value, with the dotted path that leads to each."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one, path)
    elif isinstance(value, dict):
        for name, one in value.items():
            yield from _texts(one, f"{path}.{name}" if path else name)


def _all_before(table: str) -> set[str]:
    before = set(depends_on(table))
    for other in depends_on(table):
        before |= _all_before(other)
    return before


def test_the_order_tells_a_sensible_story() -> None:
    story = ["custom_security_attribute_definitions", "extension_properties", "users", "groups", "administrative_units"]
    story += ["service_principals", "group_members", "role_assignments", "app_role_assignments", "user_licenses"]
    story += ["named_locations", "conditional_access_policies", "lifecycle_workflows"]
    assert sorted(story, key=PLACES.__getitem__) == story
    assert stage_of("named_locations") == Stage.BUILDING_BLOCKS
    assert stage_of("attribute_sets") == Stage.DEFINITIONS
    assert stage_of("organizational_brandings") == Stage.TENANT
