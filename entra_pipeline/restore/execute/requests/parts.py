"""Items that are kept in an object and have paths of their own below it."""

from __future__ import annotations

from typing import Any

from entra_pipeline.graph import Write
from entra_pipeline.restore.execute.requests.generic import RequestBuilder
from entra_pipeline.restore.execute.requests.partial import REFUSALS
from entra_pipeline.restore.execute.step import StepRefused
from entra_pipeline.restore.objects.merging import cleared
from entra_pipeline.restore.objects.normalize import normalized
from entra_pipeline.restore.objects.written import is_written

_COMBINATIONS = "allowedCombinations"
# Items of these are Microsoft's or final: they are changed, never removed.
_KEPT = {"authenticationMethodConfigurations", "allowedValues", "rules"}
# Those that a PATCH of the object itself takes, each by its id.
_TOGETHER = {"rules"}


class PartRequests(RequestBuilder):
    """Objects whose items are sent one by one: conditions of consent policies, allowed values, methods."""

    @property
    def segments(self) -> set[str]:
        """Properties that hold such items."""
        return {name.partition("(")[0] for name in (*self.entry.inline, *self.entry.expand)}

    def first(self) -> set[str]:
        """Sends the object first and its items after it, except for required ones."""
        return super().first() - self.segments.difference(self.rule.required)

    async def change(self, body: dict[str, Any]) -> None:
        """Changes the object, then each item that differs."""
        own = {name: value for name, value in body.items() if name not in self.segments}
        if own:
            await super().change(own)
        for segment in sorted(self.segments & body.keys()):
            await self._items(segment, body[segment] or [])

    async def _items(self, segment: str, wanted: list[dict[str, Any]]) -> None:
        """Makes the items below the object those that are wanted; what is as it should be is not sent."""
        work = self.work
        there = await work.all(f"{self.item}/{segment}")
        missing: list[dict[str, Any]] = []
        for one in wanted:
            match = next((other for other in there if is_written(self._whole(segment, one, other), other)), None)
            if match is not None:
                there.remove(match)
            else:
                missing.append(one)
        by_id = {one["id"]: one for one in there if "id" in one}
        known = [(one, by_id[one["id"]]) for one in missing if one.get("id") in by_id]
        if segment in _TOGETHER and len(known) > 1 and await self._set_together(segment, known):
            known = []
        refused: list[StepRefused] = []
        for one, match in known:
            there.remove(match)
            try:
                await self._set(f"{self.item}/{segment}/{one['id']}", one, self._whole(segment, one, match))
            except StepRefused as error:
                # Each stands by itself: one that Graph refuses keeps no other away.
                if segment not in _KEPT or error.status not in REFUSALS:
                    raise
                refused.append(error)
                work.problems.append(f"without {segment} {one['id']}: {error.message}")
        if refused and len(refused) == len(missing):
            raise refused[-1]
        for one in missing:
            if one.get("id") not in by_id:
                await self._add(segment, one)
        if segment in _KEPT or work.session.options.conflict == "merge":
            return
        for other in there:
            written = await work.send(Write("DELETE", f"{self.item}/{segment}/{other['id']}"))
            if not written.done and written.status != 404:
                raise work.refused(written)

    async def _set_together(self, segment: str, known: list[tuple[dict[str, Any], dict[str, Any]]]) -> bool:
        """Changes items in one request to the object; tells whether Graph took them (Graph doc: update a policy)."""
        body = {segment: [self._whole(segment, one, match) for one, match in known]}
        written = await self.work.send(Write("PATCH", self.item, body, repeatable=True))
        if not written.done and written.status not in REFUSALS:
            raise self.work.refused(written)
        return written.done

    async def _set(self, path: str, one: dict[str, Any], whole: dict[str, Any]) -> None:
        """Changes an item; where Graph does not let what was added be taken away, the rest of it."""
        written = await self.work.send(Write("PATCH", path, whole))
        if written.status not in REFUSALS or whole == one:
            if not written.done:
                raise self.work.refused(written)
            return
        await self.work.do(Write("PATCH", path, one))
        added = ", ".join(sorted(name for name in whole if name not in one))
        self.work.problems.append(f"{one['id']} with {added}: {self.work.refused(written).message}")

    def _whole(self, segment: str, one: dict[str, Any], there: dict[str, Any]) -> dict[str, Any]:
        """Returns what makes an item the wanted one: members that were added since are taken away."""
        if self.work.session.options.conflict != "overwrite":
            return one
        (shown,) = normalized(self.entry, {segment: [there]})[segment]
        whole: dict[str, Any] = cleared("", one, shown)
        return whole

    async def _add(self, segment: str, one: dict[str, Any]) -> None:
        """Adds an item; when the answer is lost, looks whether it is there."""
        work, path = self.work, f"{self.item}/{segment}"

        async def there() -> bool:
            return any(is_written(one, other) for other in await work.all(path))

        while True:
            written = await work.send(Write("POST", path, one))
            if written.done or (written.lost and await work.patiently(there)):
                return
            if not written.lost:
                raise work.refused(written)


class StrengthRequests(PartRequests):
    """Authentication strengths (Graph doc: authenticationstrengthpolicy-updateallowedcombinations)."""

    async def change(self, body: dict[str, Any]) -> None:
        """Changes combinations by an action of their own."""
        rest = {name: value for name, value in body.items() if name != _COMBINATIONS}
        if _COMBINATIONS in body:
            action = {_COMBINATIONS: body[_COMBINATIONS]}
            await self.work.do(Write("POST", f"{self.item}/updateAllowedCombinations", action, repeatable=True))
        if rest:
            await super().change(rest)
