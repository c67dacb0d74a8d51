"""Signing in with OpenID Connect: authorization code with PKCE.

Authlib does the protocol. What it leaves to its user is said here: that the provider is the one of the configuration,
that the token is for this console, and that only signatures count which the provider alone can make.
"""

from __future__ import annotations

import ssl
import warnings
from typing import Any

import httpx
from joserfc.errors import JoseError
from starlette.requests import Request

from entra_pipeline.console.auth.access import access_of
from entra_pipeline.console.auth.roles import Grants
from entra_pipeline.console.auth.sessions import Session, User
from entra_pipeline.errors import EntraPipelineError
from entra_pipeline.project import Console

with warnings.catch_warnings(record=True):
    # Authlib asks for a successor of httpx when it is imported, whatever is filtered; it works with either.
    from authlib.common.errors import AuthlibBaseError
    from authlib.integrations.starlette_client import OAuth, StarletteOAuth2App

CALLBACK = "/sign-in/callback"

_SIGNATURES = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512")
# Seconds by which the clocks of provider and console may differ.
_LEEWAY = 60


class SignInRefused(EntraPipelineError):
    """Somebody cannot be signed in; `remedy` tells them what to do."""


class OpenId:
    """A provider of OpenID Connect.

    Args:
        settings: The console's part of the configuration, which has `oidc` and `public_url`.

    Raises:
        ConfigurationError: The secret cannot be found.
    """

    def __init__(self, settings: Console) -> None:
        oidc = settings.oidc
        if oidc is None or settings.public_url is None:
            raise LookupError("OpenID Connect is not configured")
        self._issuer = oidc.issued_by
        self._client_id = oidc.client_id
        self._is_entra = oidc.tenant_id is not None
        self.redirect_uri = settings.public_url + CALLBACK
        client: dict[str, Any] = {"scope": "openid profile email", "code_challenge_method": "S256", "timeout": 20}
        if oidc.ca_file is not None:
            context = ssl.create_default_context()
            context.load_verify_locations(oidc.ca_file)
            client["verify"] = context
        self._app: StarletteOAuth2App = OAuth().register(
            "provider",
            client_id=oidc.client_id,
            client_secret=oidc.client_secret.reveal(),
            server_metadata_url=f"{self._issuer}/.well-known/openid-configuration",
            client_kwargs=client,
        )

    async def begin(self, session: Session) -> str:
        """The address of the provider to go to; the session keeps state, nonce and PKCE's verifier.

        Raises:
            SignInRefused: The provider cannot be reached, or is another one than configured.
        """
        await self._metadata()
        try:
            begun = await self._app.create_authorization_url(self.redirect_uri)
        except (AuthlibBaseError, httpx.HTTPError, ValueError) as error:
            raise _refused(error) from None
        kept = {key: value for key, value in begun.items() if key != "url"}
        session.data["openid"] = {}
        await self._app.framework.set_state_data(
            session.data["openid"], kept.pop("state"), {"redirect_uri": self.redirect_uri, **kept, "url": begun["url"]}
        )
        return str(begun["url"])

    async def finish(self, request: Request, session: Session, settings: Console) -> User:
        """Who has come back from the provider.

        Args:
            request: What the browser was sent back with.
            session: The browser's session, which `begin` has prepared.
            settings: What gives which role.

        Raises:
            SignInRefused: The answer is not to be trusted, the provider has refused, or nobody gave them a role.
        """
        kept = session.data.get("openid", {})
        # What was not begun here does not end what was: another site may send a browser here at any time.
        begun = await self._app.framework.get_state_data(kept, request.query_params.get("state", ""))
        request.scope["session"] = session.data.pop("openid") if begun else {}
        try:
            await self._metadata()
            token = await self._app.authorize_access_token(
                request,
                leeway=_LEEWAY,
                claims_options={
                    "iss": {"essential": True, "value": self._issuer},
                    "aud": {"essential": True, "value": self._client_id},
                    "exp": {"essential": True},
                    "nonce": {"essential": True},
                },
            )
        except (AuthlibBaseError, JoseError, httpx.HTTPError, ValueError) as error:
            raise _refused(error) from None
        claims = token.get("userinfo")
        if not claims:
            raise SignInRefused("the identity provider returned no subject", remedy="The app needs the scope openid.")
        return self._user(claims, settings)

    def _user(self, claims: dict[str, Any], settings: Console) -> User:
        name = str(claims.get("preferred_username") or claims.get("email") or claims["sub"])
        app_roles, groups = (tuple(str(one) for one in claims.get(key) or []) for key in ("roles", "groups"))
        # Entra's id of the user (doc: v2, ID token claims). At another provider somebody may choose what it says.
        grants = Grants(app_roles, groups, str(claims.get("oid") or "") if self._is_entra else "")
        access = access_of(grants, settings)
        if access.highest is None:
            # Entra leaves the groups out of the token when there are more than 200 (doc: v2, optional claims).
            many = "_claim_names" in claims or claims.get("hasgroups")
            raise SignInRefused(
                f"{name} has no role in this console" + (": too many groups to list in the token" if many else ""),
                remedy="Ask for one of the app roles to be assigned in Entra"
                + (". App roles are always listed in the token." if many else "."),
            )
        # OpenID Connect Core 5.7: only the two together name somebody for good; every other claim may change hands.
        identity = f"{claims['iss']} {claims['sub']}"
        return User(name, access.role, str(claims.get("name") or name), identity, grants, access.scoped)

    async def _metadata(self) -> None:
        """What the provider tells of itself, checked.

        Raises:
            SignInRefused: It cannot be reached, or is another one.
        """
        try:
            metadata = await self._app.load_server_metadata()
        except (httpx.HTTPError, ValueError) as error:
            raise SignInRefused(
                f"{self._issuer} cannot be reached ({type(error).__name__})",
                remedy="Try again; if that does not help, an administrator checks [console.oidc].",
            ) from None
        if metadata.get("issuer") != self._issuer:
            raise SignInRefused(
                f"the provider calls itself {metadata.get('issuer')}, not {self._issuer}",
                remedy="An administrator corrects [console.oidc]: tenant_id or issuer.",
            )
        supported = metadata.get("id_token_signing_alg_values_supported") or ["RS256"]
        self._app.server_metadata["id_token_signing_alg_values_supported"] = [
            one for one in supported if one in _SIGNATURES
        ]


def _refused(error: Exception) -> SignInRefused:
    return SignInRefused(
        f"the sign-in is refused: {str(error) or type(error).__name__}",
        remedy="Sign in again from the start. If that does not help, show this message to an administrator.",
    )
