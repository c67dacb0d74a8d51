"""The app registrations that may sign in, and the client secrets that another app adds to one of them.

What belongs here: who may add and remove a secret, and which secrets the token endpoint knows at a moment. What does
not: the applications of the directory, which nobody signs in as.
"""

from __future__ import annotations

import hmac
import re
import secrets
import uuid
from datetime import datetime, timedelta
from typing import Any, Literal, NamedTuple

from entra_pipeline.simulator.faults.settings import TenantSettings
from entra_pipeline.simulator.protocol.failures import bad_request, denied, method_not_allowed, no_segment
from entra_pipeline.simulator.protocol.requests import GraphRequest, GraphResponse, json_answer
from entra_pipeline.simulator.protocol.tokens import Caller
from entra_pipeline.simulator.storage.directory import Directory

OWNED_BY = "Application.ReadWrite.OwnedBy"
_ALL = "Application.ReadWrite.All"
_PATH = re.compile(r"applications\(appId='([\w-]+)'\)(?:/(addPassword|removePassword))?", re.IGNORECASE)
# What Entra takes for the lifetime of a secret that names none (Graph doc: application-addpassword).
_DEFAULT_LIFETIME = timedelta(days=730)

SecretStanding = Literal["good", "expired", "unknown"]


class AppRegistration(NamedTuple):
    """An app registration of the simulated tenant that may sign in.

    Attributes:
        secret: The client secret; empty: it has none that stands.
        roles: Application permissions.
        directory_roles: Names of the directory roles its service principal holds.
        owners: App registrations that own it.
    """

    secret: str
    roles: tuple[str, ...]
    directory_roles: tuple[str, ...] = ()
    owners: tuple[str, ...] = ()


class AddedPassword(NamedTuple):
    """A client secret that was added.

    Attributes:
        key_id, name, secret: As Graph gave it.
        added: When (UTC); the token endpoint knows it later, by `credential_lag`.
        start, end: From when to when it is valid.
        removed: When it was removed.
    """

    key_id: str
    name: str
    secret: str
    added: datetime
    start: datetime
    end: datetime
    removed: datetime | None = None

    def shown(self) -> dict[str, Any]:
        """Returns it as Graph shows it, without the secret (Graph doc: passwordcredential)."""
        return {
            "customKeyIdentifier": None,
            "displayName": self.name,
            "endDateTime": self.end.isoformat().replace("+00:00", "Z"),
            "hint": self.secret[:3],
            "keyId": self.key_id,
            "secretText": None,
            "startDateTime": self.start.isoformat().replace("+00:00", "Z"),
        }


class AppCredentials:
    """The secrets of the app registrations.

    Args:
        apps: The app registrations by their ids.
        directory: Has the tenant's clock.
        settings: Of the tenant.
    """

    def __init__(self, apps: dict[str, AppRegistration], directory: Directory, settings: TenantSettings) -> None:
        self._apps = apps
        self._directory = directory
        self._settings = settings
        self._added: dict[str, list[AddedPassword]] = {}

    def has(self, path: str) -> bool:
        """Returns whether a path leads to an app registration that may sign in."""
        matched = _PATH.fullmatch(path)
        return matched is not None and matched[1] in self._apps

    def standing(self, client_id: str, secret: str) -> SecretStanding:
        """Returns what the token endpoint makes of a secret now."""
        own = self._apps[client_id].secret
        if own and hmac.compare_digest(secret.encode(), own.encode()):
            return "good"
        now, lag = self._directory.now(), timedelta(seconds=self._settings.credential_lag)
        for one in self._added.get(client_id, ()):
            gone = one.removed is not None and one.removed + lag <= now
            if gone or now < one.added + lag or not hmac.compare_digest(secret.encode(), one.secret.encode()):
                continue
            if one.start <= now < one.end:
                return "good"
            return "expired"
        return "unknown"

    def answer(self, request: GraphRequest, caller: Caller) -> GraphResponse:
        """Answers a request about an app registration. Raises Failure."""
        matched = _PATH.fullmatch(request.path)
        if matched is None:
            raise no_segment(request.path)
        app_id, action = matched[1], (matched[2] or "").lower()
        owned = OWNED_BY in caller.roles and caller.client_id in self._apps[app_id].owners
        if not owned and not caller.may((_ALL,)):
            raise denied()
        if request.method != ("POST" if action else "GET"):
            raise method_not_allowed()
        if action == "addpassword":
            return self._add(app_id, request.json().get("passwordCredential") or {})
        if action == "removepassword":
            return self._remove(app_id, str(request.json().get("keyId", "")))
        shown = [one.shown() for one in self._added.get(app_id, ()) if one.removed is None]
        if self._apps[app_id].secret:
            shown.append({"displayName": "made by hand", "keyId": str(uuid.UUID(int=0)), "secretText": None})
        return json_answer({"id": app_id, "appId": app_id, "passwordCredentials": shown, "keyCredentials": []})

    def _add(self, app_id: str, given: dict[str, Any]) -> GraphResponse:
        now = self._directory.now()
        start = _moment(given, "startDateTime") or now
        end = _moment(given, "endDateTime") or start + _DEFAULT_LIFETIME
        if end <= start:
            raise bad_request("The end date of a credential has to be after its start date.")
        made = AddedPassword(
            key_id=str(uuid.uuid4()),
            name=str(given.get("displayName") or ""),
            secret=f"{secrets.token_urlsafe(3)}~{secrets.token_urlsafe(24)}",
            added=now,
            start=start,
            end=end,
        )
        self._added.setdefault(app_id, []).append(made)
        return json_answer(made.shown() | {"secretText": made.secret})

    def _remove(self, app_id: str, key_id: str) -> GraphResponse:
        there = self._added.get(app_id, [])
        for place, one in enumerate(there):
            if one.key_id == key_id and one.removed is None:
                there[place] = one._replace(removed=self._directory.now())
                return GraphResponse(204)
        raise bad_request(f"No password credential found with keyId {key_id}.")


def _moment(given: dict[str, Any], name: str) -> datetime | None:
    if given.get(name) is None:
        return None
    try:
        moment = datetime.fromisoformat(str(given[name]))
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise bad_request(f"Cannot convert the literal '{given[name]}' to the expected type 'Edm.DateTimeOffset'.")
    return moment
