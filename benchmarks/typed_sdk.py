"""(c) The same extract with msgraph-sdk's typed models, its PageIterator and pandas, on a sample.

`python -m benchmarks.typed_sdk PROJECT USERS_URL GROUPS_URL USERS GROUPS` prints JSON: seconds, and what they were for.
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
    """What the sample took.

    Attributes:
        users: How many users were read.
        users_seconds: In which time.
        groups: How many groups were read, with their members.
        members: How many members these have.
        groups_seconds: In which time.
    """

    users: int
    users_seconds: float
    groups: int
    members: int
    groups_seconds: float

    def scaled(self, users: int, groups: int) -> float:
        """Seconds that so many would take."""
        return self.users_seconds / self.users * users + self.groups_seconds / self.groups * groups


async def sample(project_file: Path, users_url: str, groups_url: str, users: int, groups: int) -> Sample:
    """Reads so many users, and so many groups with their members, and writes them as Parquet.

    The two addresses are the delta queries that ask for the same properties.
    """
    import httpx
    from azure.identity.aio import ClientSecretCredential
    from kiota_abstractions.base_request_configuration import RequestConfiguration
    from kiota_authentication_azure.azure_identity_authentication_provider import AzureIdentityAuthenticationProvider
    from msgraph import GraphRequestAdapter, GraphServiceClient
    from msgraph.generated.groups.groups_request_builder import GroupsRequestBuilder
    from msgraph.generated.users.users_request_builder import UsersRequestBuilder

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
        users_asked = RequestConfiguration(
            query_parameters=UsersRequestBuilder.UsersRequestBuilderGetQueryParameters(
                select=_selected(users_url), top=999
            )
        )
        groups_asked = RequestConfiguration(
            query_parameters=GroupsRequestBuilder.GroupsRequestBuilderGetQueryParameters(
                select=_selected(groups_url), top=min(groups, 999)
            )
        )
        with tempfile.TemporaryDirectory() as folder:
            started = time.perf_counter()
            people = await _rows(await client.users.get(request_configuration=users_asked), adapter, users)
            _write(people, Path(folder, "users.parquet"))
            between = time.perf_counter()
            teams = await _rows(await client.groups.get(request_configuration=groups_asked), adapter, groups)
            members: list[dict[str, Any]] = []
            for team in teams:
                found = await client.groups.by_group_id(team["id"]).members.get()
                members += [{"source_id": team["id"], "target_id": one["id"]} for one in await _rows(found, adapter)]
            _write(teams, Path(folder, "groups.parquet"))
            _write(members, Path(folder, "group_members.parquet"))
            return Sample(
                users=len(people),
                users_seconds=between - started,
                groups=len(teams),
                members=len(members),
                groups_seconds=time.perf_counter() - between,
            )


def _selected(url: str) -> list[str]:
    """The properties that a delta query asks for; relations are requests of their own here."""
    relations = {"members", "owners", "manager", "sponsors"}
    return [name for name in parse_qs(urlsplit(url).query)["$select"][0].split(",") if name not in relations]


async def _rows(first: Any, adapter: Any, most: float = float("inf")) -> list[dict[str, Any]]:
    """What the pages from the first on hold, as rows for pandas."""
    from msgraph_core.tasks.page_iterator import PageIterator

    rows: list[dict[str, Any]] = []

    def take(one: Any) -> bool:
        rows.append({name: value for name, value in vars(one).items() if isinstance(value, str | int | bool)})
        return len(rows) < most

    await PageIterator(first, adapter).iterate(take)
    return rows


def _write(rows: list[dict[str, Any]], file: Path) -> None:
    import pandas as pd

    pd.DataFrame(rows).to_parquet(file, compression="zstd")


if __name__ == "__main__":
    measured = asyncio.run(sample(Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5])))
    sys.stdout.buffer.write(msgspec.json.encode(measured))
