"""Places that hold named byte objects, in a local folder or an S3 bucket: the registry of kinds of storage.

1. `object_store` is what a place promises: an object is seen whole or not at all, is created once when asked so, and
   a name is held by one process at a time. `ObjectStore.check` tries it.
2. Each kind of storage is one module or folder here: a `StorageSettings` with what its profile may say, how it is
   opened and what people are told of it, and an `ObjectStore` that keeps the promise.
3. `BACKENDS` lists them. The configuration's `[storage.NAME]` is a union of them, told apart by `kind`.
4. `locks` says who holds a name; a bucket has no locks of its own, so there a name is held by a lease (`leases`).
5. `duckdb_filesystem` lets a DuckDB read a place that may reach nothing else.
6. `signing` puts signatures on records and verifies them, above any place.

To add a kind: write its module, and list it in `BACKENDS`. tests/store/test_conformance.py then asks for a place to run
the suite on. What belongs here: bytes. What does not: what they mean (`recovery_points`, `manifest`).
"""

from typing import TYPE_CHECKING, Annotated, Union, get_args

from pydantic import Field

from entra_pipeline.store.backends.local import LocalObjectStore, LocalStorage
from entra_pipeline.store.backends.locks import LockHandle
from entra_pipeline.store.backends.object_store import ObjectStore, Readable, StoredFile
from entra_pipeline.store.backends.s3 import S3Storage
from entra_pipeline.store.backends.settings import StorageSettings

BACKENDS: tuple[type[StorageSettings], ...] = (S3Storage, LocalStorage)
"""Every kind of storage."""

KINDS = {str(get_args(one.model_fields["kind"].annotation)[0]): one for one in BACKENDS}
"""The same by the text of `kind`."""

if TYPE_CHECKING:
    Storage = StorageSettings
else:
    Storage = Annotated[Union[BACKENDS], Field(discriminator="kind")]  # noqa: UP007 - made of a list

__all__ = [
    "BACKENDS",
    "KINDS",
    "LocalObjectStore",
    "LocalStorage",
    "LockHandle",
    "ObjectStore",
    "Readable",
    "S3Storage",
    "Storage",
    "StorageSettings",
    "StoredFile",
]
