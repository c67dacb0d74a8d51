"""The command as a shell sees it: help, exit codes, interruption, what a backup comes to."""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from datetime import date
from itertools import takewhile
from pathlib import Path

import click
import pytest

from entra_pipeline.analysis.manifest_rows import COSTS, cost_rows
from entra_pipeline.audit import AuditLog
from entra_pipeline.catalogue import CATALOGUE, EVERYTHING, Category, ObjectType, permissions_for
from entra_pipeline.catalogue.model import kept
from entra_pipeline.cli import COMMANDS, cli
from entra_pipeline.cli.queries.catalogue import catalogue_markdown
from entra_pipeline.project import load_project
from entra_pipeline.project.stores import open_store
from entra_pipeline.simulator import Simulator
from tests.support.command import Place, call, write_project

DOCS = Path(__file__).parents[2] / "docs"
COMMAND = [sys.executable, "-c", "from entra_pipeline.cli import main; main()"]


def _commands() -> dict[str, click.Command]:
    """Every command by its full name, groups opened."""
    found: dict[str, click.Command] = {}
    context = click.Context(cli)
    for name in COMMANDS:
        command = cli.get_command(context, name)
        assert command is not None
        members = command.commands if isinstance(command, click.Group) else {}
        found |= {f"{name} {inner}": one for inner, one in members.items()} or {name: command}
    return found


# --- Help and documentation ------------------------------------------------------------------------------------------


def test_help_imports_nothing_heavy() -> None:
    heavy = (
        "azure",
        "boto3",
        "dagster",
        "duckdb",
        "httpx",
        "msgraph",
        "pandas",
        "pyarrow",
        "pydantic",
        "rich",
        "uvicorn",
    )
    script = (
        "import sys; from entra_pipeline.cli import run; code = run(['--help']);"
        f"print(code, [name for name in {heavy} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0 []"
    for name in COMMANDS:
        assert name in done.stdout


def test_every_command_has_help() -> None:
    for name in _commands():
        result = call(*name.split(), "--help")
        assert result.code == 0
        assert result.out.startswith(f"Usage: entra-pipeline {name}")


def test_every_command_and_option_is_documented() -> None:
    text = (DOCS / "command.md").read_text(encoding="utf-8")
    sections = dict(re.findall(r"^## `([a-z -]+)`.*?\n(.*?)(?=^## |\Z)", text, re.M | re.S))
    for name, command in _commands().items():
        section = sections[name.split()[0]]
        assert f"entra-pipeline {name}" in section
        for parameter in command.params:
            for option in (one for one in parameter.opts if one.startswith("--")):
                assert f"`{option}" in section, f"{name} {option}"
    assert set(sections) == {*COMMANDS}


def test_the_documented_catalogue_is_the_catalogue() -> None:
    text = (DOCS / "catalogue.md").read_text(encoding="utf-8")
    table = re.search(r"<!-- catalogue: (.*?) -->\n(.*?)\n<!-- /catalogue -->", text, re.S)
    assert table is not None
    assert table[2] == catalogue_markdown() == call(*table[1].split()[1:]).out.rstrip("\n")


def test_the_documented_example_is_an_entry() -> None:
    text = (DOCS / "catalogue.md").read_text(encoding="utf-8")
    example = re.search(r"```python\n(.*?)```", text, re.S)
    assert example is not None
    entry = eval(example[1], {"ObjectType": ObjectType, "Category": Category, "kept": kept})
    assert entry.name not in CATALOGUE
    assert {"displayName", "customerId", "deletedDateTime"} <= set(entry.properties)


def test_the_catalogue_lists_types_and_permissions() -> None:
    rows = {row["type"]: row for row in call("catalogue", "--json").json}
    assert list(rows) == list(CATALOGUE)
    assert rows["groups"]["relations"] == ["group_members", "group_owners"]
    assert rows["federated_identity_credentials"]["path"] == "/applications/{id}/federatedIdentityCredentials"
    assert call("catalogue", "--permissions", "--json").json == permissions_for(EVERYTHING)
    assert call("catalogue", "--permissions").out.split() == permissions_for(EVERYTHING)
    assert "Member.Read.Hidden" in permissions_for(["groups"])
    assert "Member.Read.Hidden" not in permissions_for(["users"])


# --- Exit codes ------------------------------------------------------------------------------------------------------


def test_exit_codes_reach_the_shell(backed_up: Place) -> None:
    def code(*arguments: str) -> int:
        return subprocess.run([*COMMAND, "--project", backed_up.file, *arguments], capture_output=True).returncode

    assert code("points", "all") == 0
    assert code("points", "nobody") == 2
    assert code("points") == 2


def test_a_command_that_is_printed_can_be_pasted(place: Place, tmp_path: Path) -> None:
    program = tmp_path / "some where" / "entra-pipeline"
    program.parent.mkdir()
    program.write_text(f"#!{sys.executable}\nfrom entra_pipeline.cli import main\nmain()\n")
    program.chmod(0o755)
    project = place.file.rename(tmp_path / "my project.toml")

    def said(command: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        return subprocess.run(command, shell=True, cwd=tmp_path, env=environment, capture_output=True, text=True)

    # On standard output, and on standard error.
    shown = said(f"{shlex.quote(str(program))} --project {shlex.quote(str(project))} points few")
    backed_up = said(re.search(r"; (.*) takes one", shown.stdout)[1])  # type: ignore[index]
    assert backed_up.returncode == 0, backed_up.stderr
    wrong = said(f"{shlex.quote(str(program))} --project 'my project.toml' objects few users --at 2001-01-01T00-00-00Z")
    listed = said(re.search(r"Run: (.*)", wrong.stderr)[1])  # type: ignore[index]
    assert listed.stdout.count("finished") == 1, listed.stderr


def test_a_reader_that_has_seen_enough_hears_no_complaint(backed_up: Place) -> None:
    command = [*COMMAND, "--project", str(backed_up.file), "objects", "all", "users", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""


def test_a_defect_is_told_in_a_line_and_its_trace_is_kept(
    backed_up: Place, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setitem(COMMANDS, "points", ("nowhere:points", ""))
    result = backed_up.call("points", "all")
    assert result.code == 1
    assert "Traceback" not in result.err
    [trace] = tmp_path.glob("entra-pipeline-error-*.txt")
    assert str(trace) in result.err
    assert "Traceback" in trace.read_text()


# --- A backup --------------------------------------------------------------------------------------------------------


def test_a_refused_type_ends_with_exception_and_the_next_run_heals_it(simulator: Simulator, tmp_path: Path) -> None:
    place = Place(write_project(tmp_path, simulator), simulator)
    simulator.control.deny("domains", 403)
    try:
        result = place.call("backup", "few")
    finally:
        simulator.control.deny("domains", 0)

    assert result.code == 3
    assert "finished with exception" in result.out
    assert re.search(r"! domains: not read: .*\n\s+→ Grant the application permission Domain\.Read\.All", result.out)
    point = place.call("points", "few", "--json").json[0]
    assert point["status"] == "finished with exception"
    [gap] = point["gaps"]
    assert gap["table"] == "domains"
    assert "Domain.Read.All" in gap["remedy"]
    assert point["types"]["users"] > 0
    shown = place.call("objects", "few", "domains")
    assert "Domain.Read.All" in shown.err

    assert place.call("backup", "few").code == 0
    jobs = {job.details["recovery_point"]: job.status for job in place.store("few").jobs.all()}
    assert list(jobs.values()).count("finished") == 1
    assert jobs[point["recovery_point"]] == "finished with exception"
    assert place.call("objects", "few", "domains", "--json").json


def test_chosen_types_leave_the_others_as_they_were(place: Place) -> None:
    assert place.call("backup", "few").code == 0
    result = place.call("backup", "few", "--types", "groups,domains", "--full", "--json")
    read = {table["table"]: table["read"] for table in result.json["tables"]}
    assert read["users"] == "carried"
    assert read["groups"] == read["domains"] == read["group_members"] == "full"


def _costs(out: str) -> dict[str, list[int]]:
    """The table of what a backup took of Graph: requests, batch items, units, retries, throttled by table."""
    lines = out[out.index("Requests to Microsoft Graph") :].splitlines()[4:]
    rows = [re.split(r"\s{2,}", line.strip()) for line in takewhile(str.strip, lines)]
    return {name: [int(one.replace(",", "")) for one in figures] for name, *figures in rows}


def test_a_backup_reports_what_it_took_of_graph(place: Place) -> None:
    short, long = _costs(place.call("backup", "all").out), _costs(place.call("backup", "all", "--costs").out)
    first, second = (cost_rows(place.store().manifest(point)) for point in place.store().points())

    *dearest, others, _ = short
    assert dearest == [row["table"] for row in first[:10]]
    assert others == f"{len(first) - 10} others (backup --costs shows them)"
    assert [*long] == [*(row["table"] for row in second), "total"]
    for shown, rows in ((short, first), (long, second)):
        sums = [sum(row[name] for row in rows) for name in COSTS]
        assert shown.pop("total") == sums == [sum(column) for column in zip(*shown.values(), strict=True)]
        assert sums[0] > 0


def test_an_interrupted_backup_leaves_nothing_behind(place: Place) -> None:
    place.simulator.control.latency(0.5)
    try:
        command = [*COMMAND, "--project", str(place.file), "backup", "all"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr is not None
            assert "reading" in process.stderr.readline()
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=60)
    finally:
        place.simulator.control.latency(0)

    assert process.returncode == 130, err
    assert out == ""
    assert "cancelled" in err
    [record] = place.store("all").jobs.all()
    assert (record.status, record.details["recovery_point"]) == ("cancelled", "")
    assert "no recovery point was made" in record.error
    assert "Traceback" not in err
    assert place.call("points", "all", "--json").json == []
    assert not list((place.file.parent / "backup").rglob("*.parquet"))
    assert place.call("backup", "few").code == 0


# --- Scopes ----------------------------------------------------------------------------------------------------------


def test_a_scope_is_created_changed_and_deleted(place: Place) -> None:
    created = place.call(
        *("scope", "create", "finance", "--tenant", "contoso", "--storage", "disk"),
        *("--description", "The department", "--protect", "users, groups", "--schedule", "0 */6 * * *"),
        *("--timezone", "Europe/Stockholm", "--retention", "2 years", "--full-backup-frequency", "3 months"),
        *("--select-user", "ada@contoso.com", "--select-group", "Finance", "--select-group", "Board"),
    )
    assert created.code == 0, created.err
    assert re.search(r"storage disk passed \d+ checks", created.out)
    one = load_project(place.file).scope("finance")
    assert one.types() == ["users", "groups"]
    assert one.select is not None
    assert one.select.groups == ["Finance", "Board"]
    assert str(one.retention) == "2 years"
    assert "# made for the tests" in place.file.read_text()

    assert (
        place.call("scope", "edit", "finance", "--protect", "all", "--unset", "select", "--unset", "schedule").code == 0
    )
    one = load_project(place.file).scope("finance")
    assert one.types() == list(EVERYTHING)
    assert one.select is None
    assert one.schedule is None

    assert place.call("scope", "delete", "finance", "--yes").code == 0
    assert "finance" not in load_project(place.file).scopes


def test_a_scope_on_a_storage_that_cannot_work_is_created_with_a_warning(place: Place, tmp_path: Path) -> None:
    (tmp_path / "in-the-way").write_text("no folder")
    text = place.file.read_text()
    place.file.write_text(f'{text}\n[storage.broken]\nkind = "local"\npath = "{tmp_path}/in-the-way"\n')
    try:
        created = place.call("scope", "create", "finance", "--tenant", "contoso", "--storage", "broken")
        assert created.code == 3
        assert "warning: storage broken: list:" in created.err and "backups cannot work without it" in created.err
        assert "finance" in load_project(place.file).scopes
        moved = place.call("scope", "edit", "finance", "--storage", "disk")
        assert moved.code == 0 and "storage disk passed" in moved.out
    finally:
        place.file.write_text(text)


def test_deleting_a_scope_asks_first(place: Place) -> None:
    command = [*COMMAND, "--project", str(place.file), "scope", "delete", "few"]
    refused = subprocess.run(command, input="n\n", capture_output=True, text=True)
    assert refused.returncode == 130
    assert "few" in load_project(place.file).scopes
    assert subprocess.run(command, input="y\n", capture_output=True, text=True).returncode == 0
    assert "few" not in load_project(place.file).scopes


# --- The simulated tenant and the demonstration ----------------------------------------------------------------------


def _two_free_ports() -> int:
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port: int = first.getsockname()[1]
            try:
                second.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port


def test_a_simulated_tenant_prints_what_the_configuration_needs(tmp_path: Path) -> None:
    port = _two_free_ports()
    command = [
        *COMMAND,
        "simulate",
        "--users",
        "25",
        "--groups",
        "4",
        "--port",
        str(port),
        "--state",
        str(tmp_path / "s"),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert process.stdout is not None
        assert "Ctrl-C" in process.stderr.readline()
        table = "".join(iter(process.stdout.readline, "\n"))
        file = tmp_path / "dagster_project.toml"
        file.write_text(
            f'{table}\n[storage.disk]\nkind = "local"\npath = "backup"\n'
            '[scopes.few]\ntenant = "simulated"\nstorage = "disk"\nprotect = ["users"]\n'
        )
        assert call("--project", file, "backup", "few").code == 0
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 0


def test_the_demonstration_proves_itself_again_and_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ENTRA_PIPELINE_PROJECT", raising=False)
    size = ("--users", 20, "--groups", 3, "--directory", "made", "--port", _two_free_ports())
    for round_ in (1, 2):
        result = call("demo", *size)
        assert result.code == 0, result.out + result.err
        assert result.out.count("✓") == 3
        assert "✗" not in result.out
        for kind in ("create", "update", "clear a property", "delete", "restore", "add member", "remove member"):
            assert kind in result.out
        project = tmp_path / "made" / "dagster_project.toml"
        assert len(call("--project", project, "points", "demo", "--json").json) == 6 * round_
        assert [one.name for one in tmp_path.iterdir()] == ["made"]
        log = AuditLog(open_store(load_project(project), "demo").files)
        events = log.events(date(2026, 1, 1), date(2100, 1, 1))
        assert [(one.action, one.result, one.subject != "") for one in events] == round_ * [
            ("backup", "finished", True),
            ("backup", "finished", True),
            ("restore", "started", False),
            ("restore", "finished", True),
        ]
    # What it says to type next can be typed.
    typed = re.findall(r"^  \S+ (--project \S+ (?:points|objects|verify|restore) .*)$", result.out, re.M)
    assert len(typed) == 4
    for line in typed:
        assert call(*shlex.split(line)).code == 0

    other = call("demo", "--users", 30, "--directory", "made")
    assert other.code == 2
    assert "--directory" in other.err
