"""What evidence has, and what it has not."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from entra_pipeline.errors import UsageError
from entra_pipeline.evidence import verify_evidence
from entra_pipeline.evidence.verify_evidence import EvidenceCheck
from entra_pipeline.operations.evidence import EvidenceFile
from entra_pipeline.store.backends.signing.keys import introduce
from entra_pipeline.store.retention.holds import release
from tests.evidence.conftest import FIRST, NOW, PERSON, SIGNED, World, build
from tests.support.command import call
from tests.support.encryption import PASSPHRASE
from tests.support.signing import OURS, private_pem, signing_key

pytestmark = pytest.mark.pure


def items(made: EvidenceFile) -> dict[str, Any]:
    return {one["item"]: one["content"] for one in map(json.loads, made.data.splitlines()[:-1])}


def problems(data: bytes, key: str = OURS.public.text) -> list[str]:
    check = EvidenceCheck(data, key)
    check.run()
    return [problem for *_, some in check.rows for problem in some]


# --- What it has -----------------------------------------------------------------------------------------------------


def test_it_verifies_and_has_everything_of_the_period(made: EvidenceFile) -> None:
    assert made.problems == [] and problems(made.data) == []
    found = items(made)
    points = found["contoso/points"]
    assert len(points) == 15 and [point.get("pruned", "")[:10] for point in points].count("2026-12-10") == 4
    assert [point["recovery_point"] for point in points] == sorted(point["recovery_point"] for point in points)
    [excepted] = [point for point in points if point["status"] != "finished"]
    assert excepted["tables"]["users"] | {"bytes": 0} == {
        "bytes": 0,
        "gaps": 1,
        "live": 1,
        "permissions_lacking": ["User.Read.All"],
        "read": "full",
    }
    assert [job["type"] for job in found["contoso/jobs"]].count("backup") == 15
    [drill] = found["contoso/drills"]
    assert (drill["minutes"], drill["minutes_at_limits"], drill["properties_equal"]) == (1.6, 2.5, 998)
    [restore] = found["contoso/restores"]
    assert (restore["made"]["by"], restore["approved"]["by"]) == ("anna", "berta") and restore["plan"]["proof"]
    assert restore["report"]["verified"] is True and restore["report"]["tenant"] == "contoso"
    assert [held["by"] for held in found["contoso/holds"]] == ["anna"]
    assert [record["number"] for record in found["contoso/prunes"]] == [1]
    settings = found["contoso/settings"]
    assert (settings["retention"], settings["schedule"], settings["signed"]) == ("14 days", "0 5 * * *", True)
    assert all(one["proof"]["signature"] for one in [*found["audit"], *found["contoso/jobs"], *found["contoso/holds"]])


def test_what_was_lacking_is_told(made: EvidenceFile) -> None:
    coverage = items(made)["contoso/coverage"]
    assert coverage["protected"] == 2 and "applications" in coverage["not_protected"]
    assert coverage["ticks"] == 18
    assert coverage["missed"] == [{"first": "2026-11-30T05:00:00Z", "last": "2026-12-01T05:00:00Z", "ticks": 2}]
    assert [(one["since"][:10], one["until"][:10], one["verdict"]) for one in coverage["late"]] == [
        ("2026-11-27", "2026-11-29", "missing"),
        ("2026-11-29", "2026-12-02", "missing"),
        ("2026-12-09", "2026-12-10", "late"),
    ]


def test_a_pause_that_began_before_the_period_is_told(world: World) -> None:
    coverage = items(world.evidence(first=date(2026, 12, 1), last=date(2026, 12, 3)))["contoso/coverage"]
    assert [(one["since"][:10], one["until"][:10]) for one in coverage["late"]] == [("2026-11-29", "2026-12-02")]
    assert coverage["missed"] == [{"first": "2026-12-01T05:00:00Z", "last": "2026-12-01T05:00:00Z", "ticks": 1}]


def test_no_value_of_the_tenant_and_no_secret_is_in_it(world: World, made: EvidenceFile) -> None:
    text = made.data.decode()
    assert PERSON not in text and "PRIVATE KEY" not in text
    # Of another scope's events only the place in the chain is told.
    zoe = '"actor":"zoe"'
    assert zoe not in text and "fabrikam" not in text
    assert zoe in world.evidence("contoso", "fabrikam").data.decode()
    numbers = [event["number"] for event in items(made)["audit"]]
    assert numbers == list(range(1, len(numbers) + 1))


def test_the_same_store_gives_the_same_bytes(world: World, made: EvidenceFile) -> None:
    assert world.evidence().data == made.data


def test_a_period_of_the_past_verifies_too(world: World) -> None:
    made = world.evidence(first=date(2026, 11, 25), last=date(2026, 11, 28))
    assert problems(made.data) == [] and len(items(made)["contoso/points"]) == 4


def test_records_of_the_key_before_verify_and_evidence_only_with_the_key_that_signs_now(own: World) -> None:
    new = signing_key("new")
    introduce(own.store.files.place, new, datetime(2026, 12, 10, tzinfo=UTC), OURS)  # type: ignore[attr-defined]
    (own.file.parent / "ours.pem").write_text(private_pem("new"))
    made = own.evidence()
    assert (made.problems == [] and made.key == new.public) or made.key.text == new.public.text
    assert problems(made.data, new.public.text) == []
    [problem] = problems(made.data, OURS.public.text)
    assert f"signed with the key {new.public.id}, not with the one that was given" in problem


def test_what_cannot_be_read_is_named(own: World) -> None:
    point = own.store.points()[3]
    file = own.file.parent / "store" / "_recovery_points" / "contoso" / f"{point}.json"
    file.write_bytes(file.read_bytes().replace(b'"live":1', b'"live":2'))
    made = own.evidence()
    assert any(point in problem and "not in the evidence" in problem for problem in made.problems)
    assert any("not in the evidence" in one for one in problems(made.data))
    assert any("was not made on" in one for one in problems(made.data))


def test_what_was_removed_from_the_store_is_found(own: World) -> None:
    folder = own.file.parent / "store"
    (folder / own.store.manifest_key(own.store.points()[-1])).unlink()
    sorted((folder / "_audit").rglob("*.jsonl"))[-1].unlink()
    (folder / "_holds" / "contoso" / f"{own.store.points()[-1]}.json").unlink()
    made = own.evidence()
    assert made.problems == problems(made.data)
    found = "\n".join(made.problems)
    for told in ("the newest when the head was written", "the holds are not those", "after it, event "):
        assert told in found, told


def test_a_head_that_is_missing_and_a_key_that_is_none_are_told(own: World) -> None:
    folder = own.file.parent / "store"
    (folder / "_keys" / "0000000000000000.json").write_text("{")
    assert own.evidence().problems == []
    (folder / "_heads" / "contoso" / "points.json").unlink()
    assert any("points.json is missing" in problem for problem in own.evidence().problems)
    (folder / "_heads" / "contoso" / "points.json").write_text("{")
    assert any("points.json is not signed" in problem for problem in own.evidence().problems)


def test_a_machine_with_the_public_key_alone_makes_unsigned_evidence(own: World) -> None:
    text = own.file.read_text()
    own.file.write_text(text.replace('private_key = { file = "ours.pem" }', f'public_keys = ["{OURS.public.text}"]'))
    made = own.evidence()
    assert made.key is None and made.problems == []
    assert problems(made.data) == ["the evidence is not signed: anybody may have changed it"]


def test_a_released_hold_is_no_problem(own: World) -> None:
    release(own.store, own.store.points()[-2])
    assert problems(own.evidence().data) == []


def test_an_encrypted_store_has_evidence_too(tmp_path: Path) -> None:
    (tmp_path / "storage.key").write_text(PASSPHRASE)
    world = build(tmp_path, f'{SIGNED}\nencryption = {{ passphrase = {{ file = "storage.key" }} }}')
    made = world.evidence()
    assert made.problems == [] and PERSON not in made.data.decode()
    found = items(made)
    assert found["contoso/settings"]["encrypted"] and {event.get("actor", "anna") for event in found["audit"]} == {
        "anna"
    }


# --- The command -----------------------------------------------------------------------------------------------------


def test_without_a_key_it_says_that_it_is_unsigned_and_how_to_get_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("entra_pipeline.cli.queries.evidence.system_clock", lambda: NOW)
    world, target = build(tmp_path, ""), tmp_path / "bundle.jsonl"
    result = call("--project", world.file, "evidence", "contoso", "--from", FIRST, "--output", target)
    assert result.code == 3
    assert "not signed" in result.err and "openssl genpkey" in result.err and "storage sign main" in result.err
    assert json.loads(target.read_bytes().splitlines()[-1])["signed_with"] == ""
    found = problems(target.read_bytes())
    assert found == ["the evidence is not signed: anybody may have changed it"]
    assert verify_evidence.main([str(target), OURS.public.text]) == 1


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("contoso",), "no first day"),
        (("contoso", "--from", "2026-12-02", "--to", "2026-12-01"), "comes after"),
        (("contoso", "--from", "2126-12-02", "--to", "2126-12-03"), "in the future"),
        (("nobody", "--from", "2026-11-23"), "nobody"),
    ],
)
def test_what_cannot_be_done_is_explained(own: World, arguments: tuple[str, ...], told: str) -> None:
    result = call("--project", own.file, "evidence", *arguments)
    assert result.code == 2 and told in result.err


def test_scopes_of_several_storages_are_refused(world: World, tmp_path: Path) -> None:
    file = tmp_path / "project.toml"
    text = world.file.read_text().replace("ours.pem", str(world.file.parent / "ours.pem"))
    text = text.replace(
        '[scopes.fabrikam]\ntenant = "contoso"\nstorage = "main"',
        '[scopes.fabrikam]\ntenant = "contoso"\nstorage = "two"',
    )
    file.write_text(text + '\n[storage.two]\nkind = "local"\npath = "two"\n')
    with pytest.raises(UsageError, match="several storages") as caught:
        World(file, world.store).evidence("contoso", "fabrikam")
    assert "main: contoso; two: fabrikam" in str(caught.value.remedy)


# --- Tampering -------------------------------------------------------------------------------------------------------

Lines = list[bytes]


def _content(name: str, change: Callable[[Any], Any]) -> Callable[[Lines], Lines]:
    """Changes the content of an item."""

    def changed(lines: Lines) -> Lines:
        found = []
        for line in lines:
            one = json.loads(line)
            if one.get("item") == name:
                content = change(one["content"])
                one["content"] = one["content"] if content is None else content
                line = json.dumps(one, separators=(",", ":"), sort_keys=True, ensure_ascii=False).encode() + b"\n"
            found.append(line)
        return found

    return changed


def _point(number: int, **members: Any) -> Callable[[Lines], Lines]:
    return _content("contoso/points", lambda points: points[number].update(members))


def _swapped(events: Any) -> None:
    events[2]["proof"], events[3]["proof"] = events[3]["proof"], events[2]["proof"]


WAYS: dict[str, Callable[[Lines], Lines]] = {
    "a status is changed": _point(5, status="finished"),
    "a count is changed": _point(5, tables={}),
    "a point is removed in the middle": _content("contoso/points", lambda points: points[:6] + points[7:]),
    "the newest point is removed": _content("contoso/points", lambda points: points[:-1]),
    "a pruned point is another": _point(1, sha256="0" * 64),
    "a manifest's SHA-256 is another": _content(
        "contoso/points", lambda points: points[-1]["proof"].update(sha256="0" * 64)
    ),
    "a signature is that of another record": _content("audit", _swapped),
    "an event is removed": _content("audit", lambda events: events[:4] + events[5:]),
    "the end of the audit log is removed": _content("audit", lambda events: events[:-8]),
    "an actor is another, and so the event": _content(
        "audit", lambda events: events[3]["proof"].update(sha256="1" * 64)
    ),
    "an item is removed": lambda lines: [line for line in lines if b'"item":"contoso/holds"' not in line[-40:]],
    "a hold is removed": _content("contoso/holds", lambda holds: []),
    "a prune record is removed": _content("contoso/prunes", lambda records: []),
    "a head is removed": _content("contoso/heads", lambda heads: heads[:1]),
    "a head is changed": _content(
        "contoso/heads", lambda heads: heads[1].update(stored=heads[1]["stored"].replace('"lost":{}', '"lost": {}'))
    ),
    "an approval is of another plan": _content(
        "contoso/restores", lambda restores: restores[0]["approved"].update(seal="other")
    ),
    "the author approved": _content("contoso/restores", lambda restores: restores[0]["approved"].update(by="Anna ")),
    "a drill's record is another": _content(
        "contoso/drills", lambda drills: drills[0]["proof"].update(key="_drills/contoso/other.json")
    ),
    "a problem is hidden": _content("problems", lambda told: ["something"]),
    "items change places": lambda lines: [lines[1], lines[0], *lines[2:]],
    "an item is there twice": lambda lines: [lines[0], *lines],
    "a line is empty": lambda lines: [*lines[:-1], b"\n", lines[-1]],
    "the period is another": lambda lines: [*lines[:-1], lines[-1].replace(b"2026-11-23T00", b"2026-11-22T00", 1)],
    "a byte is added at the end": lambda lines: [*lines, b" "],
    "the last line is missing": lambda lines: lines[:-1],
}
# Without a word of the content being wrong, these are found by the file's own SHA-256s and signature alone.
_BYTES_ONLY = {
    "a status is changed",
    "a count is changed",
    "items change places",
    "an item is there twice",
    "a line is empty",
    "the period is another",
    "a byte is added at the end",
    "the last line is missing",
}


def refused(data: bytes, key: str = OURS.public.text) -> bool:
    """Whether the script ends with another code than 0."""
    try:
        return bool(problems(data, key))
    except (verify_evidence.NotEvidence, *verify_evidence.MALFORMED):
        return True


def signed_anew(lines: Lines, name: str = "ours") -> bytes:
    """The file with the SHA-256s and the signature that it would have if it had been made like that."""
    found = [json.loads(line) for line in lines]
    manifest = found[-1] | {
        "items": [
            {"item": one["item"], "sha256": verify_evidence.sha256(line)}
            for one, line in zip(found, lines[:-1], strict=False)
        ]
    }
    manifest.pop("signature", None)
    data = json.dumps(manifest, separators=(",", ":"), sort_keys=True).encode() + b"\n"
    return b"".join([*lines[:-1], signing_key(name).signed("evidence", data)])


@pytest.mark.parametrize("way", WAYS)
def test_tampering_is_found(made: EvidenceFile, way: str) -> None:
    lines = WAYS[way](made.data.splitlines(keepends=True))
    assert b"".join(lines) != made.data and refused(b"".join(lines))
    if way not in _BYTES_ONLY:
        # Even by who has the key: records do not fit together any more.
        assert refused(signed_anew(lines)), "signed anew with the key"


def test_it_verifies_when_nothing_was_tampered_with_but_signed_anew(made: EvidenceFile) -> None:
    assert problems(signed_anew(made.data.splitlines(keepends=True))) == []


def test_another_key_is_found(made: EvidenceFile) -> None:
    stranger = signing_key("stranger")
    assert refused(made.data, stranger.public.text) and refused(made.data, "")
    by_stranger = signed_anew(made.data.splitlines(keepends=True), "stranger")
    assert refused(by_stranger) and refused(by_stranger, stranger.public.text)
    assert verify_evidence.main(["nowhere.jsonl", OURS.public.text]) == 2


def test_the_signature_taken_off_is_found(made: EvidenceFile) -> None:
    data, _ = verify_evidence.split(made.data)
    assert "the evidence is not signed: anybody may have changed it" in problems(data)


def test_any_changed_byte_is_found(made: EvidenceFile) -> None:
    # A prime step, so that all columns of the lines come by; the last line byte by byte.
    last = len(made.data) - len(made.data.splitlines(keepends=True)[-1])
    places = [*range(0, last, 2003), *range(last, len(made.data), 23), *range(len(made.data) - 12, len(made.data))]
    for place in places:
        data = bytearray(made.data)
        data[place] ^= 1
        assert refused(bytes(data)), place
