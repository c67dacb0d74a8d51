"""PIM rules of a group: it has them from its creation on, under ids that only reading them tells."""

from __future__ import annotations

from typing import Any

from entra_pipeline.restore.execute.requests.parts import PartRequests
from entra_pipeline.restore.execute.step import StepRefused
from entra_pipeline.restore.objects.paths import collection

_MANUALLY = "Start the restore again in some minutes; or set the rules manually in Privileged Identity Management."


class GroupRuleRequests(PartRequests):
    """Rules for the members or the owners of a group (Graph doc: PIM for groups).

    They are kept in a policy, which the object of the step only assigns to the group.
    """

    policy = ""
    """Id of the policy, once it is known."""

    @property
    def item(self) -> str:
        """The path of the policy."""
        return f"policies/roleManagementPolicies/{self.policy}"

    async def update(self) -> None:
        """Sets the rules that differ."""
        work = self.work
        there = await work.patiently(self._there)
        if not there:
            raise StepRefused("Graph does not show PIM rules of the group", remedy=_MANUALLY)
        work.id, self.policy = there["id"], there["policyId"]
        await self._items("rules", work.body()["policy"]["rules"] or [])

    async def _there(self) -> dict[str, Any] | None:
        """Finds what assigns the rules to the group; one that was made anew has it under another id."""
        work = self.work
        role = work.body().get("roleDefinitionId")
        for one in await work.all(collection(self.entry, work.parent, work.owners)):
            if one["roleDefinitionId"] == role if role else one["id"] == work.id:
                return one
        return None
