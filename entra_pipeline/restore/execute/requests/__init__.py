"""The requests that a step takes: a generic maker from the catalogue's rules, and one for each `By`."""

from entra_pipeline.catalogue.restoring import By
from entra_pipeline.restore.execute.requests.application import Application
from entra_pipeline.restore.execute.requests.entitlement import Entitlement
from entra_pipeline.restore.execute.requests.generic import Maker
from entra_pipeline.restore.execute.requests.licenses import Group, Licenses
from entra_pipeline.restore.execute.requests.links import link, unlink
from entra_pipeline.restore.execute.requests.parts import Parts, Strength
from entra_pipeline.restore.execute.requests.schedule import Schedule
from entra_pipeline.restore.execute.requests.streams import Streams
from entra_pipeline.restore.execute.requests.user import User
from entra_pipeline.restore.execute.requests.workflow import Workflow
from entra_pipeline.restore.execute.step import Work

MAKERS: dict[By, type[Maker]] = {
    By.GENERIC: Maker,
    By.USER: User,
    By.LICENSES: Licenses,
    By.GROUP: Group,
    By.APPLICATION: Application,
    By.SCHEDULE: Schedule,
    By.STRENGTH: Strength,
    By.PARTS: Parts,
    By.ENTITLEMENT: Entitlement,
    By.STREAMS: Streams,
    By.WORKFLOW: Workflow,
}


async def carry_out(work: Work) -> None:
    """Sends what a step takes; raises Refused when Graph refuses it."""
    action = work.step.action
    if action == "link":
        await link(work)
    elif action == "unlink":
        await unlink(work)
    else:
        maker = MAKERS[work.rule.by](work)
        await {
            "undelete": maker.undelete,
            "create": maker.create,
            "update": maker.update,
            "enable": maker.update,
            "delete": maker.delete,
        }[action]()


__all__ = ["MAKERS", "carry_out"]
