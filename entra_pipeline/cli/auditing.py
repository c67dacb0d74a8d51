"""Which commands are recorded in the audit log, and how.

Every command is, under its own name, unless `ACTS` says otherwise: so one that is new is not forgotten. The command's
work comes first: an event that cannot be written is said, and changes nothing else.
"""

from __future__ import annotations

import os
import pwd
import socket
from collections.abc import Callable, Iterator, Mapping
from functools import update_wrapper
from typing import TYPE_CHECKING, Any, TypeVar

import click

from entra_pipeline.errors import EntraPipelineError

if TYPE_CHECKING:
    from entra_pipeline.audit import Origin
    from entra_pipeline.store.backends import StorageSettings

_Parameters = Mapping[str, Any]
_T = TypeVar("_T")


def _only_when(action: str, condition: Callable[[_Parameters], bool]) -> Callable[[_Parameters], str]:
    return lambda given: action if condition(given) else ""


# Command → the act that it is; empty for one that only looks.
ACTS: Mapping[str, str | Callable[[_Parameters], str]] = {
    "catalogue": "",
    # It records what it does itself: two backups and a restore.
    "demo": "",
    # Comparing with the live tenant takes a recovery point.
    "diff": _only_when("backup", lambda given: given["second"] == "live"),
    "erase": _only_when("erase", lambda given: not given["dry_run"]),
    "erasures": "",
    "evidence": _only_when("evidence", lambda given: not given["script"]),
    # Each backup is recorded by its own process.
    "fleet backup": "",
    "fleet sql": "",
    "fleet status": "",
    "logs": _only_when("logs", lambda given: not given["list_"]),
    "objects": "",
    "points": "",
    "prune": _only_when("prune", lambda given: not given["dry_run"]),
    "report": "",
    "restore": lambda given: "restore plan" if given["dry_run"] else "restore",
    "scope list": "",
    "scope show": "",
    "serve": "",
    "simulate": "",
    "sql": "",
    # The log is in the storage that is in question; the console records it.
    "storage check": "",
}
# What is recorded when it begins, too: it may be killed before it can say how it ended.
_ANNOUNCED = {"restore", "prune", "erase"}
# Options that say how a result is shown; and a name that is to be forgotten: the event has the id.
_SHOWING = {"json_", "csv_", "limit", "costs", "yes", "format_", "output", "person", "confirm"}
_RESULTS = {0: "finished", 2: "refused", 3: "finished with exception", 130: "cancelled"}
_SEVERAL = "[,"
_SUBJECT = "entra_pipeline.subject"
_NOTES = "entra_pipeline.notes"
# Of what was asked for: characters of a text, values of a list. The log is no copy of the plan.
_LONGEST = 200
_MOST = 20


def about(subject: str) -> None:
    """Tells what the command that runs has done something to, or made: a recovery point, a plan, a job."""
    if ctx := click.get_current_context(silent=True):
        ctx.meta[_SUBJECT] = subject


def noting(name: str) -> Callable[[str], None]:
    """Returns what adds a detail to the record of the command that runs, from any thread."""
    ctx = click.get_current_context()

    def note(value: str) -> None:
        ctx.meta.setdefault(_NOTES, {})[name] = value

    return note


def audited(name: str, command: click.Command) -> click.Command:
    """The command, its own commands included, recorded whenever it runs.

    Args:
        name: Its full name.
        command: The command; it is changed, once.
    """
    if isinstance(command, click.Group):
        for inner, one in command.commands.items():
            audited(f"{name} {inner}", one)
    elif command.callback is not None and not isinstance(command.callback, _Recorded):
        command.callback = _Recorded(name, command.callback)
    return command


class _Recorded:
    """A command's work, recorded."""

    def __init__(self, name: str, work: Callable[..., Any]) -> None:
        self._name = name
        self._work = work
        update_wrapper(self, work)

    def __call__(self, *arguments: Any, **given: Any) -> Any:
        ctx = click.get_current_context()
        group, _, _ = self._name.partition(" ")
        rule = ACTS.get(self._name, ACTS.get(group, self._name))
        action = rule if isinstance(rule, str) else rule(ctx.params)
        if not action:
            return self._work(*arguments, **given)
        storages = _storages(ctx)

        def write(result: str, error: str = "") -> None:
            details = dict(_given(ctx)) | ctx.meta.get(_NOTES, {}) | ({"error": error} if error else {})
            # A scope may have been made, or have moved.
            _write(ctx, storages | _storages(ctx), action, _scope(ctx), result, details)

        return _written(action, lambda: self._work(*arguments, **given), _result, write)


def recorded(
    action: str, scope: str, storage: StorageSettings, work: Callable[[], _T], result_of: Callable[[_T], str]
) -> _T:
    """Does something within a command, and records it as an act of its own.

    Args:
        action: What it is called in the log.
        scope: The scope that it is about.
        storage: The storage profile whose log it belongs to.
        work: Does it; tells its subject by `about`.
        result_of: Makes the result's word of what the work returns.

    Returns:
        What the work returns; whatever it raises is raised.
    """
    ctx = click.get_current_context()
    ctx.meta.pop(_SUBJECT, None)

    def write(result: str, error: str = "") -> None:
        _write(ctx, {scope: storage}, action, scope, result, {"error": error} if error else {})

    return _written(action, work, result_of, write)


def _written(
    action: str, work: Callable[[], _T], result_of: Callable[[_T], str], write: Callable[[str, str], None]
) -> _T:
    """Does the work, and writes how it ended, whatever that is; of some acts that they begin, too."""
    if action in _ANNOUNCED:
        write("started", "")
    result, error = "failed", ""
    try:
        made = work()
        result = result_of(made)
    except EntraPipelineError as failure:
        result, error = _result(failure.exit_code), failure.message
        raise
    except click.exceptions.Exit as end:
        result = _result(end.exit_code)
        raise
    except (click.Abort, KeyboardInterrupt):
        result = "cancelled"
        raise
    except Exception as failure:
        error = type(failure).__name__
        raise
    finally:
        write(result, error)
    return made


def _result(code: object) -> str:
    return _RESULTS.get(code if isinstance(code, int) else 0, "failed")


def _storages(ctx: click.Context) -> dict[str, StorageSettings]:
    """The storage profiles whose log the act belongs to, by name: that of its scope, or those of all scopes."""
    from entra_pipeline.cli.context import project_of

    scope = _scope(ctx)
    try:
        project = project_of(ctx)
    except EntraPipelineError:
        # The command says so itself; and nobody knows of a storage.
        return {}
    names = {one.storage for one in project.scopes.values() if scope in ("", one.name)}
    return {name: project.storage[name] for name in sorted(names)}


def _scope(ctx: click.Context) -> str:
    return str(ctx.params.get("scope_name") or ctx.params.get("name") or "")


def _write(
    ctx: click.Context,
    storages: Mapping[str, StorageSettings],
    action: str,
    scope: str,
    result: str,
    details: dict[str, Any],
) -> None:
    from entra_pipeline.audit import Act, AuditLog

    act = Act(action=action, scope=scope, subject=ctx.meta.get(_SUBJECT, ""), result=result, details=details)
    for storage in storages.values():
        try:
            AuditLog(storage.open()).write(act, shell_origin())
        except Exception as failure:
            # Whatever it is, what the command did stands.
            why = failure if isinstance(failure, EntraPipelineError) else f"{type(failure).__name__}: {failure}"
            from entra_pipeline.cli.context import echo

            echo(f"warning: not recorded in the audit log: {why}", err=True)


def _given(ctx: click.Context) -> Iterator[tuple[str, Any]]:
    """What was asked for, without what was left to its default. Options never hold secrets: `ps` would show them."""
    from entra_pipeline.cli.context import listed

    for name, value in ctx.params.items():
        source = ctx.get_parameter_source(name)
        if source is click.core.ParameterSource.DEFAULT or name in {*_SHOWING, "scope_name", "name"}:
            continue
        option = next(one for one in ctx.command.params if one.name == name)
        # What may be given as `a,b` is a list, however it was given.
        several = isinstance(option.metavar, str) and _SEVERAL in option.metavar
        values = listed([value] if isinstance(value, str) else value) if several else value
        yield option.opts[-1].lstrip("-"), _short(values)


def _short(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [*map(_short, value[:_MOST]), *([f"… {len(value)} in all"] if len(value) > _MOST else [])]
    if isinstance(value, bool | int | float):
        return value
    text = str(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} …"


def shell_origin() -> Origin:
    """Who called the command, and from where: the user of the process, and where their SSH session comes from."""
    from entra_pipeline.audit import Origin

    user = os.getuid()
    try:
        actor = pwd.getpwuid(user).pw_name
    except KeyError:
        # Containers run as users that have no name.
        actor = f"uid {user}"
    if user == 0 and (sudo := os.environ.get("SUDO_USER")):
        actor = f"{actor} (sudo by {sudo})"
    address = os.environ.get("SSH_CONNECTION", "").partition(" ")[0]
    return Origin(actor=actor, channel="cli", host=socket.gethostname(), address=address)
