"""What Dagster shows of a restore: the plan before it, and what became of it.

Both are observations of the recovery point that is restored, so that they are seen in the run and with the point. Names
and properties are shown, values are not: Dagster's database is no place for what people's attributes are. The plan in
the store has them.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from assets.names import RECOVERY_POINT, asset_key
from assets.texts import table
from entra_pipeline.analysis.markdown import one_line
from entra_pipeline.restore.files import plan_key
from entra_pipeline.restore.model import Plan, Refusal, Step
from entra_pipeline.restore.report import Report, exceptions, report_key, rows, totals

MOST = 200
"""Rows that a table shows; the store has them all."""

_GROUPED = ("stage", "action", "type", "steps", "requests")
_STEPS = ("step", "stage", "action", "type", "name", "what", "notes")
_REFUSALS = ("type", "name", "kind", "reason", "remedy")
_OUTCOMES = ("type", "result", "steps")
_EXCEPTIONS = ("type", "name", "result", "reason", "remedy")
_NUMBERS = {"step", "steps", "requests"}


def plan_observation(plan: Plan, *, dry_run: bool) -> dg.AssetObservation:
    """A plan as a person looks at it before agreeing to it.

    Args:
        plan: The plan.
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
        **_asked(plan),
        "tenant_seen_at": plan.live_point,
        "requests": plan.requests,
        "minutes_at_least": round(plan.seconds / 60, 1),
        "summary": _shown(summary, _GROUPED),
        "steps": _shown([_step_row(step) for step in plan.steps], _STEPS),
        "not_restored": _shown([_refusal_row(one) for one in plan.refusals], _REFUSALS),
        "stored_as": plan_key(plan.id),
    }
    if dry_run and plan.steps:
        metadata["to_approve"] = dg.MetadataValue.md(
            f"Launch the job again with\n\n```yaml\n{approval(plan)}```\n\nWhat has changed in the tenant by then is "
            f"not overwritten: nothing is written, or with `go_on: true` all else."
        )
    return _observation(plan.scope, plan.point, plan_text(plan, dry_run=dry_run), metadata)


def plan_text(plan: Plan, *, dry_run: bool) -> str:
    """A plan in a line."""
    kinds = Counter(refusal.kind for refusal in plan.refusals)
    told = [f"{_many(number, 'object')} {kind}" for kind, number in sorted(kinds.items())]
    cost = f"{_many(len(plan.steps), 'step')}, {_many(plan.requests, 'request')}, at least {_duration(plan.seconds)}"
    text = f"Plan {plan.id}: {'; '.join([cost if plan.steps else 'nothing to write', *told])}."
    return f"{text} Dry run: nothing was written." if dry_run else text


def approval(plan: Plan) -> str:
    """The run config that carries a plan out, as YAML."""
    return f"scope: {plan.scope}\nplan_id: {plan.id}\ndry_run: false\n"


def report_observation(plan: Plan, report: Report) -> dg.AssetObservation:
    """What became of a restore."""
    metadata = {
        "plan": plan.id,
        "status": report.status,
        **_asked(plan),
        **{name: value for name, value in totals(report).items() if name not in {"recovery_point", "tenant"}},
        "started": report.started,
        "finished": report.finished,
        "outcomes": _shown(rows(report), _OUTCOMES),
        "exceptions": _shown(exceptions(report), _EXCEPTIONS),
        "not_restored": _shown([_refusal_row(one) for one in report.refusals], _REFUSALS),
        "to_undo": dg.MetadataValue.md(
            f"Restore the recovery point that was taken before the first write:\n\n```yaml\n{undoing(plan, report)}```"
        ),
        "stored_as": report_key(plan.id),
    }
    return _observation(plan.scope, plan.point, report_text(report), metadata)


def report_text(report: Report) -> str:
    """A restore in a line."""
    results = Counter(outcome.result for outcome in report.outcomes)
    told = [f"{number} {result}" for result, number in sorted(results.items(), key=lambda one: one[0] != "restored")]
    unresolved = sum(refusal.kind == "unresolved" for refusal in report.refusals)
    told += [f"{_many(unresolved, 'object')} refused by the plan"] if unresolved else []
    return f"Restore {report.job} {report.status}: of {_many(len(report.outcomes), 'step')} {', '.join(told)}."


def undoing(plan: Plan, report: Report) -> str:
    """The run config that shows what undoing a restore would do, as YAML."""
    types = f"types: {json.dumps(list(plan.selection.types))}\n" if plan.selection.types else ""
    return f"scope: {plan.scope}\npoint: {report.undo_point}\n{types}"


def _observation(scope: str, point: str, text: str, metadata: Mapping[str, Any]) -> dg.AssetObservation:
    return dg.AssetObservation(asset_key(scope, RECOVERY_POINT), partition=point, description=text, metadata=metadata)


def _asked(plan: Plan) -> dict[str, Any]:
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


def _step_row(step: Step) -> dict[str, Any]:
    what = ", ".join(name for name in step.body if not name.startswith("@"))
    if step.targets:
        what = _many(len(step.targets), "link")
    return {
        "step": step.number,
        "stage": step.stage,
        "action": step.action,
        "type": step.table,
        "name": step.name or step.id,
        "what": what,
        "notes": one_line("; ".join(step.notes)),
    }


def _refusal_row(refusal: Refusal) -> dict[str, Any]:
    return {
        "type": refusal.table,
        "name": refusal.name or refusal.id,
        "kind": refusal.kind,
        "reason": one_line(refusal.reason),
        "remedy": one_line(refusal.remedy),
    }


def _shown(found: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> dg.MetadataValue:
    """A table of at most `MOST` rows; text when there is none."""
    if not found:
        return dg.MetadataValue.text("none")
    return table(found[:MOST], {name: name for name in columns}, words=set(columns) - _NUMBERS)


def _many(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _duration(seconds: float) -> str:
    return f"{seconds / 60:,.0f} min" if seconds >= 90 else f"{seconds:,.0f} s"
