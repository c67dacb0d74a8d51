"""Signing in with a secret that was made for it."""

from __future__ import annotations

import ssl
from datetime import timedelta
from time import monotonic
from typing import TYPE_CHECKING, Any

from azure.core.credentials import AccessToken, TokenCredential

from entra_pipeline.clock import Clock, system_clock
from entra_pipeline.graph.credentials import Credential, SignInFailed, endpoint_options
from entra_pipeline.graph.just_in_time.passwords import TemporaryPassword, TemporaryPasswords, ends_within
from entra_pipeline.graph.retry import RetryPolicy

if TYPE_CHECKING:
    from entra_pipeline.project import Tenant

# What Entra says of a secret that one of its machines knows already, and another not yet: after 4 to 18 seconds as a
# rule (microsoft-graph-docs#17966); nothing is promised (msgraph-bicep-types#193).
_NOT_YET = ("AADSTS7000215", "AADSTS700016")
# What it says of one that has expired, or was removed (Entra doc: reference-error-codes).
_GONE = ("AADSTS7000222", "AADSTS7000215")
# Seconds for which that is believed to pass.
_SETTLING = 300.0
# A secret that is about to expire is replaced before it is signed in with.
_LEFT = timedelta(minutes=5)


class JustInTimeCredential(Credential):
    """The credential of an app registration that has none until its first token is needed.

    Args:
        tenant: The tenant and that app registration.
        context: Whom to trust.
        retry: The patience with passing failures.
        passwords: Has secrets made.
        clock: The one clock.
    """

    def __init__(
        self,
        tenant: Tenant,
        context: ssl.SSLContext,
        retry: RetryPolicy,
        *,
        passwords: TemporaryPasswords,
        clock: Clock = system_clock,
    ) -> None:
        self._passwords = passwords
        self._clock = clock
        self._password: TemporaryPassword | None = None
        self._secret = ""
        self._made_at = 0.0
        # Whether a token was given for it.
        self._worked = False
        super().__init__(tenant, context, retry)

    async def prepare(self) -> None:
        """Has a secret made, where there is none that will do."""
        if self._password is None or ends_within(self._password, self._clock(), _LEFT):
            self._password, self._secret = await self._passwords.add()
            self._made_at, self._worked = monotonic(), False
            self._inner = self._open()

    def _open(self) -> TokenCredential:
        if not self._secret:
            return _Nothing()
        from azure.identity import ClientSecretCredential

        tenant_id, client_id = self._tenant.tenant_id or "", self._tenant.client_id or ""
        return ClientSecretCredential(
            tenant_id, client_id, self._secret, **endpoint_options(self._tenant, self._context)
        )

    def _ask(self, *scopes: str, **options: Any) -> AccessToken:
        token = super()._ask(*scopes, **options)
        self._worked = True
        return token

    def _refused(self, answer: str) -> Exception:
        if self._worked and any(f"{code}:" in answer for code in _GONE):
            # The tenant's clock, a policy of its or a person has ended it before its time.
            self._password = None
            return SignInFailed("the client secret is valid no longer; a new one is made", answered=True)
        if any(f"{code}:" in answer for code in _NOT_YET) and monotonic() - self._made_at < _SETTLING:
            return SignInFailed("a new client secret is not known everywhere yet", answered=True)
        return super()._refused(answer)


class _Nothing(TokenCredential):
    """Nothing to sign in with; it is never asked."""

    def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        raise NotImplementedError
