"""Recovery points made of objects and links in memory, as a backup would have stored them."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from entra_pipeline.catalogue import CATALOGUE, RELATIONS
from entra_pipeline.restore.plan.diff import Side
from entra_pipeline.store.backends import LocalObjectStore
from entra_pipeline.store.commit import commit
from entra_pipeline.store.manifest import Part, TableEntry
from entra_pipeline.store.recovery_points import ScopeStore
from tests.support.writing import TENANT, Time, entry, manifest, put

Body = dict[str, Any]


@dataclass
class Picture:
    """A tenant: its objects by type and id, its links by relation as (source, target) → type of the target."""

    objects: dict[str, dict[str, Body]] = field(default_factory=dict)
    links: dict[str, dict[tuple[str, str], str]] = field(default_factory=dict)

    def copy(self) -> Picture:
        return Picture(
            {
                table: {id_: msgspec.json.decode(msgspec.json.encode(one)) for id_, one in bodies.items()}
                for table, bodies in self.objects.items()
            },
            {relation: dict(links) for relation, links in self.links.items()},
        )


class Points:
    """Stores pictures as recovery points of one scope; all of them have the same tables.

    Args:
        folder: Where the store is.
        tables: Object types (with their recycle bins) and relations that the points have.
        tenant_id: The tenant that they are of.
    """

    def __init__(self, folder: Path, *tables: str, tenant_id: str = TENANT) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._tables = tables
        self._tenant_id = tenant_id
        self._clock = Time()
        self._stored: dict[tuple[str, bytes], list[Part]] = {}
        self.store = ScopeStore(LocalObjectStore(folder / "store"), "contoso", self._clock)

    def take(self, picture: Picture) -> Side:
        """A recovery point that shows the picture."""
        self._clock.pass_(minutes=5)
        point = self.store.new_key()
        number = itertools.count()
        entries = [self._entry(point, table, picture, next(number)) for table in self._tables]
        made = msgspec.structs.replace(manifest(self.store, point, *entries), tenant_id=self._tenant_id)
        return Side(self.store, commit(self.store, made))

    def _entry(self, point: str, table: str, picture: Picture, number: int) -> TableEntry:
        if table in RELATIONS:
            rows = [
                {"source_id": source, "target_id": target, "target_type": kind, "_change": "upsert", "_reason": None}
                for (source, target), kind in sorted(picture.links.get(table, {}).items())
            ]
            kind = "edges"
        else:
            owned = CATALOGUE[table].parent is not None
            rows = [
                {
                    "id": id_,
                    "displayName": body.get("displayName"),
                    **({"_parent_id": body.get("_parent")} if owned else {}),
                    "_raw": msgspec.json.encode({k: v for k, v in body.items() if k != "_parent"}).decode(),
                    "_change": "upsert",
                }
                for id_, body in sorted(picture.objects.get(table, {}).items())
            ]
            kind = "objects"
        # What a picture shows again is in the store already, as what a backup finds unchanged.
        shown = table, msgspec.json.encode(rows)
        if shown not in self._stored:
            self._stored[shown] = [put(self.store, self._folder, point, rows, table=table)] if rows else []
        return entry(self._stored[shown], len(rows), table=table, kind=kind)  # type: ignore[arg-type]
