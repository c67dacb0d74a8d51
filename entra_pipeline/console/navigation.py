"""The navigation: which entries a user sees, and which of them is the current one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from entra_pipeline.console.routing import Page, RequestContext
from entra_pipeline.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class NavigationEntry:
    """An entry of the navigation.

    Attributes:
        path: Where it leads.
        label: Its name.
        icon: Its icon.
        current: Whether the page shown is this one or below it.
    """

    path: str
    label: str
    icon: str
    current: bool


class Navigation:
    """Lists the navigation's entries for a page.

    Args:
        pages: The pages with a label, in order.
    """

    def __init__(self, pages: Sequence[Page]) -> None:
        self._pages = pages

    def __call__(self, context: RequestContext) -> list[NavigationEntry]:
        """Lists the entries that the user may open; the longest path that the address is below is current."""
        area = self._area(context.request.url.path)
        within = [
            one.path for one in self._pages if area == one.path or (one.path != "/" and area.startswith(f"{one.path}/"))
        ]
        current = max(within, key=len, default="")
        return [
            NavigationEntry(one.path, one.label, one.icon, one.path == current)
            for one in self._pages
            if one.takes(context.access) and _is_useful(one, context)
        ]

    def _area(self, path: str) -> str:
        """Gives the path by which an address is looked up: pages of one scope belong to their own entry."""
        parts = path.split("/")
        leaf = f"/{parts[3]}" if path.startswith("/scopes/") and len(parts) > 3 else path
        # A restore on its way is one of Restores.
        leaf = "/restores" if leaf == "/restore" else leaf
        return leaf if leaf in {one.path for one in self._pages} - {"/"} else path


def _is_useful(page: Page, context: RequestContext) -> bool:
    try:
        return page.useful is None or page.useful(context.project)
    except ConfigurationError:
        # The page that is shown says what is wrong with it.
        return False
