"""What a page sees of a visit, and how a page says who may come.

Every route names the role that it takes; there is no default, so none is forgotten. In which scopes it takes the role
is its `Area`: a route that names none takes it for everything.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from http import HTTPStatus
from threading import Event
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode
from zoneinfo import ZoneInfo

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from entra_pipeline.console.auth.access import Access
from entra_pipeline.console.auth.roles import Role
from entra_pipeline.console.auth.sessions import Session, User
from entra_pipeline.console.display.moments import zone_named
from entra_pipeline.console.editing.form_errors import InvalidEntries
from entra_pipeline.console.reading.bounds import What
from entra_pipeline.console.workers import TooManyQuestions, VisitorGone
from entra_pipeline.errors import ConfigurationError, EntraPipelineError, NotInStore, UsageError
from entra_pipeline.project import Project, Scope
from entra_pipeline.store.recovery_points import ScopeStore

if TYPE_CHECKING:
    from entra_pipeline.console.app_state import AppState
    from entra_pipeline.console.dagster.client import Run
    from entra_pipeline.console.monitor.jobs import MonitoredJob
    from entra_pipeline.console.monitor.progress import JobProgress

Handler = Callable[["RequestContext"], "Response | Awaitable[Response]"]

# Values of templates that say what went wrong.
_WRONG = ("error", "problem", "message")
_SCOPE = "{scope}"


class Area(Enum):
    """What a route is about, and so where its role is needed."""

    INSTALLATION = "installation"
    """Everything: the configuration, tenants, storage, sessions, Dagster. Takes the role for everything."""
    SCOPE = "scope"
    """The scope that its path names. Takes the role in that scope."""
    OWN_SCOPES = "own scopes"
    """The scopes in `RequestContext.project`, which are those in which the visitor has the role."""
    PERSON = "person"
    """The visitor alone, such as their session. Takes the role anywhere."""


@dataclass(frozen=True, slots=True)
class Page:
    """A route of the console.

    Attributes:
        path: Path in Starlette's notation.
        answer: What answers; an ordinary function runs in a thread, as it may read the store.
        role: Who may come; None for whoever has not signed in.
        methods: `GET` for looking, `POST` for doing.
        polled: Whether pages request it by themselves, again and again: it does not extend a session.
        area: What it is about.
        label: Its name in the navigation; empty for a page that is not in it.
        place: Where in the navigation it stands, in ascending order.
        icon: Its icon in the navigation.
        useful: Whether the navigation shows it, by what the visitor sees of the configuration; None: always.
    """

    path: str
    answer: Handler
    role: Role | None
    methods: tuple[str, ...] = ("GET",)
    polled: bool = False
    area: Area = Area.INSTALLATION
    label: str = ""
    place: int = 0
    icon: str = ""
    useful: Callable[[Project], bool] | None = None

    def __post_init__(self) -> None:
        """Refuses a route whose area does not fit its path.

        Raises:
            ValueError: It is about the scope of its path, which names none; or it names one that nothing would check.
        """
        named = _SCOPE in self.path.split("/")
        if named != (self.area is Area.SCOPE) and not (named and self.area is Area.INSTALLATION):
            raise ValueError(f"the area of {self.path} does not fit its path")

    def takes(self, access: Access) -> bool:
        """Whether somebody may come, as far as can be told without knowing the scope."""
        if self.role is None:
            return True
        return access.everywhere(self.role) if self.area is Area.INSTALLATION else access.somewhere(self.role)


@dataclass(slots=True)
class RequestContext:
    """A request of somebody, as a page sees it.

    Attributes:
        request: The request.
        state: What all visits share.
        session: The session of the browser.
        page_asked: The page that was asked for; None where there is none.
        form: What was sent, by field; of a field without a value there is nothing.
        token: Of a session that began with this visit, for the browser to keep.
        wrong: What is wrong with entries of the form that is shown, by the name of their fields.
        told: What the page before has left to be said.
        said: Whether the page has said it.
        notice: What the next page is to say.
        gone: Set when the browser has closed the connection: the client has closed the connection any more.
    """

    request: Request
    state: AppState
    session: Session
    page_asked: Page | None = None
    form: Mapping[str, list[str]] = field(default_factory=dict)
    token: str = ""
    wrong: Mapping[str, str] = field(default_factory=dict)
    told: str = ""
    said: bool = False
    notice: str = ""
    gone: Event = field(default_factory=Event)

    @property
    def user(self) -> User:
        """Who has signed in."""
        if self.session.user is None:
            raise LookupError("nobody has signed in")
        return self.session.user

    @property
    def person(self) -> str:
        """Who has signed in, whatever their session: for what one person may do at a time."""
        return self.user.person

    @property
    def access(self) -> Access:
        """What the visitor may; nothing before signing in."""
        return self.session.user.access if self.session.user is not None else Access()

    @property
    def project(self) -> Project:
        """The configuration as it is now, with the scopes in which the visitor has the role that the page takes.

        What decides for others as well, such as which plans need approval, asks `state.project()`.
        """
        role = self.page_asked.role if self.page_asked is not None else None
        return self.state.narrowed(self.access, role or Role.viewer)

    @property
    def only(self) -> frozenset[str] | None:
        """Names of the scopes in `project`; None where these are all, and what concerns none of them is shown, too."""
        return frozenset(self.project.scopes) if self.project.partial else None

    def may(self, role: str, scope: str = "") -> bool:
        """Whether the visitor has a role in a scope: that of the address, unless another one is named.

        Where there is none, or the configuration does not have it, the role has to be for everything.
        """
        if not scope and self.page_asked is not None and self.page_asked.area is Area.SCOPE:
            scope = self.path("scope")
        found = self.state.project().scopes.get(scope) if scope else None
        own = self.access.in_scope(found) if found else self.access.role
        return own is not None and own >= Role[role]

    def path(self, name: str) -> str:
        """A part of the address."""
        return str(self.request.path_params[name])

    def query(self, name: str, default: str = "") -> str:
        """A value of the address's query."""
        return self.request.query_params.get(name, default)

    def number(self, name: str, default: int = 0) -> int:
        """A number of the address's query, never less than 0."""
        text = self.query(name)
        return int(text) if text.isdecimal() and len(text) < 12 else default

    @property
    def zone(self) -> ZoneInfo:
        """The time zone of whoever reads, as their browser has said it; UTC until it has."""
        return zone_named(self.request.cookies.get("zone", ""))

    def field(self, name: str, default: str = "") -> str:
        """A field of the form, without white space around it."""
        values = self.form.get(name)
        return values[0].strip() if values else default

    def backup(self, scope: str) -> MonitoredJob | None:
        """The backup of a scope that is running or queued; None when there is none, or nobody knows."""
        return self.state.backups.of(scope)

    def progress(self, run: Run) -> JobProgress | None:
        """How far a run is; None when it does not run, or nobody knows."""
        return self.state.progress.of([run]).get(run.id)

    def named_scope(self, name: str) -> Scope:
        """A scope by name; raises NotInStore when there is none, or the visitor may not see it."""
        if name not in self.project.scopes:
            raise NotInStore(f"there is no scope {name[:100]!r}", remedy="See Scopes for the existing ones.")
        return self.project.scope(name)

    def scope(self) -> Scope:
        """The scope in the address; raises NotInStore when there is none."""
        return self.named_scope(self.path("scope"))

    def store(self) -> ScopeStore:
        """The store of the scope in the address."""
        return self.state.store(self.scope().name)

    def read(self, what: What, **arguments: Any) -> Any:
        """What `reading` finds in the recovery points of the scope in the address, for this visitor.

        Raises:
            EntraPipelineError: It is refused, or cannot be found.
        """
        return self.ask(what, self.path("scope"), **arguments)

    def ask(self, what: What, scope: str = "", /, **arguments: Any) -> Any:
        """What `reading` finds of a scope, or of all of them when that is empty, for this visitor; raises as `read`."""
        if scope:
            self.named_scope(scope)
        return self.state.reading.ask(
            self.state.project(), self.person, what, scope, gone=self.gone, visible=self.only, **arguments
        )

    def found(self, key: Hashable, find: Callable[[], Any]) -> Any:
        """What was found before by a key, or is found now; several visitors who ask for it wait for one of them."""
        while True:
            try:
                return self.state.findings.get(key, find)
            except VisitorGone:
                # Another one, for whom this one waited.
                if self.gone.is_set():
                    raise

    def page(self, template: str, /, *, status: int = 200, **values: Any) -> HTMLResponse:
        """A page; one that says what went wrong shows no secret, whatever the error says."""
        notice, self.said = self.told, bool(self.told)
        html = self.state.templates.get_template(template).render(visit=self, notice=notice, **values)
        if any(values.get(name) for name in _WRONG):
            html = self.state.scrub(html)
        return HTMLResponse(html, status)

    def form_page(self, template: str, /, error: EntraPipelineError | None, **values: Any) -> HTMLResponse:
        """A page with a form that changes the configuration, as it is now or, with what was wrong, as it was sent."""
        self.wrong = error.fields if isinstance(error, InvalidEntries) else {}
        return self.page(
            template,
            status=200 if error is None else 409 if isinstance(error, ConfigurationError) else 400,
            error=error,
            version=self.state.version() if error is None else self.field("version"),
            current=self.state.version(),
            locked=self.state.not_writable(),
            **values,
        )

    def lines(self, name: str) -> list[str]:
        """The lines of the fields of a name that say something, each once."""
        lines = "\n".join(self.form.get(name, [])).splitlines()
        return list(dict.fromkeys(line.strip() for line in lines if line.strip()))

    def here(self) -> str:
        """The address of the page, to come back to."""
        url = self.request.url
        return f"{url.path}?{url.query}" if url.query else url.path

    def choose_scope(self, title: str, leaf: str) -> Response:
        """The scopes that have a page of this name below theirs; the only one's page at once."""
        names = list(self.project.scopes)
        if len(names) == 1:
            return self.go(address("scopes", names[0], leaf))
        return self.page("choose_scope.html", title=title, leaf=leaf, scopes=self.project.scopes.values())

    def go(self, path: str, notice: str = "") -> RedirectResponse:
        """Leads to another page of the console, which shows a notice."""
        self.notice = notice
        return RedirectResponse(path, 303)


def address(*parts: str, **query: Any) -> str:
    """An address within the console: `address("scopes", name, points=3)` is `/scopes/name?points=3`."""
    asked = {key: value for key, value in query.items() if value not in (None, "", [], ())}
    path = "/" + "/".join(quote(part, safe="") for part in parts)
    return f"{path}?{urlencode(asked, doseq=True)}" if asked else path


def inside(target: str) -> str:
    r"""An address that somebody gave, if it is within the console; otherwise the first page.

    A browser takes `//host` and `/\host` for another site.
    """
    plain = target.startswith("/") and not target.startswith(("//", "/\\")) and target.isprintable()
    return target if plain and "\\" not in target else "/"


def status_of(error: EntraPipelineError) -> HTTPStatus:
    """The status of a page that says what went wrong."""
    if isinstance(error, NotInStore):
        return HTTPStatus.NOT_FOUND
    if isinstance(error, TooManyQuestions):
        return HTTPStatus.TOO_MANY_REQUESTS
    if isinstance(error, UsageError):
        return HTTPStatus.BAD_REQUEST
    if isinstance(error, ConfigurationError):
        return HTTPStatus.CONFLICT
    return HTTPStatus.SERVICE_UNAVAILABLE
