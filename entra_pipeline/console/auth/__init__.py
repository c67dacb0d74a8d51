"""Sign-in to the console: OpenID Connect where it is configured, else one local account.

1. `openid` runs the authorization code flow with PKCE; `local` checks the password that `serve` wrote to a file.
2. `login_throttle` limits wrong passwords, for each origin by itself.
3. `sessions` keeps who is signed in, for all processes of the console; the browser has a random cookie only.
4. `roles` maps claims to one of three roles; each may do everything that the one before it may. `access` says for which
   scopes.

What belongs here: who somebody is. What does not: which page takes which role (`console.access_control`).
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from entra_pipeline.console.auth.local import LocalAccount
from entra_pipeline.console.auth.openid import OpenId


@dataclass(frozen=True, slots=True)
class SignIn:
    """How people sign in: one of the two ways.

    Attributes:
        local: The account of this machine.
        openid: The provider.
        secure: Browsers reach the console by https only.
        key: Seals what the console hands out (`console.shared.sealing`); the same in all its processes.
    """

    local: LocalAccount | None = None
    openid: OpenId | None = None
    secure: bool = False
    key: bytes = field(default_factory=lambda: os.urandom(32), repr=False)
