"""Sign-ins of our app registrations are explained by the tokens that we took; others alarm, once."""

from __future__ import annotations

import ast
import base64
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import entra_pipeline
from entra_pipeline.audit import AuditLog
from entra_pipeline.clock import parse_iso
from entra_pipeline.operations import sign_ins
from entra_pipeline.operations.sign_ins import AppSignIn, kept_sign_ins, same_form, unexplained
from entra_pipeline.simulator import Simulator
from entra_pipeline.store.points.keys import key_of
from entra_pipeline.store.retention.holds import retention_holds
from entra_pipeline.store.tokens import TokenRecord, TokenRecords
from tests.support.command import Place, write_project

_SCOPE = (
    '[scopes.people]\ntenant = "contoso"\nstorage = "disk"\nprotect = ["domains"]\nlogs = ["app_sign_ins"]\n'
    '[notifications.ops]\nwebhook = { url = { file = "hook" }, format = "slack" }\nunusual = true\n'
)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    with Simulator(users=5, groups=2, seed=5) as simulator:
        # What happened a moment ago is judged at once.
        monkeypatch.setattr(sign_ins, "SKEW", timedelta(0))
        (tmp_path / "hook").write_text("http://127.0.0.1:9/")
        yield Place(write_project(tmp_path, simulator, _SCOPE), simulator)


def read(place: Place, *more: str) -> Any:
    return place.call("logs", "people", *more)


def records(place: Place) -> list[TokenRecord]:
    now = datetime.now(UTC)
    return TokenRecords(place.store("people").files, place.simulator.tenant_id).of_days(now - timedelta(days=1), now)[0]


def alarms(place: Place) -> list[Any]:
    today = datetime.now(UTC).date()
    log = AuditLog(place.store("people").files)
    return [one for one in log.events(today - timedelta(days=1), today) if one.action == "unexplained sign-in"]


def test_every_token_that_is_taken_is_recorded_and_explains_its_sign_in(place: Place) -> None:
    assert place.call("backup", "people").code == 0
    assert place.call("doctor").code == 0
    done = read(place)
    assert done.code == 0 and "all explained" in done.err, done.err
    assert {one.job for one in records(place)} == {"backup", "doctor", "logs"}
    simulator = place.simulator
    assert {one.app for one in records(place)} == {simulator.client_id, simulator.restore_client_id}
    told = simulator.control.log("beta/auditLogs/signIns")
    assert {one["uniqueTokenIdentifier"] for one in told} == {one.token for one in records(place)}
    assert kept_sign_ins(place.store("people"), datetime(2000, 1, 1, tzinfo=UTC)) == []
    # Nothing of the token itself.
    stored = [file.read_bytes() for file in (place.file.parent / "backup").rglob("*") if file.is_file()]
    assert not any(b"eyJ" in data for data in stored)


def test_a_sign_in_that_no_job_made_alarms_once(place: Place) -> None:
    for _ in range(2):
        assert place.call("backup", "people").code == 0
    store = place.store("people")
    simulator = place.simulator
    foreign = simulator.control.sign_app_in(simulator.restore_client_id)
    done = read(place)
    assert done.code == 3
    assert "1 are unexplained" in done.err and "198.51.100.7" in done.err and "remove its credentials" in done.err
    [kept] = kept_sign_ins(store, datetime(2000, 1, 1, tzinfo=UTC))
    assert (kept.id, kept.app) == (foreign, simulator.restore_client_id)
    [event] = alarms(place)
    assert event.subject == foreign and event.details["address"] == "198.51.100.7"
    before = [point for point in store.points() if point < key_of(parse_iso(kept.moment))]
    assert list(retention_holds(store)) == before[-1:]
    assert len([file.key for file in store.files.list("_notifications/") if "/sign-in-" in file.key]) == 1
    [job] = [one for one in store.jobs.all() if one.type == "logs"]
    assert (job.status, job.details["unexplained_sign_ins"]) == ("finished with exception", 1)

    again = read(place)
    assert again.code == 0 and "1 unexplained, as you were told before" in again.err
    assert len(alarms(place)) == 1


def test_a_record_that_nobody_signed_explains_nothing_and_does_not_silence(tmp_path: Path, place: Place) -> None:
    from tests.support.signing import STRANGER, private_pem

    (tmp_path / "ours.pem").write_text(private_pem("ours"))
    text = place.file.read_text().replace(
        'path = "backup"', 'path = "backup"\nsigning = { private_key = { file = "ours.pem" } }'
    )
    place.file.write_text(text)
    assert place.call("storage", "sign", "disk").code == 0
    assert place.call("backup", "people").code == 0
    simulator, store = place.simulator, place.store("people")
    foreign = simulator.control.sign_app_in(simulator.client_id)
    [genuine, *_] = records(place)
    forged = TokenRecord(
        tenant_id=simulator.tenant_id,
        app=simulator.client_id,
        token=foreign,
        taken=genuine.taken,
        job="backup",
        host="x",
    )
    from entra_pipeline.store.manifest import canonical

    key = f"_tokens/{simulator.tenant_id}/{genuine.taken[:10]}/00-00-00~x~y.json"
    store.files.place.create(key, STRANGER.signed(key, canonical(forged)))  # type: ignore[attr-defined]
    done = read(place)
    assert done.code == 3 and "1 are unexplained" in done.err and "which is not trusted here" in done.err
    assert key in place.call("verify", "people").out


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda control: control.unlicensed("auditLogs/signIns"), "Microsoft Entra ID P1"),
        (lambda control: control.deny("auditLogs/signIns", 403), "AuditLog.Read.All"),
        *(
            (lambda control, status=status: control.deny("auditLogs/signIns", status), "beta does not offer it here")
            for status in (400, 404, 405, 501)
        ),
    ],
)
def test_what_cannot_be_read_is_said(place: Place, harm: Any, said: str) -> None:
    harm(place.simulator.control)
    done = read(place)
    assert done.code == (3 if "AuditLog" in said else 0)
    assert "not every sign-in of our app registrations can be checked" in done.err
    assert said in done.err + done.out


# --- Matching --------------------------------------------------------------------------------------------------------

_MOMENT = datetime(2026, 11, 23, 5, tzinfo=UTC)


def record(token: str = "", app: str = "a", minutes: float = 0) -> TokenRecord:
    taken = f"{_MOMENT + timedelta(minutes=minutes):%Y-%m-%dT%H:%M:%SZ}"
    return TokenRecord(tenant_id="t", app=app, token=token, taken=taken, job="backup", host="h")


def sign_in(token: str = "", app: str = "a", id: str = "1", minutes: float = 0) -> AppSignIn:  # noqa: A002
    return AppSignIn(id=id, moment=f"{_MOMENT + timedelta(minutes=minutes):%Y-%m-%dT%H:%M:%SZ}", app=app, token=token)


def test_the_claim_and_the_log_name_a_token_in_different_forms() -> None:
    guid = uuid.uuid4()
    forms = {
        base64.urlsafe_b64encode(guid.bytes_le).rstrip(b"=").decode(),
        base64.b64encode(guid.bytes_le).decode(),
        base64.b64encode(str(guid).encode()).decode(),
    }
    assert {same_form(one) for one in forms} == {str(guid)}
    assert same_form("no form of it") == "no form of it" and same_form("") == ""


def test_one_record_explains_one_sign_in_where_neither_names_its_token() -> None:
    assert unexplained([sign_in(), sign_in(id="2", minutes=4)], [record()]) == [sign_in(id="2", minutes=4)]
    assert unexplained([sign_in(minutes=6)], [record()]) == [sign_in(minutes=6)]
    assert unexplained([sign_in()], [record(app="b")]) == [sign_in()]
    # Another token's record is none of it, however near.
    assert unexplained([sign_in("x")], [record("y")]) == [sign_in("x")]
    assert unexplained([sign_in("x"), sign_in("x", id="2")], [record("x", minutes=900)]) == []
    # A record is not used twice: its own sign-in takes it.
    assert unexplained([sign_in("x"), sign_in(id="2")], [record("x")]) == [sign_in(id="2")]


def test_nobody_opens_a_tenant_without_recording_its_tokens() -> None:
    root = Path(entra_pipeline.__file__).parent
    files = [*root.rglob("*.py"), *(root.parent / "assets").glob("*.py"), *(root.parent / "resources").glob("*.py")]
    for file in files:
        for node in ast.walk(ast.parse(file.read_text())):
            name = getattr(node.func, "id", "") if isinstance(node, ast.Call) else ""
            if name in {"open_graph", "open_owner"}:
                assert "note" in {one.arg for one in node.keywords}, f"{file}:{node.lineno}"  # type: ignore[union-attr]
