"""Items that are kept in an object and have paths of their own below it."""

from __future__ import annotations

from typing import Any

from entra_pipeline.graph import Write
from entra_pipeline.restore.execute.requests.generic import RequestBuilder
from entra_pipeline.restore.objects.written import is_written

_COMBINATIONS = "allowedCombinations"
# Items of these are Microsoft's or final: they are changed, never removed.
_KEPT = {"authenticationMethodConfigurations", "allowedValues", "rules"}


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
            match = next((other for other in there if is_written(one, other)), None)
            if match is not None:
                there.remove(match)
            else:
                missing.append(one)
        for one in missing:
            match = next((other for other in there if "id" in one and other["id"] == one["id"]), None)
            if match is not None:
                there.remove(match)
                await work.do(Write("PATCH", f"{self.item}/{segment}/{one['id']}", one))
            else:
                await self._add(segment, one)
        if segment in _KEPT or work.session.options.conflict == "merge":
            return
        for other in there:
            written = await work.send(Write("DELETE", f"{self.item}/{segment}/{other['id']}"))
            if not written.done and written.status != 404:
                raise work.refused(written)

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
