"""How often, and after how long, an op is tried again that failed for a transient reason."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import NamedTuple

import dagster as dg

from entra_pipeline.errors import EntraPipelineError
from entra_pipeline.orchestration.errors import explained
from entra_pipeline.project import Project
from entra_pipeline.project.secrets import Needs
from entra_pipeline.runtime import ProcessDefault


class OpRetries(NamedTuple):
    """How an op is tried again.

    Attributes:
        times: How often at most.
        pause: Seconds before each.
    """

    times: int = 5
    pause: float = 60.0


_default = ProcessDefault(OpRetries())


def use_op_retries(retries: OpRetries) -> AbstractContextManager[None]:
    """Tries ops of this process again in another way meanwhile."""
    return _default.replaced(retries)


@contextmanager
def retried(context: dg.OpExecutionContext, project_file: str, needs: Callable[[Project], Needs]) -> Iterator[None]:
    """Explains errors as `explained` does; an op that fails for a transient reason is tried again after a pause.

    Dagster's own `RetryPolicy` would try everything again, also what trying cannot help.
    """
    times, pause = _default.value
    with explained(context, project_file, needs):
        try:
            yield
        except EntraPipelineError as error:
            if not error.transient or context.retry_number >= times:
                raise
            context.log.warning(f"{error}\nRetrying in {pause:.0f} s.")
            raise dg.RetryRequested(max_retries=times, seconds_to_wait=pause) from None
