"""The sign-in of a person, through azure-identity. Tokens stay in memory: they are never written anywhere."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from azure.core.credentials import AccessToken, TokenCredential

from entra_pipeline.errors import ConfigurationError
from entra_pipeline.graph.credentials import Credential, endpoint_options
from entra_pipeline.graph.retry import RetryPolicy

if TYPE_CHECKING:
    from entra_pipeline.project import Tenant

# Seconds that a person has to sign in. Entra's device codes last as long (Entra doc: v2-oauth2-device-code).
_PATIENCE = 900
# Entra's error codes that say what the app registration lacks (Entra doc: reference-error-codes).
_WRONG_REGISTRATION = {
    "AADSTS7000218": "Turn on 'Allow public client flows' under Authentication of the restore app registration.",
    "AADSTS500113": "Add the platform 'Mobile and desktop applications' with the redirect URI http://localhost to the "
    "restore app registration.",
    "AADSTS50011": "Add the platform 'Mobile and desktop applications' with the redirect URI http://localhost to the "
    "restore app registration.",
    "AADSTS65001": "Grant admin consent for the delegated permissions of the restore app registration.",
}


@dataclass(frozen=True, slots=True)
class SignInPrompt:
    """How a person is asked to sign in.

    Attributes:
        way: `device`: a code is typed on any machine; `browser`: the browser of this machine opens.
        tell: Shows a text to the person.
        signed_in: Receives the sign-in name of who has signed in.
    """

    way: Literal["device", "browser"]
    tell: Callable[[str], None]
    signed_in: Callable[[str], None]


class UserCredential(Credential):
    """The credential of a person who is asked to sign in when the first token is needed.

    Args:
        tenant: The tenant; its app registration acts for the person.
        context: Whom to trust.
        retry: The patience with passing failures.
        prompt: Asks the person.
    """

    def __init__(self, tenant: Tenant, context: ssl.SSLContext, retry: RetryPolicy, prompt: SignInPrompt) -> None:
        self._prompt = prompt
        self._told = ""
        super().__init__(tenant, context, retry)

    @property
    def user(self) -> str:
        """Sign-in name of who has signed in; empty before."""
        claims = self._claims()
        return str(claims.get("upn") or claims.get("preferred_username") or claims.get("oid") or "")

    def granted(self) -> frozenset[str]:
        """Delegated permissions in the token's `scp` claim; empty when the token cannot be read."""
        return frozenset(str(self._claims().get("scp", "")).split())

    async def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        """A valid token for the scopes, as `Credential.get_token`; tells who has signed in."""
        token = await super().get_token(*scopes, **options)
        if self.user and self.user != self._told:
            self._told = self.user
            self._prompt.signed_in(self.user)
        return token

    def _open(self) -> TokenCredential:
        from azure.identity import DeviceCodeCredential, InteractiveBrowserCredential

        tenant = self._tenant
        options = {
            "tenant_id": tenant.tenant_id or "",
            "client_id": tenant.client_id or "",
            "timeout": _PATIENCE,
            **endpoint_options(tenant, self._context, person=True),
        }
        if self._prompt.way == "browser":
            self._prompt.tell("Sign in with the browser window that opens now.")
            return InteractiveBrowserCredential(**options)
        return DeviceCodeCredential(prompt_callback=self._show_code, **options)

    def _show_code(self, where: str, code: str, until: datetime) -> None:
        self._prompt.tell(f"To sign in, open {where} and enter the code {code}. It is valid until {until:%H:%M} UTC.")

    def _refused(self, answer: str) -> ConfigurationError:
        first_line = answer.splitlines()[0].split(" Trace ID:")[0]
        remedy = next((text for code, text in _WRONG_REGISTRATION.items() if code in answer), "")
        return self._tenant.error(
            "restore",
            f"nobody was signed in: {first_line}",
            remedy=remedy or "Sign in with an account of the tenant that has the role, and try again.",
        )
