"""`storage`: what a storage can promise, tried before anything rests on it; the keys of a signed or encrypted one."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from entra_pipeline.cli.auditing import shell_origin
from entra_pipeline.cli.context import as_json, as_table, echo, print_json, print_rows, project_of, say
from entra_pipeline.clock import system_clock
from entra_pipeline.errors import UsageError
from entra_pipeline.project import Project
from entra_pipeline.text import did_you_mean

if TYPE_CHECKING:
    from entra_pipeline.store.backends import ObjectStore
    from entra_pipeline.store.backends.encryption.settings import Encryption

# What a storage may have before it is encrypted: nothing of the tenant's.
_BEFORE = {"_audit", "_check", "_keys", "_adopted", "_locks"}
_FAILED, _CONFIGURATION, _LACKING = 1, 2, 3
_COLUMNS = {"storage": "storage", "check": "check", "outcome": "outcome", "told": "what was seen", "remedy": "remedy"}


@click.group()
def storage() -> None:
    """Check whether a storage profile works; start signing its records, or encrypting it."""


@storage.command()
@click.argument("name", required=False)
@as_table
@click.pass_context
def check(ctx: click.Context, name: str | None, csv_: bool, json_: bool) -> int:
    """Check the storage profile NAME, or all of them: before the first backup, or when something fails.

    Small objects are written under _check/, read, listed and deleted; 6 MB are sent and read back. Exit codes: 1
    backups cannot work, 2 a setting is wrong, 3 only retention, safety or erasure is impaired.
    """
    from entra_pipeline.store.backends.promises import StoragePromises

    project = project_of(ctx)
    if name is not None:
        _require(project, name)
    rows: list[dict[str, Any]] = []
    for one in [name] if name is not None else project.storage:
        promises = StoragePromises(project.storage[one], erasure=project.erases_in(one))
        rows += [{"storage": one, **found._asdict()} for found in promises.check()]
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


LOSS = (
    "Whoever loses the key that wraps the data keys loses every recovery point in {name}: nobody can decrypt them, and "
    "nothing here can be reset. Keep a copy of the key elsewhere, where neither this machine nor the storage is."
)


@storage.command()
@click.argument("storage_name", metavar="NAME")
@click.option("--key-is-kept-elsewhere", "kept", is_flag=True, help="Do not ask whether there is a copy of the key.")
@click.pass_context
def encrypt(ctx: click.Context, storage_name: str, kept: bool) -> None:
    """Begin to encrypt the storage profile NAME, whose encryption is set: make its first data key.

    The storage must have no recovery points yet: what is there would stay readable.
    """
    project, encryption, place = _encrypted(ctx, storage_name)
    keys = encryption.keys(place)
    if keys.records:
        raise UsageError(
            f"{storage_name} is encrypted already, with the data key {keys.records[-1].name}",
            remedy=f"For a new data key run: entra-pipeline storage keys {storage_name} --rotate",
        )
    there = next((name for name in place.folders() if name not in _BEFORE), None)
    if there is not None:
        raise UsageError(
            f"{storage_name} has data that is not encrypted ({there}/), and would stay so",
            remedy="Set encryption in a storage profile with a new bucket, prefix or folder, and give the scopes that "
            "one; remove the old data when the new recovery points go back far enough.",
        )
    say(LOSS.format(name=storage_name))
    if not kept and not (sys.stdin.isatty() and click.confirm("Is there a copy of the key elsewhere?")):
        raise UsageError(
            "nothing was encrypted: there is no copy of the key",
            remedy=f"Make one, then run: entra-pipeline storage encrypt {storage_name} --key-is-kept-elsewhere",
        )
    name = keys.add(system_clock()).name
    say(f"{storage_name} ({project.storage[storage_name].kind}) is encrypted from now on, with the data key {name}")


@storage.command()
@click.argument("storage_name", metavar="NAME")
@click.option("--rotate", is_flag=True, help="Make a new data key, which encrypts what is written from now on.")
@click.option("--rewrap", is_flag=True, help="Wrap all data keys with the key that is set now.")
@click.option("--duckdb", is_flag=True, help="Print the statements that give a DuckDB the data keys. They are secrets.")
@as_table
@click.pass_context
def keys(
    ctx: click.Context, storage_name: str, rotate: bool, rewrap: bool, duckdb: bool, csv_: bool, json_: bool
) -> None:
    """Show the data keys of the encrypted storage profile NAME: when each was made, and what wraps it.

    No recovery point is written anew: --rotate leaves older ones with their data keys, --rewrap replaces the small
    files in which the data keys lie. Running processes go on with the data key that they began with.
    """
    from entra_pipeline.store.backends.encryption.vault import statement

    _, encryption, place = _encrypted(ctx, storage_name)
    found = encryption.keys(place)
    if not found.records:
        raise UsageError(
            f"{storage_name} has no data key yet", remedy=f"Run: entra-pipeline storage encrypt {storage_name}"
        )
    if rewrap:
        found.rewrap()
    if rotate:
        found.add(system_clock())
    if duckdb:
        echo("\n".join(f"{statement(key)};" for key in found.all.values()))
        return
    rows = [
        {"key": one.name, "created": one.created, "wrapped_by": one.wrapped_by, "with": _wrapped_with(one.wrapped)}
        for one in found.records
    ]
    columns = {"key": "data key", "created": "created", "wrapped_by": "wrapped by", "with": "with"}
    print_rows(rows, columns, json_=json_, csv_=csv_)


def _wrapped_with(wrapped: dict[str, str]) -> str:
    return wrapped.get("recipients") or wrapped.get("key_id") or ""


def _encrypted(ctx: click.Context, name: str) -> tuple[Project, Encryption, ObjectStore]:
    """Returns the project, the encryption of a storage profile, and its place without encryption."""
    project = project_of(ctx)
    _require(project, name)
    settings = project.storage[name]
    if settings.encryption is None:
        raise UsageError(
            f"storage {name!r} has no encryption",
            remedy="Make a passphrase (openssl rand -base64 32 > storage.key && chmod 600 storage.key), and set "
            f'encryption = {{ passphrase = {{ file = "storage.key" }} }} in [storage.{name}].',
        )
    place = settings.place()
    return project, settings.encryption, settings.signing.above(place) if settings.signing else place


def _require(project: Project, name: str) -> None:
    if name not in project.storage:
        raise UsageError(
            f"there is no storage {name!r}{did_you_mean(name, project.storage)}",
            remedy=f"{project.file} has {', '.join(project.storage)}.",
        )
