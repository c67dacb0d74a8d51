"""Requests for any object type, as its catalogue entry says."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from entra_pipeline.graph import Write
from entra_pipeline.graph.client import query
from entra_pipeline.restore.execute import lost_write
from entra_pipeline.restore.execute.step import RunningStep, StepRefused
from entra_pipeline.restore.objects import paths
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
        self.left_out: set[str] = set()

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
        written = await work.send(Write("POST", f"{self.rule.bin}/{work.id}/restore", {}, repeatable=True))
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
            await self.change(body)

    async def create(self) -> None:
        """Makes the object, then sets what only an existing one takes."""
        work = self.work
        made = work.session.journal.made.get(work.step.number)
        if made:
            work.id = made[work.step.id]
        else:
            try:
                new = await self.made()
            except StepRefused as refused:
                if not self._leave_out(refused, self.sent()):
                    raise
                new = await self.made()
            work.made(self.ids_of(new))
        if rest := await self.lacking(self.rest()):
            await self.change(rest)

    def rest(self) -> dict[str, Any]:
        """Returns the properties that are left to set once the object exists."""
        written = self.first() | self.left_out
        return {name: value for name, value in self.work.body().items() if name not in written}

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
        if work.step.returning:
            # It may have come back with what it ties together.
            there = await lost_write.find(work, body, new=False)
            if there:
                return there
        return await work.make(Write("POST", self.posted_to, body), lambda new: lost_write.find(work, body, new))

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
        names = self.first() - self.left_out
        body = {name: value for name, value in self.work.body().items() if name in names}
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
        shown = normalized(self.entry, await self.shown(body) or {})
        return {name: value for name, value in body.items() if not is_written(value, shown.get(name))}

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
            kept = {name: value for name, value in current.items() if self._written(name)}
            body = {**kept, **body}
        if not self.rule.change:
            raise StepRefused("Graph cannot change such an object", remedy="Plan again.")
        try:
            await self.work.do(Write(self.rule.change, self.item, body, repeatable=True))
        except StepRefused as refused:
            if not self._leave_out(refused, body):
                raise
            if body := {name: value for name, value in body.items() if name not in self.left_out}:
                await self.work.do(Write(self.rule.change, self.item, body, repeatable=True))

    def _leave_out(self, refused: StepRefused, body: Iterable[str]) -> bool:
        """Decides whether to try again without properties that Graph shows and may not take: unknown and gated ones."""
        if refused.status != 400:
            return False
        known = self.entry.properties
        unknown = {n for n in body if n not in known and "@" not in n and not n.startswith("extension_")}
        if self.work.step.action == "create":
            # The object is there, and others need it: that nobody has defined an attribute is no reason to lose both.
            unknown |= self.rule.gated.keys() & set(body)
        unknown -= {*self.rule.required, *self.left_out, self.entry.key, "passwordProfile"}
        self.left_out |= unknown
        if unknown:
            self.work.problems.append(f"without {', '.join(sorted(unknown))}: {refused.message}")
        return bool(unknown)

    def _written(self, name: str) -> bool:
        return name not in self.rule.volatile and name != self.entry.key and not name.startswith("@odata.")

    async def delete(self) -> None:
        """Removes the object; one that is gone already is fine."""
        written = await self.work.send(Write("DELETE", self.item))
        if written.status in {400, 409} and await self.prepare_removal(written.error().message):
            written = await self.work.send(Write("DELETE", self.item))
        if not written.done and written.status != 404:
            raise self.work.refused(written)

    async def prepare_removal(self, refusal: str) -> bool:
        """Switches off what keeps Graph from deleting the object; false when nothing had to be.

        Args:
            refusal: Graph's words.
        """
        shown = await self.work.get(self.item) or {}
        wanted = {
            name: value for name, value in self.rule.before_removal.items() if name in shown and shown[name] != value
        }
        if not wanted:
            return False
        kind = {name: shown[name] for name in ("@odata.type",) if name in shown}
        await self.work.do(Write("PATCH", self.item, {**kind, **wanted}, repeatable=True))
        return True
