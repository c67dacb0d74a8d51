"""Backs up and restores Microsoft Entra ID tenants.

The core (`catalogue`, `graph`, `store`, `backup`, `analysis`) knows nothing of Dagster, the console or the command
line; CONTRIBUTING.md has the map of the house.
"""

from importlib.metadata import version

__version__ = version("entra-pipeline")
