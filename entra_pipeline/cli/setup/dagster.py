"""`sync-dagster`: Dagster's partitions and materialisations from the manifests."""

from __future__ import annotations

from dataclasses import asdict

import click
import dagster as dg

from entra_pipeline.cli.context import as_json, print_rows, project_of
from entra_pipeline.errors import UsageError
from entra_pipeline.orchestration.sync import Synced, sync_fleet_scope, sync_scope
from entra_pipeline.project import Project
from entra_pipeline.project.stores import open_store


@click.command("sync-dagster")
@click.argument("scope_name", metavar="[SCOPE]", required=False)
@as_json
@click.pass_context
def sync_dagster(ctx: click.Context, scope_name: str | None, json_: bool) -> None:
    """Synchronize Dagster's partitions and materialisations with the store of SCOPE, or of all scopes.

    Use it for recovery points and log days that were read without Dagster, and after the loss of Dagster's database.
    It can be repeated safely.
    """
    project = project_of(ctx)
    names = [project.scope(scope_name).name] if scope_name else list(project.scopes)
    try:
        instance = dg.DagsterInstance.get()
    except Exception as error:
        raise UsageError(
            f"Dagster's instance cannot be opened: {str(error).splitlines()[0].strip()}",
            remedy="Set DAGSTER_HOME to the folder with dagster.yaml.",
        ) from None
    with instance:
        rows = [asdict(_sync(project, name, instance)) for name in names]
    columns = {name: name for name in ("scope", "points", "added", "removed", "reported", "days")}
    print_rows(rows, columns, json_=json_, empty="no scope", right=("points", "added", "removed", "reported", "days"))


def _sync(project: Project, name: str, instance: dg.DagsterInstance) -> Synced:
    store = open_store(project, name)
    return sync_fleet_scope(project, store, instance) if project.dagster.fleet else sync_scope(store, instance)
