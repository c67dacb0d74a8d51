"""The connection to one tenant: msgraph-sdk's request adapter over HTTP, with the tenant's credential.

What belongs here: how one request travels. What does not: when it may be sent, and what its response means (`client`).
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import httpx

from entra_pipeline.graph.credentials import Credential, token_scope, trust
from entra_pipeline.graph.pacing import CONCURRENT_REQUESTS, ONE_BY_ONE
from entra_pipeline.graph.retry import RetryPolicy
from entra_pipeline.graph.transport import mounts
from entra_pipeline.graph.urls import check_link

if TYPE_CHECKING:
    from entra_pipeline.project import Tenant

MakeCredential = Callable[..., Credential]
"""Makes a credential of a tenant, a TLS context and a retry policy."""

# The lanes of one request at a time take no slot.
_CONNECTIONS = CONCURRENT_REQUESTS + len(ONE_BY_ONE)
HEADERS = {
    "Accept": "application/json",
    # Without it, Graph replaces members of an evolvable enum that it thinks we do not know (Graph doc: best-practices).
    "Prefer": "include-unknown-enum-members",
    # A backup gives way to the tenant's own traffic (Graph doc: throttling).
    "x-ms-throttle-priority": "low",
}
"""Sent with every request, also with those inside a batch."""


class Connection:
    """Sends requests of one app registration to one tenant.

    Args:
        tenant: The tenant and its app registration.
        root: Base URL of Graph, without a slash at the end.
        retry: How long a sign-in that fails for a passing reason is tried again.
        sign_in: Makes the credential of tenant, TLS context and patience.
    """

    def __init__(self, tenant: Tenant, root: str, retry: RetryPolicy, sign_in: MakeCredential = Credential) -> None:
        context = trust(tenant.ca_file)
        self.credential = sign_in(tenant, context, retry)
        self._root = root
        limits = httpx.Limits(max_connections=_CONNECTIONS, max_keepalive_connections=_CONNECTIONS)
        self._client = httpx.AsyncClient(
            verify=context, timeout=httpx.Timeout(100.0, connect=15.0), limits=limits, mounts=mounts(context, limits)
        )
        # msgraph-sdk wraps these in its middleware, which does not pass on the order to close.
        self._transports = [self._client._transport, *self._client._mounts.values()]
        self._adapter = _adapter(self._client, self.credential, token_scope(tenant), root)

    async def close(self) -> None:
        """Closes all connections."""
        await self._client.aclose()
        for transport in self._transports:
            if transport is not None:
                await transport.aclose()

    async def send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None
    ) -> httpx.Response | httpx.HTTPError:
        """Sends a request once; returns the response whatever its status, or the reason why there is none.

        Args:
            method: HTTP method.
            url: Absolute, or a path under the Graph root.
            headers: Added to `HEADERS`.
            body: Body of a request that has one.

        Raises:
            GraphProtocolError: The URL leads elsewhere than to the tenant's Graph; the token stays here.
            GraphUnavailable: Entra cannot sign in for a passing reason, until the patience is over.
            ConfigurationError: Entra refuses the credential.
        """
        from kiota_abstractions.method import Method
        from kiota_abstractions.request_information import RequestInformation

        absolute = "://" in url
        if absolute:
            check_link(url, self._root)
        request = RequestInformation()
        request.http_method = Method(method)
        request.url = url if absolute else f"{self._root}/{url}"
        request.add_request_options([_NATIVE])
        for name, value in {**HEADERS, "client-request-id": str(uuid.uuid4()), **headers}.items():
            request.headers.add(name, value)
        request.content = body
        try:
            response: httpx.Response = await self._adapter.send_primitive_async(request, "bytes", {})
        except httpx.HTTPError as error:
            return error
        return response


class _NativeHandler:
    """Hands the HTTP response through msgraph-sdk's adapter as it is."""

    async def handle_response_async(self, response: httpx.Response, error_map: object) -> httpx.Response:
        return response


def _native_option() -> Any:
    from kiota_http.middleware.options import ResponseHandlerOption

    return ResponseHandlerOption(_NativeHandler())


_NATIVE = _native_option()


def _adapter(client: httpx.AsyncClient, credential: Credential, scope: str, root: str) -> Any:
    """msgraph-sdk's request adapter with that of its middleware which has something to do here.

    The client retries, and follows redirects within Graph only. Nobody inspects headers or bodies through options of a
    request, no URL has a placeholder or a name in need of decoding: each of those handlers would cost every page its
    time.
    """
    from kiota_authentication_azure.azure_identity_authentication_provider import AzureIdentityAuthenticationProvider
    from kiota_http.middleware import UserAgentHandler
    from msgraph.graph_request_adapter import GraphRequestAdapter, options
    from msgraph_core import GraphClientFactory
    from msgraph_core.middleware import GraphTelemetryHandler
    from msgraph_core.middleware.options import GraphTelemetryHandlerOption

    provider = AzureIdentityAuthenticationProvider(credential, scopes=[scope], allowed_hosts=[])
    telemetry = GraphTelemetryHandler(options[GraphTelemetryHandlerOption.get_key()])
    GraphClientFactory.create_with_custom_middleware([UserAgentHandler(), telemetry], client=client)

    class _AsAnswered(GraphRequestAdapter):  # type: ignore[misc]
        """Leaves challenges to the writer: no other token of an app registration satisfies one."""

        async def retry_cae_response_if_required(self, resp: httpx.Response, *_: Any) -> httpx.Response:
            return resp

    adapter = _AsAnswered(provider, client)
    adapter.base_url = root
    return adapter


def bearer(request: httpx.Request) -> str:
    """Returns the access token that a request carries; empty without one."""
    return str(request.headers.get("Authorization", "")).removeprefix("Bearer ")
