"""The pages: a module per group, each with its routes in `PAGES`.

Every module here and on the floors below is found by itself: adding a page takes the module and its template. A page
with a label is in the navigation, for everybody whose role may open it. Literal paths are matched before parameters,
so `/scopes/new` is never taken for a scope named `new`.
"""

from importlib import import_module
from pkgutil import walk_packages

from entra_pipeline.console.routing import Page

_MODULES = [import_module(module.name) for module in walk_packages(__path__, f"{__name__}.") if not module.ispkg]


def _parameters(page: Page) -> list[bool]:
    """Sorts literal parts of a path before parameters."""
    return [part.startswith("{") for part in page.path.split("/")]


PAGES: tuple[Page, ...] = tuple(sorted((page for module in _MODULES for page in module.PAGES), key=_parameters))
"""Every page of the console, in the order in which routes are matched."""
NAVIGATION = tuple(sorted((page for page in PAGES if page.label), key=lambda page: page.place))
"""The pages in the navigation, in order."""
