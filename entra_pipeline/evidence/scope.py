"""What a scope has to show for a period: its settings, recovery points, jobs, drills, restores, holds, prune records.

Records are named by their key, with their proof. Of what is in them, counts, states, moments and who did it are told:
no name or value of the tenant's objects, no reason that somebody wrote.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from entra_pipeline.clock import iso
from entra_pipeline.errors import EntraPipelineError, NotInStore
from entra_pipeline.evidence.coverage import EvidencePeriod, coverage
from entra_pipeline.evidence.proofs import ProofReader, with_proof
from entra_pipeline.project import Project, Scope
from entra_pipeline.restore.records.approval import PlanSignature
from entra_pipeline.restore.records.plans import plan_key
from entra_pipeline.restore.records.report import report_key
from entra_pipeline.store.job_records import JobRecord
from entra_pipeline.store.manifest import Manifest, TableEntry
from entra_pipeline.store.parallel import in_turns
from entra_pipeline.store.points.head import HEADS
from entra_pipeline.store.points.keys import moment_of
from entra_pipeline.store.recovery_points import ScopeStore
from entra_pipeline.store.retention.holds import RetentionHold, hold_problems
from entra_pipeline.store.retention.prune_log import PruneRecord, PruneRecords


class _Drill(msgspec.Struct):
    """What is told of a drill's result."""

    id: str
    point: str
    status: str
    started: str
    finished: str
    seconds: float
    seconds_at_limits: float
    properties: int
    properties_equal: int
    links: int
    links_equal: int


class _Report(msgspec.Struct):
    """What is told of a restore's report."""

    point: str
    tenant: str
    status: str
    undo_point: str
    verified: bool = False


_REPORT = msgspec.json.Decoder(_Report)
_DRILL = msgspec.json.Decoder(_Drill)
_HOLD = msgspec.json.Decoder(RetentionHold)
_PRUNED = msgspec.json.Decoder(PruneRecord)
_SIGNED = msgspec.json.Decoder(PlanSignature)
_SETTINGS = ("tenant", "schedule", "drill", "timezone", "prune", "approval", "protect", "storage")


class ScopeEvidence:
    """Gathers the evidence of a scope.

    Args:
        project: The project.
        scope: The scope.
        reader: Reads its storage.
        period: The period.
    """

    def __init__(self, project: Project, scope: Scope, reader: ProofReader, period: EvidencePeriod) -> None:
        self._project = project
        self._scope = scope
        self._reader = reader
        self._store = ScopeStore(reader.files, scope.name)
        self._period = period

    def items(self) -> Iterator[tuple[str, Any]]:
        """Yields what there is, as name and content; raises StoreError when the storage cannot be listed."""
        # In this order a backup or a prune that ends meanwhile breaks no chain: each is told of after it was done.
        heads = self._reader.stored(f"{HEADS}{self._scope.name}/")
        for head in heads:
            self._reader.read(head["key"])
        present = self._present()
        prunes = list(self._prunes())
        points = self._points(present, prunes)
        jobs = list(self._jobs())
        self._reader.problems += PruneRecords(self._reader.files, self._scope.name).problems()
        if self._store.files.signed:
            self._reader.problems += hold_problems(self._store)
        yield "settings", self._settings()
        yield "points", points
        yield "jobs", jobs
        yield "drills", list(self._drills())
        yield "restores", [self._restore(job) for job in jobs if job["type"] == "restore"]
        yield "holds", list(self._holds())
        yield "prunes", prunes
        yield "heads", heads
        yield "coverage", self._coverage(points)

    def _settings(self) -> dict[str, Any]:
        """Returns what is configured at the time of the evidence; never secrets."""
        scope, storage = self._scope, self._project.storage[self._scope.storage]
        frequency = scope.full_frequency
        return {
            **{name: getattr(scope, name) for name in _SETTINGS},
            "encrypted": storage.encryption is not None,
            "full_backup_frequency": str(frequency) if frequency else None,
            "logs": scope.log_types(),
            "object_lock": self._store.files.object_lock,
            "part_of_the_tenant": scope.select is not None,
            "retention": str(scope.retention),
            "signed": self._store.files.signed,
            "storage_kind": storage.kind,
            "tenant_id": self._project.tenants[scope.tenant].tenant_id,
        }

    # --- Recovery points ---------------------------------------------------------------------------------------------

    def _present(self) -> dict[str, dict[str, Any] | None]:
        """Reads the points of the period that are there; None for one that went meanwhile."""

        def read(point: str) -> dict[str, Any] | EntraPipelineError:
            try:
                told = _point(self._store.manifest(point))
                return with_proof(told, self._reader.proof(self._store.manifest_key(point)))
            except EntraPipelineError as error:
                return error

        points = list(filter(self._within, self._store.points()))
        found: dict[str, dict[str, Any] | None] = {}
        for point, told in zip(points, in_turns(read, points), strict=True):
            if isinstance(told, NotInStore):
                found[point] = None
            elif isinstance(told, EntraPipelineError):
                self._reader.note(told, f"recovery point {point}")
            else:
                found[point] = told
        return found

    def _points(self, present: dict[str, dict[str, Any] | None], prunes: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Returns the points of the period, oldest first; of those that were pruned since, what their record tells."""
        pruned = {point["recovery_point"]: point for record in prunes for point in record["points"]}
        found = {point: told for point, told in pruned.items() if self._within(point)}
        for point, told in present.items():
            if told is not None:
                found[point] = told
            elif point not in pruned:
                self._reader.problems.append(f"recovery point {point} went while the evidence was made")
        return [found[point] for point in sorted(found)]

    def _within(self, point: str) -> bool:
        return self._period.first <= moment_of(point) < self._period.end

    def _prunes(self) -> Iterator[dict[str, Any]]:
        """Yields all prune records: the chain of points leads over what they tell of."""
        for key in self._reader.keys(f"_pruned/{self._scope.name}/"):
            if (found := self._reader.decoded(key, _PRUNED)) is None:
                continue
            record, proof = found
            points = [
                {
                    **{name: getattr(point, name) for name in ("recovery_point", "kind", "status", "expired")},
                    **{name: getattr(point, name) for name in ("sha256", "parent", "parent_sha256")},
                    "pruned": record.pruned,
                }
                for point in record.points
            ]
            told = {name: getattr(record, name) for name in ("number", "previous_sha256", "pruned", "by", "retention")}
            yield with_proof({**told, "points": points}, proof)

    def _holds(self) -> Iterator[dict[str, Any]]:
        """Yields the holds at the time of the evidence."""
        for key in self._reader.keys(f"_holds/{self._scope.name}/"):
            if found := self._reader.decoded(key, _HOLD):
                hold, proof = found
                yield with_proof({"by": hold.by, "recovery_point": hold.recovery_point, "since": hold.since}, proof)

    def _coverage(self, points: list[dict[str, Any]]) -> dict[str, Any]:
        good = [point["recovery_point"] for point in points if point["status"] == "finished"]
        every = self._store.points()
        try:
            before = self._store.last_good([one for one in every if moment_of(one) < self._period.first])
        except EntraPipelineError as error:
            self._reader.note(error)
            before = None
        if before:
            good.insert(0, before.recovery_point)
        taken = sorted(moment_of(one) for one in {*every, *(point["recovery_point"] for point in points)})
        return coverage(self._scope, self._period, taken, [*map(moment_of, good)])

    # --- Jobs --------------------------------------------------------------------------------------------------------

    def _jobs(self) -> Iterator[dict[str, Any]]:
        """Yields the jobs that overlap the period, in the order of their beginning."""
        try:
            records = self._store.jobs.between(self._period.first, self._period.end)
        except EntraPipelineError as error:
            self._reader.note(error, f"jobs of scope {self._scope.name}")
            return
        proofs = self._reader.proofs([f"_jobs/{self._scope.name}/{record.id}.json" for record in records])
        for record, proof in zip(records, proofs, strict=True):
            if proof is not None:
                yield with_proof(_job(record), proof)

    def _drills(self) -> Iterator[dict[str, Any]]:
        """Yields the drills that ended in the period, oldest first."""
        for key in self._reader.keys(f"_drills/{self._scope.name}/"):
            if (found := self._reader.decoded(key, _DRILL)) is None:
                continue
            drill, proof = found
            if iso(self._period.first) <= drill.finished < iso(self._period.end):
                told = {name: getattr(drill, name) for name in _Drill.__struct_fields__}
                minutes = {"minutes": round(drill.seconds / 60, 1)}
                at_limits = {"minutes_at_limits": round(drill.seconds_at_limits / 60, 1)}
                yield with_proof({**told, **minutes, **at_limits}, proof)

    def _restore(self, job: dict[str, Any]) -> dict[str, Any]:
        """Returns how a restore ended, and its records: plan, report, who made the plan, who approved it."""
        told: dict[str, Any] = {name: job[name] for name in ("id", "status", "started", "finished")}
        folder = plan_key(job["id"]).rpartition("/")[0]
        there = set(self._reader.keys(f"{folder}/"))
        if (plan := plan_key(job["id"])) in there and (found := self._reader.read(plan)):
            told["plan"] = {"proof": found.proof}
        if (key := report_key(job["id"])) in there and (reported := self._reader.decoded(key, _REPORT)):
            report, proof = reported
            told["report"] = with_proof({name: getattr(report, name) for name in _Report.__struct_fields__}, proof)
        for what in ("made", "approved"):
            key = f"{folder}/{what}.json"
            if key in there and (signed := self._reader.decoded(key, _SIGNED)):
                record, proof = signed
                told[what] = with_proof({"by": record.by, "moment": record.moment, "seal": record.seal}, proof)
        return told


def _point(manifest: Manifest) -> dict[str, Any]:
    members = ("recovery_point", "kind", "taken_for", "status", "started", "finished", "parent", "parent_sha256")
    return {
        **{name: getattr(manifest, name) for name in (*members, "last_good", "locked_until", "seal")},
        "tables": {name: _table(entry) for name, entry in sorted(manifest.tables.items())},
    }


def _table(entry: TableEntry) -> dict[str, Any]:
    """Returns the counts of a table; of gaps how many, as their texts name objects."""
    return {
        "bytes": sum(part.bytes for part in entry.parts),
        "gaps": len(entry.gaps),
        "live": entry.live,
        "permissions_lacking": sorted({gap.permission for gap in entry.gaps if gap.permission}),
        "read": entry.read,
    }


def _job(record: JobRecord) -> dict[str, Any]:
    return {name: getattr(record, name) for name in ("id", "type", "status", "trigger", "started", "finished")}
