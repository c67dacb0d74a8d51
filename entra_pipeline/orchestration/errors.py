"""Turns the project's errors into failures of Dagster that say what to do, and decides which are tried again."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import dagster as dg

from entra_pipeline.errors import EntraPipelineError, UsageError
from entra_pipeline.orchestration.keys import RETRY_TAG


@contextmanager
def explained(
    context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext | dg.OpExecutionContext,
) -> Iterator[None]:
    """Turns our errors into failures that say what to do, and that are not tried again when trying cannot help.

    Refuses a launch configuration that is not plain values, before any of it is used.
    """
    try:
        require_plain_config(context.run.run_config)
        yield
    except EntraPipelineError as error:
        if not error.transient:
            # The daemon that retries runs looks at tags only.
            context.instance.add_run_tags(context.run.run_id, {RETRY_TAG: "false"})
        raise dg.Failure(error.message, metadata={"remedy": error.remedy or "-"}) from None


def require_plain_config(config: Mapping[str, Any]) -> None:
    """Refuses what a launch must not decide: values of environment variables, and resources of their own.

    Dagster takes `{env: NAME}` for any text of a configuration, so that whoever may launch a run could have the secrets
    of its process shown in an error message.

    Args:
        config: The run's configuration as it was launched, which still names variables instead of their values.

    Raises:
        UsageError: It names one, or configures a resource.
    """
    if place := _variable(config):
        raise UsageError(
            f"{place} is taken from an environment variable; a launch must not do that",
            remedy="Write the value itself. Secrets belong in dagster_project.toml, as { env = NAME }.",
        )
    if config.get("resources"):
        raise UsageError(
            "the launch configures resources; only the project may do that",
            remedy="Remove `resources` and launch it again.",
        )


def _variable(value: Any, place: str = "") -> str:
    """Where a configuration names an environment variable; empty when it does not."""
    if isinstance(value, Mapping):
        if value.keys() == {"env"} and place:
            return place
        parts = [(f"{place}.{key}" if place else str(key), part) for key, part in value.items()]
    elif isinstance(value, list):
        parts = [(f"{place}[{number}]", part) for number, part in enumerate(value)]
    else:
        return ""
    return next((found for name, part in parts if (found := _variable(part, name))), "")
