"""Turns a step of a plan into requests to Graph.

1. `RequestBuilder` (`generic`) builds them from the catalogue entry: path, body, what is sent in a second request.
2. `REQUEST_BUILDERS` names a subclass for each `WriteStrategy`: types that Graph changes by
   actions, requests or new versions.
3. `links` adds and removes references, and accepts that one is there already.

What belongs here: bodies and their order within a step. What does not: which steps there are (`plan`), sending and
journalling them (`apply`), and what became of a request without an answer (`lost_write`).
"""

from entra_pipeline.catalogue.restoring import WriteStrategy
from entra_pipeline.restore.execute.requests.application import ApplicationRequests
from entra_pipeline.restore.execute.requests.entitlement import EntitlementRequests
from entra_pipeline.restore.execute.requests.generic import RequestBuilder
from entra_pipeline.restore.execute.requests.group_rules import GroupRuleRequests
from entra_pipeline.restore.execute.requests.licenses import GroupRequests, LicenseRequests
from entra_pipeline.restore.execute.requests.links import link, unlink
from entra_pipeline.restore.execute.requests.parts import PartRequests, StrengthRequests
from entra_pipeline.restore.execute.requests.schedule import ScheduleRequests
from entra_pipeline.restore.execute.requests.streams import StreamRequests
from entra_pipeline.restore.execute.requests.user import UserRequests
from entra_pipeline.restore.execute.requests.workflow import WorkflowRequests
from entra_pipeline.restore.execute.step import RunningStep

REQUEST_BUILDERS: dict[WriteStrategy, type[RequestBuilder]] = {
    WriteStrategy.GENERIC: RequestBuilder,
    WriteStrategy.USER: UserRequests,
    WriteStrategy.LICENSES: LicenseRequests,
    WriteStrategy.GROUP: GroupRequests,
    WriteStrategy.APPLICATION: ApplicationRequests,
    WriteStrategy.SCHEDULE: ScheduleRequests,
    WriteStrategy.STRENGTH: StrengthRequests,
    WriteStrategy.PARTS: PartRequests,
    WriteStrategy.ENTITLEMENT: EntitlementRequests,
    WriteStrategy.STREAMS: StreamRequests,
    WriteStrategy.GROUP_RULES: GroupRuleRequests,
    WriteStrategy.WORKFLOW: WorkflowRequests,
}


async def send_requests(work: RunningStep) -> None:
    """Sends what a step takes; raises Refused when Graph refuses it."""
    action = work.step.action
    if action == "link":
        await link(work)
    elif action == "unlink":
        await unlink(work)
    else:
        maker = REQUEST_BUILDERS[work.rule.strategy](work)
        await {
            "undelete": maker.undelete,
            "create": maker.create,
            "update": maker.update,
            "enable": maker.update,
            "delete": maker.delete,
        }[action]()


__all__ = ["REQUEST_BUILDERS", "send_requests"]
