"""Sign-ins of users: the device code flow, and the authorization code flow with PKCE.

Entra doc: v2-oauth2-device-code, v2-oauth2-auth-code-flow. Nobody types anything: the user whom the control API names
(`TenantSettings.user`) signs in, and does whatever is asked of them.
"""

from __future__ import annotations

import base64
import time
import uuid
from collections.abc import Mapping
from hashlib import sha256
from html import escape
from typing import Any

import msgspec

from entra_pipeline.simulator.graph.tenant import SimulatedGraph
from entra_pipeline.simulator.schema import BY_NAME
from entra_pipeline.simulator.server.signin import TokenRefused, app_of, audience_of, check_tenant

DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"
GRANTS = {DEVICE_CODE, "authorization_code", "refresh_token"}
_LIFETIME = 900


class UserSignIns:
    """Signs users in to one tenant.

    Args:
        tenant: The tenant.
    """

    def __init__(self, tenant: SimulatedGraph) -> None:
        self._tenant = tenant
        self._codes: dict[str, dict[str, str]] = {}

    def device_code(self, name: str, form: Mapping[str, str]) -> dict[str, Any]:
        """Returns the answer to a request for a device code. Raises TokenRefused."""
        check_tenant(self._tenant, name)
        app_of(self._tenant, form.get("client_id", ""))
        code = str(uuid.uuid4())
        self._codes[code] = dict(form)
        where, shown = "https://microsoft.com/devicelogin", code[:8].upper()
        return {
            "device_code": code,
            "user_code": shown,
            "verification_uri": where,
            "expires_in": _LIFETIME,
            "interval": 1,
            "message": f"To sign in, use a web browser to open the page {where} and enter the code {shown} to "
            "authenticate.",
        }

    def authorize(self, name: str, query: Mapping[str, str]) -> str:
        """Returns the page that posts an authorization code to the client (`response_mode=form_post`)."""
        check_tenant(self._tenant, name)
        app_of(self._tenant, query.get("client_id", ""))
        code = str(uuid.uuid4())
        self._codes[code] = dict(query)
        fields = {"code": code, "state": query.get("state", "")}
        inputs = "".join(f'<input name="{field}" value="{escape(value)}">' for field, value in fields.items())
        return f'<form method="post" action="{escape(query["redirect_uri"])}">{inputs}</form>'

    def issue(self, name: str, authority: str, form: Mapping[str, str]) -> dict[str, Any]:
        """Returns the tokens of a grant (`GRANTS`). Raises TokenRefused."""
        tenant = self._tenant
        check_tenant(tenant, name)
        client_id = form.get("client_id", "")
        app = app_of(tenant, client_id)
        if not tenant.settings.public_clients:
            text = "The request body must contain the following parameter: 'client_assertion' or 'client_secret'."
            raise TokenRefused(401, "invalid_client", 7000218, text)
        asked = self._asked(form)
        scopes = (form.get("scope") or asked.get("scope", "")).split(" ")
        audience = audience_of(tenant, next((one for one in scopes if one.endswith("/.default")), scopes[0]))
        upn = tenant.settings.user
        if not upn:
            text = "OAuth 2.0 device flow error. Authorization is pending."
            raise TokenRefused(400, "authorization_pending", 70016, text)
        found = tenant.directory.by_key("user", upn)
        person = {"oid": found[0].id if found else str(uuid.uuid4()), "tid": tenant.identity.tenant_id}
        now = time.time()
        times = {"iat": int(now), "nbf": int(now), "exp": int(now) + tenant.settings.token_lifetime}
        allowed = {*app.roles, *(one for entry in BY_NAME.values() for one in entry.by_user)}
        access = tenant.signer.access_token(
            {
                **person,
                **times,
                "aud": audience,
                "iss": f"https://sts.windows.net/{tenant.identity.tenant_id}/",
                "issued": now,
                "appid": client_id,
                "idtyp": "user",
                "upn": upn,
                "scp": " ".join(sorted(allowed)),
                "acrs": _contexts(form.get("claims") or asked.get("claims", "")),
            }
        )
        identity = tenant.signer.access_token(
            {
                **person,
                **times,
                "aud": client_id,
                "iss": f"{authority}/{tenant.identity.tenant_id}/v2.0",
                "sub": person["oid"],
                "preferred_username": upn,
                **({"nonce": asked["nonce"]} if "nonce" in asked else {}),
            }
        )
        info = msgspec.json.encode({"uid": person["oid"], "utid": person["tid"]})
        return {
            "token_type": "Bearer",
            "scope": " ".join(sorted(allowed)),
            "expires_in": tenant.settings.token_lifetime,
            "access_token": access,
            "refresh_token": tenant.signer.seal(upn),
            "id_token": identity,
            "client_info": base64.urlsafe_b64encode(info).rstrip(b"=").decode(),
        }

    def _asked(self, form: Mapping[str, str]) -> dict[str, str]:
        """Returns what was asked for when the sign-in began. Raises TokenRefused for a code that is not known."""
        if form["grant_type"] == "refresh_token":
            return {}
        device = form["grant_type"] == DEVICE_CODE
        code = form.get("device_code" if device else "code", "")
        asked = self._codes.get(code)
        if asked is None:
            raise TokenRefused(400, "invalid_grant", 70000, "The provided code is not valid.")
        if not device:
            verifier = sha256(form.get("code_verifier", "").encode()).digest()
            if base64.urlsafe_b64encode(verifier).rstrip(b"=").decode() != asked.get("code_challenge"):
                raise TokenRefused(400, "invalid_grant", 501481, "The Code_Verifier does not match the code_challenge.")
            del self._codes[code]
        return asked


def _contexts(claims: str) -> list[str]:
    """Lists the authentication contexts that claims ask for: the user satisfies them."""
    given = msgspec.json.decode(claims) if claims else {}
    asked = given.get("access_token", {}).get("acrs", {})
    return [str(one) for one in (asked.get("values") or [asked.get("value")]) if one]
