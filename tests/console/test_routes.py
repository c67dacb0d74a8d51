"""Every route of the console, with what an outsider and each role get from it.

A new route has to be entered in the table: that is where somebody decides who may come.
"""

from __future__ import annotations

import pytest

from entra_pipeline.console.app import build
from entra_pipeline.console.auth.roles import Role
from entra_pipeline.console.pages import PAGES
from entra_pipeline.console.pages.restores import EVERYTHING
from tests.console.conftest import Served
from tests.console.test_security import filled

# What an outsider, a viewer, an operator and an administrator get, where Dagster is not there: 303 leads to the sign-in
# or to the page that follows an act, 403 refuses, 409 asks for the version of the file, 503 is for want of Dagster.
TABLE: dict[str, tuple[int, int, int, int]] = {
    "GET /": (303, 200, 200, 200),
    "GET /compare": (303, 303, 303, 303),
    "GET /dashboard/attention": (303, 200, 200, 200),
    "GET /dashboard/days": (303, 200, 200, 200),
    "GET /dashboard/jobs": (303, 200, 200, 200),
    "GET /fleet": (303, 200, 200, 200),
    "GET /fleet/list": (303, 200, 200, 200),
    "GET /find": (303, 200, 200, 200),
    "GET /find/objects": (303, 200, 200, 200),
    "GET /jobs": (303, 200, 200, 200),
    "GET /jobs/list": (303, 200, 200, 200),
    "GET /jobs/{run}": (303, 503, 503, 503),
    "GET /jobs/{run}/progress": (303, 503, 503, 503),
    "POST /jobs/{run}/stop": (303, 403, 503, 503),
    "GET /notifications": (303, 200, 200, 200),
    "GET /notifications/new": (303, 403, 403, 200),
    "POST /notifications/new": (303, 403, 403, 400),
    "POST /notifications/{profile}/delete": (303, 403, 403, 409),
    "GET /notifications/{profile}/edit": (303, 403, 403, 200),
    "POST /notifications/{profile}/edit": (303, 403, 403, 400),
    "POST /notifications/{profile}/test": (303, 403, 200, 200),
    "GET /points": (303, 303, 303, 303),
    "GET /reports": (303, 200, 200, 200),
    "GET /reports/audit": (303, 200, 200, 200),
    "GET /reports/{report}": (303, 200, 200, 200),
    "GET /restore": (303, 403, 303, 303),
    "GET /restores": (303, 200, 200, 200),
    "GET /scopes": (303, 200, 200, 200),
    "GET /scopes/new": (303, 403, 403, 200),
    "POST /scopes/new": (303, 403, 403, 400),
    "GET /scopes/new/again": (303, 403, 403, 200),
    "POST /scopes/new/named": (303, 403, 403, 200),
    "GET /scopes/new/preview": (303, 403, 403, 200),
    "GET /scopes/new/search": (303, 403, 403, 200),
    "GET /scopes/{scope}": (303, 200, 200, 200),
    "POST /filters": (303, 400, 400, 400),
    "GET /scopes/{scope}/trends": (303, 200, 200, 200),
    "GET /scopes/{scope}/backup": (303, 200, 200, 200),
    "POST /scopes/{scope}/backup": (303, 403, 503, 503),
    "GET /scopes/{scope}/chosen": (303, 200, 200, 200),
    "GET /scopes/{scope}/compare": (303, 200, 200, 200),
    "POST /scopes/{scope}/delete": (303, 403, 403, 400),
    "GET /scopes/{scope}/edit": (303, 403, 403, 200),
    "POST /scopes/{scope}/edit": (303, 403, 403, 400),
    "GET /scopes/{scope}/erase": (303, 403, 403, 200),
    "POST /scopes/{scope}/erase": (303, 403, 403, 400),
    "GET /scopes/{scope}/jobs": (303, 303, 303, 303),
    "GET /scopes/{scope}/jobs/{job}": (303, 404, 404, 404),
    "GET /scopes/{scope}/points": (303, 200, 200, 200),
    "GET /scopes/{scope}/points/{point}": (303, 200, 200, 200),
    "GET /scopes/{scope}/points/{point}/remove": (303, 403, 200, 200),
    "POST /scopes/{scope}/points/{point}/remove": (303, 403, 400, 400),
    "GET /scopes/{scope}/points/{point}/restore": (303, 403, 200, 200),
    "POST /scopes/{scope}/points/{point}/restore": (303, 403, 503, 503),
    "GET /scopes/{scope}/points/{point}/{table}": (303, 200, 200, 200),
    "GET /scopes/{scope}/points/{point}/{table}/history": (303, 200, 200, 200),
    "GET /scopes/{scope}/points/{point}/{table}/links": (303, 404, 404, 404),
    "GET /scopes/{scope}/points/{point}/{table}/object": (303, 404, 404, 404),
    "GET /scopes/{scope}/restore": (303, 403, 200, 200),
    "GET /scopes/{scope}/restore/{point}": (303, 403, 200, 200),
    "POST /scopes/{scope}/restore/{point}/basket": (303, 403, 303, 303),
    "GET /scopes/{scope}/restores/{plan}": (303, 404, 404, 404),
    "POST /scopes/{scope}/restores/{plan}/apply": (303, 403, 404, 404),
    "POST /scopes/{scope}/restores/{plan}/approve": (303, 403, 403, 404),
    "POST /scopes/{scope}/restores/{plan}/undo": (303, 403, 404, 404),
    "GET /sessions": (303, 403, 403, 200),
    "POST /sessions/end": (303, 403, 403, 404),
    "GET /settings": (303, 200, 200, 200),
    "POST /settings/mail/delete": (303, 403, 403, 400),
    "GET /settings/mail/edit": (303, 403, 403, 200),
    "POST /settings/mail/edit": (303, 403, 403, 400),
    "POST /settings/mail/test": (303, 403, 403, 200),
    "GET /settings/storage/new": (303, 403, 403, 200),
    "POST /settings/storage/new": (303, 403, 403, 400),
    "POST /settings/storage/{storage}/check": (303, 403, 200, 200),
    "POST /settings/storage/{storage}/delete": (303, 403, 403, 400),
    "GET /settings/storage/{storage}/edit": (303, 403, 403, 200),
    "POST /settings/storage/{storage}/edit": (303, 403, 403, 400),
    "GET /settings/tenants/new": (303, 403, 403, 200),
    "POST /settings/tenants/new": (303, 403, 403, 400),
    "POST /settings/tenants/{tenant}/check": (303, 403, 200, 200),
    "POST /settings/tenants/{tenant}/delete": (303, 403, 403, 400),
    "GET /settings/tenants/{tenant}/edit": (303, 403, 403, 200),
    "POST /settings/tenants/{tenant}/edit": (303, 403, 403, 400),
    "GET /sign-in": (200, 303, 303, 303),
    "POST /sign-in": (403, 401, 401, 401),
    "GET /sign-in/callback": (303, 303, 303, 303),
    "POST /sign-out": (303, 303, 303, 303),
    "POST /sign-out/everywhere": (303, 303, 303, 303),
    "GET /sql": (303, 403, 200, 200),
    "POST /sql": (303, 403, 200, 200),
}
ROLES = (None, *Role)
FIELDS = {"/scopes/{scope}/points/{point}/restore": {"every": EVERYTHING}}
"""What some pages have to be told."""
# Paths that are no pages, with the methods that they take.
OTHERS = {"/static", "/dagster", "/dagster/{path:path}", "/healthz", "/metrics"}
DAGSTER: dict[str, tuple[int, int, int, int]] = {
    "GET /dagster": (303, 303, 303, 303),
    "GET /dagster/": (401, 503, 503, 503),
    "GET /dagster/graphql": (401, 503, 503, 503),
    "POST /dagster/graphql": (401, 503, 503, 503),
}
DAGSTER_QUERY = {"query": "{ version }"}


def test_every_route_is_in_the_table(console: Served) -> None:
    assert TABLE.keys() == {f"{method} {page.path}" for page in PAGES for method in page.methods}
    paths = {getattr(route, "path", "?") for route in build(console.site).routes}
    assert paths == {page.path for page in PAGES} | OTHERS


@pytest.mark.parametrize("role", ROLES)
def test_what_a_role_gets(console: Served, role: Role | None) -> None:
    place = ROLES.index(role)
    found, wanted = {}, {}
    for page in PAGES:
        for method in page.methods:
            # A browser each: some routes end the session.
            browser = console.browser(role)
            path = filled(page, console)
            fields = FIELDS.get(page.path, {})
            answer = browser.post(path, fields) if method == "POST" else browser.get(path, params=fields)
            found[f"{method} {page.path}"] = answer.status_code
            wanted[f"{method} {page.path}"] = TABLE[f"{method} {page.path}"][place]
            if role is None and answer.status_code == 303:
                assert answer.headers["location"].startswith("/sign-in"), page.path
    assert found == wanted


@pytest.mark.parametrize("role", ROLES)
def test_a_head_is_a_get_without_its_body(console: Served, role: Role | None) -> None:
    """And acts no more than that: a mail scanner looks at links with it."""
    browser = console.browser(role)
    for page in PAGES:
        known = TABLE.get(f"GET {page.path}")
        wanted = known[ROLES.index(role)] if known else 303 if role is None else 404
        answer = browser.client.head(filled(page, console), params=FIELDS.get(page.path))
        assert answer.status_code == wanted, page.path


@pytest.mark.parametrize("role", ROLES)
def test_no_route_takes_another_method(console: Served, role: Role | None) -> None:
    browser = console.browser(role)
    for path in sorted({filled(page, console) for page in PAGES}):
        for method in ("PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"):
            assert browser.client.request(method, path).status_code == (303 if role is None else 404), path


@pytest.mark.parametrize("role", ROLES)
def test_what_a_role_gets_of_dagster(console: Served, role: Role | None) -> None:
    for route, wanted in DAGSTER.items():
        method, path = route.split()
        more = {"json": DAGSTER_QUERY} if method == "POST" else {}
        answer = console.browser(role).client.request(method, path, **more)  # type: ignore[arg-type]
        assert answer.status_code == wanted[ROLES.index(role)], route
