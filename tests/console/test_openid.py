"""Signing in with OpenID Connect at a provider that is run here, and at providers that cheat."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey

from entra_pipeline.console.app_state import AppState
from entra_pipeline.console.auth.login_throttle import PER_ORIGIN
from entra_pipeline.console.dagster.client import Dagster
from entra_pipeline.console.pages import sign_in as sign_in_page
from entra_pipeline.console.rendering import templates
from entra_pipeline.console.server import sign_in
from entra_pipeline.errors import ConfigurationError
from entra_pipeline.project import load_project
from tests.console.two_points import NOWHERE, Served, csrf_of, serving

CLIENT_ID, SECRET = "console", "a-secret-of-the-console"
SETTINGS = """
[console]
public_url = "{url}"
[console.oidc]
issuer = "{issuer}"
client_id = "console"
client_secret = {{ file = "oidc-secret" }}
[console.roles]
viewer = ["Backup.Viewer", "11111111-1111-1111-1111-111111111111"]
administrator = ["Backup.Administrator"]
"""


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@dataclass
class Provider:
    """A provider of OpenID Connect that does as it is told: `cheat` changes the token before it is signed."""

    url: str = ""
    key: RSAKey = field(default_factory=lambda: RSAKey.generate_key(2048, {"kid": "one", "use": "sig"}))
    claims: dict[str, Any] = field(default_factory=dict)
    cheat: Callable[[dict[str, Any]], None] = lambda claims: None
    signer: Any = None
    algorithm: str = "RS256"
    metadata: dict[str, Any] = field(default_factory=dict)
    codes: dict[str, dict[str, str]] = field(default_factory=dict)

    def answer(self, path: str, query: dict[str, str], form: dict[str, str]) -> tuple[int, Any]:
        if path == "/.well-known/openid-configuration":
            return 200, {
                "issuer": self.url,
                "authorization_endpoint": f"{self.url}/authorize",
                "token_endpoint": f"{self.url}/token",
                "jwks_uri": f"{self.url}/keys",
                "id_token_signing_alg_values_supported": ["RS256", "HS256", "none"],
                **self.metadata,
            }
        if path == "/keys":
            return 200, {"keys": [self.key.as_dict(private=False)]}
        if path == "/authorize":
            assert query["response_type"] == "code"
            assert query["code_challenge_method"] == "S256"
            code = f"code-{len(self.codes)}"
            self.codes[code] = query
            return 302, f"{query['redirect_uri']}?{urlencode({'code': code, 'state': query['state']})}"
        return self.token(form)

    def token(self, form: dict[str, str]) -> tuple[int, Any]:
        asked = self.codes.pop(form["code"], None)
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        if asked is None or encoded(digest) != asked["code_challenge"]:
            return 400, {"error": "invalid_grant"}
        now = int(time.time())
        claims = {"iss": self.url, "aud": CLIENT_ID, "sub": "anna", "iat": now, "exp": now + 300, **self.claims}
        claims["nonce"] = asked["nonce"]
        self.cheat(claims)
        if self.algorithm == "none":
            parts = ({"alg": "none"}, claims)
            token = (
                ".".join(base64.urlsafe_b64encode(json.dumps(p).encode()).rstrip(b"=").decode() for p in parts) + "."
            )
        else:
            header = {"alg": self.algorithm, "kid": "one"}
            token = jwt.encode(header, claims, self.signer or self.key, algorithms=[self.algorithm])
        return 200, {"access_token": "x", "token_type": "Bearer", "id_token": token, "expires_in": 300}


@pytest.fixture
def provider() -> Iterator[Provider]:
    one = Provider(claims={"preferred_username": "anna@contoso.com", "name": "Anna", "roles": ["Backup.Administrator"]})

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            form = {key: values[0] for key, values in parse_qs(self.rfile.read(length).decode()).items()}
            address = urlsplit(self.path)
            query = {key: values[0] for key, values in parse_qs(address.query).items()}
            status, body = one.answer(address.path, query, form)
            self.send_response(status)
            if status == 302:
                self.send_header("Location", body)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            data = json.dumps(body).encode()
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_POST = do_GET

        def log_message(self, *_: Any) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    one.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield one
    server.shutdown()
    server.server_close()


@pytest.fixture
def console(provider: Provider, tmp_path: Path) -> Iterator[Served]:
    yield from console_for(provider.url, tmp_path)


def console_for(issuer: str, folder: Path) -> Iterator[Served]:
    """A console whose people sign in at an issuer; the address it is reached at is known once it is served."""
    (folder / "oidc-secret").write_text(SECRET)
    file = folder / "dagster_project.toml"
    file.write_text(SETTINGS.format(url="http://127.0.0.1:1", issuer=issuer))
    way, password = sign_in(load_project(file), "0.0.0.0")
    assert password == ""
    dagster = Dagster(NOWHERE, NOWHERE)
    with serving(AppState(file, sign_in=way, dagster=dagster, templates=templates())) as served:
        assert way.openid is not None
        way.openid.redirect_uri = served.url + "/sign-in/callback"
        yield served
    dagster.close()


def go_to_provider(browser: httpx.Client) -> str:
    """Where the provider sends the browser back to."""
    page = browser.get("/sign-in?next=/scopes")
    begun = browser.post("/sign-in", data={"csrf_token": csrf_of(page), "next": "/scopes"})
    assert begun.status_code == 303, begun.text
    return httpx.get(begun.headers["location"], trust_env=False).headers["location"]


def test_somebody_signs_in_and_lands_where_they_wanted(console: Served) -> None:
    with console.client() as browser:
        back = browser.get(go_to_provider(browser))
        assert (back.status_code, back.headers["location"]) == (303, "/scopes")
        page = browser.get("/scopes").text
        assert "Anna" in page
        assert "administrator" in page


@pytest.mark.parametrize(
    ("claims", "role"),
    [
        ({"roles": ["Backup.Viewer", "Other"]}, "viewer"),
        ({"roles": [], "groups": ["11111111-1111-1111-1111-111111111111"]}, "viewer"),
        ({"roles": ["Backup.Viewer", "Backup.Administrator"]}, "administrator"),
    ],
)
def test_roles_come_from_app_roles_and_groups(
    claims: dict[str, Any], role: str, console: Served, provider: Provider
) -> None:
    provider.claims.update(claims)
    with console.client() as browser:
        browser.get(go_to_provider(browser))
        assert f"<small>{role}</small>" in browser.get("/").text


@pytest.mark.parametrize("claims", [{"roles": ["Other"]}, {"roles": []}, {"roles": [], "hasgroups": True}])
def test_nobody_without_a_role_comes_in(claims: dict[str, Any], console: Served, provider: Provider) -> None:
    provider.claims.update(claims)
    with console.client() as browser:
        back = browser.get(go_to_provider(browser))
        assert back.status_code == 403
        assert "has no role" in back.text
        assert browser.get("/").status_code == 303


def _set(**values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda claims: claims.update(values)


@pytest.mark.parametrize(
    "cheat",
    [
        _set(nonce="another"),
        lambda claims: claims.pop("nonce"),
        _set(aud="another app"),
        _set(aud=["another app", "a third"]),
        lambda claims: claims.pop("aud"),
        _set(exp=int(time.time()) - 3600),
        lambda claims: claims.pop("exp"),
        _set(iss="https://login.example.com"),
        lambda claims: claims.pop("iss"),
    ],
    ids=["nonce", "no nonce", "audience", "audiences", "no audience", "expired", "no expiry", "issuer", "no issuer"],
)
def test_a_token_that_is_not_for_this_sign_in_is_refused(
    cheat: Callable[[dict[str, Any]], None], console: Served, provider: Provider
) -> None:
    provider.cheat = cheat
    refused(console)


def test_a_signature_of_somebody_else_is_refused(console: Served, provider: Provider) -> None:
    provider.signer = RSAKey.generate_key(2048, {"kid": "one"})
    refused(console)


def test_no_signature_is_refused(console: Served, provider: Provider) -> None:
    provider.algorithm = "none"
    refused(console)


@pytest.mark.parametrize("secret", ["the secret", "the public key"])
def test_a_signature_that_others_can_make_is_refused(secret: str, console: Served, provider: Provider) -> None:
    provider.algorithm = "HS256"
    provider.signer = SECRET.encode() if secret == "the secret" else provider.key.as_pem(private=False)
    refused(console)


def refused(console: Served) -> None:
    with console.client() as browser:
        back = browser.get(go_to_provider(browser))
        assert back.status_code == 403
        assert "The sign-in is refused" in back.text
        assert browser.get("/").status_code == 303


def test_another_state_is_refused(console: Served) -> None:
    with console.client() as browser:
        back = urlsplit(go_to_provider(browser))
        query = {key: values[0] for key, values in parse_qs(back.query).items()}
        for state in ("guessed", ""):
            assert browser.get("/sign-in/callback", params={**query, "state": state}).status_code == 403
        assert browser.get("/").status_code == 303


def test_what_was_begun_in_another_browser_is_refused(console: Served) -> None:
    with console.client() as browser, console.client() as victim:
        back = go_to_provider(browser)
        victim.get("/sign-in")
        assert victim.get(back).status_code == 403
        assert victim.get("/").status_code == 303


def test_callbacks_lock_out_nobody(console: Served) -> None:
    """Whoever can load a page can cause as many as they like: no credential is tried by them."""
    with console.client() as outsider:
        for number in range(2 * PER_ORIGIN):
            query = {"code": "guessed", "state": "guessed"} if number % 2 else {}
            assert outsider.get("/sign-in/callback", params=query).status_code == 403
    with console.client() as browser:
        assert browser.get(go_to_provider(browser)).status_code == 303


def test_the_callback_of_another_sign_in_ends_none(console: Served) -> None:
    """Another site may send a browser there, in the middle of a sign-in."""
    with console.client() as browser:
        back = go_to_provider(browser)
        assert browser.get("/sign-in/callback", params={"code": "x", "state": "x"}).status_code == 403
        assert browser.get("/sign-in/callback", params={"error": "x"}).status_code == 403
        assert browser.get(back).status_code == 303


def test_looking_at_a_callback_uses_nothing_up(console: Served) -> None:
    with console.client() as browser:
        back = go_to_provider(browser)
        assert browser.head(back).status_code == 303
        assert browser.head("/sign-in/callback").status_code == 303
        assert browser.get(back).headers["location"] == "/scopes"


def test_few_refusals_of_an_address_are_recorded_one_by_one(console: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    recorded = []
    monkeypatch.setattr(sign_in_page, "record", lambda *_, **more: recorded.append(more["reason"]))
    with console.client() as outsider:
        for _ in range(PER_ORIGIN + 5):
            outsider.get("/sign-in/callback", params={"error": "x" * 5000})
    assert len(recorded) == PER_ORIGIN
    assert all(len(reason) <= 300 for reason in recorded)


def test_a_role_follows_the_configuration_at_once(console: Served, provider: Provider) -> None:
    provider.claims["roles"] = ["Backup.Viewer", "Backup.Administrator"]
    file = console.site.file
    text = file.read_text()
    with console.client() as browser:
        browser.get(go_to_provider(browser))
        assert browser.get("/sessions").status_code == 200
        file.write_text(text.replace('administrator = ["Backup.Administrator"]', 'administrator = ["Nobody.At.All"]'))
        assert browser.get("/sessions").status_code == 403
        assert "<small>viewer</small>" in browser.get("/").text
        file.write_text("[")
        assert browser.get("/").status_code == 409, "a file that cannot be read signs nobody out"
        file.write_text(text.replace("Backup.", "Other.").replace("11111111", "22222222"))
        assert browser.get("/").status_code == 303
        file.write_text(text)
        assert browser.get("/").status_code == 303, "a session that has ended stays so"


def test_a_broken_configuration_is_not_told_to_strangers(console: Served) -> None:
    with console.client() as browser:
        back = go_to_provider(browser)
        console.site.file.write_text("[secret-key")
        answer = browser.get(back)
        assert answer.status_code == 403
        assert "secret-key" not in answer.text and "dagster_project" not in answer.text


def test_a_code_counts_once(console: Served) -> None:
    with console.client() as browser:
        back = go_to_provider(browser)
        assert browser.get(back).status_code == 303
    with console.client() as other:
        go_to_provider(other)
        assert other.get(back).status_code == 403


def test_what_the_provider_refuses_is_told(console: Served) -> None:
    with console.client() as browser:
        go_to_provider(browser)
        query = {"error": "access_denied", "error_description": "no <b>consent</b>"}
        answer = browser.get("/sign-in/callback", params=query)
        assert answer.status_code == 403
        assert "&lt;b&gt;consent" in answer.text


def test_a_provider_that_is_another_one_is_refused(console: Served, provider: Provider) -> None:
    provider.metadata = {"issuer": "https://login.example.com"}
    with console.client() as browser:
        page = browser.get("/sign-in")
        answer = browser.post("/sign-in", data={"csrf_token": csrf_of(page)})
        assert answer.status_code == 503
        assert "calls itself https://login.example.com" in answer.text


def test_there_is_no_local_account_beside_it(console: Served) -> None:
    with console.client() as browser:
        page = browser.get("/sign-in")
        assert "password" not in page.text.lower()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_provider_of_others_making(tmp_path: Path) -> None:
    """The same against an implementation that is not ours."""
    from oidc_provider_mock import User, run_server_in_thread

    with run_server_in_thread(user_claims=[User(sub="anna", claims={"roles": ["Backup.Viewer"]})]) as server:
        issuer = f"http://localhost:{server.server_port}"
        for served in console_for(issuer, tmp_path):
            with served.client() as browser:
                page = browser.get("/sign-in")
                begun = browser.post("/sign-in", data={"csrf_token": csrf_of(page)})
                consent = httpx.post(begun.headers["location"], data={"sub": "anna"}, trust_env=False)
                browser.get(consent.headers["location"])
                assert "<small>viewer</small>" in browser.get("/").text


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ('[console]\npublic_url = "http://console.example.com"\n', "in the clear"),
        (
            '[console.oidc]\nclient_id = "x"\nclient_secret = { env = "X" }\nissuer = "https://x.example"\n',
            "public_url",
        ),
        (
            '[console]\npublic_url = "https://x.example"\n[console.oidc]\nclient_id = "x"\n'
            'client_secret = { env = "X" }\n',
            "needs one issuer",
        ),
        ('[console]\npublic_uri = "https://x.example"\n', "public_url"),
    ],
)
def test_settings_that_cannot_work_are_told(settings: str, told: str, tmp_path: Path) -> None:
    file = tmp_path / "dagster_project.toml"
    file.write_text(settings)
    with pytest.raises(ConfigurationError) as failure:
        load_project(file)
    assert told in str(failure.value)
