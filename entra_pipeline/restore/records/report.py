"""What became of a restore: outcomes of its steps, kept in the store as JSON, shown as a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import msgspec

from entra_pipeline.errors import NotInStore
from entra_pipeline.restore.objects.model import PlanRefusal, RestorePlan, RestoreStep, Result, StepOutcome
from entra_pipeline.store.manifest import canonical
from entra_pipeline.store.recovery_points import ScopeStore

FORMAT = "entra-pipeline/restore-report"
RestoreStatus = Literal["finished", "finished with exception"]

_GOOD = "restored"


class RestoreReport(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a restore.

    Attributes:
        job: Id of the job.
        scope, point, tenant: What was restored, and where to.
        status: `finished` when everything that was planned is as it should be.
        started, finished: RFC 3339.
        undo_point: Recovery point of the target's scope that was taken before the first write; restoring it undoes the
            restore.
        outcomes: Of every step, in order.
        refusals: What the plan did not do.
        writes: Write requests that Graph got, repeated ones included.
        reads: Other requests that were sent.
        retries: Requests that were sent again.
        throttled: Answers with status 429.
        signed_in: Sign-in name of the person on whose behalf requests were sent; empty when nobody signed in.
        passwords: How many users got a new password.
        passwords_at: When the passwords were handed over, RFC 3339; empty until then.
        passwords_to: What they were handed over to: a file, and the machine that it is on.
        verified: Whether the outcomes were read back from the tenant.
        format, version: Of this file.
    """

    job: str
    scope: str
    point: str
    tenant: str
    status: RestoreStatus
    started: str
    finished: str
    undo_point: str
    outcomes: tuple[StepOutcome, ...]
    refusals: tuple[PlanRefusal, ...] = ()
    writes: int = 0
    reads: int = 0
    retries: int = 0
    throttled: int = 0
    signed_in: str = ""
    passwords: int = 0
    passwords_at: str = ""
    passwords_to: str = ""
    verified: bool = False
    format: str = FORMAT
    version: int = 1


_REPORT_DECODER = msgspec.json.Decoder(RestoreReport)


def status_of(outcomes: Iterable[StepOutcome], refusals: Sequence[PlanRefusal] = ()) -> RestoreStatus:
    """Returns `finished` when everything is restored and no reference was unresolved."""
    good = all(outcome.result == _GOOD for outcome in outcomes)
    unresolved = any(refusal.kind == "unresolved" for refusal in refusals)
    return "finished" if good and not unresolved else "finished with exception"


def report_key(job: str) -> str:
    """Returns the key of a job's report in the store of its scope."""
    return f"_restore/{job}/report.json"


def write_report(store: ScopeStore, report: RestoreReport) -> None:
    """Stores a report; a verified one replaces the first."""
    store.files.replace(report_key(report.job), canonical(report))


def read_report(store: ScopeStore, job: str) -> RestoreReport | None:
    """Reads the report of a job; None when it is unfinished."""
    try:
        return _REPORT_DECODER.decode(store.files.read(report_key(job)))
    except NotInStore:
        return None


def applied(store: ScopeStore, job: str) -> RestoreReport | None:
    """Reads the report of a job that is done and verified; None when it has still something to do."""
    report = read_report(store, job)
    return report if report is not None and report.verified else None


def totals(report: RestoreReport) -> dict[str, object]:
    """Summarizes a restore in numbers, for its job record."""
    results = Counter(outcome.result for outcome in report.outcomes)
    return {
        "recovery_point": report.point,
        "tenant": report.tenant,
        "undo_point": report.undo_point,
        "steps": len(report.outcomes),
        **{name.replace(" ", "_"): results[name] for name in sorted(results)},
        "refusals": sum(refusal.kind == "unresolved" for refusal in report.refusals),
        "writes": report.writes,
        "requests": report.writes + report.reads,
        "retries": report.retries,
        "throttled": report.throttled,
        "passwords": report.passwords,
        **({"passwords_at": report.passwords_at, "passwords_to": report.passwords_to} if report.passwords_at else {}),
    }


def rows(report: RestoreReport) -> list[dict[str, object]]:
    """Counts outcomes by type and result, one row each."""
    counted = Counter((outcome.table, outcome.result) for outcome in report.outcomes)
    return [{"type": table, "result": result, "steps": number} for (table, result), number in sorted(counted.items())]


def exceptions(report: RestoreReport) -> list[dict[str, Any]]:
    """Lists the outcomes that are not `restored`, each with its reason and remedy."""
    return [
        {
            "type": outcome.table,
            "id": outcome.id,
            "name": outcome.name,
            "result": outcome.result,
            "reason": outcome.reason,
            "remedy": outcome.remedy,
        }
        for outcome in report.outcomes
        if outcome.result != _GOOD
    ]


def outcome_of(
    step: RestoreStep, result: Result, *, live_id: str = "", reason: str = "", remedy: str = ""
) -> StepOutcome:
    """Builds the outcome of a step."""
    return StepOutcome(
        number=step.number,
        table=step.table,
        id=step.id,
        name=step.name,
        result=result,
        live_id=live_id or step.live_id,
        reason=reason,
        remedy=remedy,
    )


def by_plan(plan: RestorePlan, outcomes: Iterable[StepOutcome]) -> tuple[StepOutcome, ...]:
    """Orders outcomes as in the plan; steps without one were not reached."""
    known = {outcome.number: outcome for outcome in outcomes}
    return tuple(known.get(step.number) or outcome_of(step, "not reached") for step in plan.steps)
