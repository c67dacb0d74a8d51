"""Requests for any object type, as its catalogue entry says."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from time import monotonic
from typing import Any

from entra_pipeline.graph import Write, WriteResult
from entra_pipeline.graph.client import query
from entra_pipeline.restore.execute import lost_write
from entra_pipeline.restore.execute.requests.partial import (
    REFUSALS,
    TRIES,
    LeftOut,
    dispensable,
    stripped,
)
from entra_pipeline.restore.execute.step import RunningStep, StepRefused
from entra_pipeline.restore.objects import paths
from entra_pipeline.restore.objects.merging import annotated
from entra_pipeline.restore.objects.normalize import normalized
from entra_pipeline.restore.objects.references import ids_in
from entra_pipeline.restore.objects.selection import is_view
from entra_pipeline.restore.objects.written import is_written

# Properties and the values that put an object into force at once when it comes back from a recycle bin (Graph doc:
# conditionalaccesspolicy-restore).
_IN_FORCE = {"state": "enabled"}


class RequestBuilder:
    """Makes, changes and removes the object of a step.

    Args:
        work: The step.
    """

    def __init__(self, work: RunningStep) -> None:
        self.work = work
        self.entry = work.entry
        self.rule = work.rule
        self.less = LeftOut(work)

    @property
    def item(self) -> str:
        """The path of the object."""
        return paths.item(self.entry, self.work.id, self.work.parent, self.work.owners)

    @property
    def posted_to(self) -> str:
        """The path to which a new object is posted."""
        return paths.posted_to(self.entry, self.work.parent, self.work.owners)

    async def undelete(self) -> None:
        """Brings the object back from the recycle bin, then sets what differs; that it comes back twice is no harm."""
        work = self.work
        written = await work.send(
            Write("POST", f"{self.rule.bin}/{work.id}/restore", work.step.parameters, repeatable=True)
        )
        back = written.json() if written.done else None
        if written.status == 404:
            # An earlier try may have brought it back already.
            back = await work.patiently(lambda: work.get(self.item))
            if back is None:
                raise StepRefused(
                    "it is no longer in the recycle bin", remedy="Plan again: then it is created under a new id."
                )
        if back is None:
            raise work.refused(written)
        work.made({work.step.id: work.id})
        body = work.body()
        guard = self.rule.guard
        if guard and not work.session.options.enable_policies and back.get(guard[0]) == _IN_FORCE.get(guard[0], ...):
            # At once: later steps would leave it in force meanwhile.
            body.setdefault(*guard)
            work.session.settled[work.step.id] = {guard[0]: body[guard[0]]}
        if body:
            await self._complete(body)

    async def create(self) -> None:
        """Makes the object, then sets what only an existing one takes."""
        work = self.work
        made = work.session.journal.made.get(work.step.number)
        if made:
            work.id = made[work.step.id]
        else:
            work.made(self.ids_of(await self._made_with_less()))
            _note_met(work, self.sent())
        if rest := await self.lacking(self.rest()):
            await self._complete(rest)

    async def _made_with_less(self) -> dict[str, Any]:
        """Creates the object, without what Graph refuses of it."""
        for _ in range(TRIES):
            try:
                return await self.made()
            except StepRefused as refused:
                if not self.less.leave_out(refused, self.sent()):
                    raise
        return await self.made()

    async def _complete(self, body: dict[str, Any]) -> None:
        """Sets what an object that is there still lacks: a refusal does not undo that it is there.

        Raises:
            StepRefused: What narrows access was refused, so that nothing may be built on the object.
        """
        try:
            await self.change(body)
        except StepRefused as refused:
            lacking = {name for name in body if "@" not in name}
            if lacking - dispensable(self.entry, lacking) - self.less.out:
                raise
            if lacking - self.less.out:
                self.work.problems.append(f"without {', '.join(sorted(lacking - self.less.out))}: {refused.message}")

    def rest(self) -> dict[str, Any]:
        """Returns the properties that are left to set once the object exists."""
        written = (self.first() | self.less.out) - self.less.untried
        rest = {name: value for name, value in self.work.body().items() if name not in written}
        return stripped(rest, self.less.out - self.less.untried)

    async def made(self) -> dict[str, Any]:
        """Creates the object, or finds it, and returns it as Graph shows it."""
        work, body = self.work, self.sent()
        if self.rule.create != "POST":
            work.id = work.session.live(work.step.id)
            if await self.lacking(body):
                await work.do(Write(self.rule.create or "PATCH", self.item, body))
            if self.entry.parent is not None and not self.entry.parent.many and not is_view(self.entry):
                # Graph gives it an id, which only reading it tells.
                return await work.patiently(lambda: work.get(self.item)) or body
            return {**body, self.entry.key: work.id}
        if there := await self.came_back(body):
            return there
        return await work.make(Write("POST", self.posted_to, body), lambda new: lost_write.find(work, body, new))

    async def came_back(self, sent: Mapping[str, Any]) -> dict[str, Any] | None:
        """Finds an object that came back by itself, with what it ties together; None where none does.

        Args:
            sent: The properties by which it is known.
        """
        if not self.work.step.returning:
            return None
        return await self.work.returned(lambda: lost_write.find(self.work, sent, new=False), bool)

    def first(self) -> set[str]:
        """Lists the properties that go with the request that creates the object.

        What contains the object's own ids waits until it has new ones, unless who makes the object chooses them.
        """
        step = self.work.step
        own = {step.id.lower(), self.work.session.app_ids.get(step.id, "").lower()} - {""}
        kept = {name for name in step.body if self.rule.create != "POST" or name not in self.rule.change_only}
        if self.rule.create != "POST" or self.keeps_id:
            return kept
        # What only a new object takes keeps the old id: a role's templateId.
        fixed = self.rule.create_only
        return {name for name in kept if name in fixed or own.isdisjoint(ids_in({name: step.body[name]}))}

    @property
    def keeps_id(self) -> bool:
        """Whether the caller chooses the id."""
        return self.entry.key in self.work.step.body

    def sent(self) -> dict[str, Any]:
        """Returns the body of the request that creates the object."""
        names = self.first()
        body = stripped({name: value for name, value in self.work.body().items() if name in names}, self.less.out)
        body |= {name: value for name, value in self.less.replaced.items() if name in body}
        for name, prefix in self.rule.prefixed.items():
            if isinstance(body.get(name), str):
                body[name] = re.sub(f"^{prefix}", "", body[name])
        return body

    def ids_of(self, made: dict[str, Any]) -> dict[str, str]:
        """Maps ids at the recovery point to ids of the created object."""
        identifier = str(made.get(self.entry.key) or self.work.id)
        if self.entry.local_ids and not identifier.startswith(f"{self.work.parent}/"):
            identifier = f"{self.work.parent}/{identifier}"
        return {self.work.step.id: identifier}

    async def update(self) -> None:
        """Sets the properties that differ, but for those that came back by themselves."""
        work, body = self.work, self.work.body()
        settled = work.session.settled.get(work.step.id, {})
        body = {name: value for name, value in body.items() if settled.get(name, ...) != value}
        if body := await self.lacking(body):
            await self.change(body)

    async def lacking(self, body: dict[str, Any]) -> dict[str, Any]:
        """Returns the properties that did not come back by themselves with an object from the recycle bin."""
        if not body or not self.work.step.returning:
            return body

        async def look() -> dict[str, Any]:
            shown = normalized(self.entry, await self.shown(body) or {})
            return {name: value for name, value in body.items() if not is_written(value, shown.get(name))}

        return await self.work.returned(look, lambda left: not left)

    async def shown(self, names: Iterable[str]) -> dict[str, Any] | None:
        """Reads the object with some properties; None when it is not there."""
        entry = self.entry
        partial = entry.select or bool(entry.projection)
        select = ",".join(entry.projection or dict.fromkeys(["id", *names])) if partial else None
        return await self.work.get(query(self.item, select=select, expand=",".join(entry.expand)))

    async def change(self, body: dict[str, Any]) -> None:
        """Sends properties to the object that is there."""
        if self.rule.change == "PUT":
            # PUT replaces all of it.
            current = await self.work.get(self.item) or {}
            given = {*self.rule.volatile, self.entry.key}
            kept = {
                name: value for name, value in current.items() if name not in given and not name.startswith("@odata.")
            }
            body = {**kept, **body}
        if not self.rule.change:
            raise StepRefused("Graph cannot change such an object", remedy="Plan again.")
        if refused := await self._refusal(body):
            await self._without_refused(refused, body)

    async def _refusal(self, body: dict[str, Any]) -> StepRefused | None:
        """Sends properties; returns the refusal of their values. Raises StepRefused for any other."""
        try:
            await self.work.do(Write(self.rule.change, self.item, annotated(body), repeatable=True))  # type: ignore[arg-type]
        except StepRefused as refused:
            if refused.status not in REFUSALS:
                raise
            return refused
        return None

    async def _without_refused(self, refused: StepRefused, body: dict[str, Any]) -> None:
        """Sends a change again without what Graph refuses of it, found by its words, else by halves.

        Raises:
            StepRefused: Nothing of it is taken, or not what narrows access.
        """
        sent, first = body, refused
        for _ in range(TRIES):
            if not self.less.leave_out(refused, sent, by_name=True):
                break
            sent = stripped({**sent, **{n: v for n, v in self.less.replaced.items() if n in sent}}, self.less.out)
            if not _content(sent):
                raise first
            again = await self._refusal(sent)
            if again is None:
                return
            refused = again
        loose = sorted(dispensable(self.entry, sent, there=True)) if self.rule.change == "PATCH" else []
        if not loose or len(sent) == 1:
            raise refused
        firm = {name: value for name, value in sent.items() if name not in loose}
        if _content(firm) and (again := await self._refusal(firm)):
            raise again
        kind = {name: value for name, value in sent.items() if "@" in name}
        lost: dict[str, str] = {}
        await self._halves({name: sent[name] for name in loose}, kind, lost)
        if len(lost) == len(loose) and not _content(firm):
            raise refused
        self.less.out |= lost.keys()
        for why in sorted(set(lost.values())):
            names = ", ".join(sorted(name for name, reason in lost.items() if reason == why))
            self.work.problems.append(f"without {names}: {why}")

    async def _halves(self, body: dict[str, Any], kind: dict[str, Any], lost: dict[str, str]) -> None:
        """Sends properties in halves until those that Graph refuses stand alone; notes them with Graph's words.

        Args:
            body: The properties.
            kind: What goes with each request: the type of the object.
            lost: Receives the refused ones. When there are too many to look for one by one, all that are left.
        """
        names = list(body)
        middle = len(names) // 2 or 1
        for half in (names[:middle], names[middle:]):
            if not half:
                continue
            refused = await self._refusal({**kind, **{name: body[name] for name in half}})
            if refused is None:
                continue
            if len(half) == 1 or len(lost) >= TRIES:
                lost.update(dict.fromkeys(half, refused.message))
            else:
                await self._halves({name: body[name] for name in half}, kind, lost)

    async def delete(self) -> None:
        """Removes the object, first without what keeps Graph from deleting it; one that is gone already is fine.

        Raises:
            StepRefused: Graph does not delete it; it has back what was taken from it.
        """
        work = self.work
        taken = await self.prepare_removal() if work.step.before else {}
        written = await work.send(Write("DELETE", self.item))
        if not taken and written.status in REFUSALS and (taken := await self.prepare_removal()):
            written = await work.send(Write("DELETE", self.item))
        if written.status in REFUSALS and (taken or monotonic() < work.session.removed + work.session.patience):
            written = await self._deleted_in_time(written)
        if written.done or written.status == 404:
            return
        refused = work.refused(written)
        if taken:
            await self.undo_preparation(taken)
        raise refused

    async def _deleted_in_time(self, written: WriteResult) -> WriteResult:
        """Repeats a refused removal: that what kept the object is gone shows a little later."""
        answers = [written]

        async def over() -> bool:
            answers.append(await self.work.send(Write("DELETE", self.item)))
            return answers[-1].status not in REFUSALS

        await self.work.patiently(over)
        return answers[-1]

    async def prepare_removal(self) -> dict[str, Any]:
        """Switches off what keeps Graph from deleting the object.

        Returns:
            The properties that were changed for that, as they were.
        """
        if not self.rule.before_removal:
            return {}
        shown = await self.work.get(self.item) or {}
        wanted = {
            name: value for name, value in self.rule.before_removal.items() if name in shown and shown[name] != value
        }
        if not wanted:
            return {}
        kind = {name: shown[name] for name in ("@odata.type",) if name in shown}
        await self.work.do(Write("PATCH", self.item, {**kind, **wanted}, repeatable=True))
        return {**kind, **{name: shown[name] for name in wanted}}

    async def undo_preparation(self, taken: dict[str, Any]) -> None:
        """Gives an object that was not deleted back what was taken from it (`prepare_removal`)."""
        await self.work.do(Write("PATCH", self.item, taken, repeatable=True))


def _note_met(work: RunningStep, sent: dict[str, Any]) -> None:
    """Notes in what an object that was there already differs from the one that was to be made."""
    if work.met is None:
        return
    shown = normalized(work.entry, work.met)
    told = sorted(sent.keys() & shown.keys())
    if unlike := [name for name in told if not lost_write.is_shown(work.entry, name, sent[name], shown[name])]:
        work.problems.append(f"one exists already, which differs in {', '.join(unlike)}: it was left as it is")


def _content(body: dict[str, Any]) -> bool:
    """Tells whether a body has more than the type of the object."""
    return any("@" not in name for name in body)
