"""What wants attention: failed jobs, unusual changes, unexplained sign-ins, tenants whose seats run out.

What belongs here: which of what reports and rules find a dashboard shows, and for how long. What does not: finding it
(`reports`, `analysis.unusual`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Lock
from typing import Any

from entra_pipeline.analysis.unusual import verdicts
from entra_pipeline.errors import EntraPipelineError
from entra_pipeline.operations.sign_ins import ADVICE as SIGN_IN_ADVICE
from entra_pipeline.operations.sign_ins import kept_sign_ins
from entra_pipeline.project import Project
from entra_pipeline.reports.model import ReportRequest
from entra_pipeline.reports.subscription import subscription
from entra_pipeline.store.job_records import CANCELLED, JobRecord
from entra_pipeline.store.parallel import in_parallel
from entra_pipeline.store.recovery_points import ScopeStore

DAYS_OF_JOBS = 2
"""For so many days a job that failed is told of, unless one of its kind has gone well since."""
DAYS_OF_CHANGES = 7
"""For so many days an unusual change is told of, and an unexplained sign-in."""

_JOBS_APART = {"restore"}


@dataclass(frozen=True, slots=True)
class Alert:
    """Something that somebody should look at.

    Attributes:
        scope: The scope that it is about.
        what: What it is, in a word or two.
        text: The same in a sentence.
        moment: Since when, RFC 3339, or the key of a recovery point.
        point: The recovery point that shows it; may be empty.
        job: The restore that it is; may be empty.
    """

    scope: str
    what: str
    text: str
    moment: str = ""
    point: str = ""
    job: str = ""


def alerts(project: Project, store_of: Callable[[str], ScopeStore], now: datetime) -> list[Alert]:
    """What there is of failed jobs and unusual changes, newest first.

    Args:
        project: The configuration.
        store_of: The store of a scope by its name.
        now: The present moment.
    """

    def of(scope: str) -> list[Alert]:
        try:
            store = store_of(scope)
            return [*_sign_ins(store, now), *_unusual(store, now), *_failed(store, now)]
        except EntraPipelineError as error:
            return [Alert(scope, "not known", f"{error.message}. {error.remedy}")]

    found = [alert for some in in_parallel(of, list(project.scopes)) for alert in some]
    return sorted(found, key=lambda alert: alert.moment, reverse=True)


def _unusual(store: ScopeStore, now: datetime) -> list[Alert]:
    return [
        Alert(
            store.scope,
            "unusual change",
            "; ".join(f"{finding.title}: {finding.total:,}" for finding in verdict.findings)
            + (". The previous recovery point is on hold." if verdict.held else ""),
            verdict.recovery_point,
            point=verdict.recovery_point,
        )
        for verdict in verdicts(store, now - timedelta(days=DAYS_OF_CHANGES))
        if verdict.findings
    ]


def _sign_ins(store: ScopeStore, now: datetime) -> list[Alert]:
    return [
        Alert(
            store.scope,
            "unexplained sign-in",
            f"{one.app_name or one.app} from {one.address or 'an unknown address'}, and no job here has signed in. "
            f"{SIGN_IN_ADVICE}",
            one.moment,
        )
        for one in kept_sign_ins(store, now - timedelta(days=DAYS_OF_CHANGES))
    ]


def _failed(store: ScopeStore, now: datetime) -> list[Alert]:
    """Jobs that failed, except those after which one of the same kind went well."""
    failed: dict[str, JobRecord] = {}
    for record in store.jobs.between(now - timedelta(days=DAYS_OF_JOBS), now + timedelta(seconds=1)):
        kind = record.id if record.type in _JOBS_APART else record.type
        if record.status == CANCELLED:
            # Nothing went well: what failed before it is still to be looked at.
            continue
        failed.pop(kind, None)
        if record.status == "failed":
            failed[kind] = record
    return [
        Alert(
            store.scope,
            f"{record.type} failed",
            record.error or "See its job for details.",
            record.finished,
            job=record.id if record.type == "restore" else "",
        )
        for record in failed.values()
    ]


class Seats:
    """The seats of each tenant, counted anew when there is a new recovery point."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._of: Project | None = None
        self._key: tuple[object, ...] = ()
        self._rows: list[dict[str, Any]] = []

    def rows(self, project: Project, store_of: Callable[[str], ScopeStore], now: datetime) -> list[dict[str, Any]]:
        """A row per tenant, as the subscription report has it.

        Args:
            project: The configuration.
            store_of: The store of a scope by its name.
            now: The present moment.

        Raises:
            StoreError: A store cannot be read.
        """

        def last(scope: str) -> str:
            return "".join(store_of(scope).points()[-1:])

        key = (now.date(), *in_parallel(last, list(project.scopes)))
        with self._lock:
            if self._of is not project or self._key != key:
                report = subscription(ReportRequest.lately(project, 1, now))
                self._of, self._key, self._rows = project, key, [dict(row) for row in report.tables[0].rows]
            return self._rows
