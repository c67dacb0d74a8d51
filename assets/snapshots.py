"""The snapshots of a scope: one multi-asset, a spec per object type.

One asset function reads all types of a scope, so that they share one client, one budget and one event loop; each type
is an asset of its own, with its own metadata, and a repeated run reads only what is missing.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any

import dagster as dg

from entra_pipeline.orchestration.partitions import EXISTED, EXISTED_TEXT, committed, explained, partition_of, require_capturable
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
from entra_pipeline.orchestration.metadata.recovery_points import gaps_text, notes_text
from entra_pipeline.analysis.manifest_rows import cost
from entra_pipeline.backup.run import open_run
from entra_pipeline.catalogue import CATALOGUE
from entra_pipeline.catalogue.columns import column_types
from entra_pipeline.clock import system_clock
from entra_pipeline.errors import GraphUnavailable
from entra_pipeline.project import Scope
from entra_pipeline.store.manifest import Manifest, TableEntry, TakenFor
from entra_pipeline.text import pluralize
from resources import StorageResource, TenantResource


class LogProgress:
    """Tells a run's progress in its log."""

    def __init__(
        self, context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext | dg.OpExecutionContext
    ) -> None:
        self._log = context.log
        self._unchanged = 0

    def rows(self, table: str, rows: int) -> None:
        """Not told row by row."""

    def done(self, entry: TableEntry) -> None:
        """One line per table that has changed or lacks something; the others are counted."""
        if not (entry.added or entry.changed or entry.deleted or entry.gaps):
            self._unchanged += 1
            return
        self._log.info(
            f"{entry.table}: {entry.read}, {pluralize(entry.live, 'row')} "
            f"(+{entry.added} ~{entry.changed} -{entry.deleted}), {pluralize(entry.requests, 'request')}"
        )

    def phase(self, text: str) -> None:
        """One line per part of the work, and before it how many tables of the last part have not changed."""
        if self._unchanged:
            self._log.info(f"{pluralize(self._unchanged, 'table')} without changes")
            self._unchanged = 0
        self._log.info(text)


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
    async def snapshots(  # type: ignore[no-untyped-def]
        context: dg.AssetExecutionContext, tenants: TenantResource, storage: StorageResource
    ):
        wanted = [name for name in types if asset_key(scope.name, name) in context.selected_asset_keys]
        with explained(context):
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
            entries = {}
            with store.lock():
                async with (
                    tenants.open(scope.name) as graph,
                    open_run(
                        scope,
                        store,
                        graph,
                        point=point,
                        full=False,
                        started=system_clock(),
                        taken_for=taken_for(context),
                        progress=LogProgress(context),
                    ) as run,
                ):
                    async for entry in run.read(wanted, stage=True, again=tries_left(context)):
                        entries[entry.table] = entry
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
                    f"could not be read for passing reasons: {', '.join(missing)}",
                    remedy="The next try of this run reads only these; on the last, they become named gaps.",
                )

    return snapshots


def taken_for(context: dg.AssetExecutionContext) -> TakenFor:
    """What the point of a run is taken for, by what launched it."""
    tags = context.run.tags
    if "dagster/schedule_name" in tags:
        return TakenFor.SCHEDULE
    return TakenFor.REPAIR if "dagster/sensor_name" in tags else TakenFor.BY_HAND


def tries_left(context: dg.AssetExecutionContext) -> bool:
    """Whether the daemon will try this run again if it fails."""
    tags = context.run.tags
    return int(tags.get("dagster/retry_number", "0")) < int(tags.get("dagster/max_retries", "0"))


def _spec(scope: Scope, name: str) -> dg.AssetSpec:
    told = _told(name)
    return dg.AssetSpec(
        asset_key(scope.name, name),
        skippable=True,
        group_name=group(scope.name, CATALOGUE[name].category),
        **{**told, "tags": {**told["tags"], **run_tags(scope)}},
    )


@cache
def _told(name: str) -> Mapping[str, Any]:
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


def own_tables() -> dict[str, list[str]]:
    """For each object type, the tables that its asset stands for: its objects and its relations."""
    return {name: [name, *(relation.name for relation in entry.relations)] for name, entry in CATALOGUE.items()}


def shown_tables(manifest: Manifest) -> dict[str, dict[str, TableEntry]]:
    """Returns the tables of a point by the object type whose asset stands for them."""
    return {
        name: {table: manifest.tables[table] for table in tables if table in manifest.tables}
        for name, tables in own_tables().items()
        if name in manifest.tables
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


def table_metadata(entries: Mapping[str, TableEntry], name: str) -> Mapping[str, Any]:
    """What Dagster shows of an object type at a recovery point: rows, changes, cost, gaps, notes.

    Figures that are zero are left out, and so are gaps and notes when there are none. A type without changes tells its
    rows and requests only: Dagster keeps an event for every type of every point, and most of them have not changed.
    """
    own = entries[name]
    written = [part for entry in entries.values() for part in entry.parts]
    changes = {
        "added": sum(entry.added for entry in entries.values()),
        "changed": sum(entry.changed for entry in entries.values()),
        "deleted": sum(entry.deleted for entry in entries.values()),
    }
    costs = cost(entries.values())
    figures = {
        **changes,
        **{table: entry.live for table, entry in entries.items() if table != name},
        **(
            {"bytes": sum(part.bytes for part in written), "files": len(written), **costs}
            if any(changes.values())
            else {}
        ),
        "requests": costs["requests"],
    }
    gaps = any(entry.gaps for entry in entries.values())
    notes = any(entry.notes for entry in entries.values())
    return {
        "dagster/row_count": own.live,
        "read": own.read,
        **{figure: value for figure, value in figures.items() if value},
        **({"gaps": dg.MetadataValue.md(gaps_text(entries))} if gaps else {}),
        **({"notes": dg.MetadataValue.md(notes_text(entries))} if notes else {}),
    }
