"""Dagster resources: the tenant that is read, the storage that is written and SQL over it, as the project configures.

A resource holds the name of the configuration file only. It is opened when a run needs it, so that loading the code
location asks no network and reveals no secret.
"""

from resources.duckdb import DuckDBResource
from resources.environment import ResourceEnvironment
from resources.outputs import NoOutputs
from resources.storage import StorageResource
from resources.tenant import TenantResource

__all__ = ["DuckDBResource", "NoOutputs", "ResourceEnvironment", "StorageResource", "TenantResource"]
