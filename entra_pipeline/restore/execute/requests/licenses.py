"""Licences, which are assigned by an action of their own (Graph doc: user-assignlicense, group-assignlicense)."""

from __future__ import annotations

from typing import Any

from entra_pipeline.graph import Write
from entra_pipeline.restore.execute.requests.generic import RequestBuilder
from entra_pipeline.restore.execute.requests.partial import REFUSALS
from entra_pipeline.restore.execute.step import StepRefused
from entra_pipeline.restore.objects.normalize import normalized

_PROPERTY = "assignedLicenses"


class LicenseRequests(RequestBuilder):
    """Licences of a user, for those that no group assigns."""

    held: list[dict[str, Any]] | None = None
    """Those that came back by themselves; None where that is not to be expected."""

    async def create(self) -> None:
        """Sets them: licences are a part of their user, who exists."""
        await self.update()

    async def update(self) -> None:
        """Sets licences; of those that come back by themselves, only what did not."""
        if self.work.step.returning and _PROPERTY in self.work.step.body:
            wanted = _held(self.work.step.body[_PROPERTY])
            self.held = await self.work.returned(self._shown, lambda found: wanted.items() <= _held(found).items())
        await super().update()

    async def _shown(self) -> list[dict[str, Any]]:
        """Reads the licences that are assigned directly."""
        return normalized(self.entry, await self.shown([_PROPERTY]) or {}).get(_PROPERTY) or []

    async def change(self, body: dict[str, Any]) -> None:
        """Assigns what is missing and takes away what is too much, in one request."""
        before = self.work.step.before.get(_PROPERTY)
        held = _held(before if self.held is None else self.held)
        wanted = _held(body.get(_PROPERTY))
        added = [
            {"skuId": sku, "disabledPlans": plans} for sku, plans in wanted.items() if held.get(sku, None) != plans
        ]
        removed = [] if self.work.session.options.conflict == "merge" else sorted(held.keys() - wanted.keys())
        if not added and not removed:
            return
        refused = await self._assign(added, removed)
        if refused is None:
            return
        changes = [*(([one], []) for one in added), *(([], [sku]) for sku in removed)]
        if len(changes) == 1 or refused.status not in REFUSALS:
            raise refused
        # One licence that cannot be keeps no other away.
        lost: list[str] = []
        for some, gone in changes:
            if again := await self._assign(some, gone):
                lost.append(str(gone[0] if gone else some[0]["skuId"]))
                refused = again
        if len(lost) == len(changes):
            raise refused
        if lost:
            self.work.problems.append(f"without the change of licences {', '.join(lost)}: {refused.message}")

    async def _assign(self, added: list[dict[str, Any]], removed: list[str]) -> StepRefused | None:
        """Assigns and removes licences; returns Graph's refusal."""
        action = {"addLicenses": added, "removeLicenses": removed}
        written = await self.work.send(Write("POST", f"{self.item}/assignLicense", action, repeatable=True))
        # What an earlier try has taken away is gone.
        if written.done or (removed and "does not have a corresponding license" in written.error().message):
            return None
        return self.work.refused(written)


class GroupRequests(LicenseRequests):
    """Groups: their own properties, and their licences by the same action."""

    async def create(self) -> None:
        """Makes the group."""
        await RequestBuilder.create(self)

    async def prepare_removal(self) -> dict[str, Any]:
        """Takes off the licences that the group assigns: with them Graph does not delete it (Entra doc: licensing)."""
        shown = await self.shown([_PROPERTY]) or {}
        held = _held(shown.get(_PROPERTY))
        if held:
            await self._set([], sorted(held))
        return {_PROPERTY: [{"skuId": sku, "disabledPlans": plans} for sku, plans in held.items()]} if held else {}

    async def undo_preparation(self, taken: dict[str, Any]) -> None:
        """Gives the group its licences back."""
        await self._set(taken[_PROPERTY], [])

    async def _set(self, added: list[dict[str, Any]], removed: list[str]) -> None:
        action = {"addLicenses": added, "removeLicenses": removed}
        await self.work.do(Write("POST", f"{self.item}/assignLicense", action, repeatable=True))

    def first(self) -> set[str]:
        """Leaves out licences, which are assigned later."""
        return super().first() - {_PROPERTY}

    async def change(self, body: dict[str, Any]) -> None:
        """Changes properties; licences apart."""
        rest = {name: value for name, value in body.items() if name != _PROPERTY}
        if rest:
            await RequestBuilder.change(self, rest)
        if _PROPERTY in body:
            await super().change(body)


def _held(licenses: list[dict[str, Any]] | None) -> dict[str, list[str]]:
    return {one["skuId"]: sorted(one.get("disabledPlans") or []) for one in licenses or ()}
