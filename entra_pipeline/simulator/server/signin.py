"""The sign-in side: OpenID configuration and the client-credentials flow (Entra doc: v2-oauth2-client-creds)."""

from __future__ import annotations

import base64
import time
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha1, sha256
from typing import Any

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from entra_pipeline.simulator.graph.app_sign_ins import token_identifier
from entra_pipeline.simulator.graph.credentials import AppRegistration
from entra_pipeline.simulator.graph.tenant import SimulatedGraph

_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


class TokenRefused(Exception):
    """An OAuth error: status, error, and Entra's own number and text."""

    def __init__(self, status: int, error: str, number: int, text: str) -> None:
        super().__init__(text)
        self.status, self.error, self.number, self.text = status, error, number, text

    def body(self) -> dict[str, Any]:
        """Returns the answer, as Entra words it."""
        trace, correlation = str(uuid.uuid4()), str(uuid.uuid4())
        stamp = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%SZ")
        return {
            "error": self.error,
            "error_description": f"AADSTS{self.number}: {self.text} Trace ID: {trace} Correlation ID: {correlation} "
            f"Timestamp: {stamp}",
            "error_codes": [self.number],
            "timestamp": stamp,
            "trace_id": trace,
            "correlation_id": correlation,
            "error_uri": f"https://login.microsoftonline.com/error?code={self.number}",
        }


def openid_configuration(tenant: SimulatedGraph, authority: str, name: str) -> dict[str, Any]:
    """Returns what a client reads before it requests a token. Raises TokenRefused for another tenant."""
    check_tenant(tenant, name)
    base = f"{authority}/{tenant.identity.tenant_id}"
    return {
        "token_endpoint": f"{base}/oauth2/v2.0/token",
        "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt", "client_secret_basic"],
        "jwks_uri": f"{base}/discovery/v2.0/keys",
        "response_modes_supported": ["query", "fragment", "form_post"],
        "subject_types_supported": ["pairwise"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "response_types_supported": ["code", "id_token", "code id_token", "id_token token"],
        "scopes_supported": ["openid", "profile", "email", "offline_access"],
        "issuer": f"{base}/v2.0",
        "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
        "device_authorization_endpoint": f"{base}/oauth2/v2.0/devicecode",
        "end_session_endpoint": f"{base}/oauth2/v2.0/logout",
        "tenant_region_scope": "EU",
        "cloud_instance_name": "microsoftonline.com",
    }


def issue(tenant: SimulatedGraph, name: str, form: Mapping[str, str], address: str = "") -> dict[str, Any]:
    """Returns the answer to a token request from an address; the sign-in log has it. Raises TokenRefused."""
    check_tenant(tenant, name)
    if form.get("grant_type") != "client_credentials":
        raise TokenRefused(400, "unsupported_grant_type", 70003, "The app requested an unsupported grant type.")
    client_id = form.get("client_id", "")
    app = app_of(tenant, client_id)
    request_id = uuid.uuid4()
    try:
        if form.get("client_assertion_type") == _ASSERTION:
            _check_assertion(tenant, client_id, form.get("client_assertion", ""))
        else:
            _check_secret(tenant, client_id, form.get("client_secret", ""))
        audience = audience_of(tenant, form.get("scope", "").split(" ")[0])
    except TokenRefused as refused:
        tenant.logs.sign_app_in(client_id, request_id, address, refused.number)
        raise
    now = time.time()
    tenant.logs.sign_app_in(client_id, request_id, address)
    token = tenant.signer.access_token(
        {
            "aud": audience,
            "iss": f"https://sts.windows.net/{tenant.identity.tenant_id}/",
            "iat": int(now),
            "nbf": int(now),
            "issued": now,
            "exp": int(now) + tenant.settings.token_lifetime,
            "appid": client_id,
            "tid": tenant.identity.tenant_id,
            "uti": token_identifier(request_id),
            "idtyp": "app",
            "roles": list(app.roles),
        }
    )
    lifetime = tenant.settings.token_lifetime
    return {"token_type": "Bearer", "expires_in": lifetime, "ext_expires_in": lifetime, "access_token": token}


def _check_secret(tenant: SimulatedGraph, client_id: str, secret: str) -> None:
    """Raises TokenRefused for a secret that is none of the app's, or has expired."""
    standing = tenant.credentials.standing(client_id, secret)
    if standing == "expired":
        raise TokenRefused(
            401, "invalid_client", 7000222, f"The provided client secret keys for app '{client_id}' are expired."
        )
    if standing == "unknown":
        raise TokenRefused(
            401,
            "invalid_client",
            7000215,
            "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, "
            f"not the client secret ID, for a secret added to app '{client_id}'.",
        )


def app_of(tenant: SimulatedGraph, client_id: str) -> AppRegistration:
    """Returns an app registration of the tenant. Raises TokenRefused when there is none."""
    app = tenant.apps.get(client_id)
    if app is None:
        raise TokenRefused(
            400,
            "unauthorized_client",
            700016,
            f"Application with identifier '{client_id}' was not found in the directory 'Contoso'. This can happen if "
            "the application has not been installed by the administrator of the tenant.",
        )
    return app


def audience_of(tenant: SimulatedGraph, scope: str) -> str:
    """Returns what a token for a scope is for. Raises TokenRefused for a scope that is none of Graph's."""
    audience = scope.removesuffix("/.default").rstrip("/")
    if not scope.endswith("/.default"):
        raise TokenRefused(
            400,
            "invalid_scope",
            1002012,
            f"The provided value for scope {scope} is not valid: it must end in /.default.",
        )
    if audience not in tenant.audiences:
        raise TokenRefused(
            400, "invalid_resource", 500011, f"The resource principal named {audience} was not found in the tenant."
        )
    return audience


def check_tenant(tenant: SimulatedGraph, name: str) -> None:
    """Raises TokenRefused when a name is not the tenant's."""
    if name.lower() not in {tenant.identity.tenant_id, tenant.identity.initial_domain, tenant.identity.domain}:
        raise TokenRefused(
            400,
            "invalid_request",
            90002,
            f"Tenant '{name}' not found. Check to make sure you have the correct tenant ID and are signing into the "
            "correct cloud.",
        )


def _check_assertion(tenant: SimulatedGraph, client_id: str, assertion: str) -> None:
    """Checks that a certificate of the app has signed the assertion (Entra doc: certificate-credentials)."""
    body, _, signature = assertion.rpartition(".")
    try:
        header = msgspec.json.decode(_segment(body.partition(".")[0]))
        claims = msgspec.json.decode(_segment(body.partition(".")[2]))
        mac = _segment(signature)
    except (ValueError, msgspec.DecodeError) as error:
        raise TokenRefused(401, "invalid_client", 50027, "JWT token is invalid or malformed.") from error
    for pem in tenant.certificates.get(client_id, ()):
        certificate = x509.load_pem_x509_certificate(pem.encode())
        der = certificate.public_bytes(Encoding.DER)
        prints = {_text(sha1(der, usedforsecurity=False).digest()), _text(sha256(der).digest())}
        key = certificate.public_key()
        named = {str(header.get(name, "")).rstrip("=") for name in ("x5t", "x5t#S256")}
        if not prints & named or not isinstance(key, rsa.RSAPublicKey):
            continue
        scheme: padding.AsymmetricPadding = padding.PKCS1v15()
        if header.get("alg") == "PS256":
            scheme = padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.DIGEST_LENGTH)
        try:
            key.verify(mac, body.encode(), scheme, hashes.SHA256())
        except InvalidSignature:
            continue
        if claims.get("iss") == claims.get("sub") == client_id and claims.get("exp", 0) > time.time():
            return
    raise TokenRefused(
        401,
        "invalid_client",
        700027,
        "The certificate with identifier used to sign the client assertion is not registered.",
    )


def _segment(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
