"""`storage`: what a storage can promise, tried before anything rests on it."""

from __future__ import annotations

from typing import Any

import click

from entra_pipeline.cli.context import as_table, print_rows, project_of
from entra_pipeline.errors import UsageError
from entra_pipeline.text import did_you_mean

_FAILED, _CONFIGURATION, _LACKING = 1, 2, 3
_COLUMNS = {"storage": "storage", "check": "check", "outcome": "outcome", "told": "what was seen", "remedy": "remedy"}


@click.group()
def storage() -> None:
    """Check what a storage can promise."""


@storage.command()
@click.argument("name", required=False)
@as_table
@click.pass_context
def check(ctx: click.Context, name: str | None, csv_: bool, json_: bool) -> int:
    """Check the storage profile NAME, or all of them: before the first backup, or when something fails.

    Small objects are written under _check/, read, listed and deleted; 6 MB are sent and read back. Ends with exit
    code 1 when backups cannot work (2 when a setting is the reason), and 3 when only retention or safety lacks
    something.
    """
    from entra_pipeline.store.backends.promises import StoragePromises

    project = project_of(ctx)
    if name is not None and name not in project.storage:
        raise UsageError(
            f"there is no storage {name!r}{did_you_mean(name, project.storage)}",
            remedy=f"{project.file} has {', '.join(project.storage)}.",
        )
    rows: list[dict[str, Any]] = []
    for one in [name] if name is not None else project.storage:
        rows += [{"storage": one, **found._asdict()} for found in StoragePromises(project.storage[one]).check()]
    print_rows(rows, _COLUMNS, json_=json_, csv_=csv_, empty="no storage")
    broken = [row for row in rows if row["outcome"] == "failed"]
    if any(row["configuration"] for row in broken):
        return _CONFIGURATION
    if any(row["needed_for"] == "backup" for row in broken):
        return _FAILED
    return _LACKING if broken else 0
