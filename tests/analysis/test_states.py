"""The differences between any two points are exactly what makes one of the other, however the points are stored."""

from __future__ import annotations

import json
import tempfile
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from entra_pipeline.analysis.changes import Change, changes, reading
from entra_pipeline.analysis.equality import normal
from entra_pipeline.store.backends import LocalObjectStore
from entra_pipeline.store.commit import commit
from entra_pipeline.store.manifest import Manifest, Part
from entra_pipeline.store.recovery_points import ScopeStore
from tests.support.writing import Row, Time, entry, gone, manifest, put

pytestmark = pytest.mark.pure

_IDS = st.sampled_from("abcde")
_BODY = st.fixed_dictionaries(
    {},
    optional={
        "jobTitle": st.sampled_from([None, "x", "y"]),
        "otherMails": st.lists(st.sampled_from(["p", "q"]), max_size=2),
        "passwordProfile": st.dictionaries(st.sampled_from(["m", "n"]), st.sampled_from([None, 1, 2])),
    },
)
# What a run brings: full or not, users that appear or change, users that go, links that come, links that go.
_LINK = st.tuples(_IDS, _IDS)
_RUN = st.tuples(
    st.booleans(),
    st.dictionaries(_IDS, _BODY, max_size=4),
    st.sets(_IDS, max_size=2),
    st.sets(_LINK, max_size=3),
    st.sets(_LINK, max_size=2),
)

Users = dict[str, dict[str, Any]]
Links = set[tuple[str, ...]]
Run = tuple[bool, Users, set[str], set[tuple[str, str]], set[tuple[str, str]]]


@settings(max_examples=20, deadline=None)
@given(st.lists(_RUN, min_size=2, max_size=4))
def test_the_differences_lead_from_one_point_to_the_other(runs: list[Run]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store, taken = _stored(folder, runs)
        with reading(store) as connection:
            for (older, users, links), (newer, wanted, leading) in product(taken, repeat=2):
                found = list(changes(store, older, store, newer, connection=connection))
                if older is newer:
                    assert found == []
                assert (_spelled(_applied(users, found)), _linked(links, found)) == (_spelled(wanted), leading)


def _stored(folder: Path, runs: list[Run]) -> tuple[ScopeStore, list[tuple[Manifest, Users, Links]]]:
    """Recovery points as the runs made them, each with what it holds."""
    time = Time()
    store = ScopeStore(LocalObjectStore(folder / "store"), "contoso", time)
    users: Users = {}
    links: Links = set()
    parts: dict[str, list[Part]] = {"users": [], "user_sponsors": []}
    taken = []
    for full, brought, removed, added, cut in runs:
        time.pass_(minutes=1)
        point = store.new_key()
        users = {key: body for key, body in {**users, **brought}.items() if key not in removed}
        links = (links | added) - cut
        rows: dict[str, list[Row]] = {
            "users": [_user(key, body) for key, body in (users if full else brought).items() if key not in removed],
            "user_sponsors": [_link(*link) for link in (links if full else added - cut)],
        }
        if not full:
            rows["users"] += [gone(key) for key in removed]
            rows["user_sponsors"] += [_link(*link, change="delete") for link in cut]
        for table, new in rows.items():
            kept = [] if full else parts[table]
            role = "base" if full else "changes"
            parts[table] = [*kept, put(store, folder, point, new, role=role, table=table)] if new else kept
        entries = (
            entry(parts["users"], len(users)),
            entry(parts["user_sponsors"], len(links), table="user_sponsors", kind="edges"),
        )
        taken.append((commit(store, manifest(store, point, *entries)), users, links))
    return store, taken


def _user(key: str, body: dict[str, Any]) -> Row:
    return {"id": key, "_raw": json.dumps({"id": key, **body}), "_change": "upsert"}


def _link(source: str, target: str, change: str = "upsert") -> Row:
    ends = {"source_id": source, "target_id": target, "target_type": "user"}
    return {**ends, "_change": change, "_reason": "removed" if change == "delete" else None}


def _applied(users: Users, found: list[Change]) -> Users:
    """The users after the changes have been made to them."""
    made = dict(users)
    for change in (one for one in found if one.table == "users"):
        (key,) = change.key
        if change.kind == "removed":
            del made[key]
        elif change.kind == "added":
            assert key not in made
            made[key] = change.after or {}
        else:
            values = {**change.properties, **change.volatile}
            made[key] = {**made[key], **{name: now for name, (_, now) in values.items()}}
    return made


def _linked(links: Links, found: list[Change]) -> Links:
    made = set(links)
    for change in (one for one in found if one.table == "user_sponsors"):
        (made.add if change.kind == "added" else made.remove)(change.key)
    return made


def _spelled(users: Users) -> dict[str, Any]:
    return {key: normal({name: value for name, value in body.items() if name != "id"}) for key, body in users.items()}
