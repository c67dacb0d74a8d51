"""The person on whose behalf steps are sent that Graph lets no application do.

What belongs here: that somebody signs in before anything is written, and a writer for it. What does not: which steps
take a person (`RestoreStep.delegated`), and what is sent (`step`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from entra_pipeline.errors import UsageError
from entra_pipeline.graph import Graph, GraphWriter, RequestStats
from entra_pipeline.graph.users import UserGraph
from entra_pipeline.restore.objects.model import RestorePlan
from entra_pipeline.text import pluralize


async def signed_in(plan: RestorePlan, person: UserGraph | None) -> None:
    """Asks the person to sign in, if the plan has steps that take one: all of it can be done, or none is begun.

    Args:
        plan: The plan.
        person: The tenant, as the person who signs in; None when nobody is there.

    Raises:
        UsageError: The plan takes a person, and nobody is there.
        ConfigurationError: The sign-in was refused.
    """
    steps = sum(step.delegated for step in plan.steps)
    if not steps:
        return
    if person is None:
        raise UsageError(
            f"the plan {plan.id} has {pluralize(steps, 'step')} that only a signed-in user can carry out",
            remedy="Apply it on the command line with --sign-in, or plan again without --sign-in.",
        )
    await person.sign_in()


@asynccontextmanager
async def person_writer(
    person: UserGraph | None, reading: Graph, stats: RequestStats
) -> AsyncIterator[GraphWriter | None]:
    """Yields what sends writes on behalf of the person; None when nobody signs in.

    Args:
        person: The tenant, as the person.
        reading: The tenant, whose pace the person's requests share.
        stats: Counts what is sent.
    """
    if person is None:
        yield None
        return
    person.pacer.share(reading.pacer)
    async with GraphWriter(person, stats=stats) as writer:
        yield writer
