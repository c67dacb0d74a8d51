"""What commands leave in the audit log."""

from __future__ import annotations

import os
import pwd
import socket
from datetime import date

import click
import pytest

from entra_pipeline.audit import AuditEvent, AuditLog
from entra_pipeline.cli import COMMANDS, cli
from entra_pipeline.cli.auditing import ACTS, _Recorded
from tests.support.command import Place


def events(place: Place) -> list[AuditEvent]:
    return AuditLog(place.store().files).events(date(2026, 1, 1), date(2100, 1, 1))


def last(place: Place) -> tuple[str, str, str, str]:
    event = events(place)[-1]
    return event.action, event.scope, event.subject, event.result


def test_every_command_is_recorded_or_only_looks() -> None:
    context = click.Context(cli)
    names = set()
    for name in COMMANDS:
        command = cli.get_command(context, name)
        assert command is not None
        inner = command.commands if isinstance(command, click.Group) else {}
        leaves = {f"{name} {one}": leaf for one, leaf in inner.items()} or {name: command}
        assert all(isinstance(leaf.callback, _Recorded) for leaf in leaves.values())
        names |= set(leaves)
    recorded = {name for name in names if ACTS.get(name, name)}
    assert recorded >= {"backup", "restore", "verify", "drill", "logs", "scope create", "scope edit", "scope delete"}


def test_a_backup_is_recorded_with_who_and_where(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSH_CONNECTION", "192.0.2.7 50122 192.0.2.1 22")
    monkeypatch.delenv("SUDO_USER", raising=False)
    point = place.call("backup", "few", "--types", "users", "--json").json["recovery_point"]
    [event] = events(place)
    assert (event.action, event.scope, event.subject, event.result) == ("backup", "few", point, "finished")
    assert (event.actor, event.channel, event.address) == (pwd.getpwuid(os.getuid()).pw_name, "cli", "192.0.2.7")
    assert event.host == socket.gethostname()
    assert event.details == {"types": ["users"]}


@pytest.mark.parametrize("given", [("--types", "users,groups"), ("--types", "users", "--types", " groups")])
def test_what_may_be_given_as_a_list_is_recorded_as_one(place: Place, given: tuple[str, ...]) -> None:
    assert place.call("backup", "few", *given).code == 0
    assert events(place)[-1].details == {"types": ["users", "groups"]}


def test_a_backup_that_fails_is_recorded_with_why(place: Place) -> None:
    place.simulator.control.deny("users", 403)
    try:
        assert place.call("backup", "few").code == 3
    finally:
        place.simulator.control.deny("users", 0)
    assert last(place)[3] == "finished with exception"
    with place.store("few").lock():
        assert place.call("backup", "few").code == 1
    assert last(place) == ("backup", "few", "", "failed")
    assert "scope 'few' is" in events(place)[-1].details["error"]


def test_a_restore_is_recorded_when_it_begins_and_when_it_ends(place: Place) -> None:
    assert place.call("backup", "few").code == 0
    assert place.call("restore", "few", "--at", "latest", "--types", "groups", "--dry-run").code == 0
    assert last(place)[0] == "restore plan"
    assert place.call("restore", "few", "--at", "latest", "--types", "groups", "--yes").code == 0
    begun, ended = events(place)[-2:]
    assert (begun.action, begun.result, ended.action, ended.result) == ("restore", "started", "restore", "finished")
    assert begun.details == ended.details == {"at": "latest", "types": ["groups"]}


def test_scopes_are_made_edited_and_deleted_on_the_record(place: Place) -> None:
    settings = ("--tenant", "contoso", "--storage", "disk", "--description", "x" * 500)
    assert place.call("scope", "create", "new", *settings).code == 0
    assert last(place) == ("scope create", "new", "", "finished")
    assert len(events(place)[-1].details["description"]) < 250
    assert place.call("scope", "edit", "new", "--schedule", "0 1 * * *", "--unset", "description").code == 0
    assert events(place)[-1].details == {"schedule": "0 1 * * *", "unset": ["description"]}
    assert place.call("scope", "edit", "new", "--schedule", "often").code == 2
    assert last(place) == ("scope edit", "new", "", "refused")
    assert place.call("scope", "delete", "new", "--yes").code == 0
    assert last(place) == ("scope delete", "new", "", "finished")


def test_what_only_looks_is_not_recorded(place: Place) -> None:
    assert place.call("scope", "list").code == 0
    assert place.call("points", "few").code == 0
    assert place.call("backup", "nobody").code == 2
    assert events(place) == []


def test_an_event_that_cannot_be_written_is_said_and_costs_no_backup(place: Place) -> None:
    (place.file.parent / "backup").mkdir()
    (place.file.parent / "backup" / "_audit").write_text("in the way")
    result = place.call("backup", "few")
    assert result.code == 0
    assert "warning: not recorded in the audit log: " in result.err
    assert len(place.store("few").points()) == 1


def test_verify_checks_the_audit_log(place: Place) -> None:
    assert place.call("backup", "few").code == 0
    assert place.call("scope", "edit", "few", "--retention", "30 days").code == 0
    assert place.call("verify", "few").code == 0
    assert [row["ok"] for row in place.call("verify", "--audit", "--json").json] == [True]
    [key, *_] = [file.key for file in place.store().files.list("_audit/2")]
    event = place.store().files.read(key)
    place.store().files.replace(key, event.replace(b'"result":"finished"', b'"result":"refused"'))
    result = place.call("verify", "--audit")
    assert result.code == 1
    assert "audit log" in result.out and key in result.out and "was changed" in result.out
    [problem] = [row for row in place.call("verify", "few", "--json").json if not row["ok"]]
    assert (problem["recovery_point"], problem["table"]) == ("", key)
