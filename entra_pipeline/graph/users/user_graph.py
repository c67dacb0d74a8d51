"""Requests to a tenant on behalf of a person."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from entra_pipeline.graph.client import Graph
from entra_pipeline.graph.credentials import token_scope
from entra_pipeline.graph.retry import RetryPolicy
from entra_pipeline.graph.users.credential import SignInPrompt, UserCredential

if TYPE_CHECKING:
    from entra_pipeline.project import Tenant


class UserGraph(Graph):
    """A tenant, as an app registration that acts for a person. The person is asked when the first request is sent.

    Args:
        tenant: The tenant and its app registration; its credential is not used.
        prompt: Asks the person.
        retry: As for `Graph`.
    """

    def __init__(self, tenant: Tenant, prompt: SignInPrompt, *, retry: RetryPolicy | None = None) -> None:
        super().__init__(tenant, retry=retry, sign_in=partial(UserCredential, prompt=prompt))

    @property
    def user(self) -> str:
        """Sign-in name of who has signed in; empty before."""
        credential = self._connection.credential
        return credential.user if isinstance(credential, UserCredential) else ""

    def granted(self) -> frozenset[str]:
        """Delegated permissions that the person's token carries; empty before the sign-in."""
        return self._connection.credential.granted()

    async def step_up(self, claims: str) -> None:
        """Signs in once more, with claims that Graph has asked for; the token is used from then on.

        Args:
            claims: JSON text (`responses.step_up`).

        Raises:
            ConfigurationError: The sign-in was refused.
        """
        await self._connection.credential.get_token(token_scope(self.tenant), claims=claims)
