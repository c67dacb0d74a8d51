"""A plan as rows for people: what each step changes, and between whom.

What belongs here: words and names, for the command, Dagster and the console alike. What does not: how they are shown.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import closing
from typing import Any

from entra_pipeline.analysis.linking.called import called
from entra_pipeline.analysis.linking.point_copy import PointCopy
from entra_pipeline.analysis.names import guids_of, short_pair
from entra_pipeline.catalogue import CATALOGUE, RELATIONS
from entra_pipeline.restore.objects.model import RestorePlan, RestoreStep
from entra_pipeline.store.recovery_points import ScopeStore
from entra_pipeline.text import pluralize

# Of a step's links and properties, those that are shown.
_MOST = 3


NameFinder = Callable[[ScopeStore, str, Collection[str]], Mapping[str, str]]
"""Finds what people call the objects with some ids at a recovery point; ids of none are left out."""


def names_at(store: ScopeStore, point: str, ids: Collection[str]) -> dict[str, str]:
    """Opens a recovery point to find what people call the objects with some ids; raises StoreError."""
    with closing(PointCopy(store, store.manifest(point))) as copy:
        return {text: one.name for text, one in called(copy, ids).items()}


class PlanRows:
    """Describes the steps of a plan.

    Args:
        store: The store of the scope whose recovery point is restored.
        plan: The plan.
        live: The store of the scope that shows the tenant (`live_scope` of the plan).
        name: Finds what people call the objects with some ids at a point; whoever keeps points open has a faster one.
    """

    def __init__(self, store: ScopeStore, plan: RestorePlan, live: ScopeStore, name: NameFinder = names_at) -> None:
        self._plan = plan
        self._sides = ((store, plan.point), (live, plan.live_point))
        self._name = name

    def rows(self, steps: Sequence[RestoreStep]) -> list[dict[str, Any]]:
        """Returns one row per step: `step`, `stage`, `action`, `type`, `name`, `what`, `notes`."""
        names = self._called(steps)
        return [
            {
                "step": step.number,
                "stage": step.stage,
                "action": step.action,
                "type": step.table,
                "name": names.get(step.id, step.id) if step.name in ("", step.id) else step.name,
                "what": _what(step, names),
                "notes": "; ".join(["restored by Entra", *step.notes] if step.returning else step.notes),
            }
            for step in steps
        ]

    def _called(self, steps: Sequence[RestoreStep]) -> dict[str, str]:
        """Finds what people call the objects that the steps name: at the recovery point, else in the tenant."""
        wanted = {one for step in steps for one in step.targets[:_MOST]}
        wanted |= {step.id for step in steps if step.name in ("", step.id)}
        for step in steps:
            if step.action == "update":
                wanted |= guids_of(*step.body.values(), *step.before.values())
        found: dict[str, str] = {}
        for store, point in self._sides:
            # Retention may have taken the one that showed the tenant.
            if (left := wanted - found.keys()) and point in store.points():
                found |= self._name(store, point, left)
        return found


def _what(step: RestoreStep, names: Mapping[str, str]) -> str:
    if step.table in RELATIONS:
        known = [names.get(one, one) for one in step.targets[:_MOST]]
        rest = len(step.targets) - len(known)
        sign = "+" if step.action == "link" else "-"
        return f"{sign} {', '.join(known)}{f' and {rest:,} more' if rest else ''}"
    if step.action == "undelete":
        return "from the recycle bin, with its original id"
    if step.action == "create":
        kept = "with its id" if "id" in CATALOGUE[step.table].restore.required else "under a new id"
        return f"created with {pluralize(len(step.body), 'property', 'properties')}, {kept}"
    if step.action == "delete":
        return "deleted" if not CATALOGUE[step.table].restore.bin else "deleted (recycle bin)"
    changes = [
        f"{name}: {' → '.join(short_pair(step.before.get(name), value, names))}" for name, value in step.body.items()
    ]
    rest = len(changes) - _MOST
    return "\n".join(changes if rest <= 1 else [*changes[:_MOST], f"and {rest:,} more properties"])
