"""Places that hold named byte objects: a local folder or an S3 bucket.

What belongs here: reading and writing bytes so that a reader sees all of an object or nothing of it, and holding a name
exclusively. What does not: what the bytes mean (`recovery_points`, `manifest`).
"""

from entra_pipeline.store.backends.local import LocalFiles
from entra_pipeline.store.backends.locks import Hold
from entra_pipeline.store.backends.object_store import Files, Readable, StoredFile
from entra_pipeline.store.backends.s3 import S3Files

__all__ = ["Files", "Hold", "LocalFiles", "Readable", "S3Files", "StoredFile"]
