"""URLs of Graph: made, read, and held to the tenant's Graph and to what was requested.

A token goes nowhere else, and a link that continues one set brings no objects of another.

What belongs here: how a query is written, and whether a URL from an answer, a redirect or the store may be requested.
What does not: requesting it (`connection`), and what a refused link means for a read (`client`, `backup.read`).
"""

from __future__ import annotations

import re
from functools import lru_cache
from urllib.parse import quote, unquote, urlsplit

from entra_pipeline.errors import GraphError, GraphProtocolError

_DEFAULT_PORTS = {"https": 443, "http": 80}
# What parsers of URLs disagree about: backslashes, blanks, control characters, letters beyond ASCII (RFC 3986 §2). In a
# query only control characters could lead elsewhere, into a line of their own.
_AMBIGUOUS = re.compile(r"^[^?]*([^\x21-\x7e]|[\\<>^`{|}\"])|[\x00-\x1f\x7f]")
_DOTS = re.compile(r"/(\.|%2e){1,2}(/|$)", re.IGNORECASE)
_SHOWN = 200
_TOP = re.compile(r"([?&]\$top=)(\d+)")
_NEXT_PAGE = re.compile(r"[?&]\$?skiptoken=", re.IGNORECASE)
# A key in parentheses, and the parentheses of a function without arguments: `groups('id')`, `delta()`.
_KEY = re.compile(r"\((?:'((?:[^']|'')*)'|([^'()]*))\)")
_CAST = "microsoft.graph."
# Where Graph keeps some sets: its own links and contexts leave it out (Graph doc: administrativeunit-delta answers
# `administrativeunits/delta`, namedlocation-list `conditionalAccess/namedLocations`).
_NAMESPACES = {"directory", "identity"}
# What names the tenant before a set: the alias, the tenant's id, or one of its domains.
_TENANT = re.compile(r"myorganization|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|(?!microsoft\.graph\.).+\..+")
# What every service takes as `$top`.
_SMALL_PAGE = 100
# What every server takes as a URL.
_LONG = 1_500


def query(path: str, **options: str | int | None) -> str:
    """`path` with OData query options: `query("users", select="id", top=999)` → `users?$select=id&$top=999`.

    Options that are None or empty are left out; a path that has options already gets more. The separators of OData stay
    readable in logs.
    """
    given = [f"${name}={quote(str(value), safe=',()$=;/:@')}" for name, value in options.items() if value]
    return f"{path}{'&' if '?' in path else '?'}{'&'.join(given)}" if given else path


def count_of(url: str) -> str:
    """Returns the URL that counts what a list shows: `users?$filter=F&$top=9` → `users/$count?$filter=F`."""
    path, options = url.partition("?")[::2]
    filters = [option for option in options.split("&") if option.lower().startswith(("$filter=", "%24filter="))]
    return f"{path}/$count?{'&'.join(filters)}".rstrip("?")


def is_delta(url: str) -> bool:
    """Tells whether a URL is that of a delta query."""
    return url.partition("?")[0].rstrip("/").lower().removesuffix("()").endswith("delta")


def is_next_page(url: str) -> bool:
    """Tells whether a URL is a link to a next page, which Graph has made."""
    return _NEXT_PAGE.search(url) is not None


def smaller_page(url: str, refusal: str) -> str:
    """Returns a URL with a smaller `$top`, for a service that refuses its size; empty when it has none to reduce.

    Args:
        url: Refused with status 400.
        refusal: Graph's words, which may name the limit: "Must be between 1 and 500 inclusive", "The limit of '100' for
            Top query has been exceeded".
    """
    asked = _TOP.search(url)
    if asked is None or int(asked[2]) <= _SMALL_PAGE:
        return ""
    words = refusal.partition(": ")[2]
    limits = [int(number) for number in re.findall(r"\d+", words) if 1 < int(number) < int(asked[2])]
    return f"{url[: asked.start(2)]}{max(limits, default=_SMALL_PAGE)}{url[asked.end(2) :]}"


def check_link(link: str, root: str, what: str = "a link of Graph") -> None:
    """Checks that a URL lies below the root of Graph: the same scheme, host and port, and a path that starts with its.

    Args:
        link: An absolute URL.
        root: Base URL of Graph, without a slash at the end.
        what: Names the link in the error.

    Raises:
        GraphProtocolError: The link leads elsewhere, or may be understood as leading elsewhere.
    """
    if not leads_to_graph(link, root):
        raise GraphProtocolError(
            f"{what} leads to an address outside {root}, and is not followed: {shown_link(link)}",
            remedy="If there is a proxy or gateway in front of Graph, it has to rewrite the links in responses to its "
            "own address. Otherwise find out who changed the answer or the stored point.",
        )


# Each link is checked when a page names it, and again when it is requested.
@lru_cache(maxsize=64)
def leads_to_graph(link: str, root: str) -> bool:
    """Tells whether a URL lies below the root of Graph; see `check_link`."""
    if link.startswith(f"{root}/") and link.isascii() and link.isprintable():
        # As Graph writes them: no parser can find another host in what begins so.
        path = link[len(root) :].partition("?")[0]
        if not _AMBIGUOUS.search(path):
            return not _DOTS.search(path)
    try:
        there, here = urlsplit(link), urlsplit(root)
        if _AMBIGUOUS.search(link) or _DOTS.search(there.path) or "@" in there.netloc:
            return False
        origins = {
            (parts.scheme.lower(), (parts.hostname or "").lower(), parts.port or _DEFAULT_PORTS.get(parts.scheme))
            for parts in (there, here)
        }
    except ValueError:
        return False
    return len(origins) == 1 and there.path.lower().startswith(f"{here.path.rstrip('/')}/".lower())


def check_continuation(link: str, request: str, root: str, what: str) -> None:
    """Checks that a URL continues a request: that it leads to the same set, or to the same owner's items.

    Args:
        link: An absolute URL.
        request: The request that it continues: absolute, or a path under the root of Graph.
        root: Base URL of Graph, without a slash at the end.
        what: Names the link in the error.

    Raises:
        GraphProtocolError: The link leads to another place than Graph, or to another set.
    """
    check_link(link, root, what)
    if not continues(link, request, root):
        raise GraphProtocolError(
            f"{what} leads to something else than {_resource_path(request, root)}, and is not followed: "
            f"{shown_link(link)}",
            remedy="The next backup reads it again; if the problem persists, and no proxy or gateway changes responses "
            "of Graph, contact Microsoft support.",
        )


def continues(link: str, request: str, root: str) -> bool:
    """Tells whether a URL lies below the root of Graph and leads to what a request does; see `check_continuation`."""
    return leads_to_graph(link, root) and _segments(link, root) == _segments(request, root)


def _segments(url: str, root: str) -> tuple[str, ...]:
    """Returns the segments of a path in one form: Graph writes the same path in several ways.

    Letter case counts for nothing, `groups('id')` is `groups/id`, `microsoft.graph.delta()` is `delta`. The tenant's
    own segment and the namespace before a set may be missing.
    """
    path = _KEY.sub(lambda key: f"/{key[1] or key[2] or ''}", unquote(_resource_path(url, root)).lower())
    found = [segment.removeprefix(_CAST) for segment in path.split("/") if segment]
    if found and _TENANT.fullmatch(found[0]):
        found = found[1:]
    return tuple(found[1:] if len(found) > 1 and found[0] in _NAMESPACES else found)


def _resource_path(url: str, root: str) -> str:
    """Returns the path of a URL below the root of Graph, without its query."""
    return below_root(url.partition("?")[0], root)


def shown_link(link: str) -> str:
    """Shows where a link leads, without its query, which may be a secret."""
    text = link.partition("?")[0]
    return repr(text[:_SHOWN])


def below_root(link: str, root: str) -> str:
    """Returns what a link names below the root of Graph, as a batch takes it; a relative one is returned as it is."""
    if "://" not in link:
        return link
    parts = urlsplit(link)
    path = parts.path[len(urlsplit(root).path.rstrip("/")) + 1 :]
    return f"{path}?{parts.query}" if parts.query else path


def too_long(error: GraphError, link: str) -> bool:
    """Tells whether a request was refused because of the length of its URL: 414, or 400 or 404 without Graph's code.

    Seen of servers before Graph: "404.15 The query string is too long", "400 Request Too Long", as pages of HTML.
    """
    if error.status in {414, 431}:
        return True
    return error.status in {400, 404} and len(link) > _LONG and (not error.code or "too long" in error.message.lower())
