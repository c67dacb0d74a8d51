"""What is in the recycle bins: objects that come back with the same id as long as they are there."""

from collections.abc import Sequence
from dataclasses import replace

from entra_pipeline.catalogue.model import Category, ObjectType, kept

_DIRECTORY = ("users", "groups", "applications", "service_principals", "administrative_units")
_BINS = {
    "conditional_access_policies": "identity/conditionalAccess/deletedItems/policies",
    "named_locations": "identity/conditionalAccess/deletedItems/namedLocations",
    "lifecycle_workflows": "identityGovernance/lifecycleWorkflows/deletedItems/workflows",
}


def deleted(types: Sequence[ObjectType]) -> tuple[ObjectType, ...]:
    """An entry for the recycle bin of each of the types that have one; the deleted object looks like the live one.

    Source: Graph doc, directory-deleteditems-list, policydeletableitem.
    """
    live = {entry.name: entry for entry in types}
    bins = {name: f"directory/deletedItems/microsoft.graph.{live[name].graph_type}" for name in _DIRECTORY} | _BINS
    return tuple(_bin(live[name], path) for name, path in bins.items())


def _bin(entry: ObjectType, path: str) -> ObjectType:
    return replace(
        entry,
        name=f"deleted_{entry.name}",
        category=Category.RECYCLE_BIN,
        title=_deleted(entry.title),
        irregular_plural=_deleted(entry.plural),
        path=path,
        restore=kept(
            f"source for restoring `{entry.name}`: POST /{entry.restore.bin}/{{id}}/restore, within 30 days",
            volatile=entry.restore.volatile,
        ),
        delta=False,
        on_request=frozenset(),
        relations=(),
        belongs_to="",
        shows=entry.name,
    )


def _deleted(title: str) -> str:
    return f"Deleted {title[0].lower()}{title[1:]}"
