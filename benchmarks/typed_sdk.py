"""(c) The same users with msgraph-sdk's typed models, its PageIterator and pandas, on a sample.

`python -m benchmarks.typed_sdk PROJECT URL USERS` prints JSON: seconds, and how many users they were for.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec


class Sample(msgspec.Struct, kw_only=True):
    """What the sample took."""

    seconds: float
    users: int


async def sample(project_file: Path, url: str, users: int) -> Sample:
    """Reads so many users with the properties of the delta query `url`, and writes them as Parquet."""
    import httpx
    import pandas as pd
    from azure.identity.aio import ClientSecretCredential
    from kiota_authentication_azure.azure_identity_authentication_provider import AzureIdentityAuthenticationProvider
    from msgraph import GraphRequestAdapter, GraphServiceClient
    from msgraph.generated.users.users_request_builder import UsersRequestBuilder
    from msgraph_core.tasks.page_iterator import PageIterator

    from entra_pipeline.graph.credentials import token_scope
    from entra_pipeline.project import load_project

    tenant = next(iter(load_project(project_file).tenants.values()))
    scope = token_scope(tenant)
    assert tenant.client_secret is not None
    async with ClientSecretCredential(
        str(tenant.tenant_id),
        str(tenant.client_id),
        tenant.client_secret.reveal(),
        authority=str(tenant.authority),
        disable_instance_discovery=True,
        connection_verify=str(tenant.ca_bundle),
    ) as credential:
        hosts = [str(urlsplit(str(tenant.graph_url)).hostname)]
        provider = AzureIdentityAuthenticationProvider(credential, scopes=[scope], allowed_hosts=hosts)
        adapter = GraphRequestAdapter(provider, client=httpx.AsyncClient(timeout=300))
        adapter.base_url = str(tenant.graph_url)
        client = GraphServiceClient(request_adapter=adapter)
        select = parse_qs(urlsplit(url).query)["$select"][0].split(",")
        parameters = UsersRequestBuilder.UsersRequestBuilderGetQueryParameters(select=select, top=999)
        settings = UsersRequestBuilder.UsersRequestBuilderGetRequestConfiguration(query_parameters=parameters)
        started = time.perf_counter()
        first = await client.users.get(request_configuration=settings)
        rows: list[dict[str, Any]] = []

        def take(user: Any) -> bool:
            rows.append({name: value for name, value in vars(user).items() if isinstance(value, str | int | bool)})
            return len(rows) < users

        await PageIterator(first, adapter).iterate(take)
        with tempfile.TemporaryDirectory() as folder:
            pd.DataFrame(rows).to_parquet(Path(folder, "users.parquet"), compression="zstd")
        return Sample(seconds=time.perf_counter() - started, users=len(rows))


if __name__ == "__main__":
    measured = asyncio.run(sample(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
    sys.stdout.buffer.write(msgspec.json.encode(measured))
