"""The journal of a restore: what was about to be sent, what has come into being, and what is done.

Kept in the store under `_restore/<job>/journal/`, in files that are only ever added. A request that must not be sent
twice is announced before it is sent; so a restore that was killed knows, when it is started again, what is done, what
was never begun, and what it has to look for in the tenant.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import datetime
from types import TracebackType
from typing import Literal, Self

import msgspec

from entra_pipeline.clock import Clock, iso, parse_iso, system_clock
from entra_pipeline.errors import AlreadyExists, EntraPipelineError, IntegrityError, ScopeBusy
from entra_pipeline.restore.objects.model import StepOutcome
from entra_pipeline.restore.records.report import report_key
from entra_pipeline.store.backends import ObjectStore
from entra_pipeline.store.recovery_points import ScopeStore

# How long, in seconds, acknowledgements wait for others, so that they share a file. An announcement waits for none.
_GATHER = 0.2


class RestoreUnfinished(EntraPipelineError):
    """A restore to the tenant was interrupted, or is under way: what it is about to make nobody else can know."""


class RestoreUnderWay(ScopeBusy):
    """Another process restores to the tenant: this one has not begun."""


class JournalEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A line of the journal.

    Attributes:
        kind: `begun` (the restore; once), `intent` (a request that must not be sent twice is about to be), `made` (it
            took effect), `done` (a step).
        at: When, RFC 3339.
        number: Of the step.
        ids: Ids at the recovery point → ids in the tenant, of what was made or brought back.
        outcome: Of a step that is done.
        undo_point: Recovery point of the target's scope that was taken before the first write; of `begun`.
        tenant_id: The tenant that is written to; of `begun`.
    """

    kind: Literal["begun", "intent", "made", "done"]
    at: str
    number: int = 0
    ids: dict[str, str] = {}
    outcome: StepOutcome | None = None
    undo_point: str = ""
    tenant_id: str = ""


_ENTRY_DECODER = msgspec.json.Decoder(JournalEntry)


class Journal:
    """The journal of one job. Use as an asynchronous context manager; one process at a time writes it.

    Args:
        files: The store's place.
        job: Id of the job.
        clock: The time.

    Attributes:
        undo_point: Recovery point that was taken before the first write; empty while there is none.
        intents: Steps that were about to be sent, and when first.
        made: What steps have brought into being.
        done: Outcomes of the steps that are done.
    """

    def __init__(self, files: ObjectStore, job: str, clock: Clock = system_clock) -> None:
        self.files = files
        self.job = job
        self.undo_point = ""
        self.intents: dict[int, datetime] = {}
        self.made: dict[int, dict[str, str]] = {}
        self.done: dict[int, StepOutcome] = {}
        self._clock = clock
        self._next = 0
        self._pending: list[JournalEntry] = []
        self._urgent = asyncio.Event()
        self._some = asyncio.Event()
        self._stored = asyncio.Condition()
        self._stored_count = 0
        self._noted_count = 0
        self._failure: BaseException | None = None
        self._writing: asyncio.Task[None] | None = None
        for file in files.list(_prefix(job)):
            self._next += 1
            for entry in _decode(file.key, files.read(file.key)):
                self._take(entry)

    async def __aenter__(self) -> Self:
        self._writing = asyncio.create_task(self._write())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._failure is None:
                await self.flush()
        finally:
            if self._writing is not None:
                self._writing.cancel()
                await asyncio.gather(self._writing, return_exceptions=True)

    async def begin(self, undo_point: str, tenant_id: str) -> None:
        """Notes the undo point and the tenant that is written to; returns when that is stored."""
        self._note(JournalEntry(kind="begun", at=self._now(), undo_point=undo_point, tenant_id=tenant_id))
        await self.flush()

    async def intend(self, number: int) -> None:
        """Announces a request that must not be sent twice; returns when the announcement is stored.

        Raises:
            StoreError: It cannot be stored: the request must not be sent.
        """
        self._note(JournalEntry(kind="intent", at=self._now(), number=number))
        await self.flush()

    def withdraw(self, number: int) -> None:
        """Forgets the announcement of a request that was refused: nothing came of it, so nothing is to be looked for.

        Only in this process. The store keeps the announcement, for which a restore that goes on elsewhere looks once.
        """
        self.intents.pop(number, None)

    def make(self, number: int, ids: dict[str, str]) -> None:
        """Notes what a step has created; stored soon."""
        self._note(JournalEntry(kind="made", at=self._now(), number=number, ids=ids))

    def finish(self, outcome: StepOutcome) -> None:
        """Notes the outcome of a step; stored soon."""
        self._note(JournalEntry(kind="done", at=self._now(), number=outcome.number, outcome=outcome))

    async def flush(self) -> None:
        """Waits until everything noted so far is stored; raises StoreError when it cannot be."""
        wanted = self._noted_count
        self._urgent.set()
        self._some.set()
        async with self._stored:
            await self._stored.wait_for(lambda: self._stored_count >= wanted or self._failure is not None)
        if self._failure is not None and self._stored_count < wanted:
            raise self._failure

    def _now(self) -> str:
        return iso(self._clock())

    def _note(self, entry: JournalEntry) -> None:
        self._take(entry)
        self._pending.append(entry)
        self._noted_count += 1
        self._some.set()

    def _take(self, entry: JournalEntry) -> None:
        if entry.kind == "begun":
            self.undo_point = entry.undo_point
        elif entry.kind == "intent":
            self.intents.setdefault(entry.number, parse_iso(entry.at))
        elif entry.kind == "made":
            self.made[entry.number] = {**self.made.get(entry.number, {}), **entry.ids}
        elif entry.outcome is not None:
            self.done[entry.number] = entry.outcome

    async def _write(self) -> None:
        while True:
            await self._some.wait()
            if not self._urgent.is_set():
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._urgent.wait(), _GATHER)
            self._some.clear()
            self._urgent.clear()
            entries, self._pending = self._pending, []
            try:
                if entries:
                    await asyncio.to_thread(self._store, entries)
            except BaseException as error:
                self._failure = error
                raise
            finally:
                async with self._stored:
                    if self._failure is None:
                        self._stored_count += len(entries)
                    self._stored.notify_all()

    def _store(self, entries: list[JournalEntry]) -> None:
        lines = b"".join(msgspec.json.encode(entry) + b"\n" for entry in entries)
        try:
            self.files.create(f"{_prefix(self.job)}{self._next:08d}.jsonl", lines)
        except AlreadyExists:
            raise RestoreUnderWay(
                f"restore {self.job} is being applied by another process",
                remedy="Wait until it has ended; if it is interrupted, resume it.",
            ) from None
        self._next += 1


def has_begun(files: ObjectStore, job: str) -> bool:
    """Tells whether a restore may have written to the tenant."""
    return any(True for _ in files.list(_prefix(job)))


def require_finished(store: ScopeStore, tenant_id: str, *, besides: str = "") -> None:
    """Raises while another restore of the store's recovery points to a tenant is unfinished.

    A plan that is made, or was made before, knows nothing of what that one is about to make, and would make it twice.

    Args:
        store: The store of the scope whose recovery points are restored.
        tenant_id: The tenant.
        besides: A job that does not count.

    Raises:
        RestoreUnfinished: There is one.
        StoreError: The store cannot be read.
    """
    first: dict[str, str] = {}
    ended: set[str] = {besides}
    for file in store.files.list("_restore/"):
        job = file.key.split("/")[1]
        if file.key == report_key(job):
            ended.add(job)
        elif file.key.startswith(_prefix(job)):
            first.setdefault(job, file.key)
    for job in sorted(first.keys() - ended):
        [begun, *_] = _decode(first[job], store.files.read(first[job]))
        if begun.tenant_id == tenant_id:
            raise RestoreUnfinished(
                f"restore {job} to this tenant is unfinished, and no other plan knows what it has still to write",
                remedy=f"Resume it first: entra-pipeline restore {store.scope} --resume {job} (in Dagster: plan_id "
                f"{job}, dry_run false).",
            )


def _prefix(job: str) -> str:
    return f"_restore/{job}/journal/"


def _decode(key: str, data: bytes) -> list[JournalEntry]:
    try:
        return [_ENTRY_DECODER.decode(line) for line in data.splitlines()]
    except msgspec.DecodeError as error:
        raise IntegrityError(
            f"{key} cannot be read: {error}", remedy="Restore the file from a copy of the storage, or plan again."
        ) from error
