"""What Dagster shows of a restore: the plan before it, and what became of it.

Both are observations of the recovery point that is restored, so that they are seen in the run and with the point. What
is long is cut: Dagster's database is for looking at, the plan and the report in the store have it all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import dagster as dg

from entra_pipeline.analysis.manifest_rows import older_text
from entra_pipeline.analysis.markdown import one_line
from entra_pipeline.orchestration.keys import ShownPoint
from entra_pipeline.orchestration.metadata.tables import metadata_table
from entra_pipeline.restore.objects.model import PlanRefusal, RestorePlan
from entra_pipeline.restore.records.plan_rows import PlanRows
from entra_pipeline.restore.records.plans import plan_key
from entra_pipeline.restore.records.report import RestoreReport, exceptions, report_key, rows, totals
from entra_pipeline.store.recovery_points import ScopeStore
from entra_pipeline.text import pluralize

MOST = 200
"""Rows that a table shows; the store has them all."""

_GROUPED = ("stage", "action", "type", "steps", "requests")
_STEPS = ("step", "stage", "action", "type", "name", "what", "notes")
_REFUSALS = ("type", "kind", "objects", "names", "reason", "remedy")
_OUTCOMES = ("type", "result", "steps")
_EXCEPTIONS = ("type", "name", "result", "reason", "remedy")
_NUMBERS = {"step", "steps", "requests", "objects"}
# Of objects that are refused for one reason, those that are named.
_NAMED = 5


def plan_observation(
    shown: ShownPoint, store: ScopeStore, plan: RestorePlan, live: ScopeStore, *, dry_run: bool
) -> dg.AssetObservation:
    """A plan as a person looks at it before agreeing to it.

    Args:
        shown: Where Dagster shows the recovery point.
        store: The store of the scope whose recovery point is restored.
        plan: The plan.
        live: The store of the scope that shows the tenant.
        dry_run: Nothing is going to be written: how to agree is told.
    """
    grouped: Counter[tuple[str, str, str]] = Counter()
    requests: Counter[tuple[str, str, str]] = Counter()
    for step in plan.steps:
        grouped[step.stage, step.action, step.table] += 1
        requests[step.stage, step.action, step.table] += step.requests
    summary = [dict(zip(_GROUPED, (*key, number, requests[key]), strict=True)) for key, number in grouped.items()]
    metadata: dict[str, Any] = {
        "plan": plan.id,
        **_request_rows(plan),
        "tenant_seen_at": plan.live_point,
        **({"older_than_the_point": older_text(plan.older)} if plan.older else {}),
        **({"undoes": plan.undoes} if plan.undoes else {}),
        "requests": plan.requests,
        "takes_at_least": _duration(plan.seconds),
    }
    if dry_run and plan.steps:
        metadata["to_approve"] = dg.MetadataValue.md(
            f"Launch the job again with\n\n```yaml\n{approval(plan)}```\n\nWhat has changed in the tenant by then is "
            f"not overwritten: nothing is written, or with `go_on: true` all else."
        )
    metadata |= {
        "summary": _shown(summary, _GROUPED),
        "steps": _shown(PlanRows(store, plan, live).rows(plan.steps[:MOST]), _STEPS),
        "not_restored": _refused(plan.refusals),
        "stored_as": plan_key(plan.id),
    }
    return _observation(shown, plan_text(plan, dry_run=dry_run), metadata)


def plan_text(plan: RestorePlan, *, dry_run: bool) -> str:
    """A plan in a line."""
    kinds = Counter(refusal.kind for refusal in plan.refusals)
    told = [f"{pluralize(number, 'object')} {kind}" for kind, number in sorted(kinds.items())]
    requests = pluralize(plan.requests, "request")
    cost = f"{pluralize(len(plan.steps), 'step')}, {requests}, at least {_duration(plan.seconds)}"
    text = f"Plan {plan.id}: {'; '.join([cost if plan.steps else 'nothing to write', *told])}."
    return f"{text} Dry run: nothing was written." if dry_run else text


def approval(plan: RestorePlan) -> str:
    """The run config that carries a plan out, as YAML."""
    return f"scope: {plan.scope}\nplan_id: {plan.id}\ndry_run: false\n"


def report_observation(shown: ShownPoint, plan: RestorePlan, report: RestoreReport) -> dg.AssetObservation:
    """What became of a restore; `shown` is where Dagster shows its recovery point."""
    metadata = {
        "plan": plan.id,
        **({"undoes": plan.undoes} if plan.undoes else {}),
        "status": report.status,
        **_request_rows(plan),
        **{name: value for name, value in totals(report).items() if name not in {"recovery_point", "tenant"}},
        "started": report.started,
        "finished": report.finished,
        "outcomes": _shown(rows(report), _OUTCOMES),
        "exceptions": _shown(exceptions(report), _EXCEPTIONS),
        "not_restored": _refused(report.refusals),
        "to_undo": dg.MetadataValue.md(
            f"To see what that would do, and then carry it out like any plan:\n\n"
            f"```yaml\n{undo_config(plan)}```{_made_for_it(plan)}"
        ),
        "stored_as": report_key(plan.id),
    }
    return _observation(shown, report_text(report), metadata)


def report_text(report: RestoreReport) -> str:
    """A restore in a line."""
    results = Counter(outcome.result for outcome in report.outcomes)
    told = [f"{number} {result}" for result, number in sorted(results.items(), key=lambda one: one[0] != "restored")]
    unresolved = sum(refusal.kind == "unresolved" for refusal in report.refusals)
    told += [f"{pluralize(unresolved, 'object')} refused by the plan"] if unresolved else []
    return f"Restore {report.job} {report.status}: of {pluralize(len(report.outcomes), 'step')} {', '.join(told)}."


def undo_config(plan: RestorePlan) -> str:
    """The run config that shows what undoing a restore would do, as YAML."""
    return f"scope: {plan.live_scope or plan.scope}\nundo: {plan.id}\n"


def _made_for_it(plan: RestorePlan) -> str:
    """What it takes besides, when the points of another tenant are in a scope that the configuration may not have."""
    if plan.live_scope in {"", plan.scope}:
        return ""
    return (
        f'\n\nThe configuration needs `[scopes.{plan.live_scope}]` for that, with `tenant = "{plan.tenant}"` and, '
        f"where it is new, the storage of `{plan.scope}`."
    )


def _observation(shown: ShownPoint, text: str, metadata: Mapping[str, Any]) -> dg.AssetObservation:
    return dg.AssetObservation(shown.key, partition=shown.partition, description=text, metadata=metadata)


def _request_rows(plan: RestorePlan) -> dict[str, Any]:
    """What was asked for."""
    selection, options = plan.selection, plan.options
    parts = [", ".join(selection.types) or "all types"]
    parts += [f"ids {', '.join(selection.ids[:20])}{' …' if len(selection.ids) > 20 else ''}"] if selection.ids else []
    parts += [f"where {selection.where}"] if selection.where else []
    parts += [f"with the text {selection.search!r}"] if selection.search else []
    how = [f"conflict: {options.conflict}"]
    how += ["delete_added"] if options.delete_added else []
    how += ["enable_policies"] if options.enable_policies else []
    return {
        "recovery_point": plan.point,
        "tenant": plan.tenant,
        "selection": one_line("; ".join(parts)),
        "options": ", ".join(how),
    }


def _refused(refusals: Iterable[PlanRefusal]) -> dg.MetadataValue:
    """What is not restored: a row per type and reason."""
    grouped: dict[tuple[str, str, str, str], list[str]] = {}
    for one in refusals:
        names = grouped.setdefault((one.table, one.kind, one.reason, one.remedy), [])
        names.append(one.name or one.id or "all")
    found = [
        {
            "type": table_name,
            "kind": kind,
            "objects": len(names),
            "names": ", ".join(names[:_NAMED]) + (" …" if len(names) > _NAMED else ""),
            "reason": one_line(reason),
            "remedy": one_line(remedy),
        }
        for (table_name, kind, reason, remedy), names in grouped.items()
    ]
    return _shown(found, _REFUSALS)


def _shown(found: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> dg.MetadataValue:
    """A table of at most `MOST` rows; text when there is none."""
    if not found:
        return dg.MetadataValue.text("none")
    return metadata_table(found[:MOST], {name: name for name in columns}, words=set(columns) - _NUMBERS)


def _duration(seconds: float) -> str:
    return f"{seconds / 60:,.0f} min" if seconds >= 90 else f"{seconds:,.0f} s"
