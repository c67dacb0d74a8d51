"""Client secrets of another app registration: made for an hour, listed, removed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple, TypeVar

import msgspec

from entra_pipeline.clock import Clock, iso, system_clock
from entra_pipeline.errors import EntraPipelineError, GraphError
from entra_pipeline.graph.client import Graph
from entra_pipeline.graph.pages import decoding
from entra_pipeline.graph.request_stats import RequestStats

NAME = "entra-pipeline just in time"
"""The name of our secrets in Entra (`displayName`)."""
LIFETIME = timedelta(hours=1)
"""For how long a secret is valid at the most."""


_T = TypeVar("_T")
_JSON = {"Content-Type": "application/json"}


class _PasswordCredential(msgspec.Struct, frozen=True, rename="camel"):
    """A client secret as Graph shows it; its value only when it has been added (Graph doc: passwordcredential)."""

    key_id: str
    display_name: str | None = None
    start_date_time: str | None = None
    end_date_time: str | None = None
    secret_text: str | None = None


class _Application(msgspec.Struct, frozen=True, rename="camel"):
    password_credentials: list[_PasswordCredential] = []
    key_credentials: list[dict[str, Any]] = []


_decode_password = decoding(msgspec.json.Decoder(_PasswordCredential).decode)
_decode_application = decoding(msgspec.json.Decoder(_Application).decode)


@dataclass(frozen=True, slots=True)
class TemporaryPassword:
    """A client secret, without its value.

    Attributes:
        key_id: Its id in Entra.
        app_id: The app registration that it belongs to.
        made: When, RFC 3339.
        expires: When it becomes worthless by itself, RFC 3339.
        removed: When it was removed, RFC 3339; empty before.
    """

    key_id: str
    app_id: str
    made: str
    expires: str
    removed: str = ""


class HeldCredentials(NamedTuple):
    """Credentials that an app registration has: those of ours, and the number of others."""

    ours: list[TemporaryPassword]
    others: int


class TemporaryPasswords:
    """The secrets that one process has the owner make.

    Args:
        owner: The tenant, as the app registration that owns the other one.
        app_id: The other one.
        clock: The one clock.

    Attributes:
        made: Those of this process, by their ids.
        note: Told of each one that was made, and of each that was removed.
    """

    def __init__(self, owner: Graph, app_id: str, clock: Clock = system_clock) -> None:
        self._owner = owner
        self._app_id = app_id
        self._clock = clock
        self._path = f"applications(appId='{app_id}')"
        self.made: dict[str, TemporaryPassword] = {}
        self.note: Callable[[TemporaryPassword], None] = lambda _: None

    async def standing(self) -> HeldCredentials:
        """Lists the credentials that the app registration has now.

        Raises:
            ConfigurationError: Entra refuses the owner.
            EntraPipelineError: Graph cannot be read, or the owner may not see it.
        """
        url = f"{self._path}?$select=id,appId,passwordCredentials,keyCredentials"
        app = await self._fetch(url, _decode_application)
        ours = [self._shown(one) for one in app.password_credentials if one.display_name == NAME]
        return HeldCredentials(ours, len(app.password_credentials) - len(ours) + len(app.key_credentials))

    async def add(self) -> tuple[TemporaryPassword, str]:
        """Has a secret made, in the place of all others of ours; returns what is known of it, and its value.

        Raises:
            As for `standing`.
        """
        await self.remove_all()
        expires = self._clock() + LIFETIME
        wanted = {"passwordCredential": {"displayName": NAME, "endDateTime": iso(expires)}}
        found = await self._fetch(f"{self._path}/addPassword", _decode_password, wanted)
        made = TemporaryPassword(found.key_id, self._app_id, iso(self._clock()), found.end_date_time or iso(expires))
        self.made[made.key_id] = made
        self.note(made)
        return made, found.secret_text or ""

    async def remove_all(self) -> None:
        """Removes all secrets of ours: of this process, and what others have left.

        Raises:
            As for `standing`; those that could be removed are.
        """
        # A list may lag behind what was made.
        known = {key: one for key, one in self.made.items() if not one.removed}
        left = {one.key_id: one for one in (await self.standing()).ours} | known
        failed: EntraPipelineError | None = None
        for one in left.values():
            try:
                await self._remove(one)
            except EntraPipelineError as error:
                failed = error
        if failed is not None:
            raise failed

    async def _remove(self, one: TemporaryPassword) -> None:
        try:
            await self._send(f"{self._path}/removePassword", lambda _: None, {"keyId": one.key_id})
        except GraphError:
            # The answer to an earlier try may have been lost.
            if any(still.key_id == one.key_id for still in (await self.standing()).ours):
                raise
        gone = replace(one, removed=iso(self._clock()))
        self.made[one.key_id] = gone
        self.note(gone)

    async def _fetch(self, url: str, decode: Callable[[bytes], _T], body: dict[str, Any] | None = None) -> _T:
        """Reads, or carries out an action that takes a body."""
        try:
            return await self._send(url, decode, body)
        except GraphError as error:
            raise self._owner.tenant.error(
                "client_id",
                f"the app registration that owns {self._app_id} may not give it a credential: {error.message}",
                remedy="Grant it Application.ReadWrite.OwnedBy as an application permission, and make its service "
                "principal an owner of the app registration that restores. Where an app management policy forbids "
                "client secrets, exempt the app registration that restores from it.",
            ) from error

    async def _send(self, url: str, decode: Callable[[bytes], _T], body: dict[str, Any] | None = None) -> _T:
        stats = RequestStats()
        if body is None:
            return await self._owner.fetch(url, decode, stats=stats)
        sent = msgspec.json.encode(body)
        return await self._owner.fetch(url, decode, stats=stats, method="POST", headers=_JSON, body=sent)

    def _shown(self, one: _PasswordCredential) -> TemporaryPassword:
        return TemporaryPassword(one.key_id, self._app_id, one.start_date_time or "", one.end_date_time or "")


def ends_within(one: TemporaryPassword, now: datetime, span: timedelta) -> bool:
    """Tells whether a secret expires within a span from now."""
    return datetime.fromisoformat(one.expires) - now <= span
