"""Plans as files: sealed, in the store of their scope or anywhere else.

What belongs here: bytes and their seal. What does not: what a plan says (`model`).
"""

from __future__ import annotations

import re
from pathlib import Path

from entra_pipeline.errors import AlreadyExists, IntegrityError, NotInStore, UsageError
from entra_pipeline.restore.objects.model import FORMAT, PLAN_DECODER, VERSION, RestorePlan
from entra_pipeline.store.manifest import canonical, decode_sealed
from entra_pipeline.store.recovery_points import ScopeStore

_ID = re.compile(r"\w[\w.-]{0,200}", re.ASCII)


def is_plan_id(job: str) -> bool:
    """Returns whether a text can be the id of a plan: what cannot would make a key that leads elsewhere."""
    return _ID.fullmatch(job) is not None


def plan_key(job: str) -> str:
    """Returns the key of a job's plan in the store of its scope."""
    return f"_restore/{job}/plan.json"


def write_plan(store: ScopeStore, plan: RestorePlan) -> str:
    """Stores a plan and returns its key; raises AlreadyExists when the job has another one."""
    key, data = plan_key(plan.id), canonical(plan)
    try:
        store.files.create(key, data)
    except AlreadyExists:
        if store.files.read(key) != data:
            raise
    return key


def read_plan(store: ScopeStore, job: str) -> RestorePlan:
    """Reads a plan from the store.

    Args:
        store: The store.
        job: Id of the restore, as somebody gave it.

    Raises:
        NotInStore: There is none, or what was given is no id.
        IntegrityError: It was changed, or is none.
    """
    if not is_plan_id(job):
        # The storage would refuse the key, and a fault of the storage is tried again.
        raise NotInStore(
            f"{job[:100]!r} is no plan", remedy="A plan is named as its restore, which lists of jobs show."
        )
    key = plan_key(job)
    return _decoded(store.files.read(key), key)


def save_plan(plan: RestorePlan, file: Path) -> None:
    """Writes a plan to a file, which must not be there.

    Raises:
        UsageError: It is there, or cannot be written.
    """
    try:
        with file.open("xb") as sink:
            sink.write(canonical(plan))
    except FileExistsError:
        raise UsageError(f"{file} exists already", remedy="Choose another file, or remove this one.") from None
    except OSError as error:
        raise UsageError(f"{file} cannot be written: {error.strerror}", remedy="Choose another file.") from None


def load_plan(file: Path) -> RestorePlan:
    """Reads a plan from a file.

    Raises:
        UsageError: The file cannot be read.
        IntegrityError: It was changed, or is no plan.
    """
    try:
        data = file.read_bytes()
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}", remedy="Choose the file of a plan.") from None
    return _decoded(data, str(file))


def _decoded(data: bytes, source: str) -> RestorePlan:
    try:
        return decode_sealed(data, source, PLAN_DECODER, format=FORMAT, version=VERSION)
    except IntegrityError as error:
        raise IntegrityError(
            error.message.replace("is not a manifest", "is not a restore plan"),
            remedy="Plan again: only a reviewed plan is applied. To leave objects out, change the selection.",
        ) from error
