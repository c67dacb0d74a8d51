"""Signed, opaque tokens: access tokens as Entra issues them, and the continuation tokens of lists and delta.

Access tokens are JSON Web Tokens signed with HS256: clients must treat Graph's tokens as opaque, so the algorithm
does not matter (Entra doc: access-tokens).
"""

from __future__ import annotations

import base64
import hmac
import time
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, TypeVar

import msgspec

from entra_pipeline.simulator.protocol.failures import Failure, invalid_token

_T = TypeVar("_T")


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sends a request.

    Attributes:
        client_id: The app registration.
        roles: Its application permissions; of a signed-in user, the delegated ones.
        directory_roles: Directory roles that the app registration holds.
        user: Sign-in name of the user for whom the app registration acts; empty when it acts for itself.
        contexts: Authentication contexts that the user's sign-in has satisfied.
    """

    client_id: str
    roles: frozenset[str]
    directory_roles: frozenset[str] = frozenset()
    user: str = ""
    contexts: frozenset[str] = frozenset()

    def may(self, any_of: tuple[str, ...]) -> bool:
        """Returns whether the caller has one of the permissions."""
        return not self.roles.isdisjoint(any_of)


class Signer:
    """Makes and reads tokens with one secret key."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def _mac(self, data: bytes) -> bytes:
        return hmac.new(self._key, data, sha256).digest()

    def access_token(self, claims: dict[str, Any]) -> str:
        """Returns a signed token with the claims."""
        head = _encode(msgspec.json.encode({"typ": "JWT", "alg": "HS256"}))
        body = f"{head}.{_encode(msgspec.json.encode(claims))}"
        return f"{body}.{_encode(self._mac(body.encode()))}"

    def caller(self, authorization: str, audiences: set[str], issued_after: float) -> Caller:
        """Returns the caller of a request by its Authorization header. Raises Failure (401)."""
        kind, _, token = authorization.partition(" ")
        if kind.lower() != "bearer" or not token:
            raise invalid_token("Access token is empty.")
        body, _, mac = token.rpartition(".")
        try:
            sound = hmac.compare_digest(_decode(mac), self._mac(body.encode()))
            claims = msgspec.json.decode(_decode(body.partition(".")[2])) if sound else {}
        except (ValueError, msgspec.DecodeError):
            claims = {}
        if not claims:
            raise invalid_token("Invalid access token: signature validation failed.")
        if claims["exp"] <= time.time() or claims["issued"] < issued_after:
            raise invalid_token("Lifetime validation failed, the token is expired.")
        if str(claims["aud"]).rstrip("/") not in audiences:
            raise invalid_token("Access token validation failure. Invalid audience.")
        if user := claims.get("upn", ""):
            scopes, contexts = frozenset(claims["scp"].split()), frozenset(claims.get("acrs", ()))
            return Caller(claims["appid"], scopes, user=user, contexts=contexts)
        return Caller(claims["appid"], frozenset(claims["roles"]))

    def seal(self, content: object) -> str:
        """Returns an opaque token that carries the content."""
        data = msgspec.msgpack.encode(content)
        return _encode(self._mac(data)[:12] + data)

    def open(self, token: str, decoder: msgspec.msgpack.Decoder[_T]) -> _T:
        """Returns the content of a token made by `seal`, of the decoder's type. Raises Failure (400) for any other."""
        try:
            data = _decode(token)
            if hmac.compare_digest(data[:12], self._mac(data[12:])[:12]):
                return decoder.decode(data[12:])
        except (ValueError, msgspec.DecodeError):
            pass
        raise Failure(400, "Request_BadRequest", "The $skiptoken or $deltatoken is not valid.")
