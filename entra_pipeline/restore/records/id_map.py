"""Which id an object has now: what became of ids that a restore could not keep, for ever.

What belongs here: the lineage in the store. What does not: putting new ids in the place of old ones (`references`).

Every job that makes objects writes one file, `_restore/<scope>/identity/<job>.json`: id at the recovery point → id in
the tenant, appIds too. Files are only ever added. An object may be made anew more than once: the chain is followed to
its end.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from entra_pipeline.errors import AlreadyExists
from entra_pipeline.store.manifest import canonical, decode_record
from entra_pipeline.store.recovery_points import ScopeStore

FORMAT = "entra-pipeline/identity-map"


class Lineage(msgspec.Struct, frozen=True, kw_only=True):
    """What a job made anew.

    Attributes:
        job: Id of the job.
        tenant_id: The tenant it wrote to: a scope may be restored to more than one.
        ids: Id before → id after; GUIDs in small letters.
    """

    job: str
    tenant_id: str
    ids: dict[str, str]
    format: str = FORMAT
    version: int = 1


_LINEAGE_DECODER = msgspec.json.Decoder(Lineage)


def remember(store: ScopeStore, job: str, tenant_id: str, ids: Mapping[str, str]) -> None:
    """Stores the new ids of objects that a job created; does nothing when there are none or they are stored.

    Raises:
        AlreadyExists: The job has said something else.
    """
    if not ids:
        return
    data = canonical(Lineage(job=job, tenant_id=tenant_id, ids=dict(ids)))
    key = f"{_folder(store)}{job}.json"
    try:
        store.files.create(key, data)
    except AlreadyExists:
        if store.files.read(key) != data:
            raise


def lineage(store: ScopeStore, tenant_id: str) -> dict[str, str]:
    """Maps every id that restores of the scope have changed to the current id in a tenant.

    Raises:
        IntegrityError: A file cannot be read.
    """
    steps: dict[str, str] = {}
    for file in store.files.list(_folder(store)):
        known = decode_record(
            store.files.read(file.key),
            file.key,
            _LINEAGE_DECODER,
            remedy="Restore the file from a copy of the storage.",
        )
        if known.tenant_id == tenant_id:
            steps |= known.ids
    return {old: _end(old, steps) for old in steps}


def _end(old: str, steps: Mapping[str, str]) -> str:
    """Follows a chain of ids to its end; a circle ends where it would repeat."""
    seen = {old}
    current = steps[old]
    while current in steps and current not in seen:
        seen.add(current)
        current = steps[current]
    return current


def _folder(store: ScopeStore) -> str:
    return f"_restore/{store.scope}/identity/"
