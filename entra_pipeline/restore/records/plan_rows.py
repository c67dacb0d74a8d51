"""A plan as rows for people: what each step changes, and between whom.

What belongs here: words and names, for the command, Dagster and the console alike. What does not: how they are shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from entra_pipeline.analysis.names import names, short_pair
from entra_pipeline.catalogue import BY_GRAPH_TYPE, CATALOGUE, RELATIONS
from entra_pipeline.restore.objects.model import RestorePlan, RestoreStep
from entra_pipeline.store.recovery_points import ScopeStore
from entra_pipeline.store.state import connect
from entra_pipeline.text import pluralize

# Of a step's links and properties, those that are shown.
_MOST = 3


class PlanRows:
    """Describes the steps of a plan.

    Args:
        store: The store of the scope whose recovery point is restored.
        plan: The plan.
        live: The store of the scope that shows the tenant (`live_scope` of the plan).
    """

    def __init__(self, store: ScopeStore, plan: RestorePlan, live: ScopeStore) -> None:
        self._plan = plan
        self._sides = ((live, plan.live_point), (store, plan.point))

    def rows(self, steps: Sequence[RestoreStep]) -> list[dict[str, Any]]:
        """Returns one row per step: `step`, `stage`, `action`, `type`, `name`, `what`, `notes`."""
        called = self._called(steps)
        return [
            {
                "step": step.number,
                "stage": step.stage,
                "action": step.action,
                "type": step.table,
                "name": step.name or step.id,
                "what": _what(step, called),
                "notes": "; ".join(["restored by Entra", *step.notes] if step.returning else step.notes),
            }
            for step in steps
        ]

    def _called(self, steps: Sequence[RestoreStep]) -> dict[str, str]:
        """Finds display names of linked objects: from the recovery point, else from the tenant."""
        wanted: dict[str, set[str]] = {}
        for step in steps:
            for id_, kind in list(zip(step.targets, step.target_types, strict=True))[:_MOST]:
                if entry := BY_GRAPH_TYPE.get(kind):
                    wanted.setdefault(entry.name, set()).add(id_)
        found: dict[str, str] = {}
        if not wanted:
            return found
        with connect(*(store.files for store, _ in self._sides)) as connection:
            for store, point in self._sides:
                # Retention may have taken the one that showed the tenant.
                if point in store.points():
                    found |= names(connection, store, store.manifest(point), wanted)
        return found


def _what(step: RestoreStep, called: dict[str, str]) -> str:
    if step.table in RELATIONS:
        known = [called.get(one, one) for one in step.targets[:_MOST]]
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
    changes = [f"{name}: {' → '.join(short_pair(step.before.get(name), value))}" for name, value in step.body.items()]
    rest = len(changes) - _MOST
    return "\n".join(changes if rest <= 1 else [*changes[:_MOST], f"and {rest:,} more properties"])
