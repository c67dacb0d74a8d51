"""Restores: the pace of writing against Graph's limit, and the writes of each disaster against the fewest possible."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.report import Bound, Section
from benchmarks.tenant import SCOPE, Measured, measured
from entra_pipeline.backup.run import backup
from entra_pipeline.catalogue import EVERYTHING
from entra_pipeline.graph.factory import open_graph
from entra_pipeline.project.stores import open_store
from entra_pipeline.restore.execute.apply import RestoreTarget, apply
from entra_pipeline.restore.objects.model import RestoreOptions
from entra_pipeline.restore.plan.service import PlannedTenant, plan_restore
from entra_pipeline.restore.records.passwords import Passwords, random_key
from entra_pipeline.restore.records.report import RestoreReport
from entra_pipeline.runtime import run_async
from entra_pipeline.simulator import Control
from entra_pipeline.store.manifest import Manifest
from tests.restore import disasters

# Graph's limit per app and tenant (Graph doc: throttling-limits).
_WRITES, _SECONDS = 3_000, 150
# A little less than three windows' worth: the last of them may have to wait for a fourth, and nobody waits longer.
_UPDATES = 8_900
_USERS, _GROUPS = 2_000, 200


def _application(control: Control) -> Callable[[], None]:
    chosen = disasters.assign_many(control)
    return lambda: disasters.delete_application(control, chosen, for_good=True)


# What happens, after what is prepared before the recovery point.
_DISASTERS: dict[str, Callable[[Control], Callable[[], object]]] = {
    "300 users and 30 groups in the recycle bin": lambda c: lambda: disasters.delete_people(c),
    "300 users and 30 groups permanently deleted": lambda c: lambda: disasters.delete_people(c, for_good=True),
    "50 groups without members, 20 applications without owners": lambda c: lambda: disasters.empty_groups(c),
    "conditional access rewritten, named locations deleted": lambda c: lambda: disasters.rewrite_conditional_access(c),
    "an application with 500 assignments permanently deleted": _application,
    "role assignments and administrative units rearranged at random": lambda c: lambda: disasters.scramble_roles(c),
    "attributes of all users overwritten": lambda c: lambda: disasters.overwrite_attributes(c),
    "everything deletable deleted": lambda c: lambda: disasters.delete_everything(c),
}


@dataclass(frozen=True)
class _Undone:
    """A disaster that was undone.

    Attributes:
        report: What became of the restore.
        least: The fewest writes that could have undone it.
        seconds: From the first write to the last, by the tenant's clock.
        throttled: Writes that the tenant refused for coming too fast.
    """

    report: RestoreReport
    least: int
    seconds: float
    throttled: int

    @property
    def restored(self) -> str:
        """How many of the steps went as they should."""
        good = sum(outcome.result == "restored" for outcome in self.report.outcomes)
        return f"{good:,} of {len(self.report.outcomes):,}"


def measure(folder: Path, scale: float) -> list[Section]:
    """Undoes a long disaster at Graph's limit, whatever the scale, and each disaster in a tenant of its own."""
    return [_pace(folder), _writes(folder, scale)]


def _pace(folder: Path) -> Section:
    with measured(folder / "pace", _UPDATES * 3 // 2, 10) as tenant:
        tenant.protect(["users"])
        done = _undone(tenant, lambda: disasters.overwrite_attributes(tenant.control, users=_UPDATES))
    pace = done.report.writes / done.seconds
    return Section(
        title="Writing at Graph's limit",
        method=f"A script has overwritten the attributes of {done.report.writes:,} users. A restore resets them over "
        f"HTTP, with one write each. The simulated Graph enforces its limit of {_WRITES:,} writes in {_SECONDS} "
        "seconds. The time does not include the undo point and the verification.",
        columns={
            "writes": "writes",
            "seconds": "seconds",
            "pace": "writes per second",
            "throttled": "answered 429",
        },
        rows=[
            {
                "writes": done.report.writes,
                "seconds": done.seconds,
                "pace": pace,
                "throttled": done.throttled,
            }
        ],
        bounds=[Bound("rate against the limit", pace / (_WRITES / _SECONDS), 0.9, least=True)],
    )


def _writes(folder: Path, scale: float) -> Section:
    users, groups = round(_USERS * scale), round(_GROUPS * scale)
    rows: list[dict[str, object]] = []
    bounds: list[Bound] = []
    for number, (name, prepare) in enumerate(_DISASTERS.items(), 1):
        with measured(folder / f"disaster-{number}", users, groups) as tenant:
            tenant.protect(list(EVERYTHING))
            done = _undone(tenant, prepare(tenant.control))
        rows.append(
            {
                "disaster": f"{number}. {name}",
                "steps": done.restored,
                "writes": done.report.writes,
                "least": done.least,
                "throttled": done.throttled,
            }
        )
        bounds.append(Bound(f"writes of {number}", done.report.writes / done.least, 1.1))
    return Section(
        title="Writes of a restore",
        method=f"A tenant of {users:,} users and {groups:,} groups with every object type is damaged and restored. The "
        "minimum is counted from the tenant's state before and after: one write for each object that is missing, "
        "surplus or different, one for 20 members of a group, and one for what cannot be set at creation.",
        columns={
            "disaster": "disaster",
            "steps": "steps restored",
            "writes": "writes",
            "least": "minimum",
            "throttled": "answered 429",
        },
        rows=rows,
        bounds=bounds,
    )


def _undone(tenant: Measured, damage: Callable[[], object]) -> _Undone:
    """Backs up, lets it happen, and restores."""
    scope = tenant.project.scope(SCOPE)
    store = open_store(tenant.project, scope)
    control = tenant.control

    async def protect() -> Manifest:
        async with open_graph(tenant.project.tenants[scope.tenant]) as graph:
            return await backup(scope, store, graph)

    async def restore(point: Manifest) -> RestoreReport:
        entry = tenant.project.tenants[scope.tenant]
        async with open_graph(entry) as reading, open_graph(entry, writing=True) as writing:
            plan = await plan_restore(
                store,
                point,
                PlannedTenant(scope=scope, store=store, reading=reading, writing=writing),
                options=RestoreOptions(enable_policies=True),
                trigger="benchmark",
            )
            target = RestoreTarget(scope=scope, store=store, reading=reading, writing=writing)
            return await apply(plan, store=store, target=target, passwords=Passwords(store.files, plan, random_key))

    point = run_async(protect())
    before = disasters.truth(control)
    damage()
    least = disasters.least_writes(before, disasters.truth(control))
    control.ledger(reset=True)
    report = run_async(restore(point))
    writes = control.writes()
    moments = [write["at"] for write in writes]
    throttled = sum(write["status"] == 429 for write in writes)
    return _Undone(report, least, max(moments) - min(moments), throttled)
