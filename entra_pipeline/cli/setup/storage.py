"""`storage`: what a storage can promise, tried before anything rests on it; and the keys of a signed one."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import click

from entra_pipeline.cli.auditing import shell_origin
from entra_pipeline.cli.context import as_json, as_table, print_json, print_rows, project_of, say
from entra_pipeline.clock import system_clock
from entra_pipeline.errors import UsageError
from entra_pipeline.project import Project
from entra_pipeline.text import did_you_mean

_FAILED, _CONFIGURATION, _LACKING = 1, 2, 3
_COLUMNS = {"storage": "storage", "check": "check", "outcome": "outcome", "told": "what was seen", "remedy": "remedy"}


@click.group()
def storage() -> None:
    """Check whether a storage profile works; start signing its records."""


@storage.command()
@click.argument("name", required=False)
@as_table
@click.pass_context
def check(ctx: click.Context, name: str | None, csv_: bool, json_: bool) -> int:
    """Check the storage profile NAME, or all of them: before the first backup, or when something fails.

    Small objects are written under _check/, read, listed and deleted; 6 MB are sent and read back. Exit codes: 1
    backups cannot work, 2 a setting is wrong, 3 only retention or safety is impaired.
    """
    from entra_pipeline.store.backends.promises import StoragePromises

    project = project_of(ctx)
    if name is not None:
        _require(project, name)
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


@storage.command()
@click.argument("storage_name", metavar="NAME")
@click.option("--adopt", "adopting", is_flag=True, help="Believe the records that are there and cannot be verified.")
@click.option(
    "--previous",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The private key that signed until now; it vouches for the new one.",
)
@as_json
@click.pass_context
def sign(ctx: click.Context, storage_name: str, adopting: bool, previous: Path | None, json_: bool) -> int:
    """Begin to sign the records of the storage profile NAME, or go on with a new key.

    Puts the public key into the storage, and counts the records that cannot be verified: those from before. With
    --adopt they are believed as they are now, and what is there is taken for all that there was: run verify before.
    Ends with exit code 3 when some are left.
    """
    from entra_pipeline.store.backends.signing.adopted import adopt, unverified
    from entra_pipeline.store.backends.signing.keys import SigningKey, introduce
    from entra_pipeline.store.commit import settle_heads
    from entra_pipeline.store.recovery_points import ScopeStore

    project = project_of(ctx)
    _require(project, storage_name)
    settings = project.storage[storage_name]
    signing = settings.signing
    key = signing.signing_key() if signing else None
    if signing is None or key is None:
        raise UsageError(
            f"storage {storage_name!r} has no private key",
            remedy="Make one (openssl genpkey -algorithm ed25519 -out signing.pem), and set signing = { private_key = "
            f'{{ file = "signing.pem" }} }} in [storage.{storage_name}].',
        )
    place = settings.place()
    try:
        before = SigningKey(previous.read_text()) if previous else None
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{previous} is no Ed25519 private key in PEM ({error})", remedy="Name the file of the former key."
        ) from None
    introduce(place, key, system_clock(), before)
    signed = signing.above(place)
    left = unverified(signed, place)
    if adopting:
        adopt(signed, left, by=shell_origin().actor, now=system_clock())
        files = signing.above(place)
        for scope in sorted({file.key.split("/")[1] for file in files.list("_recovery_points/")}):
            settle_heads(ScopeStore(files, scope))
    folders = Counter(record.partition("/")[0] for record in left)
    if json_:
        print_json(
            {
                "public_key": key.public.text,
                "id": key.public.id,
                "adopted": adopting,
                "records": dict(sorted(folders.items())),
            }
        )
    else:
        say(f"records of {storage_name} are signed with the key {key.public.id}; its public key:\n{key.public.text}")
        rows = [{"folder": folder, "records": number} for folder, number in sorted(folders.items())]
        if rows:
            print_rows(rows, {"folder": "folder", "records": "adopted" if adopting else "cannot be verified"})
        if rows and not adopting:
            say("They are not believed. If they are right: entra-pipeline storage sign NAME --adopt")
    return _LACKING if left and not adopting else 0


def _require(project: Project, name: str) -> None:
    if name not in project.storage:
        raise UsageError(
            f"there is no storage {name!r}{did_you_mean(name, project.storage)}",
            remedy=f"{project.file} has {', '.join(project.storage)}.",
        )
