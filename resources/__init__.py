"""Dagster resources: the tenant that is read and the storage that is written, as the project configures them.

A resource holds the name of the configuration file only. It is opened when a run needs it, so that loading the code
location asks no network and reveals no secret.
"""

from resources.storage import StorageResource
from resources.tenant import TenantResource

__all__ = ["StorageResource", "TenantResource"]
