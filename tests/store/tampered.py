"""A signed store with one of everything, and ways to tamper with it by who may write there and has no key.

Each way names what finds it: `verify SCOPE`, `verify --audit`, or `verify SCOPE --expect` with a head that was kept
elsewhere.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from entra_pipeline.audit import Act, AuditLog, Origin
from entra_pipeline.operations.anchor import Anchor, anchor_of
from entra_pipeline.settings.periods import Period
from entra_pipeline.store.backends import LocalObjectStore
from entra_pipeline.store.backends.signing.adopted import AdoptedRecords
from entra_pipeline.store.backends.signing.envelope import is_record, split
from entra_pipeline.store.backends.signing.keys import introduce, key_place
from entra_pipeline.store.backends.signing.signed_store import SignedObjectStore
from entra_pipeline.store.commit import commit
from entra_pipeline.store.job_records import JobRecord
from entra_pipeline.store.manifest import MANIFEST_DECODER, canonical, seal, sha256
from entra_pipeline.store.points.index import write_index
from entra_pipeline.store.recovery_points import ScopeStore
from entra_pipeline.store.retention.holds import hold, release
from entra_pipeline.store.retention.prune import prune
from tests.support.signing import OURS, STRANGER, signed
from tests.support.writing import START, Time, entry, gone, manifest, put, put_log_day, upsert

Finder = Literal["verify", "verify --audit", "verify --expect"]
_ORIGIN = Origin(actor="anna", channel="cli", host="here")


class World(NamedTuple):
    """The store as it is attacked.

    Attributes:
        place: The place, as who may write there sees it.
        earlier: The whole place when there were fewer points, as somebody kept it.
        points: Keys of the recovery points, oldest first.
        folder: For files on their way.
    """

    place: LocalObjectStore
    earlier: LocalObjectStore
    points: list[str]
    folder: Path

    def key(self, prefix: str, number: int = 0) -> str:
        return [file.key for file in self.place.list(prefix)][number]

    def newest(self) -> str:
        return manifest_of(self.points[-1])

    def edit(self, key: str, before: str, after: str) -> None:
        data = self.place.read(key)
        assert before.encode() in data, (key, before)
        self.place.replace(key, data.replace(before.encode(), after.encode(), 1))

    def put_back(self, *prefixes: str) -> None:
        """Puts back what there was earlier, and removes what has come since."""
        for prefix in prefixes:
            self.place.delete([file.key for file in self.place.list(prefix)])
            for file in self.earlier.list(prefix):
                self.place.replace(file.key, self.earlier.read(file.key))

    def reseal(self, key: str, *, by_stranger: bool = False, **changes: object) -> None:
        """Changes a sealed record, and its seal with it."""
        members = json.loads(plain(self.place.read(key))) | changes | {"seal": ""}
        members["seal"] = sha256(canonical(members))
        data = canonical(members)
        self.place.replace(key, STRANGER.signed(key, data) if by_stranger else data)


def plain(data: bytes) -> bytes:
    found = split(data)
    return found.data if found else data


def manifest_of(point: str) -> str:
    return f"_recovery_points/contoso/{point}.json"


def approval(plan: str, by: str) -> dict[str, object]:
    return {"plan": plan, "seal": plan * 4, "by": by, "moment": "2026-11-23T05:00:00Z", "identity": ""}


def build(folder: Path) -> tuple[World, Anchor]:
    """Makes the store, and the head that was kept elsewhere."""
    time = Time()
    place = LocalObjectStore(folder / "store")
    files = signed(place)
    store, log = ScopeStore(files, "contoso", time), AuditLog(files, time)

    def back_up() -> None:
        latest = store.latest()
        point = store.new_key()
        before = latest.tables["users"].parts if latest else ()
        if before:
            parts = [*before, put(store, folder, point, [upsert("0", f"Adele {point}"), gone("7")], role="changes")]
        else:
            parts = [put(store, folder, point, [upsert(str(number), f"Name {number}") for number in range(5)])]
        made = commit(store, manifest(store, point, entry(parts, 5)))
        log.write(Act(action="backup", scope="contoso", subject=point, result="finished"), _ORIGIN)
        store.jobs.put(
            JobRecord(id=f"{point}-abc", type="backup", scope="contoso", status="finished", started=made.started)
        )

    for _ in range(2):
        back_up()
        time.pass_(days=1)
    hold(store, store.points()[1], reason="audit", by="anna")
    time.pass_(days=20)
    back_up()
    hold(store, store.points()[2], reason="for a moment", by="anna")
    time.pass_(days=13)
    back_up()
    prune(store, Period.parse("30 days"), by="test")
    put_log_day(store.logs, folder, "sign_ins", START.date())
    shutil.copytree(folder / "store", folder / "earlier")
    release(store, store.points()[1])
    time.pass_(days=20)
    for _ in range(2):
        back_up()
        time.pass_(hours=1)
    back_up()
    prune(store, Period.parse("30 days"), by="test")
    for number in (1, 2):
        put_log_day(store.logs, folder, "sign_ins", START.date() + timedelta(days=number))
    for plan in ("plan-one", "plan-two"):
        files.create(f"_restore/{plan}/plan.json", canonical({"id": plan, "steps": [1, 2]}))
        files.create(f"_restore/{plan}/made.json", canonical(approval(plan, "anna")))
        files.create(f"_restore/{plan}/journal/00000000.jsonl", b'{"kind":"begun"}\n{"kind":"intent"}\n')
        files.replace(f"_restore/{plan}/report.json", canonical({"status": "finished with exception"}))
    files.create("_restore/plan-two/approved.json", canonical(approval("plan-two", "berta")))
    files.create("_restore/plan-two/passwords.json", canonical({"secret": "c2VjcmV0"}))
    files.create("_restore/contoso/identity/plan-two.json", canonical({"ids": {"a": "b"}}))
    files.create("_drills/contoso/drill.json", canonical({"score": 40}))
    files.create("_unusual/contoso/point.json", canonical({"rules": ["mass deletion"]}))
    files.create("_unreadable/contoso/point/00.json", canonical({"total": 1}))
    for point in ("2027-02-01T05-00-00Z", "2027-02-01T06-00-00Z"):
        store.staging.save_table(point, entry([], 0))
        store.staging.save_run(point, {"kind": "full", "point": point})
    log.write(Act(action="restore", scope="contoso", subject="plan-two", result="finished"), _ORIGIN)
    return World(place, LocalObjectStore(folder / "earlier"), store.points(), folder), anchor_of(store, log)


def copy(world: World, folder: Path) -> World:
    """A copy of the store, to be tampered with."""
    shutil.copytree(world.place.root, folder / "store")
    return world._replace(place=LocalObjectStore(folder / "store"), folder=folder)


# --- Ways ------------------------------------------------------------------------------------------------------------


class Tampering(NamedTuple):
    """A way to tamper, and what finds it."""

    name: str
    found_by: Finder
    act: Callable[[World], object]


def _flip(world: World, key: str) -> None:
    data = bytearray(world.place.read(key))
    data[len(data) // 2] ^= 1
    world.place.replace(key, bytes(data))


def _moved(world: World, source: str, target: str) -> None:
    world.place.replace(target, world.place.read(source))


def _remove(world: World, *prefixes: str) -> None:
    for prefix in prefixes:
        found = [file.key for file in world.place.list(prefix)]
        assert found, prefix
        world.place.delete(found)


def _by_stranger(world: World, key: str) -> None:
    world.place.replace(key, STRANGER.signed(key, plain(world.place.read(key))))


def _chain(world: World, *, by_stranger: bool) -> None:
    """Says of the first point that it is another, and makes all that follow anew: hashes, seals, index, head."""
    digest = ""
    for number, point in enumerate(world.points):
        key = manifest_of(point)
        made = MANIFEST_DECODER.decode(plain(world.place.read(key)))
        made = msgspec.structs.replace(made, tool="another", parent_sha256=digest if number else made.parent_sha256)
        data = canonical(seal(made))
        world.place.replace(key, STRANGER.signed(key, data) if by_stranger else data)
        write_index(world.place, made)
        digest = sha256(data)
    head = "_heads/contoso/points.json"
    members = json.loads(plain(world.place.read(head))) | {"sha256": digest}
    data = canonical(members)
    world.place.replace(head, STRANGER.signed(head, data) if by_stranger else data)


def _all_by_stranger(world: World) -> None:
    """Signs everything anew, and puts a key into the place of the one that is there."""
    for file in list(world.place.list("_")):
        if is_record(file.key) and not file.key.startswith("_keys/"):
            _by_stranger(world, file.key)
    _remove(world, "_keys/")
    introduce(world.place, STRANGER, START)


def _forged_point(world: World, files: LocalObjectStore | SignedObjectStore) -> None:
    forged = ScopeStore(files, "contoso", Time(START + timedelta(days=300)))
    point = forged.new_key()
    part = put(forged, world.folder, point, [upsert("0", "Mallory")])
    made = seal(manifest(forged, point, entry([part], 1), parent=world.points[-1]))
    newest = sha256(plain(world.place.read(world.newest())))
    files.create(manifest_of(point), canonical(seal(msgspec.structs.replace(made, parent_sha256=newest))))


def _excused(world: World, *, by_stranger: bool) -> None:
    """Removes the newest point, and writes a prune record that tells of it."""
    made = MANIFEST_DECODER.decode(plain(world.place.read(world.newest())))
    last = world.key("_pruned/", 1)
    forged = json.loads(plain(world.place.read(last)))
    point = {name: getattr(made, name) for name in ("recovery_point", "parent", "parent_sha256", "kind", "status")}
    point |= {"sha256": sha256(plain(world.place.read(world.newest()))), "expired": ""}
    forged |= {"number": 3, "previous_sha256": sha256(plain(world.place.read(last))), "points": [point], "seal": ""}
    forged["seal"] = sha256(canonical(forged))
    key, data = "_pruned/contoso/000003.json", canonical(forged)
    world.place.replace(key, STRANGER.signed(key, data) if by_stranger else data)
    _remove(world, world.newest())


def _audit_anew(world: World, files: LocalObjectStore | SignedObjectStore) -> None:
    """Makes the whole log anew without one of its events, days and head included."""
    kept = [json.loads(plain(world.place.read(file.key))) for file in world.place.list("_audit/2")]
    _remove(world, "_audit/")
    log = AuditLog(files, Time(START))
    for event in kept[1:]:
        log.write(Act(action=event["action"], result=event["result"]), _ORIGIN)


def _audit_cut(world: World, number: int) -> None:
    """Removes the last events of the log, and puts back the head that it had then."""
    keys = [file.key for file in world.place.list("_audit/2")]
    world.place.delete(keys[-number:])
    last = keys[-number - 1]
    # Whoever kept every state of the head has this one too.
    data = canonical(
        {"day": last.split("/")[1], "number": int(last[-18:-6]), "sha256": sha256(plain(world.place.read(last)))}
    )
    world.place.replace("_audit/head.json", OURS.signed("_audit/head.json", data))


def _foreign_key(world: World) -> None:
    """Adds a key that says that the trusted one was before it, and writes a job with it."""
    introduce(world.place, STRANGER, START)
    where = key_place(STRANGER.public.id)
    members = json.loads(plain(world.place.read(where)))
    members |= {"previous": OURS.public.text, "by_previous": STRANGER.sign(b"x")}
    world.place.replace(where, STRANGER.signed(where, canonical(members)))
    _by_stranger(world, world.key("_jobs/"))


def _adopted(world: World) -> None:
    """Changes a job, and adopts it in a list of one's own."""
    key, where = world.key("_jobs/"), "_adopted/_jobs/contoso.json"
    world.edit(key, '"finished"', '"failed"')
    records = AdoptedRecords(adopted="", by="", records={key: sha256(world.place.read(key))})
    world.place.create(where, STRANGER.signed(where, canonical(records)))


def _part_and_manifest(world: World) -> None:
    """Changes a part, and its hash in the newest manifest."""
    part = MANIFEST_DECODER.decode(plain(world.place.read(world.newest()))).tables["users"].parts[-1]
    _flip(world, part.key)
    world.edit(world.newest(), part.sha256, sha256(world.place.read(part.key)))
    world.reseal(world.newest())


def _index_that_lies(world: World) -> None:
    """Writes an index, well named, that says something else than the newest manifest."""
    made = MANIFEST_DECODER.decode(plain(world.place.read(world.newest())))
    table = msgspec.structs.replace(made.tables["users"], live=4)
    _remove(world, f"_index/4/contoso/{world.points[-1]}")
    write_index(world.place, msgspec.structs.replace(made, tables={"users": table}))


def _reader(world: World) -> SignedObjectStore:
    return SignedObjectStore(world.place, STRANGER, [OURS.public])


_JOURNAL = "_restore/plan-two/journal/00000000.jsonl"
_HEAD, _HOLDS = "_heads/contoso/points.json", "_heads/contoso/holds.json"

TAMPERINGS = (
    # Parts.
    Tampering("a byte of a part is changed", "verify", lambda w: _flip(w, w.key("users/"))),
    Tampering(
        "a part is cut", "verify", lambda w: w.place.replace(w.key("users/"), w.place.read(w.key("users/"))[:-9])
    ),
    Tampering(
        "a part is longer", "verify", lambda w: w.place.replace(w.key("users/"), w.place.read(w.key("users/")) + b"x")
    ),
    Tampering("a part is removed", "verify", lambda w: _remove(w, w.key("users/", -1))),
    Tampering(
        "a part is put in the place of another", "verify", lambda w: _moved(w, w.key("users/"), w.key("users/", 1))
    ),
    Tampering("a part is changed, and its hash and seal in the manifest", "verify", _part_and_manifest),
    Tampering("a part of a log is changed", "verify", lambda w: _flip(w, w.key("sign_ins/"))),
    # Manifests.
    Tampering("a manifest is changed", "verify", lambda w: w.edit(w.newest(), '"live":5', '"live":4')),
    Tampering("a manifest is changed, with its seal", "verify", lambda w: w.reseal(w.newest(), tool="another")),
    Tampering(
        "a manifest is changed, with its seal, and signed by a stranger",
        "verify",
        lambda w: w.reseal(w.newest(), by_stranger=True, tool="another"),
    ),
    Tampering(
        "a manifest says another status", "verify", lambda w: w.reseal(w.newest(), status="finished with exception")
    ),
    Tampering("a manifest says another tenant", "verify", lambda w: w.reseal(w.newest(), tenant_id="another")),
    Tampering(
        "a manifest says another time", "verify", lambda w: w.reseal(w.newest(), finished="2026-01-01T00:00:00Z")
    ),
    Tampering(
        "the signature of a manifest is removed",
        "verify",
        lambda w: w.place.replace(w.newest(), plain(w.place.read(w.newest()))),
    ),
    Tampering("a manifest is signed by a stranger", "verify", lambda w: _by_stranger(w, w.newest())),
    Tampering("a manifest is emptied", "verify", lambda w: w.place.replace(w.newest(), b"")),
    Tampering(
        "a manifest is put in the place of another",
        "verify",
        lambda w: _moved(w, manifest_of(w.points[-2]), w.newest()),
    ),
    Tampering("the whole chain is made anew, with seals", "verify", lambda w: _chain(w, by_stranger=False)),
    Tampering("the whole chain is made anew and signed by a stranger", "verify", lambda w: _chain(w, by_stranger=True)),
    Tampering("a newest point is forged", "verify", lambda w: _forged_point(w, w.place)),
    Tampering("a newest point is forged and signed by a stranger", "verify", lambda w: _forged_point(w, _reader(w))),
    # Points that go.
    Tampering("the newest point is removed", "verify", lambda w: _remove(w, w.newest())),
    Tampering(
        "the two newest points are removed", "verify", lambda w: _remove(w, w.newest(), manifest_of(w.points[-2]))
    ),
    Tampering("a point in the middle is removed", "verify", lambda w: _remove(w, manifest_of(w.points[-2]))),
    Tampering("the oldest point is removed", "verify", lambda w: _remove(w, manifest_of(w.points[0]))),
    Tampering("all points are removed", "verify", lambda w: _remove(w, "_recovery_points/")),
    Tampering(
        "the newest point is removed with its files",
        "verify",
        lambda w: _remove(w, w.newest(), f"_index/4/contoso/{w.points[-1]}", w.key("users/", -1)),
    ),
    Tampering("the newest point and the head are removed", "verify", lambda w: _remove(w, w.newest(), _HEAD)),
    Tampering("the head is signed by a stranger", "verify", lambda w: _by_stranger(w, _HEAD)),
    Tampering("the head is put back", "verify", lambda w: w.put_back(_HEAD)),
    Tampering(
        "the newest points are removed and the head put back",
        "verify --expect",
        lambda w: w.put_back("_recovery_points/", _HEAD, "_pruned/", "_holds/", _HOLDS),
    ),
    Tampering("the whole store is put back to an earlier state", "verify --expect", lambda w: w.put_back("")),
    # Prune records.
    Tampering(
        "a prune record is changed, with its seal", "verify", lambda w: w.reseal(w.key("_pruned/"), by="another")
    ),
    Tampering("the first prune record is removed", "verify", lambda w: _remove(w, w.key("_pruned/"))),
    Tampering("the newest prune record is removed", "verify", lambda w: _remove(w, w.key("_pruned/", 1))),
    Tampering(
        "a prune record is put in the place of another",
        "verify",
        lambda w: _moved(w, w.key("_pruned/"), w.key("_pruned/", 1)),
    ),
    Tampering("a prune record excuses a removed point", "verify", lambda w: _excused(w, by_stranger=False)),
    Tampering(
        "a prune record of a stranger excuses a removed point", "verify", lambda w: _excused(w, by_stranger=True)
    ),
    # The index and what is staged.
    Tampering(
        "a byte of the index is changed", "verify", lambda w: _flip(w, w.key(f"_index/4/contoso/{w.points[-1]}"))
    ),
    Tampering("an index says something else than the manifest", "verify", _index_that_lies),
    Tampering("a staged table is changed", "verify", lambda w: w.edit(w.key("_staged/", 1), '"live":0', '"live":1')),
    Tampering(
        "a staged run is forged", "verify", lambda w: w.place.replace(w.key("_staged/"), b'{"kind":"incremental"}\n')
    ),
    Tampering(
        "a staged table is put in the place of another",
        "verify",
        lambda w: _moved(w, w.key("_staged/", 1), w.key("_staged/", 3)),
    ),
    # Restores.
    Tampering(
        "an approval is forged",
        "verify",
        lambda w: w.place.create("_restore/plan-one/approved.json", canonical(approval("plan-one", "berta"))),
    ),
    Tampering(
        "an approval of a stranger",
        "verify",
        lambda w: _reader(w).create("_restore/plan-one/approved.json", canonical(approval("plan-one", "berta"))),
    ),
    Tampering(
        "an approval of another plan",
        "verify",
        lambda w: _moved(w, "_restore/plan-two/approved.json", "_restore/plan-one/approved.json"),
    ),
    Tampering("who made a plan is changed", "verify", lambda w: w.edit("_restore/plan-one/made.json", "anna", "carl")),
    Tampering("a plan is changed", "verify", lambda w: w.edit("_restore/plan-two/plan.json", "[1,2]", "[1]")),
    Tampering(
        "a report is changed", "verify", lambda w: w.edit("_restore/plan-two/report.json", " with exception", "")
    ),
    Tampering("a line of a journal is removed", "verify", lambda w: w.edit(_JOURNAL, '{"kind":"begun"}\n', "")),
    Tampering(
        "a journal is added", "verify", lambda w: w.place.create(_JOURNAL.replace("0.", "1."), b'{"kind":"done"}\n')
    ),
    Tampering(
        "an id is sent to another object",
        "verify",
        lambda w: w.edit("_restore/contoso/identity/plan-two.json", '"b"', '"c"'),
    ),
    Tampering(
        "first passwords are changed", "verify", lambda w: w.edit("_restore/plan-two/passwords.json", "c2Vj", "c2Vk")
    ),
    Tampering("the score of a drill is changed", "verify", lambda w: w.edit("_drills/contoso/drill.json", "40", "99")),
    Tampering(
        "an unusual change is changed", "verify", lambda w: w.edit("_unusual/contoso/point.json", "mass", "some")
    ),
    # Holds.
    Tampering("a hold is removed", "verify", lambda w: _remove(w, w.key("_holds/"))),
    Tampering("a hold is changed", "verify", lambda w: w.edit(w.key("_holds/"), "audit", "other")),
    Tampering(
        "a hold is forged",
        "verify",
        lambda w: w.place.create(
            "_holds/contoso/_scope.json", b'{"by":"x","reason":"x","recovery_point":"","since":""}\n'
        ),
    ),
    Tampering(
        "a hold is moved", "verify", lambda w: _moved(w, w.key("_holds/"), f"_holds/contoso/{w.points[-1]}.json")
    ),
    Tampering("a hold that was released is put back", "verify", lambda w: w.put_back("_holds/")),
    Tampering("a hold and the list of holds are removed", "verify", lambda w: _remove(w, w.key("_holds/"), _HOLDS)),
    Tampering(
        "a hold is removed, and the list written by a stranger",
        "verify",
        lambda w: (_remove(w, w.key("_holds/")), _by_stranger(w, _HOLDS)),
    ),
    # Jobs and logs.
    Tampering("a job is changed", "verify", lambda w: w.edit(w.key("_jobs/"), '"finished"', '"failed"')),
    Tampering(
        "a job says another time", "verify", lambda w: w.edit(w.key("_jobs/"), '"started":"2026', '"started":"2025')
    ),
    Tampering(
        "a job is forged",
        "verify",
        lambda w: w.place.create("_jobs/contoso/2026-12-24T00-00-00Z-abc.json", b'{"id":"x"}\n'),
    ),
    Tampering(
        "a job is put in the place of another", "verify", lambda w: _moved(w, w.key("_jobs/"), w.key("_jobs/", 1))
    ),
    Tampering("a day of a log is changed, with its seal", "verify", lambda w: w.reseal(w.key("_logs/"), rows=0)),
    Tampering(
        "a day of a log is put in the place of another",
        "verify",
        lambda w: _moved(w, w.key("_logs/"), w.key("_logs/", 1)),
    ),
    # The audit log.
    Tampering("an event is changed", "verify --audit", lambda w: w.edit(w.key("_audit/2", 1), '"anna"', '"carl"')),
    Tampering(
        "an event says another time",
        "verify --audit",
        lambda w: w.edit(w.key("_audit/2", -1), '"moment":"20', '"moment":"19'),
    ),
    Tampering("the last event is removed", "verify --audit", lambda w: _remove(w, w.key("_audit/2", -1))),
    Tampering("an event in the middle is removed", "verify --audit", lambda w: _remove(w, w.key("_audit/2", 2))),
    Tampering(
        "an event is moved to another day",
        "verify --audit",
        lambda w: (
            _moved(w, w.key("_audit/2", 1), w.key("_audit/2", 1).replace("2026", "2025")),
            _remove(w, w.key("_audit/2", 2)),
        ),
    ),
    Tampering(
        "an event is added by a stranger",
        "verify --audit",
        lambda w: AuditLog(_reader(w), Time(START + timedelta(days=300))).write(
            Act(action="backup", result="finished"), _ORIGIN
        ),
    ),
    Tampering("the log is made anew without an event", "verify --audit", lambda w: _audit_anew(w, w.place)),
    Tampering("the log is made anew by a stranger", "verify --audit", lambda w: _audit_anew(w, _reader(w))),
    Tampering("the whole log is removed", "verify --audit", lambda w: _remove(w, "_audit/")),
    Tampering("the head of the log is removed", "verify --audit", lambda w: _remove(w, "_audit/head.json")),
    Tampering("the log ends before the newest point, its head too", "verify --audit", lambda w: _audit_cut(w, 4)),
    Tampering("the log ends after the newest point, its head too", "verify --expect", lambda w: _audit_cut(w, 1)),
    # Keys.
    Tampering("everything is signed anew by a stranger, the key replaced", "verify", _all_by_stranger),
    Tampering("a key says that ours was before it", "verify", _foreign_key),
    Tampering("a changed job is adopted by a stranger", "verify", _adopted),
)
