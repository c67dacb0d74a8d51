"""Sessions: shared by all processes of a console, known to the browser by a random cookie only.

1. Of somebody who has signed in, a sealed record says who (`console.shared`). A process that meets the cookie reads it
   once, and looks every other second which records there are: where one is gone, the session has ended everywhere.
2. Of somebody who has not, everything is in the sealed cookie: whoever asks for cookie after cookie fills nothing.

Their end is decided here: after an idle hour, and twelve hours after signing in whatever happens. Signing in makes a
new session, so that a cookie which somebody else planted before is worth nothing after. A person's sessions can be
ended, and a session's role follows the configuration while it lasts.
"""

from __future__ import annotations

import logging
import os
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from threading import Lock
from typing import Any

import msgspec

from entra_pipeline.console.auth.access import Access, ScopedRole
from entra_pipeline.console.auth.roles import Grants, Role
from entra_pipeline.console.shared.records import ConsoleRecords
from entra_pipeline.console.shared.sealing import Sealer
from entra_pipeline.errors import StoreError

IDLE = 3600.0
"""Seconds after which a session ends that nobody used."""
ABSOLUTE = 12 * 3600.0
"""Seconds after which a session ends."""
ANONYMOUS = 600.0
"""Seconds that somebody has to sign in."""
LOOK = 2.0
"""Seconds within which the end of a session counts in every process."""

_FOLDER = "sessions"
# What belongs to a session besides its record, under the same name.
_BELONGINGS = ("baskets",)
# Seconds after which the record says again when a session was used.
_SAVED = 300.0
_SIGNED_IN, _BEFORE = "session", "before signing in"
_MARK = "a."
_log = logging.getLogger(__name__)


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
        started: When it began, by the clock of `Sessions`.
        used: When it was used last, as far as this process knows.
        address: Where somebody signed in from.
        csrf: What every form sends back.
        data: What is kept between requests before signing in: the state of a sign-in under way.
        id: Name of its record; empty before signing in.
        saved: When its record was written.
        met: When this process read or wrote the record, in seconds of its own; 0 while there is none.
        sealed: What its cookie said, before signing in.
    """

    user: User | None
    started: float
    used: float
    address: str = ""
    csrf: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    data: dict[str, Any] = field(default_factory=dict)
    id: str = ""
    saved: float = 0.0
    met: float = 0.0
    sealed: bytes = b""

    def over(self, now: float) -> bool:
        """Whether it has ended."""
        if self.user is None:
            return now - self.started > ANONYMOUS
        return now - self.used > IDLE or now - self.started > ABSOLUTE


class _Kept(msgspec.Struct, frozen=True):
    """What a record says of a session."""

    user: User
    started: float
    used: float
    address: str
    csrf: str


class _Carried(msgspec.Struct, frozen=True):
    """What a cookie says of a session before signing in."""

    started: float
    csrf: str
    data: dict[str, Any]


_KEPT_DECODER = msgspec.json.Decoder(_Kept)
_CARRIED_DECODER = msgspec.json.Decoder(_Carried)


class Sessions:
    """All sessions.

    Args:
        clock: Seconds that mean the same in every process.
        sealer: Seals cookies.
        records: Where records are kept; None = in the memory of this process.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.time,
        *,
        sealer: Sealer | None = None,
        records: ConsoleRecords | None = None,
    ) -> None:
        self._clock = clock
        self._sealer = sealer or Sealer(os.urandom(32))
        self._records = records or ConsoleRecords(self._sealer)
        self._lock = Lock()
        self._signed_in: dict[str, Session] = {}
        # Ended here, though the record may still be there: the place could not be written to.
        self._ended: set[str] = set()
        # Which sessions had a record when this process looked last, and when that was; when it began to look again.
        self._listed: tuple[frozenset[str], float] | None = None
        self._looked = float("-inf")

    # --- Before signing in -------------------------------------------------------------------------------------------

    def visitor(self) -> Session:
        """A new session of somebody who has not signed in."""
        now = self._clock()
        return Session(None, now, now)

    def cookie_of(self, session: Session) -> str:
        """The cookie of a session before signing in; empty where the one that the browser has says the same."""
        said = msgspec.json.encode(_Carried(session.started, session.csrf, session.data))
        return "" if said == session.sealed else _MARK + self._sealer.seal(_BEFORE, said)

    def _visitor_of(self, cookie: str) -> Session | None:
        said = self._sealer.open(_BEFORE, cookie.removeprefix(_MARK))
        if said is None:
            return None
        carried = _CARRIED_DECODER.decode(said)
        session = Session(None, carried.started, carried.started, csrf=carried.csrf, data=carried.data, sealed=said)
        return None if session.over(self._clock()) else session

    # --- Of people who have signed in --------------------------------------------------------------------------------

    def begin(self, user: User, address: str = "") -> tuple[str, Session]:
        """A new session of somebody who has signed in, and its token."""
        token, now = self._sealer.seal(_SIGNED_IN, secrets.token_bytes(32)), self._clock()
        session = Session(user, now, now, address, id=_id(token))
        self._remove_old()
        with self._lock:
            for key in [key for key, one in self._signed_in.items() if one.over(now)]:
                del self._signed_in[key]
            self._signed_in[session.id] = session
        self._save(session)
        return token, session

    def find(self, token: str, *, used: bool = True) -> Session | None:
        """The session of a token or a cookie from before signing in; None when there is none, or it has ended.

        Args:
            token: The token.
            used: Somebody uses it now, so that its idle time begins anew.
        """
        if token.startswith(_MARK):
            return self._visitor_of(token)
        if self._sealer.open(_SIGNED_IN, token) is None:
            # Nothing is looked up for what no console has made.
            return None
        key, now = _id(token), self._clock()
        session = self._known(key) or self._read(key)
        if session is not None and session.over(now):
            # It may have been used in another process since.
            session = self._read(key)
        if session is None:
            return None
        if session.over(now):
            self._end(key)
            return None
        if used:
            session.used = now
            if now - session.saved > _SAVED and not self._renewed(session):
                return None
        return session

    def end(self, token: str) -> None:
        """Ends a session in every process."""
        self._end(_id(token))

    def signed_in(self) -> list[Session]:
        """The sessions of people who have signed in, the one used last first."""
        now = self._clock()
        found = (self._known(key) or self._read(key) for key in sorted(self._keys()))
        return sorted((one for one in found if one and not one.over(now)), key=lambda one: one.used, reverse=True)

    def end_all(self, person: str) -> int:
        """Ends every session of a person (`User.person`) in every process; how many there were."""
        own = [one.id for one in self.signed_in() if one.user is not None and one.user.person == person]
        for key in own:
            self._end(key)
        return len(own)

    def take_access(self, token: str, access: Access) -> Session | None:
        """Gives a session what its person may by now; ends it, and gives None, when that is nothing."""
        session = self._known(_id(token))
        if session is None or session.user is None:
            return None
        if access.highest is None:
            self._end(session.id)
            return None
        session.user = replace(session.user, role=access.role, scoped=access.scoped)
        return session

    def age(self, session: Session) -> tuple[float, float]:
        """Seconds since a session began, and since it was used last."""
        now = self._clock()
        return now - session.started, now - session.used

    # --- Records -----------------------------------------------------------------------------------------------------

    def _known(self, key: str) -> Session | None:
        """A session that this process has met, unless its record is gone."""
        with self._lock:
            session = self._signed_in.get(key)
        if session is None or not session.met:
            return session
        self._look()
        with self._lock:
            listed = self._listed
        if listed is not None and key not in listed[0] and listed[1] > session.met:
            self._forget(key)
            return None
        return session

    def _look(self, *, now: bool = False) -> None:
        """Looks which sessions have a record, every other second; whoever comes meanwhile goes by the look before."""
        began = time.monotonic()
        with self._lock:
            if not now and began - self._looked < LOOK:
                return
            self._looked = began
        try:
            listed = frozenset(name.rpartition("/")[2] for name in self._records.listed(_FOLDER))
        except StoreError as error:
            # A place that is away signs nobody out.
            _log.warning("whether sessions were ended elsewhere is not known: %s", error.message)
            return
        with self._lock:
            if self._listed is None or self._listed[1] < began:
                self._listed = listed, began

    def _keys(self) -> set[str]:
        """The sessions that this process has met, and those that have a record."""
        self._look(now=True)
        with self._lock:
            return {*self._signed_in, *(self._listed[0] if self._listed else ())}

    def _read(self, key: str) -> Session | None:
        """Reads the record of a session: of one that this process meets, or that was used elsewhere."""
        with self._lock:
            known = self._signed_in.get(key)
            if key in self._ended:
                return None
        if known is not None and not known.met:
            return known
        met = time.monotonic()
        try:
            said = self._records.read_sealed(_name(key))
        except StoreError as error:
            _log.warning("a session cannot be read: %s", error.message)
            return known
        if said is None:
            self._forget(key)
            return None
        kept = _KEPT_DECODER.decode(said)
        with self._lock:
            session = self._signed_in.get(key)
            if session is None:
                session = Session(kept.user, kept.started, kept.used, kept.address, kept.csrf, id=key)
                self._signed_in[key] = session
            session.used, session.saved, session.met = max(session.used, kept.used), kept.used, met
            return session

    def _renewed(self, session: Session) -> bool:
        """Writes down that a session is used, unless it was ended elsewhere meanwhile."""
        if session.met and self._read(session.id) is None:
            return False
        session.used = self._clock()
        self._save(session)
        return True

    def _save(self, session: Session) -> None:
        if session.user is None:
            raise LookupError("nobody has signed in")
        session.saved = self._clock()
        kept = _Kept(session.user, session.started, session.used, session.address, session.csrf)
        try:
            self._records.write_sealed(_name(session.id), msgspec.json.encode(kept))
        except StoreError as error:
            _log.warning("a session is known to this process only: %s", error.message)
        else:
            session.met = time.monotonic()

    def _end(self, key: str) -> None:
        self._forget(key)
        try:
            self._records.remove(_name(key), *(f"{one}/{key}" for one in _BELONGINGS))
        except StoreError as error:
            with self._lock:
                self._ended.add(key)
            _log.warning("a session has ended in this process only: %s", error.message)

    def _forget(self, key: str) -> None:
        with self._lock:
            self._signed_in.pop(key, None)

    def _remove_old(self) -> None:
        """Removes what sessions have left that have ended whatever happened."""
        before = datetime.now(UTC) - timedelta(seconds=ABSOLUTE + IDLE)
        try:
            for folder in (_FOLDER, *_BELONGINGS):
                old = [name for name, written in self._records.listed(folder).items() if written < before]
                self._records.remove(*old)
        except StoreError as error:
            _log.warning("old sessions cannot be removed: %s", error.message)


def _id(token: str) -> str:
    return sha256(token.encode()).hexdigest()


def _name(key: str) -> str:
    return f"{_FOLDER}/{key}"
