"""PIM schedules: they come and go by requests (Graph doc: rbacapplication-post-roleeligibilityschedulerequests)."""

from __future__ import annotations

from typing import Any

from entra_pipeline.graph import Write
from entra_pipeline.restore.execute import lost_write
from entra_pipeline.restore.execute.refusals import there_already
from entra_pipeline.restore.execute.requests.generic import RequestBuilder
from entra_pipeline.restore.objects.references import rewrite

_WHO = ("principalId", "roleDefinitionId", "directoryScopeId", "appScopeId", "groupId", "accessId")
_JUSTIFICATION = "Restored from a backup"


class ScheduleRequests(RequestBuilder):
    """Eligible and active assignments of roles and groups."""

    async def made(self) -> dict[str, Any]:
        """Requests the schedule, or finds one that is there already."""
        work = self.work
        body = self.sent()
        who = _ends(body)
        if there := await self.came_back(who):
            return there
        info = {name: value for name, value in (body.get("scheduleInfo") or {}).items() if name != "startDateTime"}
        request = {
            "action": "adminAssign",
            "justification": _JUSTIFICATION,
            **who,
            "scheduleInfo": info or {"expiration": {"type": "noExpiration"}},
        }

        # Graph refuses a second one: what is there is what was asked for.
        async def find(new: bool) -> dict[str, Any] | None:
            return await lost_write.find(work, who, new=False)

        answer = await work.make(Write("POST", self.posted_to, request), find)
        if self.entry.parent is not None:
            # Ids of schedules in groups are longer than those that requests name.
            shown = await work.patiently(lambda: find(False))
            answer = shown or answer
        return {"id": answer.get("targetScheduleId") or answer.get("id")}

    async def delete(self) -> None:
        """Requests its removal."""
        before = rewrite(self.work.step.before, self.work.session.identity)
        who = _ends(before or await self.work.get(self.item) or {})
        if not who:
            return
        request = {"action": "adminRemove", "justification": _JUSTIFICATION, **who}
        written = await self.work.send(Write("POST", self.posted_to, request, repeatable=True))
        if not written.done and written.status != 404 and not there_already(written):
            raise self.work.refused(written)


def _ends(body: dict[str, Any]) -> dict[str, Any]:
    return {name: body[name] for name in _WHO if body.get(name)}
