"""First passwords: what they look like, wherever their file is opened."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import msgspec
import pytest

from entra_pipeline.restore.objects.model import RestoreOptions, RestorePlan, RestoreSelection, RestoreStep
from entra_pipeline.restore.records.passwords import Passwords
from entra_pipeline.store.backends.local import LocalObjectStore

pytestmark = pytest.mark.pure

KEY = "a key of twenty characters"
STORED = "_restore/job/passwords.json"


def plan(*names: str) -> RestorePlan:
    """A plan that makes users."""
    steps = tuple(
        RestoreStep(
            number=number,
            stage="users",
            action="create",
            table="users",
            id=f"user-{number}",
            body={"userPrincipalName": name},
        )
        for number, name in enumerate(names, 1)
    )
    return RestorePlan(
        id="job",
        scope="contoso",
        point="",
        tenant="contoso",
        tenant_id="",
        live_point="",
        created="2026-11-23T05:00:00Z",
        selection=RestoreSelection(),
        options=RestoreOptions(),
        stages=("users",),
        steps=steps,
        refusals=(),
        identity={},
        requests=len(steps),
        seconds=1,
    )


def test_no_password_begins_a_formula(tmp_path: Path) -> None:
    """Nor does a name; a password has to be exact, so it is made so that nothing has to be put before it."""
    made = plan(*(f"user{number}@contoso.com" for number in range(500)), "-1+cmd|' /C calc'!A0@contoso.com")
    passwords = Passwords(LocalObjectStore(tmp_path / "store"), made, lambda: KEY)
    passwords.prepare(())
    everyone = {step.number for step in made.steps}
    assert passwords.hand_over(everyone, tmp_path / "passwords.csv") == 501
    with (tmp_path / "passwords.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9!#$%*+=?@_-]{23}", row["password"])
        assert row["userPrincipalName"][0].isalnum() or row["userPrincipalName"][0] == "'"
        for kind in (r"[a-z]", r"[A-Z]", r"\d", r"[!#$%*+=?@_-]"):
            assert re.search(kind, row["password"])
    assert [row["password"] for row in rows] == [passwords.of(step) for step in made.steps]
    # Handed over a second time, nothing is there twice.
    passwords.hand_over(everyone, tmp_path / "passwords.csv")
    assert len((tmp_path / "passwords.csv").read_text().splitlines()) == 502


def test_a_restore_that_an_older_release_began_keeps_its_passwords(tmp_path: Path) -> None:
    """Users were created with them."""
    made = plan(*(f"user{number}@contoso.com" for number in range(200)))
    files = LocalObjectStore(tmp_path / "store")
    now = Passwords(files, made, lambda: KEY)
    now.prepare(())
    stored = msgspec.json.decode(files.read(STORED))
    assert stored["version"] == 2
    files.delete([STORED])
    files.create(STORED, msgspec.json.encode(stored | {"version": 1}))
    older = Passwords(files, made, lambda: KEY)
    older.prepare({1})
    pairs = [(now.of(step), older.of(step)) for step in made.steps]
    assert all(new[0].isalnum() and sorted(new) == sorted(old) for new, old in pairs)
    assert [new for new, old in pairs if old[0].isalnum()] == [old for _, old in pairs if old[0].isalnum()]
    assert any(not old[0].isalnum() for _, old in pairs)
