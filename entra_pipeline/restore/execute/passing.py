"""Passing names: what an object has for the time being, while others that wait for each other get their names.

What belongs here: when a passing name would be of no use, and giving an object back what it had when it does not get
its own. What does not: which objects need one (`plan.rules.names`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import msgspec

from entra_pipeline.catalogue import CATALOGUE
from entra_pipeline.restore.execute.requests import REQUEST_BUILDERS, send_requests
from entra_pipeline.restore.execute.step import RestoreSession, RunningStep, StepRefused
from entra_pipeline.restore.objects.model import RestorePlan, RestoreStep, StepOutcome
from entra_pipeline.restore.objects.normalize import normalized
from entra_pipeline.restore.objects.written import is_written
from entra_pipeline.restore.records.report import outcome_of

_AGAIN = "Mend what kept the names from being exchanged, and plan again."


class PassingNames:
    """Knows the steps of a plan that give an object a passing name, and those that give it its own.

    Args:
        plan: The plan.
    """

    def __init__(self, plan: RestorePlan) -> None:
        self._steps = plan.steps
        self._relying: dict[int, set[int]] = {}
        self._last: dict[int, RestoreStep] = {}
        for step in plan.steps:
            for number in step.waits:
                self._relying.setdefault(number, set()).add(step.number)
            if (first := self.first_of(step)) is not None:
                self._last[first.number] = step

    def first_of(self, step: RestoreStep) -> RestoreStep | None:
        """Returns the step that gave the object of a step a passing name; None when there is none."""
        earlier = (self._steps[number - 1] for number in step.waits)
        return next((one for one in earlier if one.passing and (one.table, one.id) == (step.table, step.id)), None)

    def to_repeat(self, done: Mapping[int, StepOutcome]) -> set[int]:
        """Returns the steps that give an object its own name after a passing one that has failed: both go again."""
        return {
            step.number for number, step in self._last.items() if number in done and done[number].result == "failed"
        }

    def in_vain(self, first: RestoreStep, changed: Collection[int]) -> list[str]:
        """Names the objects of changed steps, which are not sent, between a passing name and the object's own.

        Args:
            first: A step that gives a passing name.
            changed: Numbers of the steps whose object has changed since the plan was made.
        """
        if not changed or first.number not in self._last:
            return []
        earlier = self._closure(self._last[first.number].number, {one.number: set(one.waits) for one in self._steps})
        circle = earlier & self._closure(first.number, self._relying)
        steps = (self._steps[number - 1] for number in sorted(circle.intersection(changed)))
        return [one.name or one.id for one in steps]

    @staticmethod
    def _closure(number: int, leads: dict[int, set[int]]) -> set[int]:
        found: set[int] = set()
        ahead = {number}
        while ahead:
            ahead = {one for each in ahead for one in leads.get(each, ())} - found
            found |= ahead
        return found


async def give_back(session: RestoreSession, first: RestoreStep) -> StepOutcome | None:
    """Gives an object back what it had before its passing name, where it still has that.

    Args:
        session: What the steps share.
        first: The step that gave the passing name, and was carried out.

    Returns:
        What became of that step; None when the object has its own name by now.
    """
    work = RunningStep(session, first)
    shown = normalized(work.entry, await REQUEST_BUILDERS[work.rule.strategy](work).shown(first.body) or {})
    names = [name for name in first.body if "@" not in name]
    still = [name for name in names if is_written(work.body()[name], shown.get(name))]
    if not still:
        return None
    kind = {name: value for name, value in first.body.items() if "@" in name}
    had = {name: first.before.get(name) for name in still}
    told = ", ".join(f"{name} {value}" for name, value in had.items() if isinstance(value, str)) or ", ".join(still)
    back = msgspec.structs.replace(first, body=kind | had, before={name: first.body[name] for name in still})
    try:
        await send_requests(RunningStep(session, back))
    except StepRefused as refused:
        left = ", ".join(f"{name} {first.body[name]}" for name in still)
        return outcome_of(
            first,
            "failed",
            live_id=work.id,
            reason=f"it has {left} for the time being: it got neither its own nor, back, {told}: {refused.message}",
            remedy=f"Give it its name by hand, or plan again. {_AGAIN}",
        )
    return outcome_of(
        first,
        "failed",
        live_id=work.id,
        reason=f"it has {told} again, because it did not get its own",
        remedy=_AGAIN,
    )


def not_sent(first: RestoreStep, others: Collection[str]) -> StepOutcome:
    """Returns the outcome of a passing name that was not given, because objects of the circle have changed."""
    return outcome_of(
        first,
        "failed",
        reason=f"not sent: {', '.join(others)} changed since the plan was made, and keeps the name that it needs",
        remedy=f"Plan again to exchange the names of {CATALOGUE[first.table].title.lower()} objects.",
    )
