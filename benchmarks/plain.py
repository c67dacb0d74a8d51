"""(a) The least anybody can do: follow the same pages with httpx, one after the other, and throw them away.

`python -m benchmarks.plain PROJECT URL …` prints JSON: seconds, pages and bytes.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import httpx
import msgspec

from entra_pipeline.project import load_project


class Download(msgspec.Struct, kw_only=True):
    """What the download took."""

    seconds: float
    pages: int
    read: int


class _Links(msgspec.Struct):
    next_link: str = msgspec.field(default="", name="@odata.nextLink")


_links = msgspec.json.Decoder(_Links)


def token(project_file: Path) -> tuple[str, str]:
    """The root of the tenant's Graph, and an access token for it."""
    tenant = next(iter(load_project(project_file).tenants.values()))
    answer = httpx.post(
        f"{tenant.authority}/{tenant.tenant_id}/oauth2/v2.0/token",
        data={
            "grant_type": "client_credentials",
            "client_id": tenant.client_id,
            "client_secret": tenant.client_secret.reveal(),
            "scope": str(tenant.graph_url).removesuffix("/v1.0") + "/.default",
        },
        verify=str(tenant.ca_bundle),
    )
    return str(tenant.graph_url), str(answer.raise_for_status().json()["access_token"])


def download(project_file: Path, paths: list[str]) -> Download:
    """Follows each path's pages to the end."""
    root, access = token(project_file)
    started = time.perf_counter()
    pages = read = 0
    with httpx.Client(headers={"Authorization": f"Bearer {access}"}, timeout=300) as client:
        for path in paths:
            url = f"{root}/{path}"
            while url:
                body = client.get(url).raise_for_status().content
                pages += 1
                read += len(body)
                url = _links.decode(body).next_link
    return Download(seconds=time.perf_counter() - started, pages=pages, read=read)


if __name__ == "__main__":
    sys.stdout.buffer.write(msgspec.json.encode(download(Path(sys.argv[1]), sys.argv[2:])))
