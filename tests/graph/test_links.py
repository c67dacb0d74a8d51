"""A token goes to the tenant's Graph and nowhere else."""

from __future__ import annotations

import pytest

from entra_pipeline.errors import GraphProtocolError
from entra_pipeline.graph.links import check_link, leads_to_graph

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
