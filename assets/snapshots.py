"""The snapshots of a scope: one multi-asset, a spec per object type.

One asset function reads all types of a scope, so that they share one client, one budget and one event loop; each type
is an asset of its own, with its own metadata, and a repeated run reads only what is missing.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any

import dagster as dg

from entra_pipeline.backup.run import open_run
from entra_pipeline.catalogue import CATALOGUE, table_names
from entra_pipeline.catalogue.columns import column_types
from entra_pipeline.clock import system_clock
from entra_pipeline.errors import GraphUnavailable
from entra_pipeline.orchestration.errors import explained, in_scope
from entra_pipeline.orchestration.keys import (
    CATEGORY_TAG,
    asset_key,
    category_tag,
    group,
    identifier,
    object_types,
    partitions,
    pool,
    run_tags,
)
from entra_pipeline.orchestration.metadata.recovery_points import (
    own_tables,
    shown_tables,
    table_metadata,
)
from entra_pipeline.orchestration.partitions import EXISTED, EXISTED_TEXT, committed, partition_of, require_capturable
from entra_pipeline.orchestration.progress import RunProgress
from entra_pipeline.orchestration.runs import taken_for, tries_left
from entra_pipeline.project import Scope
from entra_pipeline.runtime import run_async
from entra_pipeline.store.manifest import TableEntry
from resources import StorageResource, TenantResource


def snapshot_assets(scope: Scope) -> dg.AssetsDefinition:
    """The multi-asset of a scope."""
    types = object_types(scope)

    @dg.multi_asset(
        name=f"snapshots_{identifier(scope.name)}",
        specs=[_spec(scope, name) for name in types],
        partitions_def=partitions(scope.name),
        can_subset=True,
        op_tags=run_tags(scope),
        pool=pool(scope),
    )
    # Without a return annotation: Dagster takes one on many outputs for a tuple of them.
    def snapshots(  # type: ignore[no-untyped-def]
        context: dg.AssetExecutionContext, tenants: TenantResource, storage: StorageResource
    ):
        wanted = [name for name in types if asset_key(scope.name, name) in context.selected_asset_keys]
        with explained(context, storage.project_file, in_scope(scope.name)):
            point = partition_of(context, scope)
            store = storage.open(scope.name)
            if existing := committed(store, point, context):
                for name, entries in shown_tables(existing).items():
                    if name in wanted:
                        yield dg.MaterializeResult(
                            asset_key=asset_key(scope.name, name),
                            metadata={**table_metadata(entries, name), EXISTED: EXISTED_TEXT},
                        )
                return
            require_capturable(store, point)

            async def read() -> dict[str, TableEntry]:
                async with (
                    tenants.open(scope.name, job="backup") as graph,
                    open_run(
                        scope,
                        store,
                        graph,
                        point=point,
                        full=False,
                        started=system_clock(),
                        taken_for=taken_for(context),
                        progress=RunProgress(context, len(table_names(wanted))),
                    ) as run,
                ):
                    named = wanted if len(wanted) < len(types) else None
                    found = run.read(named, stage=True, again=tries_left(context))
                    return {entry.table: entry async for entry in found}

            with store.lock():
                entries = run_async(read())
            for name in wanted:
                if name in entries:
                    own = {table: entries[table] for table in own_tables()[name] if table in entries}
                    key = asset_key(scope.name, name)
                    # Not with the result: Dagster would keep it twice, with the step's output as well.
                    context.add_asset_metadata(table_metadata(own, name), key)
                    yield dg.MaterializeResult(asset_key=key)
            missing = [table for name in wanted for table in own_tables()[name] if table not in entries]
            if missing:
                raise GraphUnavailable(
                    f"could not be read for transient reasons: {', '.join(missing)}",
                    remedy="The next try of this run reads only these; on the last, they become named gaps.",
                )

    return snapshots


def _spec(scope: Scope, name: str) -> dg.AssetSpec:
    described = _description(name)
    return dg.AssetSpec(
        asset_key(scope.name, name),
        skippable=True,
        group_name=group(scope.name, CATALOGUE[name].category),
        **{**described, "tags": {**described["tags"], **run_tags(scope)}},
    )


@cache
def _description(name: str) -> Mapping[str, Any]:
    """What is said of an object type, the same in every scope."""
    entry = CATALOGUE[name]
    where = f"`{entry.parent.segment}` of {entry.parent.type}" if entry.parent else f"`/{entry.path}`"
    relations = "".join(f"\n- `{relation.name}`" for relation in entry.relations)
    return {
        "description": f"{entry.title}, from {where} of Microsoft Graph."
        + (f"\n\nRelations stored with it:{relations}" if relations else ""),
        "tags": {CATEGORY_TAG: category_tag(entry.category)},
        "kinds": {"parquet"},
        "metadata": {
            "dagster/column_schema": _columns(name),
            "permissions": ", ".join(entry.permissions),
            "category": entry.category.value,
        },
    }


def _columns(name: str) -> dg.TableSchema:
    """The columns of an object type: the same at every recovery point of this release."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn("id", "VARCHAR"),
            *(dg.TableColumn(column, kind) for column, kind in column_types(CATALOGUE[name]).items()),
            dg.TableColumn("_raw", "JSON", description="The object exactly as Graph returned it"),
        ]
    )
