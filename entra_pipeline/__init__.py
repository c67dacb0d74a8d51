"""Backs up and restores Microsoft Entra ID tenants.

The core (`catalogue`, `graph`, `store`, `backup`, `analysis`) knows nothing of Dagster, the console or the command
line; CONTRIBUTING.md has the map of the house. `definitions_for` is for code locations of one's own: see
`entra_pipeline.definitions`.
"""

from importlib import import_module
from importlib.metadata import version
from typing import Any

__version__ = version("entra-pipeline")
__all__ = ["__version__", "definitions_for"]


def __getattr__(name: str) -> Any:
    # Whoever does not use Dagster does not wait for its import.
    if name == "definitions_for":
        return import_module("entra_pipeline.definitions").definitions_for
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
