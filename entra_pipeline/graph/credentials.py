"""How an app registration proves who it is: azure-identity, for every cloud and kind of credential."""

from __future__ import annotations

import asyncio
import base64
import os
import ssl
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec
from azure.core.credentials import AccessToken, TokenCredential
from azure.core.exceptions import ClientAuthenticationError, ServiceRequestError, ServiceResponseError
from azure.core.pipeline.transport import RequestsTransport
from requests import Session
from requests.adapters import HTTPAdapter
from requests.exceptions import RequestException

from entra_pipeline.errors import ConfigurationError

if TYPE_CHECKING:
    from entra_pipeline.project import Tenant

_OBJECT = msgspec.json.Decoder(dict[str, Any])

# Graph doc: concepts/deployments.
CLOUDS = {
    "global": ("https://login.microsoftonline.com", "https://graph.microsoft.com"),
    "usgov": ("https://login.microsoftonline.us", "https://graph.microsoft.us"),
    "usgov-dod": ("https://login.microsoftonline.us", "https://dod-graph.microsoft.us"),
    "china": ("https://login.partner.microsoftonline.cn", "https://microsoftgraph.chinacloudapi.cn"),
}
_CA_VARIABLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_RIGHT_TENANT = "Use the Directory (tenant) ID shown on the tenant's overview page."
# Entra's error codes that name the setting at fault (Entra doc: reference-error-codes).
_WRONG_SETTING = {
    "AADSTS7000215": (
        "client_secret",
        "Create a client secret for the app registration and store its *value* (not its id).",
    ),
    "AADSTS7000222": ("client_secret", "The client secret has expired: create a new one for the app registration."),
    "AADSTS700016": ("client_id", "Use the Application (client) ID of an app registration in this tenant."),
    "AADSTS90002": ("tenant_id", _RIGHT_TENANT),
    # What MSAL says when Entra does not know the tenant whose endpoints it asks for.
    "Unable to get authority configuration": ("tenant_id", _RIGHT_TENANT),
    "AADSTS500011": ("graph_url", "Write the address of Graph in the cloud of the `authority`, or remove both."),
    "AADSTS700027": ("certificate", "Upload the certificate's public part to the app registration."),
}


def trust(ca_bundle: Path | None) -> ssl.SSLContext:
    """A TLS context that trusts the public authorities, those of the machine, and `ca_bundle`.

    The variables SSL_CERT_FILE, REQUESTS_CA_BUNDLE and CURL_CA_BUNDLE are honoured, whichever the operator knows.
    """
    import certifi

    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    files = [os.environ.get(variable, "") for variable in _CA_VARIABLES]
    # Often all the variables name one file, and each takes a while.
    for file in dict.fromkeys([*files, str(ca_bundle or "")]):
        if file and Path(file).is_file():
            context.load_verify_locations(file)
    return context


class Credential:
    """The tenant's credential, as the token provider of msgraph-sdk wants it.

    Tokens are kept until shortly before they expire; `renew` forgets them, for the case that Graph refuses one early.
    """

    def __init__(self, tenant: Tenant, context: ssl.SSLContext) -> None:
        self._tenant = tenant
        self._context = context
        self._inner = _build(tenant, context)
        self._token: AccessToken | None = None
        self._fresh_until = 0.0
        self._lock = asyncio.Lock()

    async def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        """A valid token for the scopes.

        Raises:
            ConfigurationError: Entra refused the credential, or cannot be reached; names the setting at fault.
        """
        async with self._lock:
            claims = options.pop("claims", None)
            if self._token is None or claims or time.time() >= self._fresh_until:
                extra = {"claims": claims} if claims else {}
                token = await asyncio.to_thread(self._ask, *scopes, **extra, **options)
                lifetime = token.expires_on - time.time()
                self._token = token
                self._fresh_until = token.expires_on - min(300.0, lifetime * 0.1)
            return self._token

    def _ask(self, *scopes: str, **options: Any) -> AccessToken:
        try:
            return self._inner.get_token(*scopes, **options)
        except ClientAuthenticationError as error:
            # The question which endpoints the authority has is asked outside azure-core's pipeline: when nobody
            # answers it, azure-identity calls that a failed authentication.
            if isinstance(error.__cause__, RequestException | ServiceRequestError | ServiceResponseError):
                raise self._unreachable(error.__cause__) from None
            raise self._refused(str(error)) from None
        except (ServiceRequestError, ServiceResponseError) as error:
            raise self._unreachable(error) from None

    def _unreachable(self, error: Exception) -> ConfigurationError:
        cause = type(getattr(error, "inner_exception", None) or error).__name__
        where = authority_of(self._tenant)
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            return self._tenant.error(
                "authority",
                f"{where} has a certificate that is not trusted",
                remedy="If a proxy or a private cloud is meant, name its certificate authority with `ca_bundle`.",
            )
        return self._tenant.error(
            "authority",
            f"cannot be reached to sign in: {where} ({cause})",
            remedy="Check the network, the proxy and the `authority` and `cloud` settings of the tenant.",
        )

    def _refused(self, answer: str) -> ConfigurationError:
        first_line = answer.splitlines()[0].split(" Trace ID:")[0]
        for code, (key, remedy) in _WRONG_SETTING.items():
            if code in answer:
                return self._tenant.error(key, f"Entra ID refused to sign in: {first_line}", remedy=remedy)
        return self._tenant.error(
            "client_id",
            f"Entra ID refused to sign in: {first_line}",
            remedy="Check tenant_id, client_id and the credential against the app registration.",
        )

    async def renew(self, refused: str) -> None:
        """Forgets the token that Graph refused, unless somebody has renewed it meanwhile."""
        async with self._lock:
            if self._token is not None and self._token.token == refused:
                self._token = None
                self._inner = _build(self._tenant, self._context)

    @property
    def token(self) -> str:
        """The token in use, empty before the first."""
        return self._token.token if self._token else ""

    def granted(self) -> frozenset[str]:
        """Application permissions in the token's `roles` claim; empty when the token cannot be read."""
        roles = self._claims().get("roles")
        return frozenset(roles) if isinstance(roles, list) else frozenset()

    def registration(self) -> frozenset[str]:
        """AppId of the app registration and id of its service principal, as far as they are known.

        The token tells them in its claims `appid` and `oid` (Microsoft identity platform doc: access-token-claims).
        """
        claims = self._claims()
        known = (self._tenant.client_id, claims.get("appid"), claims.get("oid"))
        return frozenset(str(one) for one in known if one)

    def _claims(self) -> dict[str, Any]:
        """The claims of the token; none when it cannot be read."""
        try:
            payload = self.token.split(".")[1]
            return _OBJECT.decode(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        except (IndexError, ValueError, msgspec.DecodeError):
            return {}


def authority_of(tenant: Tenant) -> str:
    """Base URL of the token endpoint."""
    return tenant.authority or CLOUDS[tenant.cloud][0]


def graph_root(tenant: Tenant) -> str:
    """Base URL of Graph v1.0, without a slash at the end."""
    return tenant.graph_url or f"{CLOUDS[tenant.cloud][1]}/v1.0"


def token_scope(tenant: Tenant) -> str:
    """The scope to ask a token for: the Graph root of the tenant's cloud and `/.default`."""
    if tenant.graph_url and tenant.authority:
        parts = urlsplit(tenant.graph_url)
        return f"{parts.scheme}://{parts.netloc}/.default"
    return f"{CLOUDS[tenant.cloud][1]}/.default"


class _TrustingAdapter(HTTPAdapter):
    """Gives requests the TLS context that the rest of the program uses."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        super().__init__()

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, ssl_context=self._context, **options)

    def proxy_manager_for(self, *args: Any, **options: Any) -> Any:
        return super().proxy_manager_for(*args, ssl_context=self._context, **options)


def _build(tenant: Tenant, context: ssl.SSLContext) -> TokenCredential:
    from azure.identity import (
        CertificateCredential,
        ClientSecretCredential,
        ManagedIdentityCredential,
        WorkloadIdentityCredential,
    )

    if tenant.managed_identity:
        return ManagedIdentityCredential(client_id=tenant.client_id)
    session = Session()
    session.mount("https://", _TrustingAdapter(context))
    options: dict[str, Any] = {
        "authority": authority_of(tenant),
        # Instance discovery asks Microsoft's global cloud about an authority that it does not know.
        "disable_instance_discovery": tenant.authority is not None,
        "transport": RequestsTransport(session=session, session_owner=True),
        "retry_total": 4,
        "retry_backoff_factor": 0.4,
    }
    # The project's validation asks for both ids wherever one of these is used.
    tenant_id, client_id = tenant.tenant_id or "", tenant.client_id or ""
    if tenant.workload_identity:
        return WorkloadIdentityCredential(tenant_id=tenant_id, client_id=client_id, **options)
    if tenant.certificate is not None:
        return CertificateCredential(
            tenant_id,
            client_id,
            certificate_data=tenant.certificate.read(),
            password=tenant.certificate.password_value(),
            **options,
        )
    assert tenant.client_secret is not None  # noqa: S101 - the project's validation asks for one kind of credential
    return ClientSecretCredential(tenant_id, client_id, tenant.client_secret.reveal(), **options)
