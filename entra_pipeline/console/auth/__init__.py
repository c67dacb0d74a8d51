"""The ways to sign in: with OpenID Connect where it is configured, else with one local account."""

from __future__ import annotations

from dataclasses import dataclass

from entra_pipeline.console.auth.local import LocalAccount
from entra_pipeline.console.auth.openid import OpenId


@dataclass(frozen=True, slots=True)
class SignIn:
    """How people sign in: one of the two ways.

    Attributes:
        local: The account of this machine.
        openid: The provider.
        secure: Browsers reach the console by https only.
    """

    local: LocalAccount | None = None
    openid: OpenId | None = None
    secure: bool = False
