"""Microsoft Graph, over msgraph-sdk's request adapter with bodies as raw bytes.

`Graph` is one tenant seen by one app registration. Everything that reads or writes the tenant goes through it, so that
authentication, pacing, retries and the count of requests are in one place.
"""

from entra_pipeline.graph.client import Graph, Request, Result
from entra_pipeline.graph.pages import Page
from entra_pipeline.graph.request_stats import Ledger
from entra_pipeline.graph.writing import Write, Writer, Written

__all__ = ["Graph", "Ledger", "Page", "Request", "Result", "Write", "Writer", "Written"]
