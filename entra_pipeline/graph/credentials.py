"""How an app registration proves who it is: azure-identity, for every cloud and kind of credential.

What belongs here: getting a token, and telling a sign-in that fails for a passing reason from one that Entra refuses.
What does not: how long passing reasons are borne (`retry`).
"""

from __future__ import annotations

import asyncio
import base64
import os
import re
import ssl
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

import msgspec
from azure.core.credentials import AccessToken, TokenCredential
from azure.core.exceptions import ClientAuthenticationError, ServiceRequestError, ServiceResponseError
from azure.core.pipeline.transport import RequestsTransport
from requests import PreparedRequest, Response, Session
from requests.adapters import HTTPAdapter
from requests.exceptions import RequestException

from entra_pipeline.errors import ConfigurationError, GraphUnavailable
from entra_pipeline.graph.pages import UNREADABLE, decoding, shown
from entra_pipeline.graph.responses import retry_after, transient
from entra_pipeline.graph.retry import Attempts, FailureKind, RetryPolicy

if TYPE_CHECKING:
    from entra_pipeline.project import Tenant

_OBJECT = msgspec.json.Decoder(dict[str, Any])
_decode_answer = decoding(_OBJECT.decode)

# Graph doc: concepts/deployments.
CLOUDS = {
    "global": ("https://login.microsoftonline.com", "https://graph.microsoft.com"),
    "usgov": ("https://login.microsoftonline.us", "https://graph.microsoft.us"),
    "usgov-dod": ("https://login.microsoftonline.us", "https://dod-graph.microsoft.us"),
    "china": ("https://login.partner.microsoftonline.cn", "https://microsoftgraph.chinacloudapi.cn"),
}
# Seconds that the token endpoint may take to be reached, and to answer.
_CONNECT_TIMEOUT, _READ_TIMEOUT = 15, 60
# Numbers of AADSTS errors that Entra says to be passing: the service is unavailable or throttles, a request timed out,
# "try again" (Entra doc: reference-error-codes).
_PASSING_NUMBERS = {
    40010,  # OAuth2IdPRetryableServerError
    50000,  # TokenIssuanceError: "an issue with the sign-in service"
    50033,  # RetryableError
    50196,  # LoopDetected: too many requests in too short a time
    70012,  # MsaServerError
    90006,  # ExternalServerRetryableError
    90012,  # RequestTimeout
    90024,  # RequestBudgetExceededError
    90033,  # MsodsServiceUnavailable
    90055,  # TenantThrottlingError
    90090,  # GraphRetryableError
    90091,  # GraphServiceUnreachable
}
# OAuth's names for the same (RFC 6749 §4.1.2.1; Entra doc: reference-error-codes, "temporarily_unavailable").
_PASSING_ERRORS = {"temporarily_unavailable", "server_error"}
# What an access token is written with in a header (RFC 6750 §2.1).
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")
# Seconds beyond which no lifetime is meant: 68 years.
_LONGEST_LIFETIME = 2**31
# Members of an answer that only a person's sign-in has.
_OF_A_PERSON = ("id_token", "refresh_token", "client_info", "scope")
# Seconds between questions whether a person has signed in (RFC 8628 §3.2), and the longest pause that is meant.
_POLL, _LONGEST_POLL = 5, 60
# What OpenSSL says of a certificate that nobody vouches for: it does not pass.
_UNTRUSTED = "CERTIFICATE_VERIFY_FAILED"
_UNUSABLE = "its access_token is empty, or has characters that no token has"
_CA_VARIABLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_RIGHT_TENANT = "Use the Directory (tenant) ID shown on the tenant's overview page."
# Entra's error codes that name the setting at fault (Entra doc: reference-error-codes).
_WRONG_SETTING = {
    "AADSTS7000215": (
        "client_secret",
        "Create a client secret for the app registration and store its *value* (not its id).",
    ),
    "AADSTS7000222": ("client_secret", "The client secret has expired: create a new one for the app registration."),
    "AADSTS700016": ("client_id", "Use the Application (client) ID of an app registration in this tenant."),
    "AADSTS90002": ("tenant_id", _RIGHT_TENANT),
    # What MSAL says when Entra does not know the tenant whose endpoints it asks for.
    "Unable to get authority configuration": ("tenant_id", _RIGHT_TENANT),
    "AADSTS500011": ("graph_url", "Write the address of Graph in the cloud of the `authority`, or remove both."),
    "AADSTS700027": ("certificate", "Upload the certificate's public part to the app registration."),
}


def trust(ca_bundle: Path | None) -> ssl.SSLContext:
    """Returns a TLS context that trusts the public authorities, those of the machine, and `ca_bundle`.

    The variables SSL_CERT_FILE, REQUESTS_CA_BUNDLE and CURL_CA_BUNDLE are honoured, whichever the operator knows.
    Whoever trusts the same files shares the context.
    """
    import certifi

    named = [os.environ.get(variable, "") for variable in _CA_VARIABLES]
    # Often all the variables name one file.
    files = dict.fromkeys(map(Path, filter(None, [certifi.where(), *named, str(ca_bundle or "")])))
    return _context(tuple((file, file.stat().st_mtime_ns) for file in files if file.is_file()))


# To read them takes a while, and a process opens Graph often. A file that changes is read again.
@lru_cache(maxsize=8)
def _context(files: tuple[tuple[Path, int], ...]) -> ssl.SSLContext:
    context = ssl.create_default_context()
    for file, _ in files:
        context.load_verify_locations(file)
    return context


class SignInFailed(RequestException):
    """A sign-in failed, and not because Entra refused the credential.

    Attributes:
        reason: For a person.
        answered: Entra itself has answered.
        asked: Seconds that it asks to wait.
        odd: Somebody has answered with something that is neither a token nor an error of Entra.
    """

    def __init__(self, reason: str, *, answered: bool, asked: float = 0.0, odd: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.answered = answered
        self.asked = asked
        self.odd = odd


class AcquiredToken(NamedTuple):
    """What may be known of a token that Entra gave; never the token.

    Attributes:
        tenant_id: Id of the tenant (claim `tid`).
        app_id: AppId of the app registration (claim `appid`).
        identifier: Claim `uti`, by which the sign-in log names the token (Entra doc:
            how-to-authentication-track-linkable-identifiers); empty when the token has none.
    """

    tenant_id: str
    app_id: str
    identifier: str


NoteToken = Callable[[AcquiredToken], None]
"""Is told of each token that was taken, in a thread of its own."""


def _failed(error: Exception) -> SignInFailed:
    """Returns why nobody answered a request of a sign-in."""
    found: object = error
    while isinstance(found, BaseException):
        if isinstance(found, SignInFailed):
            return found
        found = getattr(found, "inner_exception", None) or found.__cause__
    reason = type(getattr(error, "inner_exception", None) or error).__name__
    return SignInFailed(_UNTRUSTED if _UNTRUSTED in str(error) else reason, answered=False)


class Credential:
    """The tenant's credential, as the token provider of msgraph-sdk wants it.

    Tokens are kept until shortly before they expire; `renew` forgets them, for the case that Graph refuses one early.
    A sign-in that fails for a passing reason is tried again for as long as the policy says; meanwhile everybody who
    needs a token waits for the same attempts.

    Args:
        tenant: The tenant and its app registration.
        context: Whom to trust.
        retry: The patience.

    Attributes:
        note: Is told of each token; None: nobody is.
    """

    def __init__(self, tenant: Tenant, context: ssl.SSLContext, retry: RetryPolicy) -> None:
        self.note: NoteToken | None = None
        self._noted: AcquiredToken | None = None
        self._tenant = tenant
        self._context = context
        self._retry = retry
        self._attempts = Attempts(retry)
        self._answered = False
        self._inner = self._open()
        self._token: AccessToken | None = None
        self._fresh_until = 0.0
        self._lock = asyncio.Lock()

    async def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        """A valid token for the scopes.

        Raises:
            GraphUnavailable: Entra could not sign in for a passing reason, until the patience was over.
            ConfigurationError: Entra refused the credential, or cannot be reached; names the setting at fault.
        """
        async with self._lock:
            claims = options.pop("claims", None)
            while self._token is None or claims or time.time() >= self._fresh_until:
                extra = {"claims": claims} if claims else {}
                await self.prepare()
                try:
                    token = await asyncio.to_thread(self._ask, *scopes, **extra, **options)
                except SignInFailed as failure:
                    await self._wait(failure, usable=not claims)
                    continue
                lifetime = token.expires_on - time.time()
                self._token = token
                self._fresh_until = token.expires_on - min(300.0, lifetime * 0.1)
                self._attempts = Attempts(self._retry)
                await self._note_token()
                break
            return self._token

    async def _note_token(self) -> None:
        """Tells of the token in use, once: azure-identity gives the same one again while it is valid."""
        claims = self._claims()
        known = (claims.get("tid") or self._tenant.tenant_id, self.app_id, claims.get("uti"))
        token = AcquiredToken(*(str(one or "") for one in known))
        if self.note is not None and (token != self._noted or not token.identifier):
            self._noted = token
            await asyncio.to_thread(self.note, token)

    async def prepare(self) -> None:
        """Makes ready what the next question for a token takes; errors as of `get_token`."""

    def _open(self) -> TokenCredential:
        """Returns what asks Entra for tokens, with nothing kept from before."""
        return _build(self._tenant, self._context)

    async def _wait(self, failure: SignInFailed, *, usable: bool) -> None:
        """Waits before the next sign-in; raises when the patience is over.

        Args:
            failure: Why the last one failed.
            usable: The token at hand will do as long as it is valid.
        """
        self._answered = self._answered or failure.answered
        kind = FailureKind.UNAVAILABLE if self._answered or self._token else FailureKind.UNREACHABLE
        if failure.odd and kind is FailureKind.UNAVAILABLE:
            kind = FailureKind.BAD_RESPONSE
        pause = self._attempts.failed(kind, failure.reason, asked=failure.asked)
        if kind is FailureKind.UNREACHABLE and failure.reason == _UNTRUSTED:
            pause = None
        if usable and self._token is not None and time.time() < self._token.expires_on:
            self._fresh_until = min(self._token.expires_on, time.time() + (pause or self._retry.longest_pause))
        elif pause is not None:
            await asyncio.sleep(pause)
        elif kind is FailureKind.UNREACHABLE:
            raise self._unreachable(failure)
        else:
            raise GraphUnavailable(
                f"Entra ID could not sign in the app registration, {self._attempts}",
                remedy="The credential was not refused. Try again later. If the problem persists, check "
                "Microsoft's service health.",
            )

    def _ask(self, *scopes: str, **options: Any) -> AccessToken:
        try:
            token = self._inner.get_token(*scopes, **options)
        except ClientAuthenticationError as error:
            # The question which endpoints the authority has is asked outside azure-core's pipeline: when nobody
            # answers it, azure-identity calls that a failed authentication.
            if isinstance(error.__cause__, RequestException | ServiceRequestError | ServiceResponseError):
                raise _failed(error.__cause__) from None
            if self._tenant.managed_identity and self._answered:
                # The machine's own endpoint has given a token before.
                raise SignInFailed(str(error).splitlines()[0], answered=True) from None
            raise self._refused(str(error)) from None
        except (ServiceRequestError, ServiceResponseError) as error:
            raise _failed(error) from None
        if not _TOKEN.fullmatch(token.token):
            raise _odd(_UNUSABLE)
        self._answered = True
        return token

    def _unreachable(self, failure: SignInFailed) -> ConfigurationError:
        where, reason = authority_of(self._tenant), failure.reason
        if failure.odd:
            return self._tenant.error(
                "authority",
                f"{where} answers the sign-in, and not as Entra ID does: {reason}",
                remedy="Find out who answers there. If a proxy, a gateway or a private cloud is meant, look at its "
                "log; otherwise check the `authority` and `cloud` settings of the tenant.",
            )
        if reason == _UNTRUSTED:
            return self._tenant.error(
                "authority",
                f"{where} has a certificate that is not trusted",
                remedy="If a proxy or a private cloud is meant, name its certificate authority with `ca_bundle`.",
            )
        return self._tenant.error(
            "authority",
            f"cannot be reached to sign in: {where} ({reason})",
            remedy="Check the network, the proxy and the `authority` and `cloud` settings of the tenant.",
        )

    def _refused(self, answer: str) -> Exception:
        first_line = answer.splitlines()[0].split(" Trace ID:")[0]
        for code, (key, remedy) in _WRONG_SETTING.items():
            if code in answer:
                return self._tenant.error(key, f"Entra ID refused to sign in: {first_line}", remedy=remedy)
        return self._tenant.error(
            "client_id",
            f"Entra ID refused to sign in: {first_line}",
            remedy="Check tenant_id, client_id and the credential against the app registration.",
        )

    async def renew(self, refused: str) -> None:
        """Forgets the token that Graph refused, unless somebody has renewed it meanwhile."""
        async with self._lock:
            if self._token is not None and self._token.token == refused:
                self._token = None
                self._inner = self._open()

    @property
    def token(self) -> str:
        """The token in use, empty before the first."""
        return self._token.token if self._token else ""

    def granted(self) -> frozenset[str]:
        """Application permissions in the token's `roles` claim; empty when the token cannot be read."""
        roles = self._claims().get("roles")
        return frozenset(roles) if isinstance(roles, list) else frozenset()

    @property
    def app_id(self) -> str:
        """AppId of the app registration, as the token says or the configuration; empty when neither does."""
        return str(self._claims().get("appid") or self._tenant.client_id or "")

    def registration(self) -> frozenset[str]:
        """AppId of the app registration and id of its service principal, as far as they are known.

        The token tells them in its claims `appid` and `oid` (Microsoft identity platform doc: access-token-claims).
        """
        claims = self._claims()
        known = (self._tenant.client_id, claims.get("appid"), claims.get("oid"))
        return frozenset(str(one) for one in known if one)

    def _claims(self) -> dict[str, Any]:
        """The claims of the token; none when it cannot be read."""
        try:
            payload = self.token.split(".")[1]
            return _OBJECT.decode(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        except (IndexError, ValueError, msgspec.DecodeError):
            return {}


def authority_of(tenant: Tenant) -> str:
    """Base URL of the token endpoint."""
    return tenant.authority or CLOUDS[tenant.cloud][0]


def graph_root(tenant: Tenant) -> str:
    """Base URL of Graph v1.0, without a slash at the end."""
    return tenant.graph_url or f"{CLOUDS[tenant.cloud][1]}/v1.0"


def token_scope(tenant: Tenant) -> str:
    """The scope to ask a token for: the Graph root of the tenant's cloud and `/.default`."""
    if tenant.graph_url and tenant.authority:
        parts = urlsplit(tenant.graph_url)
        return f"{parts.scheme}://{parts.netloc}/.default"
    return f"{CLOUDS[tenant.cloud][1]}/.default"


def checked_sign_in(body: dict[str, Any], status: int, *, for_token: bool, person: bool = False) -> dict[str, Any]:
    """Returns what of an answer to a sign-in is meant for azure-identity, every member of its kind.

    Args:
        body: The answer.
        status: HTTP status.
        for_token: A token was requested; otherwise, which endpoints there are.
        person: It is a person who signs in: what tells who that is, and renews the token, is kept.

    Raises:
        RequestException: It is neither what was requested nor an error (RFC 6749 §5; OpenID Connect Discovery §4.2).
    """
    if isinstance(body.get("error"), str):
        described, numbers = body.get("error_description"), body.get("error_codes")
        return {
            "error": body["error"],
            "error_description": described if isinstance(described, str) and described.strip() else body["error"],
            "error_codes": [one for one in numbers if isinstance(one, int)] if isinstance(numbers, list) else [],
        }
    if status >= 300:
        raise _odd(f"status {status} with JSON that names no error")
    if not for_token:
        for name in ("token_endpoint", "authorization_endpoint", "issuer"):
            if not (isinstance(body.get(name), str) and body[name].startswith("https://")):
                raise _odd(f"its OpenID configuration has no {name} that begins with https://")
        return body
    token, kind = body.get("access_token"), body.get("token_type", "Bearer")
    if not (isinstance(token, str) and _TOKEN.fullmatch(token)):
        raise _odd(_UNUSABLE if isinstance(token, str) else "it has no access_token that is a text")
    if not (isinstance(kind, str) and kind.lower() == "bearer"):
        raise _odd(f"its token_type is {_shown(kind)}, not Bearer")
    if (lifetime := _lifetime(body.get("expires_in"))) is None:
        given = _shown(body["expires_in"]) if "expires_in" in body else "missing"
        raise _odd(f"its expires_in is {given}, not the seconds for which the token is valid")
    kept = {name: body[name] for name in _OF_A_PERSON if person and isinstance(body.get(name), str)}
    return {"token_type": "Bearer", "access_token": token, "expires_in": lifetime, **kept}


def checked_device_code(body: dict[str, Any]) -> dict[str, Any]:
    """Returns an answer to a request for a device code (RFC 8628 §3.2). Raises RequestException for any other."""
    for name in ("device_code", "user_code", "verification_uri"):
        if not (isinstance(body.get(name), str) and body[name]):
            raise _odd(f"it has no {name}")
    if (lifetime := _lifetime(body.get("expires_in"))) is None:
        raise _odd("its expires_in is no number of seconds")
    pause = body.get("interval")
    return {
        **{name: body[name] for name in ("device_code", "user_code", "verification_uri")},
        "message": "",
        "expires_in": lifetime,
        "interval": pause if isinstance(pause, int) and 0 < pause <= _LONGEST_POLL else _POLL,
    }


def _lifetime(given: object) -> int | None:
    """Returns a number of seconds; None for what is none. Endpoints of version 1.0 write it as a text."""
    if isinstance(given, str) and given.isascii() and given.isdigit() and len(given) <= len(str(_LONGEST_LIFETIME)):
        given = int(given)
    if isinstance(given, bool) or not isinstance(given, int | float) or not 1 <= given <= _LONGEST_LIFETIME:
        return None
    return int(given)


def _odd(reason: str) -> SignInFailed:
    return SignInFailed(reason, answered=False, odd=True)


def _shown(value: object) -> str:
    return shown(msgspec.json.encode(value))


class _TokenEndpoint(HTTPAdapter):
    """Sends the requests of a sign-in with the TLS context that the rest of the program uses.

    An answer that says nothing of the credential counts as none: an unavailable service, a page of HTML, an error that
    Entra says to be passing, an answer that is neither a token nor an error. azure-identity would call it a refused
    credential.
    """

    def __init__(self, context: ssl.SSLContext, *, person: bool) -> None:
        self._context = context
        self._person = person
        super().__init__()

    def send(self, request: PreparedRequest, *args: Any, **options: Any) -> Response:
        """Returns the answer of Entra. Raises RequestException when there is none that counts."""
        response = super().send(request, *args, **options)
        try:
            body = _decode_answer(response.content)
        except UNREADABLE:
            body = None
        unavailable = transient(response.status_code) is not None
        if body is not None and ("error" in body or not unavailable):
            if "error" not in body and response.ok and urlsplit(request.url or "").path.endswith("/devicecode"):
                body = checked_device_code(body)
            else:
                for_token = request.method == "POST"
                body = checked_sign_in(body, response.status_code, for_token=for_token, person=self._person)
        answer = body or {}
        number = next((one for one in answer.get("error_codes", ()) if one in _PASSING_NUMBERS), 0)
        passing = bool(number) or answer.get("error") in _PASSING_ERRORS
        if body is not None and not passing and not unavailable:
            response._content = msgspec.json.encode(body)
            return response
        what = f"AADSTS{number}" if number else f"status {response.status_code}"
        raise SignInFailed(
            what if body is not None else f"{what} with a body that is not JSON",
            # A page of HTML with another status is that of a proxy, as a rule.
            answered=passing or unavailable,
            asked=retry_after({name.lower(): value for name, value in response.headers.items()}),
        )

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, ssl_context=self._context, **options)

    def proxy_manager_for(self, *args: Any, **options: Any) -> Any:
        return super().proxy_manager_for(*args, ssl_context=self._context, **options)


def _build(tenant: Tenant, context: ssl.SSLContext) -> TokenCredential:
    from azure.identity import (
        CertificateCredential,
        ClientSecretCredential,
        ManagedIdentityCredential,
        WorkloadIdentityCredential,
    )

    if tenant.managed_identity:
        return ManagedIdentityCredential(client_id=tenant.client_id)
    options = endpoint_options(tenant, context)
    # The project's validation asks for both ids wherever one of these is used.
    tenant_id, client_id = tenant.tenant_id or "", tenant.client_id or ""
    if tenant.workload_identity:
        return WorkloadIdentityCredential(tenant_id=tenant_id, client_id=client_id, **options)
    if tenant.certificate is not None:
        return CertificateCredential(
            tenant_id,
            client_id,
            certificate_data=tenant.certificate.read(),
            password=tenant.certificate.password_value(),
            **options,
        )
    assert tenant.client_secret is not None  # noqa: S101 - the project's validation asks for one kind of credential
    return ClientSecretCredential(tenant_id, client_id, tenant.client_secret.reveal(), **options)


def endpoint_options(tenant: Tenant, context: ssl.SSLContext, *, person: bool = False) -> dict[str, Any]:
    """Returns options of azure-identity's credentials: where to sign in, and through which transport.

    Args:
        tenant: The tenant.
        context: Whom to trust.
        person: A person signs in, not an app registration.
    """
    session = Session()
    session.mount("https://", _TokenEndpoint(context, person=person))
    return {
        "authority": authority_of(tenant),
        # Instance discovery asks Microsoft's global cloud about an authority that it does not know.
        "disable_instance_discovery": tenant.authority is not None,
        "transport": RequestsTransport(
            session=session,
            session_owner=True,
            connection_timeout=_CONNECT_TIMEOUT,
            read_timeout=_READ_TIMEOUT,
        ),
        # The credential itself tries again, with the patience of the run.
        "retry_total": 0,
    }
