"""Restore drill: a recovery point is restored in an empty simulated tenant, and is compared with what it was.

What belongs here: the drill from end to end, and its result in the store. What does not: restoring (`plan`, `apply`),
and comparing (`fidelity`).

A drill writes nothing to a real tenant, and to the scope's store nothing but its result: plan, journal and the tenant's
own recovery points are in a temporary folder.
"""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Any

import msgspec

from entra_pipeline.backup.run import backup
from entra_pipeline.catalogue import CATALOGUE, RELATIONS
from entra_pipeline.clock import Clock, iso, system_clock
from entra_pipeline.errors import NotInStore
from entra_pipeline.graph import Graph
from entra_pipeline.project import Scope, Secret, Tenant
from entra_pipeline.restore.check.fidelity import Difference, Fidelity, Score, fidelity
from entra_pipeline.restore.execute.apply import NullRestoreProgress, RestoreProgress, RestoreTarget, apply
from entra_pipeline.restore.objects.model import RestoreOptions, RestorePlan
from entra_pipeline.restore.plan.diff import Side, decoded, meeting
from entra_pipeline.restore.plan.planner import LiveTenant, make_plan
from entra_pipeline.restore.plan.rules.extensions import taken_extensions
from entra_pipeline.restore.plan.tenant_mapping import map_to_tenant
from entra_pipeline.restore.records.id_map import lineage
from entra_pipeline.restore.records.passwords import Passwords, random_key
from entra_pipeline.restore.records.report import RestoreReport
from entra_pipeline.simulator import Control, Simulator
from entra_pipeline.store.backends import LocalObjectStore
from entra_pipeline.store.manifest import Manifest, TakenFor, canonical
from entra_pipeline.store.recovery_points import ScopeStore
from entra_pipeline.store.running_jobs import recorded
from entra_pipeline.store.state import connect
from entra_pipeline.text import pluralize

FORMAT = "entra-pipeline/restore-drill"
PROPERTIES_GOAL = 0.99
"""Share of the properties that have to come back."""
LINKS_GOAL = 1.0
"""Share of the links that have to come back."""

# What has to be there before a restore begins, because others bring it, and how.
_BY_OTHERS = {
    "domains": "domains are added and verified by a DNS record",
    "subscribed_skus": "subscriptions are bought",
    "devices": "devices join again",
    "contacts": "contacts come from Exchange or Active Directory",
}

# What an enterprise application takes over from an application of another tenant.
_PUBLISHED = (
    "appId",
    "appDisplayName",
    "appOwnerOrganizationId",
    "appRoles",
    "displayName",
    "oauth2PermissionScopes",
    "replyUrls",
    "servicePrincipalNames",
    "servicePrincipalType",
    "signInAudience",
)
_SIMULATED = "simulated"
_PATIENCE = 5.0
"""Seconds; a simulated tenant knows at once what was written."""


class Drill(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a restore drill.

    Attributes:
        id: Job id.
        scope, point: What was restored.
        status: `finished` when the goals were met.
        started, finished: RFC 3339.
        properties, properties_equal: Properties compared, and those that came back as they were.
        links, links_equal: Links compared, and those that came back.
        steps: Of the plan.
        writes: Write requests that the tenant got.
        seconds: How long the restore took, from the plan to the last write.
        seconds_at_limits: How long its writes take in a real tenant, at Graph's limits.
        brought: What others bring on such a day, and was put into the tenant before: number by type.
        refused: What the plan refused for want of something: number by type.
        scores: By object type and relation.
        differences: What did not come back as it was.
        format, version: Of this file.
    """

    id: str
    scope: str
    point: str
    status: str
    started: str
    finished: str
    properties: int
    properties_equal: int
    links: int
    links_equal: int
    steps: int
    writes: int
    seconds: float
    seconds_at_limits: float
    brought: dict[str, int]
    refused: dict[str, int]
    scores: tuple[Score, ...]
    differences: tuple[Difference, ...]
    format: str = FORMAT
    version: int = 1


DRILL_DECODER = msgspec.json.Decoder(Drill)


def drill_file(scope: str, job: str) -> str:
    """Returns the key of a drill's result in the store of its scope."""
    return f"_drills/{scope}/{job}.json"


def drills(store: ScopeStore) -> list[Drill]:
    """Reads the drills of a scope, oldest first; raises StoreError."""
    files = sorted(store.files.list(f"_drills/{store.scope}/"), key=lambda file: file.key)
    return [DRILL_DECODER.decode(store.files.read(file.key)) for file in files]


def goals_met(drill: Drill) -> bool:
    """Tells whether a drill reached both goals."""
    return (
        drill.properties_equal >= PROPERTIES_GOAL * drill.properties and drill.links_equal >= LINKS_GOAL * drill.links
    )


def drill_text(drill: Drill) -> str:
    """Describes a drill in one line."""
    wanted = f"{PROPERTIES_GOAL * 100:g} % and {LINKS_GOAL * 100:g} % are required"
    return (
        f"{share(drill.properties_equal, drill.properties)} of "
        f"{pluralize(drill.properties, 'property', 'properties')} and "
        f"{share(drill.links_equal, drill.links)} of {pluralize(drill.links, 'link')} were restored"
        f"{'' if goals_met(drill) else f': too few, {wanted}'}. "
        f"It took {pluralize(drill.writes, 'write')} and {drill.seconds / 60:.1f} minutes; "
        f"at Graph's write limits {drill.seconds_at_limits / 60:.1f} minutes"
    )


def compared(score: Score) -> str:
    """Describes the size of a comparison: `35 properties of 4 objects`, `1 link of 1 object`."""
    unit = ("property", "properties") if score.kind == "properties" else ("link",)
    return f"{pluralize(score.compared, *unit)} of {pluralize(score.objects, 'object')}"


def score_rows(drill: Drill) -> list[dict[str, Any]]:
    """Returns the scores as rows: `table`, `objects`, `properties` or `links`, `came_back`, `left_out`, `why`."""
    return [
        {
            "table": score.table,
            "objects": score.objects,
            score.kind: score.compared,
            "came_back": share(score.equal, score.compared),
            "left_out": sum(score.left_out.values()) or None,
            "why": "; ".join(score.left_out),
        }
        for score in drill.scores
        if score.compared or score.left_out
    ]


def share(part: int, whole: int) -> str:
    """Formats a share in per cent, rounded down; empty when the whole is 0."""
    return f"{int(part * 1000 / whole) / 10:g} %" if whole else ""


async def drill(
    store: ScopeStore,
    point: Manifest,
    *,
    trigger: str,
    run_id: str = "",
    clock: Clock = system_clock,
    progress: RestoreProgress | None = None,
) -> Drill:
    """Restores a recovery point into an empty simulated tenant, and keeps the result and a job record in the store.

    Args:
        store: The scope's store.
        point: The recovery point.
        trigger: What started it: `command`, `schedule` …
        run_id: Id of the Dagster run that it is part of; empty outside of Dagster.
        clock: The one clock.
        progress: Told what happens.

    Raises:
        NotInStore: The recovery point does not have the tenant's domains.
        StoreError: A file cannot be read or written.
        GraphError: The simulated tenant fails.
    """
    reporter: RestoreProgress = progress or NullRestoreProgress()
    with recorded(store, "drill", trigger=trigger, run_id=run_id, clock=clock) as record:
        record.details = {"recovery_point": point.recovery_point}
        started = iso(clock())
        reporter.phase("starting an empty tenant")
        with TemporaryDirectory(prefix="entra-drill-") as folder:
            rehearsal = _Rehearsal(Side(store, point), Path(folder), record.id, clock, reporter)
            result = await rehearsal.run()
        drill = _result(record.id, started, iso(clock()), rehearsal, result)
        await asyncio.to_thread(store.files.create, drill_file(store.scope, record.id), canonical(drill))
        record.status = drill.status
        record.details |= {
            name: getattr(drill, name)
            for name in ("properties", "properties_equal", "links", "links_equal", "steps", "writes", "seconds")
        }
        return drill


class _Rehearsal:
    """A drill under way."""

    def __init__(self, point: Side, folder: Path, job: str, clock: Clock, progress: RestoreProgress) -> None:
        self.point = point
        self.folder = folder
        self.job = job
        self.clock = clock
        self.progress = progress
        self.brought: dict[str, int] = {}
        self.plan: RestorePlan
        self.report: RestoreReport
        self.seconds = 0.0

    async def run(self) -> Fidelity:
        users = self.point.manifest.tables["users"].live if self.point.has("users") else 0
        initial, domains = await asyncio.to_thread(_domains_of, self.point)
        seed = int.from_bytes(hashlib.blake2b(self.job.encode(), digest_size=4).digest())
        simulator = Simulator(
            users, seed=seed, empty=True, domain=_main_domain(initial, domains), state=self.folder / "tenant"
        )
        await asyncio.to_thread(simulator.start)
        try:
            return await self._restored(simulator)
        finally:
            await asyncio.to_thread(simulator.stop)

    async def _restored(self, simulator: Simulator) -> Fidelity:
        self.progress.phase("what others bring")
        arrived = await asyncio.to_thread(_Arrivals(self.point, simulator.control, self.brought).all)
        reader = _tenant(simulator, self.folder / "tenant")
        writer = _tenant(simulator, self.folder / "tenant", writing=True)
        scope = Scope(
            name="drill",
            tenant=_SIMULATED,
            storage="drill",
            protect=[name for name in CATALOGUE if name in self.point.manifest.tables],
        )
        target_store = ScopeStore(LocalObjectStore(self.folder / "target"), scope.name, self.clock)
        async with Graph(reader) as graph, Graph(writer) as writing:
            live = await backup(
                scope, target_store, graph, taken_for=TakenFor.DRILL, clock=self.clock, progress=self.progress
            )
            self.progress.phase("planning")
            began = monotonic()
            before = Side(target_store, live)
            crossing = await asyncio.to_thread(map_to_tenant, self.point, before, self.folder / "point")
            self.plan = await asyncio.to_thread(
                make_plan,
                self.job,
                iso(self.clock()),
                crossing.point,
                LiveTenant(before, _SIMULATED, extensions=await taken_extensions(graph)),
                options=RestoreOptions(enable_policies=True),
                identity=arrived,
                unsupported=crossing.unsupported,
            )
            self.report = await apply(
                self.plan,
                store=crossing.point.store,
                target=RestoreTarget(scope=scope, store=target_store, reading=graph, writing=writing),
                passwords=Passwords(crossing.point.store.files, self.plan, random_key),
                patience=_PATIENCE,
                clock=self.clock,
                progress=self.progress,
            )
            self.seconds = monotonic() - began
            after = await backup(
                scope, target_store, graph, taken_for=TakenFor.DRILL, clock=self.clock, progress=self.progress
            )
        self.progress.phase("comparing")
        made = {one.id: one.live_id for one in self.report.outcomes if one.live_id and one.table in CATALOGUE}
        names = {
            **arrived,
            # What counts as the same as an object that was made has the new id of that.
            **{old: made.get(new, new) for old, new in self.plan.identity.items()},
            **_moved(crossing.point.store, self.plan),
            **made,
        }
        names = {old.lower() if len(old) == 36 else old: new for old, new in names.items() if old != new}
        return await asyncio.to_thread(
            fidelity, crossing.point, before, Side(target_store, after), names, _reasons(self.plan, self.report)
        )


def _moved(store: ScopeStore, plan: RestorePlan) -> dict[str, str]:
    """Maps ids at the recovery point to ids of the objects that the restore created, appIds included."""
    return lineage(store, plan.tenant_id)


def _reasons(plan: RestorePlan, report: RestoreReport) -> dict[tuple[str, str], str]:
    """Collects the reasons of refusals and failures by table and id."""
    told = sorted(plan.refusals, key=lambda one: one.kind != "skipped")
    refused = {(one.table, one.id): one.reason for one in told}
    failed = {(one.table, one.id): one.reason for one in report.outcomes if one.reason}
    return refused | failed


def _result(job: str, started: str, finished: str, rehearsal: _Rehearsal, found: Fidelity) -> Drill:
    def total(kind: str, name: str) -> int:
        return sum(getattr(score, name) for score in found.scores if score.kind == kind)

    refused: dict[str, int] = {}
    for one in rehearsal.plan.refusals:
        if one.kind == "unresolved":
            refused[one.table] = refused.get(one.table, 0) + 1
    drill = Drill(
        id=job,
        scope=rehearsal.plan.scope,
        point=rehearsal.plan.point,
        status="finished",
        started=started,
        finished=finished,
        properties=total("properties", "compared"),
        properties_equal=total("properties", "equal"),
        links=total("links", "compared"),
        links_equal=total("links", "equal"),
        steps=len(rehearsal.plan.steps),
        writes=rehearsal.report.writes,
        seconds=round(rehearsal.seconds, 1),
        seconds_at_limits=rehearsal.plan.seconds,
        brought=rehearsal.brought,
        refused=refused,
        scores=found.scores,
        differences=found.differences,
    )
    return drill if goals_met(drill) else msgspec.structs.replace(drill, status="finished with exception")


# --- the empty tenant ------------------------------------------------------------------------------------------------


def _domains_of(point: Side) -> tuple[str, list[str]]:
    """Reads the initial domain and all verified domains."""
    if not point.has("domains"):
        raise NotInStore(
            f"{point.manifest.recovery_point} of scope {point.store.scope!r} does not have the tenant's domains",
            remedy="Add domains to the scope's `protect`, and back up again.",
        )
    with connect(point.store.files) as connection:
        every = [decoded(raw) for (raw,) in connection.execute(point.state("domains", "_raw")).fetchall()]
    verified = [one for one in every if one.get("isVerified")]
    initial = next((str(one["id"]) for one in verified if one.get("isInitial")), "")
    return initial, sorted(str(one["id"]) for one in verified)


def _main_domain(initial: str, domains: list[str]) -> str:
    """Chooses the domain of the simulated tenant: its first label is that of the initial domain."""
    label = initial.partition(".")[0] or "drill"
    return next((one for one in domains if one.partition(".")[0] == label and one != initial), f"{label}.example")


def _tenant(simulator: Simulator, folder: Path, *, writing: bool = False) -> Tenant:
    """Configures the simulated tenant, with the credential that reads or the one that may write."""
    return Tenant(
        name=_SIMULATED,
        tenant_id=simulator.tenant_id,
        client_id=simulator.restore_client_id if writing else simulator.client_id,
        client_secret=Secret(file=folder / ("restore_client_secret" if writing else "client_secret")),
        graph_url=simulator.graph_url,
        authority=simulator.authority,
        ca_bundle=simulator.ca_bundle,
    )


class _Arrivals:
    """Puts into the empty tenant what no restore brings back, because others do.

    Args:
        point: The recovery point.
        control: Of the simulated tenant.
        brought: Filled with the number of objects by type.
    """

    def __init__(self, point: Side, control: Control, brought: dict[str, int]) -> None:
        self._point = point
        self._control = control
        self._brought = brought
        self._names: dict[str, str] = {}

    def all(self) -> dict[str, str]:
        """Creates all of them with the links between them; returns id at the recovery point → id in the tenant."""
        for table in CATALOGUE:
            if self._point.has(table) and (table in _BY_OTHERS or CATALOGUE[table].restore.mastered):
                self._objects(table)
        for relation, (owner, rule) in RELATIONS.items():
            if rule.write is not None and rule.write.mastered and self._point.has(relation):
                self._links(relation, f"{owner.path}/{{}}/{rule.segment}")
        self._terms()
        self._applications()
        self._seats()
        return self._names

    def _terms(self) -> None:
        """Creates the terms of use that policies name; only a signed-in user may read and create them."""
        if not self._point.has("conditional_access_policies"):
            return
        with connect(self._point.store.files) as connection:
            rows = connection.execute(self._point.state("conditional_access_policies", "_raw")).fetchall()
        named = {id_ for (raw,) in rows for id_ in (decoded(raw).get("grantControls") or {}).get("termsOfUse") or ()}
        for id_ in sorted(named):
            self._control.create("identityGovernance/termsOfUse/agreements", {"id": id_, "displayName": "Terms of use"})
        if named:
            self._brought["terms_of_use"] = len(named)

    def _seats(self) -> None:
        """Sets the number of licences as bought; to the number of users where the recovery point has none."""
        bought: dict[str, Any] = {}
        enough: dict[str, Any] | None = None
        if self._point.has("subscribed_skus"):
            with connect(self._point.store.files) as connection:
                rows = connection.execute(self._point.state("subscribed_skus", "_raw")).fetchall()
            bought = {one["skuId"]: one.get("prepaidUnits") for one in (decoded(raw) for (raw,) in rows)}
        elif self._point.has("users"):
            enough = {"enabled": self._point.manifest.tables["users"].live}
        for sku in self._control.dump("subscribedSkus"):
            if units := bought.get(sku["skuId"], enough):
                self._control.patch(f"subscribedSkus/{sku['id']}", {"prepaidUnits": units})

    def _applications(self) -> None:
        """Publishes the applications of other tenants, which a restore never creates."""
        if not self._point.has("service_principals"):
            return
        with connect(self._point.store.files) as connection:
            rows = connection.execute(self._point.state("service_principals", "_raw")).fetchall()
        bodies = [decoded(raw) for (raw,) in rows]
        own = self._point.manifest.tenant_id
        published = [one for one in bodies if (one.get("appOwnerOrganizationId") or own) != own]
        self._control.publish([{name: one[name] for name in _PUBLISHED if one.get(name)} for one in published])

    def _objects(self, table: str) -> None:
        entry = CATALOGUE[table]
        if entry.parent is not None or not entry.path:
            return
        with connect(self._point.store.files) as connection:
            bodies = dict(connection.execute(self._point.state(table, "id, _raw")).fetchall())
            if table not in _BY_OTHERS:
                mine = meeting(connection, entry.restore.mastered, bodies) if bodies else set()
                bodies = {id_: body for id_, body in bodies.items() if id_ in mine}
        same = entry.aliases or (entry.key,) if table in {"domains", "subscribed_skus"} else ()
        there = {one.get(name) for one in self._control.dump(entry.path) for name in same}
        wanted = {id_: decoded(raw) for id_, raw in sorted(bodies.items())}
        wanted = {id_: body for id_, body in wanted.items() if not any(body.get(name) in there for name in same)}
        new = [{n: v for n, v in body.items() if n != "id" or table == "domains"} for body in wanted.values()]
        if new:
            ids = self._control.create_many(entry.path, new)
            self._names |= {old: made for old, made in zip(wanted, ids, strict=True) if old != made}
            self._brought[table] = len(new)

    def _links(self, relation: str, path: str) -> None:
        with connect(self._point.store.files) as connection:
            rows = connection.execute(self._point.state(relation, "source_id, target_id")).fetchall()
        held: dict[str, list[str]] = {}
        for source, target in sorted(rows):
            if source in self._names and target in self._names:
                held.setdefault(self._names[source], []).append(self._names[target])
        for source, targets in held.items():
            self._control.add_link(path.format(source), *targets)
        if held:
            self._brought[relation] = sum(len(targets) for targets in held.values())
