"""What Graph has not taken: properties that it shows and the catalogue does not know, and that a restore could not set.

What belongs here: keeping them, so that the next plan names them instead of planning them again. What does not: finding
them (`check.verify`), and what a plan makes of them (`plan.rules.objects`).

Every verified job with such properties writes one file, `_restore/<scope>/not-taken/<job>.json`. A property that the
catalogue knows is not among them: what keeps Graph from taking it is mended by people, and planned again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from entra_pipeline.catalogue import CATALOGUE, ObjectType
from entra_pipeline.restore.objects.model import StepOutcome
from entra_pipeline.store.manifest import canonical, decode_record
from entra_pipeline.store.recovery_points import ScopeStore

FORMAT = "entra-pipeline/not-taken"

NotTaken = Mapping[tuple[str, str], Mapping[str, Any]]
"""Object type and id in the tenant → property → the value that Graph did not take, with the ids of the tenant."""


class _Values(msgspec.Struct, frozen=True, kw_only=True):
    """What a job could not set: type → id in the tenant → property → value."""

    job: str
    tenant_id: str
    values: dict[str, dict[str, dict[str, Any]]]
    format: str = FORMAT
    version: int = 1


_DECODER = msgspec.json.Decoder(_Values)


def unknown_properties(entry: ObjectType, names: Iterable[str]) -> set[str]:
    """Returns those of the properties that Graph shows and the catalogue does not know."""
    return {
        name for name in names if name not in entry.properties and "@" not in name and not name.startswith("extension_")
    }


def remember(store: ScopeStore, job: str, tenant_id: str, outcomes: Iterable[StepOutcome]) -> None:
    """Stores the unknown properties that differ though a verified job has sent them; nothing when there are none."""
    values: dict[str, dict[str, dict[str, Any]]] = {}
    for outcome in outcomes:
        if outcome.table in CATALOGUE:
            names = unknown_properties(CATALOGUE[outcome.table], outcome.differences)
            if kept := {name: outcome.differences[name][0] for name in sorted(names)}:
                values.setdefault(outcome.table, {}).setdefault(outcome.live_id, {}).update(kept)
    if values:
        data = canonical(_Values(job=job, tenant_id=tenant_id, values=values))
        store.files.replace(f"{_folder(store)}{job}.json", data)


def not_taken(store: ScopeStore, tenant_id: str) -> NotTaken:
    """Reads what restores of the scope to a tenant could not set; of several values the last.

    Raises:
        IntegrityError: A file cannot be read.
    """
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for file in sorted(store.files.list(_folder(store)), key=lambda one: one.key):
        known = decode_record(
            store.files.read(file.key), file.key, _DECODER, remedy="Restore the file from a copy of the storage."
        )
        if known.tenant_id == tenant_id:
            for table, objects in known.values.items():
                for id_, values in objects.items():
                    found.setdefault((table, id_), {}).update(values)
    return found


def _folder(store: ScopeStore) -> str:
    return f"_restore/{store.scope}/not-taken/"
