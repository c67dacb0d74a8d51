"""What passes is waited for, what is broken off is begun anew, and what has no end ends: nothing is lost meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import msgspec
import pytest

from entra_pipeline.backup.run import NullBackupProgress
from entra_pipeline.demo import compare
from entra_pipeline.errors import ConfigurationError
from entra_pipeline.graph.retry import use_policy
from entra_pipeline.store.manifest import Manifest
from tests.support.patience import IMPATIENT
from tests.support.protected import Protected, protect

Tenant = Callable[..., Protected]
TYPES = protect("users", "groups", "applications")
# Patience enough for any number of attempts here; where it has to end, tests say so.
PATIENT = replace(IMPATIENT, timeout=60.0, bad_response_timeout=30.0)


@pytest.fixture(autouse=True)
def _patience(_impatience: None) -> Iterator[None]:
    with use_policy(PATIENT):
        yield


@pytest.fixture
def elsewhere() -> Iterator[tuple[str, list[str]]]:
    """Another host: its address, and the requests that it got."""
    got: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            got.append(f"{self.path} {self.headers.get('Authorization')}")
            body = b'{"value": []}'
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET

        def log_message(self, *args: object) -> None:
            """Nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", got
        server.shutdown()
        thread.join()


class Midway(NullBackupProgress):
    """Does something once, when the first rows have been read."""

    def __init__(self, act: Callable[[], object]) -> None:
        self._act: Callable[[], object] | None = act

    def rows(self, table: str, rows: int) -> None:
        if self._act is not None:
            act, self._act = self._act, None
            act()


def gaps(manifest: Manifest, table: str) -> str:
    return " ".join(f"{gap.what}: {gap.reason}" for gap in manifest.tables[table].gaps)


# --- Patience ---------------------------------------------------------------------------------------------------------


def test_no_number_of_refusals_ends_a_run(tenant: Tenant) -> None:
    one = tenant(TYPES, users=20)
    for retry_after in ("0.01", "0", "soon"):
        one.control.misbehave("throttled", times=40, retry_after=retry_after)
        one.assert_same(one.backup(full=True))
        one.control.behave()
    for status in (500, 503):
        one.control.misbehave("fails", "applications/*/owners", times=25, status=status)
        one.control.misbehave("fails", "users/delta", times=25, status=status)
        one.control.misbehave("expand-null", "applications/*/owners")
        one.assert_same(one.backup(full=True))
        one.control.behave()


def test_one_request_that_fails_for_ever_does_not_keep_the_others(tenant: Tenant) -> None:
    one = tenant(TYPES, users=20)
    one.control.misbehave("fails", "groups/delta", status=500)
    with use_policy(IMPATIENT):
        manifest = one.backup()
    assert manifest.status == "finished with exception"
    assert "kept failing" in gaps(manifest, "groups")
    assert not manifest.tables["users"].gaps


def test_sign_in_that_fails_for_a_while_in_the_middle_of_a_run_is_waited_for(tenant: Tenant) -> None:
    one = tenant(TYPES, users=20)
    one.control.delta(page_size=4)
    numbers = (90033, 90024, 50196)
    failures = [
        ("sign-in-unavailable", {}),
        ("sign-in-unavailable", {"status": 200}),
        ("sign-in-unavailable", {"status": 429}),
        *(("sign-in-transient", {"number": number, "error": "invalid_request"}) for number in numbers),
        ("sign-in-transient", {"number": 1, "error": "temporarily_unavailable"}),
        ("sign-in-odd", {}),
        ("sign-in-odd", {"changes": {"access_token": "a\nb"}, "absent": []}),
    ]
    for name, options in failures:

        def fail(name: str = name, options: dict[str, object] = options) -> None:
            one.control.misbehave(name, times=12, **options)
            one.control.expire_tokens()

        one.assert_same(one.backup(full=True, progress=Midway(fail)))
        assert [rule["struck"] for rule in one.control.misbehaviours()] == [12], (name, options)
        one.control.behave()


def test_a_passing_failure_is_waited_for_before_the_first_request_too(tenant: Tenant) -> None:
    one = tenant(TYPES, users=20)
    one.control.misbehave("sign-in-transient", times=12)
    one.assert_same(one.backup())


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({}, "expires_in is missing"),
        ({"changes": {"expires_in": -5}, "absent": []}, "expires_in is -5"),
        ({"changes": {"access_token": "a\nb"}, "absent": []}, "access_token is empty, or has characters"),
        ({"changes": {"error": 7}, "status": 400}, "status 400 with JSON that names no error"),
    ],
)
def test_an_odd_answer_to_the_sign_in_is_named_and_blames_no_credential(
    tenant: Tenant, options: dict[str, Any], named: str
) -> None:
    one = tenant(TYPES, users=20)
    one.control.misbehave("sign-in-odd", **options)
    with use_policy(IMPATIENT), pytest.raises(ConfigurationError, match=named) as found:
        one.backup()
    assert found.value.key.endswith(".authority")
    one.control.behave()
    one.control.misbehave("sign-in-odd", changes={"expires_in": "3599"}, absent=[])
    one.assert_same(one.backup())


def test_a_credential_refused_in_the_middle_of_a_run_is_named_and_the_rest_committed(tenant: Tenant) -> None:
    one = tenant(TYPES, users=20)
    one.control.delta(page_size=4)

    def refuse() -> None:
        one.control.misbehave("sign-in-transient", number=7000222, error="invalid_client", status=401)
        one.control.expire_tokens()

    began = time.monotonic()
    manifest = one.backup(progress=Midway(refuse))
    assert time.monotonic() - began < 20
    assert manifest.status == "finished with exception"
    assert "client_secret" in " ".join(gaps(manifest, table) for table in manifest.tables)
    one.control.behave()
    one.assert_same(one.backup())


def test_a_token_refused_in_a_batch_is_renewed(tenant: Tenant) -> None:
    one = tenant(TYPES, users=20)
    one.control.misbehave("expand-null", "applications/*/owners")
    one.control.misbehave("token-expired", "applications/*/owners", only="batch", times=6)
    one.assert_same(one.backup())
    one.control.misbehave("token-expired", "users/delta", times=6)
    one.assert_same(one.backup(full=True))


# --- Beginning anew ---------------------------------------------------------------------------------------------------

EXPIRIES = [
    {"status": 400, "code": "Directory_ExpiredPageToken"},
    {"status": 410, "code": "resyncRequired"},
    {"status": 404, "code": "syncStateNotFound"},
    {"status": 400, "code": "Request_BadRequest", "message": "The page token is not valid."},
]


@pytest.mark.parametrize("form", EXPIRIES, ids=lambda form: form["code"])
def test_a_round_that_is_broken_off_is_begun_anew(tenant: Tenant, form: dict[str, object]) -> None:
    one = tenant(TYPES, users=20)
    one.control.delta(page_size=3)
    for full in (True, False):
        for index in range(8):
            one.control.create("users", {"displayName": f"New {full} {index}"})
        for times in (1, 3):
            one.control.misbehave("page-token-expired", "users/delta", times=times, **form)
            one.assert_same(one.backup(full=full))
            one.control.behave()


def test_a_list_that_is_broken_off_again_and_again_is_begun_anew(tenant: Tenant) -> None:
    one = tenant(protect("users", "user_licenses"), users=30)
    # The service takes pages of seven only: lists have several.
    one.control.misbehave("page-size-refused", largest=7)
    one.control.misbehave("page-token-expired", "users", times=3)
    one.assert_same(one.backup())
    assert all(rule["struck"] >= 3 for rule in one.control.misbehaviours())


def test_the_list_of_one_owner_that_is_broken_off_is_begun_anew(tenant: Tenant) -> None:
    one = tenant(TYPES, users=20)
    application = one.control.dump("applications")[0]["id"]
    one.control.add_link(f"applications/{application}/owners", *(user["id"] for user in one.control.dump("users")[:9]))
    one.control.misbehave("expand-null", "applications/*/owners")
    one.control.misbehave("page-size-refused", "applications/*/owners", largest=4)
    for form in ({"status": 400, "code": "Directory_ExpiredPageToken"}, {"status": 404}):
        one.control.misbehave("page-token-expired", "applications/*/owners", times=3, **form)
        one.assert_same(one.backup(full=True))
    assert all(rule["struck"] for rule in one.control.misbehaviours())


def test_a_round_that_is_always_broken_off_is_named(tenant: Tenant) -> None:
    one = tenant(TYPES, users=20)
    before = one.objects(one.backup(), "users")
    one.control.delta(page_size=3)
    one.control.misbehave("page-token-expired", "users/delta")
    with use_policy(IMPATIENT):
        manifest = one.backup(full=True)
    assert one.objects(manifest, "users") == before
    assert "broke a list off" in gaps(manifest, "users")


# --- Ends -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"pages": 2}, {"empty": True}], ids=["one page", "two pages", "empty pages"])
def test_pages_without_end_end(tenant: Tenant, options: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("entra_pipeline.graph.pages._EMPTY", 60)
    one = tenant(protect("users", "user_licenses", "role_assignments"), users=20)
    before = one.objects(one.backup(), "users")
    one.control.delta(page_size=5)
    one.control.misbehave("endless-pages", "users/delta", **options)
    one.control.misbehave("endless-pages", "roleManagement/directory/roleAssignments", **options)
    manifest = one.backup(full=True)
    assert one.objects(manifest, "users") == before
    for table in ("users", "role_assignments"):
        assert "no end" in gaps(manifest, table)
    one.control.behave()
    one.assert_same(one.backup())


# --- Links ------------------------------------------------------------------------------------------------------------


def test_the_token_goes_nowhere_else(tenant: Tenant, elsewhere: tuple[str, list[str]]) -> None:
    root, got = elsewhere
    one = tenant(TYPES, users=20)
    one.control.delta(page_size=5)
    first = one.backup()

    one.control.misbehave("foreign-link", root=root, links=["@odata.deltaLink"])
    led_away = one.backup(full=True)
    assert one.objects(led_away, "users") == one.objects(first, "users")
    assert "leads to another place" in gaps(led_away, "users")
    one.control.behave()
    after = one.backup()
    one.assert_same(after)
    assert after.tables["users"].read == "full"

    for name, options in (("foreign-link", {"links": ["@odata.nextLink"]}), ("redirected", {})):
        one.control.misbehave(name, "users/delta", root=root, **options)
        manifest = one.backup(full=True)
        assert one.objects(manifest, "users") == one.objects(first, "users")
        assert root.removeprefix("http://") in gaps(manifest, "users")
        one.control.behave()
    assert got == []


@pytest.mark.parametrize("full", [True, False])
def test_no_set_is_continued_with_another(tenant: Tenant, full: bool) -> None:
    one = tenant(protect("users", "groups", "named_locations", "applications"), users=20)
    one.backup()
    before = one.picture()
    member = next(iter(one.control.edges("groups", "members")))

    one.control.misbehave("other-set-link", "groups/delta", to="users")
    one.control.misbehave("other-set-link", "identity/conditionalAccess/namedLocations", links=["@odata.nextLink"])
    one.control.misbehave("other-set-link", "applications/*/owners", links=["@odata.nextLink"])
    one.control.misbehave("redirected", "users/delta", root="", to="devices/delta")
    led_astray = one.backup(full=full)
    one.control.behave()
    assert led_astray.status == "finished with exception"
    assert compare(one.store, led_astray, before).differing == []
    for table in ("users", "groups", "named_locations"):
        assert "leads to" in gaps(led_astray, table)

    one.control.remove_link(f"groups/{member[0]}/members", member[1])
    after = one.backup()
    one.assert_same(after)
    assert after.tables["groups"].read == "full"


def test_a_redirect_within_graph_is_followed(tenant: Tenant) -> None:
    one = tenant(TYPES, users=20)
    one.control.misbehave("redirected", "users/delta", root="", times=2)
    one.assert_same(one.backup())


def test_a_delta_link_changed_in_the_store_is_not_followed(
    tenant: Tenant, elsewhere: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    root, got = elsewhere
    one = tenant(TYPES, users=20)
    first = one.backup()
    users = msgspec.structs.replace(first.tables["users"], delta_link=f"{root}/v1.0/users/delta?$deltatoken=x")
    changed = msgspec.structs.replace(first, tables={**first.tables, "users": users})
    monkeypatch.setattr(type(one.store), "latest", lambda self: changed)
    manifest = one.backup()
    assert got == []
    assert manifest.tables["users"].read == "full"
    assert "does not lead to" in " ".join(manifest.tables["users"].notes)
    one.assert_same(manifest)


# --- Smaller things ---------------------------------------------------------------------------------------------------


def test_a_round_without_a_link_to_the_next_keeps_its_rows(tenant: Tenant) -> None:
    one = tenant(TYPES, users=20)
    for options in ({"value": ""}, {"absent": True}, {"value": 7}, {"value": None}):
        one.control.misbehave("empty-delta-link", "users/delta", **options)
        manifest = one.backup()
        assert len(one.objects(manifest, "users")) == len(one.control.dump("users"))
        assert "no link to the next round" in gaps(manifest, "users")
        assert not manifest.tables["groups"].gaps
        one.control.behave()
        after = one.backup()
        one.assert_same(after)
        assert after.tables["users"].read == "full"


def test_a_url_with_hundreds_of_extensions_goes_in_a_batch(tenant: Tenant) -> None:
    one = tenant(TYPES, users=20)
    application = one.control.dump("applications")[0]["id"]
    path = f"applications/{application}/extensionProperties"
    for number in range(50):
        one.control.create(path, {"name": f"badge{number}", "dataType": "String", "targetObjects": ["User"]})
    names = sorted(extension["name"] for extension in one.control.dump(path))
    user = one.control.dump("users")[0]["id"]
    one.control.patch(f"users/{user}", {names[0]: "first", names[-1]: "last"})
    one.control.delta(page_size=7)
    for form in ({}, {"status": 404, "code": ""}):
        one.control.misbehave("url-too-long", longest=1600, **form)
        for full in (True, False):
            one.control.patch(f"users/{user}", {names[7]: f"{form} {full}"})
            manifest = one.backup(full=full)
            one.assert_same(manifest)
            stored = one.objects(manifest, "users")[user]
            assert (stored[names[0]], stored[names[7]], stored[names[-1]]) == ("first", f"{form} {full}", "last")
        assert one.control.misbehaviours()[0]["struck"]
        one.control.behave()
