"""Microsoft Graph, over msgraph-sdk's request adapter with bodies as raw bytes.

`Graph` is one tenant seen by one app registration. Everything that reads or writes the tenant goes through it, so that
authentication, pacing, retries and the count of requests are in one place.
"""

from entra_pipeline.graph.client import Graph
from entra_pipeline.graph.pages import GraphPage
from entra_pipeline.graph.request_stats import RequestStats
from entra_pipeline.graph.responses import BatchRequest, BatchResult
from entra_pipeline.graph.writing import GraphWriter, Write, WriteResult

__all__ = ["BatchRequest", "BatchResult", "Graph", "GraphPage", "GraphWriter", "RequestStats", "Write", "WriteResult"]
