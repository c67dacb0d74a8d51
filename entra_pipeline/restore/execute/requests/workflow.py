"""Lifecycle workflows: what they do and when is changed by a new version (Graph doc: workflow-createnewversion)."""

from __future__ import annotations

from typing import Any

from entra_pipeline.graph import Write
from entra_pipeline.restore.execute.requests.generic import RequestBuilder
from entra_pipeline.restore.objects.written import is_written

_VERSIONED = ("tasks", "executionConditions")
# What a version says besides.
_DESCRIBED = ("category", "description", "displayName", "isEnabled", "isSchedulingEnabled")


class WorkflowRequests(RequestBuilder):
    """Workflows of lifecycle management."""

    async def change(self, body: dict[str, Any]) -> None:
        """Creates a new version for tasks and conditions that differ; PATCHes the rest."""
        versioned = {name: body[name] for name in _VERSIONED if name in body}
        if not versioned:
            await super().change(body)
            return

        async def there() -> bool:
            shown = await self.work.get(self.item) or {}
            return all(is_written(value, shown.get(name)) for name, value in body.items())

        while not await there():
            # What a version does not say of a new workflow would be missing: it is waited for.
            current = await self.work.patiently(lambda: self.work.get(self.item)) or {}
            version = {name: current[name] for name in (*_VERSIONED, *_DESCRIBED) if name in current} | body
            written = await self.work.send(Write("POST", f"{self.item}/createNewVersion", {"workflow": version}))
            if written.done or (written.lost and await self.work.patiently(there)):
                return
            if not written.lost:
                raise self.work.refused(written)
