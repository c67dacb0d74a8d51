"""What of a recovery point is to be restored: from types, ids, a condition or a text to tables and ids.

What belongs here: what goes with what is chosen. What does not: what is done with it (`planner`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from entra_pipeline.analysis.objects import find_ids, known_ids, table_entry
from entra_pipeline.catalogue import CATALOGUE, ObjectType, table_names, with_children
from entra_pipeline.catalogue.restoring import WriteStrategy
from entra_pipeline.errors import NotAtPoint, UsageError
from entra_pipeline.project import Scope
from entra_pipeline.restore.objects.model import RestoreSelection
from entra_pipeline.store.manifest import Manifest
from entra_pipeline.store.recovery_points import ScopeStore
from entra_pipeline.store.state import connect, sql_text
from entra_pipeline.text import did_you_mean


@dataclass(frozen=True, slots=True)
class RestoreSet:
    """What is to be restored.

    Attributes:
        tables: Object types and relations.
        ids: Of these tables only the objects with these ids, what belongs to them, and links from and to them; None
            when everything is.
        types: The object types that were named; all when none was.
    """

    tables: frozenset[str]
    ids: frozenset[str] | None
    types: tuple[str, ...]


def choose(
    store: ScopeStore,
    manifest: Manifest,
    selection: RestoreSelection,
    *,
    live: tuple[ScopeStore, Manifest] | None = None,
) -> RestoreSet:
    """What a selection comes to at a recovery point: child types, licences and relations go with their types.

    Args:
        store: The store of the recovery point.
        manifest: The recovery point.
        selection: What is selected.
        live: A recovery point that shows the tenant, where objects are deleted that were added since: these may be
            selected by their ids, too.

    Raises:
        UsageError: An unknown type, a condition that is none, or one over more than one type.
        NotAtPoint: The recovery point has none of it.
    """
    types = _types(selection)
    if selection.where and len(selection.types) != 1:
        raise UsageError("a condition needs one object type", remedy="Name the type: --types TYPE.")
    for name in selection.types:
        if name not in manifest.tables or manifest.tables[name].read == "never":
            raise NotAtPoint(
                f"{manifest.recovery_point} does not have {name}: it was not protected, or could not be read",
                remedy=f"To list its types: entra-pipeline objects {store.scope} --at {manifest.recovery_point}",
            )
    tables = frozenset(table_names(types))
    ids = frozenset(selection.ids)
    if ids:
        _require(store, manifest, ids, tables, live)
    if selection.where or selection.search:
        asked = selection.types or [name for name in types if CATALOGUE[name].collection]
        found = {
            one
            for name in asked
            if selection.types or name in manifest.tables
            for one in find_ids(store, manifest, name, where=selection.where, search=selection.search)
        }
        ids = ids & found if ids else frozenset(found)
        if not ids:
            raise NotAtPoint(
                f"no object at {manifest.recovery_point} matches the selection",
                remedy="To test a condition (--where) or a text (--search): "
                f"entra-pipeline objects {store.scope} TYPE --at {manifest.recovery_point}",
            )
    narrowed = bool(ids)
    return RestoreSet(tables, _with_owned(store, manifest, types, ids) if narrowed else None, selection.types)


_LIMITING = frozenset({"contacts", "domains", "subscribed_skus"})
"""Types by which Graph judges what is written: whose addresses are taken, domains, seats."""


def _limited(entry: ObjectType) -> bool:
    """Tells whether Graph judges objects of a type by others: by who has an address, by domains, by seats."""
    rule = entry.restore
    return bool(rule.domains or "proxyAddresses" in rule.names or rule.strategy is WriteStrategy.LICENSES)


def types_to_read(selection: RestoreSelection) -> list[str] | None:
    """The object types whose state in the tenant a plan for the selection rests on; None for all.

    Besides what is chosen: its recycle bins, and whatever may have lost its links to what is missing.
    """
    if not selection.types:
        return None
    chosen = set(_types(selection))
    leading = {e.name for e in CATALOGUE.values() if e.relations or e.restore.link or chosen & set(e.restore.after)}
    bins = {e.name for e in CATALOGUE.values() if is_bin(e) and e.shows in chosen}
    limiting = _LIMITING if any(_limited(CATALOGUE[name]) for name in chosen) else frozenset()
    return [name for name in CATALOGUE if name in chosen | leading | bins | limiting]


def is_bin(entry: ObjectType) -> bool:
    """Whether a type is a recycle bin."""
    return entry.name.startswith("deleted_") and bool(entry.shows)


def is_view(entry: ObjectType) -> bool:
    """Whether a type shows objects of another one from another side, under their ids.

    What has ids of its own (a setting of one group) is made by a POST of its own.
    """
    return bool(entry.shows) and (is_bin(entry) or entry.restore.create != "POST")


def bin_of(table: str) -> str:
    """Name of the recycle bin of a type; empty when there is none."""
    name = f"deleted_{table}"
    return name if name in CATALOGUE and is_bin(CATALOGUE[name]) else ""


def with_bins(scope: Scope) -> Scope:
    """The scope, as it is read for a restore: with the recycle bins of what it protects, so that ids are kept."""
    types = scope.types()
    bins = [bin_ for bin_ in map(bin_of, types) if bin_ and bin_ not in types]
    return scope.model_copy(update={"protect": [*types, *bins]}) if bins else scope


def _types(selection: RestoreSelection) -> list[str]:
    """The object types of the selection with those that go with them."""
    for name in selection.types:
        if name not in CATALOGUE:
            raise UsageError(
                f"there is no object type {name!r}{did_you_mean(name, list(CATALOGUE))}",
                remedy="entra-pipeline catalogue lists them.",
            )
        if is_bin(CATALOGUE[name]):
            raise UsageError(
                f"{name} is a recycle bin: objects are not restored to it",
                remedy=f"Choose {CATALOGUE[name].shows}; objects in the recycle bin are restored from there.",
            )
    named = list(selection.types) or [e.name for e in CATALOGUE.values() if not is_bin(e)]
    shown = [e.name for e in CATALOGUE.values() if e.shows in named and not is_bin(e) and e.restore.possible]
    return with_children([*named, *shown])


def _require(
    store: ScopeStore,
    manifest: Manifest,
    ids: Collection[str],
    tables: Collection[str],
    live: tuple[ScopeStore, Manifest] | None,
) -> None:
    """Raises NotAtPoint for an id that no object of the tables has."""
    objects = [name for name in CATALOGUE if name in tables]
    missing = set(ids) - known_ids(store, manifest, objects, ids)
    if missing and live:
        missing -= known_ids(*live, objects, missing)
    if missing:
        raise NotAtPoint(
            f"{manifest.recovery_point} has no object {', '.join(sorted(missing))} in the selection",
            remedy=f"To find ids: entra-pipeline objects {store.scope} TYPE --search TEXT --at "
            f"{manifest.recovery_point}. An object of another type needs --types; an object deleted earlier is at an "
            "earlier point (--at).",
        )


def _with_owned(store: ScopeStore, manifest: Manifest, types: Iterable[str], ids: frozenset[str]) -> frozenset[str]:
    """The ids, and those of the objects that they own at any depth."""
    found, fresh = set(ids), set(ids)
    children = [name for name in types if CATALOGUE[name].parent is not None and name in manifest.tables]
    while fresh and children:
        fresh = _owned_by(store, manifest, children, fresh) - found
        found |= fresh
    return frozenset(found)


def _owned_by(store: ScopeStore, manifest: Manifest, tables: Iterable[str], ids: Collection[str]) -> set[str]:
    """Ids of the objects of some tables that belong to one of the ids."""
    states = [
        f"SELECT id, _parent_id FROM ({store.intact_state(table_entry(manifest, table))})"
        for table in tables
        if manifest.tables[table].parts
    ]
    if not states:
        return set()
    listed = ", ".join(sql_text(one) for one in sorted(ids))
    with connect(store.files) as connection:
        rows = connection.execute(f"SELECT id FROM ({' UNION ALL '.join(states)}) WHERE _parent_id IN ({listed})")
        return {str(row[0]) for row in rows.fetchall()}
