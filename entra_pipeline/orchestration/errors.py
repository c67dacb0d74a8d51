"""Turns the project's errors into failures of Dagster that say what to do, and decides which are tried again."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from entra_pipeline.errors import EntraPipelineError
from entra_pipeline.orchestration.keys import RETRY_TAG


@contextmanager
def explained(
    context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext | dg.OpExecutionContext,
) -> Iterator[None]:
    """Turns our errors into failures that say what to do, and that are not tried again when trying cannot help."""
    try:
        yield
    except EntraPipelineError as error:
        if not error.transient:
            # The daemon that retries runs looks at tags only.
            context.instance.add_run_tags(context.run.run_id, {RETRY_TAG: "false"})
        raise dg.Failure(error.message, metadata={"remedy": error.remedy or "-"}) from None
