"""Places that hold named byte objects: a local folder or an S3 bucket.

What belongs here: reading and writing bytes so that a reader sees all of an object or nothing of it, and holding a name
exclusively. What does not: what the bytes mean (`recovery_points`, `manifest`).
"""

from entra_pipeline.store.backends.local import LocalObjectStore
from entra_pipeline.store.backends.locks import LockHandle
from entra_pipeline.store.backends.object_store import ObjectStore, Readable, StoredFile
from entra_pipeline.store.backends.s3 import S3ObjectStore

__all__ = ["LocalObjectStore", "LockHandle", "ObjectStore", "Readable", "S3ObjectStore", "StoredFile"]
