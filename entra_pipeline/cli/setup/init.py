"""`init`: a new project."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from entra_pipeline.cli.calling import called_for
from entra_pipeline.cli.context import echo, say
from entra_pipeline.errors import UsageError

_CREDENTIALS = ("managed_identity", "workload_identity", "certificate", "client_secret_env")
_IDS = ("tenant_id", "client_id")


@click.command()
@click.argument("folder", default=".", type=click.Path(file_okay=False, path_type=Path))
@click.option("--name", default="", help="Name of the tenant and its scope. [default: main, or demo]")
@click.option("--tenant-id", metavar="GUID", help="The Entra tenant; without it, a simulated one.")
@click.option("--client-id", metavar="GUID", help="The app registration that reads it.")
@click.option("--managed-identity", is_flag=True, help="Sign in as the managed identity of this Azure machine.")
@click.option("--workload-identity", is_flag=True, help="Sign in by the federated token of this Kubernetes pod.")
@click.option("--certificate", metavar="FILE", help="Sign in with a certificate and its private key (PEM or PKCS #12).")
@click.option("--client-secret-env", metavar="NAME", help="Sign in with the client secret in this variable.")
@click.option("--bucket", help="Store in this bucket of S3; without it, in the folder recovery-points.")
@click.option("--endpoint-url", metavar="URL", help="Address of an S3 that is not AWS.")
def init(folder: Path, name: str, **given: Any) -> None:
    """Write a new project into FOLDER: the configuration, and what Dagster reads.

    Nothing that exists is changed. Of a bucket on another service than AWS, the keys are looked up in S3_ACCESS_KEY_ID
    and S3_SECRET_ACCESS_KEY.
    """
    from entra_pipeline.project.creating import create_project
    from entra_pipeline.project.loading import FILE_NAME

    tenant = _tenant(given)
    chosen = name or ("main" if given["tenant_id"] else "demo")
    for file in create_project(folder, chosen, tenant, _storage(given)):
        echo(f"wrote {file}")
    if folder != Path():
        called_for(folder / FILE_NAME)
    say("\nNext:")
    if given["tenant_id"]:
        say("  # what to grant to the app registration\n  entra-pipeline catalogue --permissions")
    say("  # whether everything works\n  entra-pipeline doctor")
    say(f"  # the first recovery point\n  entra-pipeline backup {chosen}")
    say("  # the console, and Dagster, which runs the schedule\n  entra-pipeline serve")


def _tenant(given: dict[str, Any]) -> dict[str, Any]:
    """The settings of the tenant."""
    from entra_pipeline.project.creating import SIMULATED

    credentials = [key for key in _CREDENTIALS if given[key]]
    if not given["tenant_id"]:
        if others := [key for key in ("client_id", *credentials) if given[key]]:
            raise UsageError("--tenant-id is missing", remedy=f"Add it, or leave out {_option(others[0])}.")
        return dict(SIMULATED)
    if len(credentials) != 1:
        raise UsageError(
            "one credential is needed"
            if not credentials
            else f"{' and '.join(map(_option, credentials))} exclude each other",
            remedy=f"Choose one of {', '.join(map(_option, _CREDENTIALS))}; the first ones leave no secret to steal.",
        )
    found: dict[str, Any] = {key: given[key] for key in _IDS if given[key]}
    kind = credentials[0]
    if kind == "certificate":
        return {**found, kind: {"path": given[kind]}}
    if kind == "client_secret_env":
        return {**found, "client_secret": {"env": given[kind]}}
    return {**found, kind: True}


def _storage(given: dict[str, Any]) -> dict[str, Any]:
    """The settings of the storage."""
    if not given["bucket"]:
        if given["endpoint_url"]:
            raise UsageError("--endpoint-url needs --bucket", remedy="Name the bucket.")
        return {"kind": "local", "path": "recovery-points"}
    found = {"kind": "s3", "bucket": given["bucket"]}
    if given["endpoint_url"]:
        found |= {
            "endpoint_url": given["endpoint_url"],
            "access_key_id": {"env": "S3_ACCESS_KEY_ID"},
            "secret_access_key": {"env": "S3_SECRET_ACCESS_KEY"},
        }
    return found


def _option(key: str) -> str:
    return f"--{key.replace('_', '-')}"
