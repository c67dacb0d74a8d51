"""Questions in SQL over everything that is stored: shown, and as files."""

from __future__ import annotations

from typing import get_args

from starlette.responses import Response

from entra_pipeline.analysis.names import short
from entra_pipeline.analysis.sql import Relations
from entra_pipeline.console.auditing import record
from entra_pipeline.console.auth.roles import Role
from entra_pipeline.console.routing import Area, Page, RequestContext
from entra_pipeline.console.sql import FORMATS, ROWS_IN_FILES, ROWS_SHOWN, SECONDS, QueryResult
from entra_pipeline.console.sql.bounds import Format
from entra_pipeline.console.workers import expect_work
from entra_pipeline.errors import EntraPipelineError, UsageError

_LONGEST = 20_000
# Of a question, in the audit log.
_KEPT = 500
EXAMPLES = (
    ("Recovery points", "FROM recovery_points\nORDER BY moment DESC"),
    (
        "Who holds a privileged role",
        "SELECT scope, role, principal, state, how, directory_scope, until\nFROM role_holders\n"
        "WHERE is_privileged AND kind <> 'group'\nORDER BY ALL",
    ),
    (
        "Recently changed users",
        "SELECT scope, displayName, _change, valid_from\nFROM users_history\n"
        "WHERE valid_from > now() - INTERVAL 7 DAY\nORDER BY valid_from DESC",
    ),
    (
        "Groups and their members",
        "SELECT g.displayName, count(m.target_id) AS members\nFROM groups g\n"
        "LEFT JOIN group_members m ON m.scope = g.scope AND m.source_id = g.id\nGROUP BY ALL\nORDER BY members DESC",
    ),
    ("Failed jobs", "SELECT scope, type, started, error\nFROM jobs\nWHERE status = 'failed'\nORDER BY started DESC"),
)
"""Questions to begin with: what they are about, and the statement."""


def show(context: RequestContext) -> Response:
    """The page to ask on; a question in the address is filled in, and not asked."""
    expect_work()
    return _page(context, context.query("query"))


def ask(context: RequestContext) -> Response:
    """Answers a question: with a page, or with a file."""
    query = context.field("query")
    wanted = context.field("format")
    format_: Format = next((one for one in get_args(Format) if one == wanted), "")
    if not query:
        return _page(context, query)
    result, count, answer, problem = "failed", 0, None, None
    try:
        if len(query) > _LONGEST:
            raise UsageError("the query is too long", remedy=f"It may have {_LONGEST:,} characters.")
        answer = context.state.questions.ask(
            context.state.project(), context.person, query, format_, gone=context.gone, visible=context.only
        )
        result, count = "finished", answer.count
    except EntraPipelineError as error:
        problem = error
        result = "refused" if isinstance(error, UsageError) else "failed"
    details = {"format": format_} if format_ else {}
    record(
        context.state,
        context.user,
        context.request,
        action="sql",
        result=result,
        query=query[:_KEPT],
        rows=count,
        **details,
    )
    if answer is None or not format_:
        return _page(context, query, answer, problem)
    name = f"answer-{context.state.clock():%Y-%m-%dT%H-%M-%SZ}.{format_}"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(answer.file, media_type=FORMATS[format_], headers=headers)


def _page(
    context: RequestContext, query: str, answer: QueryResult | None = None, problem: EntraPipelineError | None = None
) -> Response:
    names = Relations.names()
    return context.page(
        "sql.html",
        status=200 if problem is None else 400 if isinstance(problem, UsageError) else 503,
        query=query,
        answer=answer,
        numbers=_numbers(answer) if answer else [],
        problem=problem,
        formats=list(FORMATS),
        examples=EXAMPLES,
        tables=[name for name in names if not name.endswith(("_at", "_history"))],
        columns=Relations.columns,
        limits={"seconds": SECONDS, "shown": ROWS_SHOWN, "in_files": ROWS_IN_FILES},
        short=short,
    )


def _numbers(answer: QueryResult) -> list[bool]:
    """Which columns are numbers."""
    return [
        all(type(row[place]) in (int, float, type(None)) for row in answer.rows) and bool(answer.rows)
        for place in range(len(answer.columns))
    ]


PAGES = (
    Page("/sql", show, Role.operator, area=Area.OWN_SCOPES, label="SQL", place=90, icon="database"),
    Page("/sql", ask, Role.operator, ("POST",), area=Area.OWN_SCOPES),
)
