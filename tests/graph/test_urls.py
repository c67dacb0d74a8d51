"""A token goes to the tenant's Graph and nowhere else, and a link continues what it is a link of."""

from __future__ import annotations

import pytest

from entra_pipeline.catalogue import CATALOGUE
from entra_pipeline.errors import GraphProtocolError
from entra_pipeline.graph.urls import check_continuation, check_link, continues, leads_to_graph

pytestmark = pytest.mark.pure
ROOT = "https://graph.microsoft.com/v1.0"


@pytest.mark.parametrize(
    "link",
    [
        "https://graph.microsoft.com/v1.0/users?$skiptoken=abc",
        "https://graph.microsoft.com:443/v1.0/users/delta?$deltatoken=a%2Fb",
        "HTTPS://Graph.Microsoft.COM/V1.0/users",
        "https://graph.microsoft.com/v1.0/groups?$filter=startswith(displayName,'a b')",
        "https://graph.microsoft.com/v1.0/users?$filter=mail eq 'x@example.com'&next=https://elsewhere/",
    ],
)
def test_links_below_the_root_are_followed(link: str) -> None:
    check_link(link, ROOT)


@pytest.mark.parametrize(
    "link",
    [
        "",
        "users?$skiptoken=abc",
        "//graph.microsoft.com/v1.0/users",
        "http://graph.microsoft.com/v1.0/users",
        "https://graph.example.net/v1.0/users",
        "https://graph.microsoft.com.example.net/v1.0/users",
        "https://graph.microsoft.com./v1.0/users",
        "https://graph.microsoft.com:8443/v1.0/users",
        "https://graph.microsoft.com:x/v1.0/users",
        "https://graph.microsoft.com@example.net/v1.0/users",
        "https://user:secret@graph.microsoft.com/v1.0/users",
        "https://example.net/https://graph.microsoft.com/v1.0/users",
        "https://example.net\\@graph.microsoft.com/v1.0/users",
        "https://graph.microsoft.com\\.example.net/v1.0/users",
        "https://graph.microsoft.com?@example.net/v1.0/users",
        "https://graph.microsoft.com#@example.net/v1.0/users",
        "https://graph.microsoft.com/beta/users",
        "https://graph.microsoft.com/v1.0",
        "https://graph.microsoft.com/v1.0evil/users",
        "https://graph.microsoft.com/v1.0/../beta/users",
        "https://graph.microsoft.com/v1.0/%2e%2E/beta/users",
        "https://graph.micro\tsoft.com/v1.0/users",
        "https://graph.microsoft.com/v1.0/users?a\r\nHost: example.net",
        "https://gr\u0430ph.microsoft.com/v1.0/users",
        "https://[::1/v1.0/users",
        "file:///v1.0/users",
    ],
)
def test_all_other_links_are_not(link: str) -> None:
    assert not leads_to_graph(link, ROOT)
    with pytest.raises(GraphProtocolError, match="is not followed"):
        check_link(link, ROOT, "a stored link")


def test_the_address_in_the_error_has_no_query() -> None:
    with pytest.raises(GraphProtocolError) as caught:
        check_link("https://example.net/v1.0/users?$deltatoken=secret", ROOT)
    assert "example.net" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_gateway_with_a_path_of_its_own_is_the_root() -> None:
    root = "http://127.0.0.1:8480/graph/v1.0"
    assert leads_to_graph("http://127.0.0.1:8480/graph/v1.0/users", root)
    assert not leads_to_graph("http://127.0.0.1:8480/v1.0/users", root)
    assert not leads_to_graph("https://graph.microsoft.com/v1.0/users", root)


ID = "9a8f0ad5-0a3b-4d0c-9d1e-1c9a5a0f3b11"


@pytest.mark.parametrize(
    ("request_", "link"),
    [
        ("users?$top=5", "users?$top=5&$skiptoken=abc"),
        ("users/delta?$select=id", "users/delta?$deltatoken=abc"),
        ("users/delta", "users/microsoft.graph.delta()?$deltatoken=abc"),
        ("users/microsoft.graph.delta", "Users/Delta()?$skiptoken=abc"),
        ("directory/administrativeUnits/delta", "administrativeunits/delta?$skiptoken=abc"),
        ("oauth2PermissionGrants/delta", "oauth2permissiongrants/delta?$skiptoken=abc"),
        ("identity/conditionalAccess/namedLocations", "conditionalAccess/namedLocations?$skiptoken=abc"),
        ("directory/deletedItems/microsoft.graph.user", "directory/deleteditems/Microsoft.Graph.User?$skiptoken=abc"),
        ("users", f"{ID}/users?$skiptoken=abc"),
        ("users", "myorganization/users?$skiptoken=abc"),
        ("users", "contoso.onmicrosoft.com/users?$skiptoken=abc"),
        (f"groups/{ID}/members?$top=999", f"groups('{ID.upper()}')/members?$skiptoken=abc"),
        (f"applications/{ID}/owners", f"applications({ID})/owners/?$skiptoken=abc"),
        ("users/a%7Cb/extensions", "users/a|b/extensions".replace("|", "%7c")),
        ("users?$filter=mail eq 'https://x/y'", "users?$skiptoken=abc"),
        (f"{ROOT}/users/delta?$deltatoken=a", "users/delta?$deltatoken=b"),
    ],
)
def test_a_link_may_write_the_path_of_its_set_in_another_way(request_: str, link: str) -> None:
    check_continuation(f"{ROOT}/{link}", request_, ROOT, "a link")


@pytest.mark.parametrize(
    ("request_", "link"),
    [
        ("users/delta", "groups/delta?$deltatoken=abc"),
        ("users/delta", "users?$skiptoken=abc"),
        ("users", "users/delta?$deltatoken=abc"),
        ("identity/conditionalAccess/namedLocations", "groups?$skiptoken=abc"),
        ("identity/conditionalAccess/namedLocations", "identity/conditionalAccess/policies?$skiptoken=abc"),
        ("directory/deletedItems/microsoft.graph.user", "directory/deletedItems/microsoft.graph.group?$skiptoken=abc"),
        ("directory/deletedItems/microsoft.graph.user", "directory/deletedItems?$skiptoken=abc"),
        (f"groups/{ID}/members", f"groups/{ID[::-1]}/members?$skiptoken=abc"),
        (f"groups/{ID}/members", f"groups/{ID}/owners?$skiptoken=abc"),
        (f"groups/{ID}/members", "groups?$skiptoken=abc"),
        ("users", f"{ID}?$skiptoken=abc"),
        ("users/delta", "directory?$deltatoken=abc"),
    ],
)
def test_a_link_to_another_set_is_not_followed(request_: str, link: str) -> None:
    with pytest.raises(GraphProtocolError, match="leads to something else than"):
        check_continuation(f"{ROOT}/{link}", request_, ROOT, "a link")


def test_no_set_of_the_catalogue_passes_for_another() -> None:
    paths = {entry.path.lower() for entry in CATALOGUE.values() if entry.path}
    taken = {(one, other) for one in paths for other in paths if continues(f"{ROOT}/{one}", other, ROOT)}
    assert taken == {(one, one) for one in paths}
