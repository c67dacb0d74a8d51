"""Sessions: kept in this process, known to the browser by a random cookie only.

Their end is decided here: after an idle hour, and twelve hours after signing in whatever happens. Signing in makes a
new session, so that a cookie which somebody else planted before is worth nothing after. A person's sessions can be
ended, and a session's role follows the configuration while it lasts.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from hashlib import sha256
from threading import Lock
from time import monotonic
from typing import Any

from entra_pipeline.console.auth.access import Access, ScopedRole
from entra_pipeline.console.auth.roles import Grants, Role

IDLE = 3600.0
"""Seconds after which a session ends that nobody used."""
ABSOLUTE = 12 * 3600.0
"""Seconds after which a session ends."""
ANONYMOUS = 600.0
"""Seconds that somebody has to sign in."""

# Sessions at the most; those used least lately go first, and nobody signed in among them is asked for.
_MOST_ANONYMOUS = 10_000


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who has signed in.

    Attributes:
        name: By which runs and the audit log call them: the name they sign in with.
        role: What they may do everywhere; None for who has roles for some scopes only.
        display_name: What people call them.
        identity: Issuer and subject of their sign-in, which stay when names change; empty for the local account.
        grants: What the provider said of them that can give a role; None for the local account.
        scoped: Their roles for some scopes.
    """

    name: str
    role: Role | None
    display_name: str = ""
    identity: str = ""
    grants: Grants | None = None
    scoped: tuple[ScopedRole, ...] = ()

    @property
    def access(self) -> Access:
        """What they may, and where."""
        return Access(self.role, self.scoped)

    @property
    def person(self) -> str:
        """Who that is, whatever their session."""
        return self.identity or self.name


@dataclass(slots=True)
class Session:
    """A session.

    Attributes:
        user: Who it belongs to; None before signing in.
        csrf: What every form sends back.
        data: What is kept between requests: a notice, the state of a sign-in under way.
        started: When it began, by the clock of `Sessions`.
        used: When it was used last.
        address: Where somebody signed in from.
    """

    user: User | None
    started: float
    used: float
    address: str = ""
    csrf: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    data: dict[str, Any] = field(default_factory=dict)

    def over(self, now: float) -> bool:
        """Whether it has ended."""
        if self.user is None:
            return now - self.started > ANONYMOUS
        return now - self.used > IDLE or now - self.started > ABSOLUTE


class Sessions:
    """All sessions, by the hash of their tokens.

    Args:
        clock: Seconds; only differences count.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._lock = Lock()
        self._signed_in: dict[str, Session] = {}
        self._anonymous: OrderedDict[str, Session] = OrderedDict()

    def find(self, token: str, *, used: bool = True) -> Session | None:
        """The session of a token; None when there is none, or it has ended.

        Args:
            token: The token.
            used: Somebody uses it now, so that its idle time begins anew.
        """
        key, now = _key(token), self._clock()
        with self._lock:
            session = self._signed_in.get(key) or self._anonymous.get(key)
            if session is None:
                return None
            if session.over(now):
                self._forget(key)
                return None
            if used:
                session.used = now
            return session

    def begin(self, user: User | None = None, address: str = "") -> tuple[str, Session]:
        """A new session and its token."""
        token, now = secrets.token_urlsafe(32), self._clock()
        session = Session(user, now, now, address)
        with self._lock:
            if user is None:
                self._anonymous[_key(token)] = session
                while len(self._anonymous) > _MOST_ANONYMOUS:
                    self._anonymous.popitem(last=False)
            else:
                for key in [key for key, one in self._signed_in.items() if one.over(now)]:
                    self._forget(key)
                self._signed_in[_key(token)] = session
        return token, session

    def end(self, token: str) -> None:
        """Ends a session."""
        with self._lock:
            self._forget(_key(token))

    def signed_in(self) -> list[Session]:
        """The sessions of people who have signed in, the one used last first."""
        now = self._clock()
        with self._lock:
            return sorted(
                (one for one in self._signed_in.values() if not one.over(now)), key=lambda one: one.used, reverse=True
            )

    def end_all(self, person: str) -> int:
        """Ends every session of a person (`User.person`); how many there were."""
        with self._lock:
            keys = [key for key, one in self._signed_in.items() if one.user is not None and one.user.person == person]
            for key in keys:
                self._forget(key)
        return len(keys)

    def take_access(self, token: str, access: Access) -> Session | None:
        """Gives a session what its person may by now; ends it, and gives None, when that is nothing."""
        with self._lock:
            session = self._signed_in.get(_key(token))
            if session is None or session.user is None:
                return None
            if access.highest is None:
                self._forget(_key(token))
                return None
            session.user = replace(session.user, role=access.role, scoped=access.scoped)
            return session

    def age(self, session: Session) -> tuple[float, float]:
        """Seconds since a session began, and since it was used last."""
        now = self._clock()
        return now - session.started, now - session.used

    def _forget(self, key: str) -> None:
        self._signed_in.pop(key, None)
        self._anonymous.pop(key, None)


def _key(token: str) -> str:
    return sha256(token.encode()).hexdigest()
