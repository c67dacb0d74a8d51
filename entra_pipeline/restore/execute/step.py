"""What carries out the steps of a restore: sending, waiting for replication, and making things once only.

What belongs here: what holds for every request of a step. What does not: which requests a step takes (`requests`), and
in which order steps go (`apply`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, TypeVar

import msgspec

from entra_pipeline.catalogue import CATALOGUE, RELATIONS, ObjectType, Restore
from entra_pipeline.catalogue.restoring import LinkWrite
from entra_pipeline.errors import EntraPipelineError, FailureSort, GraphError, GraphNotFound
from entra_pipeline.graph import Graph, GraphWriter, RequestStats, Write, WriteResult
from entra_pipeline.graph.pages import decoding
from entra_pipeline.graph.users import UserGraph
from entra_pipeline.restore.execute.patience import PATIENCE, SLOWEST_POLL, patiently
from entra_pipeline.restore.execute.reappearing import Reappearing
from entra_pipeline.restore.execute.refusals import about_new_values, denied, named_in, there_already, unknown_yet
from entra_pipeline.restore.objects.model import RestoreOptions, RestoreStep
from entra_pipeline.restore.objects.references import ids_in, rewrite
from entra_pipeline.restore.records.journal import Journal
from entra_pipeline.restore.records.passwords import Passwords

_decode_object = decoding(msgspec.json.Decoder(dict[str, Any]).decode)
_T = TypeVar("_T")

# A protected action may take a context besides the one that was asked for first.
_STEP_UPS = 2
# After so many answers that were lost, something else is wrong.
_LOST = 4


class StepRefused(EntraPipelineError):
    """Graph refused a step for good, or it cannot be sent.

    Attributes:
        status: Graph's; 0 when nothing was sent.
        targets: Properties that Graph's details name.
    """

    sort = FailureSort.PARTIAL
    status = 0
    targets: tuple[str, ...] = ()


@dataclass
class RestoreSession:
    """What the steps of a restore share.

    Attributes:
        graph: The tenant, as the app registration that may write.
        writer: Sends writes to it.
        person: Sends writes on behalf of the person who has signed in; None when nobody does.
        user: The tenant, as that person.
        stats: Counts reads.
        journal: Of the job.
        options: What was asked for.
        passwords: Of users that are made.
        identity: Ids at the recovery point → ids in the tenant, in small letters; only those that differ.
        app_ids: Ids of applications at the recovery point → their appIds.
        owners: For objects below objects that are below others: id of the one in the middle → id of its owner.
        settled: Properties that a step has set besides its own, by id at the recovery point: later steps need not.
        granted: Application permissions in the token that writes; empty when it does not tell.
        patience: Seconds to wait for replication.
        there_before: Ids of the objects of a type that were in the tenant before the first write.
        reappearing: What comes out of the recycle bin.
        fresh: Ids in the tenant of what came into being in this run, and when.
        young: Types of it, and when the last of each did.
        freed: When a step last gave up a name that another one needs; 0 before the first.
        removed: When a step last removed an object or links; 0 before the first.
    """

    graph: Graph
    writer: GraphWriter
    person: GraphWriter | None
    user: UserGraph | None
    stats: RequestStats
    journal: Journal
    options: RestoreOptions
    passwords: Passwords
    identity: dict[str, str]
    app_ids: Mapping[str, str]
    owners: Mapping[str, str]
    settled: dict[str, dict[str, Any]]
    there_before: Callable[[str], Awaitable[Collection[str]]]
    reappearing: Reappearing
    granted: frozenset[str] = frozenset()
    patience: float = PATIENCE
    fresh: dict[str, float] = field(default_factory=dict)
    young: dict[str, float] = field(default_factory=dict)
    freed: float = 0.0
    removed: float = 0.0

    def live(self, identifier: str) -> str:
        """Translates an id of the recovery point to the tenant's."""
        return str(rewrite(identifier, self.identity))

    def learn(self, ids: Mapping[str, str]) -> None:
        """Adds ids of objects that were created or brought back."""
        now = monotonic()
        for old, new in ids.items():
            if old.lower() != new.lower():
                self.identity[old if len(old) != 36 else old.lower()] = new
            self.fresh[new.lower()] = now

    def note(self, step: RestoreStep, *, gives_up: bool) -> None:
        """Notes that a step is done, after which Graph may still show what it removed, or gave up for another one."""
        now = monotonic()
        self.freed = now if gives_up else self.freed
        self.removed = now if step.action in {"delete", "unlink"} else self.removed

    def claimed(self) -> set[str]:
        """Returns ids in the tenant that steps of this job have created."""
        return {new.lower() for ids in self.journal.made.values() for new in ids.values()}


class RunningStep:
    """One step under way.

    Attributes:
        step: The step.
        entry: Object type; of links, that of the owner.
        rule: How its objects are written.
        id: Id in the tenant; of what is still to be made, empty.
        parent: Id in the tenant of the owner of a child object.
        owners: That owner's id → its own owner's, where the owner is a child object, too.
        problems: What did not go as it should have, though the step as a whole did.
        met: The object that Graph named when it refused to make a second one; None when it made one.
    """

    def __init__(self, session: RestoreSession, step: RestoreStep) -> None:
        self.session = session
        self.step = step
        self.entry: ObjectType = CATALOGUE.get(step.table) or RELATIONS[step.table][0]
        self.rule: Restore = self.entry.restore
        self.id = step.live_id or ("" if step.action == "create" else session.live(step.id))
        self.parent = session.live(step.parent) if step.parent else ""
        above = session.owners.get(step.parent)
        self.owners = {self.parent: session.live(above)} if above else {}
        self.problems: list[str] = []
        self.met: dict[str, Any] | None = None

    def body(self) -> dict[str, Any]:
        """Returns the properties to send, with the ids of the tenant."""
        result: dict[str, Any] = rewrite(self.step.body, self.session.identity)
        return result

    # --- reading -----------------------------------------------------------------------------------------------------

    async def get(self, url: str) -> dict[str, Any] | None:
        """Reads one object; None when there is none."""
        try:
            return await self.session.graph.fetch(
                url, _decode_object, stats=self.session.stats, lane=self.entry.write_lane, headers=_PROMPT
            )
        except GraphNotFound:
            return None

    async def all(self, url: str) -> list[dict[str, Any]]:
        """Reads all objects of a collection; none when its owner is not there."""
        found: list[dict[str, Any]] = []
        pages = self.session.graph.pages(url, stats=self.session.stats, lane=self.entry.write_lane, headers=_PROMPT)
        try:
            async for page in pages:
                found += [_decode_object(bytes(raw)) for raw in page.value]
        except GraphNotFound:
            return []
        return found

    async def patiently(self, look: Callable[[], Awaitable[_T]]) -> _T:
        """Repeats a lookup until it finds something or replication has had its time."""
        return await patiently(look, patience=self.session.patience, retry=self.session.graph.retry)

    async def returned(self, look: Callable[[], Awaitable[_T]], whole: Callable[[_T], bool]) -> _T:
        """Looks for what comes back by itself; once more when reads show what it comes back with.

        Args:
            look: Reads what is there.
            whole: Tells whether nothing is lacking of it.
        """
        found = await look()
        if whole(found):
            return found
        targets = [self.session.live(one) for one in self.step.targets]
        about = ids_in([self.id, self.parent, *self.owners.values(), targets, self.body()])
        await self.session.reappearing.wait(about & self.session.fresh.keys())
        return await look()

    # --- writing -----------------------------------------------------------------------------------------------------

    async def send(self, write: Write) -> WriteResult:
        """Sends a write; one that fails because something just made is not known everywhere yet is sent again."""
        attempt = 0
        while True:
            written = await self._sent(write)
            if written.done or written.lost or monotonic() >= self._until_known(written):
                return written
            attempt += 1
            await asyncio.sleep(min(self.session.graph.retry.pause(attempt), SLOWEST_POLL))

    async def _sent(self, write: Write) -> WriteResult:
        """Sends a write as the app registration, or as the person, who signs in once more when Graph asks for it."""
        person, user, lane = self.session.person, self.session.user, self.entry.write_lane
        by_person = self.step.delegated and person is not None
        written = await (person if by_person and person else self.session.writer).send(write, lane=lane)
        for _ in range(_STEP_UPS):
            if not written.claims or person is None or user is None:
                break
            await user.step_up(written.claims)
            written = await person.send(write, lane=lane)
        return written

    async def do(self, write: Write) -> WriteResult:
        """Sends a write that has to succeed; raises Refused."""
        written = await self.send(write)
        if not written.done:
            raise self.refused(written)
        return written

    async def make(self, write: Write, find: Callable[[bool], Awaitable[dict[str, Any] | None]]) -> dict[str, Any]:
        """Creates an object exactly once, also after the process or an answer was lost.

        Args:
            write: The request that makes it.
            find: Looks for it in the tenant; told whether it has to be new, or may have been there before.

        Returns:
            The object as Graph showed it.
        """
        journal, number = self.session.journal, self.step.number
        uncertain = number in journal.intents
        if uncertain and number not in journal.made:
            found = await self.patiently(lambda: find(True))
            if found:
                return dict(found)
        for _ in range(_LOST):
            await journal.intend(number)
            written = await self.send(write)
            if written.done:
                return written.json()
            if not written.lost:
                found = await self._met(written, find)
                if found:
                    self.met = dict(found)
                    return self.met
                if not uncertain:
                    journal.withdraw(number)
                raise self.refused(written)
            uncertain = True
            found = await self.patiently(lambda: find(True))
            if found:
                return dict(found)
        raise StepRefused(
            f"Graph's answer was lost {_LOST} times, and the object was not created",
            remedy="Check Microsoft's service health, and start the restore again.",
        )

    async def _met(
        self, written: WriteResult, find: Callable[[bool], Awaitable[dict[str, Any] | None]]
    ) -> dict[str, Any] | None:
        """Returns the object that Graph refuses to make twice; None when it is another one that has the name."""
        if not there_already(written):
            return None
        if self.step.returning or self.rule.link:
            # It says who is tied to whom, so it is the one that was to be made, however late lists show it.
            return await self.patiently(lambda: find(False))
        return await find(False)

    def made(self, ids: Mapping[str, str]) -> None:
        """Notes what this step has made or brought back: ids at the recovery point → ids in the tenant."""
        self.session.journal.make(self.step.number, dict(ids))
        self.session.learn(ids)
        self.session.young[self.step.table] = monotonic()
        self.id = ids[self.step.id]

    def _until_known(self, written: WriteResult) -> float:
        """Returns until when a refused write is repeated: while what it needs may not be known everywhere yet."""
        session, fresh = self.session, self.session.fresh
        if written.write.method == "DELETE":
            return 0.0
        if there_already(written):
            # The name of an object that was deleted or renamed for this one.
            return session.freed + session.patience if self.step.waits and session.freed else 0.0
        moments: list[float] = []
        if written.status == 404 or unknown_yet(written) or self._denied_for_now(written):
            about = named_in([written.write.url, written.write.body], fresh) | {self.id.lower(), self.parent.lower()}
            moments = [fresh[one] for one in about if one in fresh]
            if unknown_yet(written):
                # Definitions go by other names than their ids.
                moments += [session.young[table] for table in self.rule.after if table in session.young]
        elif about_new_values(written, fresh, self.parent):
            moments = [fresh[one] for one in named_in([written.write.body, self.parent], fresh)]
        return max(moments) + session.patience if moments else 0.0

    def _denied_for_now(self, written: WriteResult) -> bool:
        """Tells whether a refusal for want of rights may pass, as the token has what the request takes."""
        return denied(written) and bool(self.session.granted) and not self._missing_permissions(written.write)

    def _missing_permissions(self, write: Write) -> list[str]:
        """Returns application permissions that a write takes and the token lacks; none when it tells nothing."""
        if not self.session.granted:
            return []
        gated = self.rule.gated if isinstance(write.body, dict) and not self._links else {}
        alone = [*self._written_by.besides, *(gated[name] for name in sorted(gated.keys() & {*(write.body or ())}))]
        return [
            some[0]
            for some in (self._written_by.permissions, *((one,) for one in alone))
            if some and self.session.granted.isdisjoint(some)
        ]

    @property
    def _links(self) -> bool:
        return self.step.table in RELATIONS

    @property
    def _written_by(self) -> Restore | LinkWrite:
        """What says which permissions the step takes."""
        return (RELATIONS[self.step.table][1].write if self._links else None) or self.rule

    def _denied_though_granted(self) -> str:
        """Says what may be behind a lasting 403 when the token has the permissions of the type."""
        asked = (self._written_by.permissions or ("that the type takes",))[0]
        if not self.session.granted:
            return f"{_grant([asked])} If it is granted, the tenant may lack the licence."
        gated = sorted(
            f"{permission}, which {name} takes"
            for name, permission in self.rule.gated.items()
            if permission not in self.session.granted
        )
        lacking = f" It lacks {'; '.join(gated)}." if gated else ""
        return (
            f"The restore app registration has the required permission ({asked}).{lacking} Start the restore again in "
            "some minutes, as replication of new objects can take a while; if it is refused again, the tenant may lack "
            "the licence, or the app registration a directory role over the object."
        )

    def refused(self, written: WriteResult) -> StepRefused:
        """Builds the error of a refusal, with the remedy."""
        error = written.error() if written.status else GraphError("Graph's answer was lost")
        refused = StepRefused(error.message, remedy=self._remedy(written, error))
        refused.status = written.status
        refused.targets = written.targets()
        return refused

    def _remedy(self, written: WriteResult, error: GraphError) -> str:
        if written.claims:
            return (
                "The tenant protects this action with Conditional Access: plan again with --sign-in, and sign in with "
                "an account that satisfies the policy."
            )
        if error.status == 403 and self.step.delegated:
            asked = (self.rule.delegated or self.rule.permissions)[0]
            return (
                f"Grant the delegated permission {asked} to the restore app registration, and sign in with an account "
                "whose role allows it."
            )
        if error.status == 403 and error.code == "Directory_QuotaExceeded":
            return "Remove objects that are not needed, and start the restore again."
        if error.status == 403 and (missing := self._missing_permissions(written.write)):
            return _grant(missing)
        if error.status == 403 and self.entry.name == "users":
            return (
                "Users with administrator roles can only be changed by an app with the Privileged Authentication "
                "Administrator or Global Administrator role: assign it to the restore app registration, and start the "
                "restore again."
            )
        if unknown_yet(written):
            return "Start the restore again in some minutes: replication of what it refers to is not complete."
        if error.status == 403:
            return self._denied_though_granted()
        if error.status == 404:
            return "Plan again: what it refers to is not in the tenant."
        if there_already(written):
            return "Rename or remove the object with the same name in the tenant, and plan again."
        return ""


def _grant(permissions: Sequence[str]) -> str:
    named = "permission" if len(permissions) == 1 else "permissions"
    return (
        f"Grant the application {named} {', '.join(permissions)} to the restore app registration and consent to it, "
        "then start the restore again."
    )


def chunks(items: Iterable[str], size: int) -> list[list[str]]:
    """Splits items into lists of at most `size`."""
    every = list(items)
    return [every[start : start + size] for start in range(0, len(every), size)]


# Graph throttles low-priority requests first; nobody waits for a backup, somebody waits for a restore.
_PROMPT = {"x-ms-throttle-priority": "normal"}
