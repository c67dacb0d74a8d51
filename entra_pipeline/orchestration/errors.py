"""How the work of every op, asset and check begins and ends: with the secrets that it needs, and explained.

Turns the project's errors into failures of Dagster that say what to do, and decides which are tried again. No secret
leaves in them, nor in what is logged meanwhile.
"""

import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import dagster as dg

from entra_pipeline.errors import EntraPipelineError, UsageError
from entra_pipeline.orchestration.keys import RETRY_TAG
from entra_pipeline.project import Project, load_project
from entra_pipeline.project.secrets import Needs, needs_of_scope, secret_values, withheld
from entra_pipeline.settings.scrubbing import ScrubbingFilter, scrub, scrubbed_records


@contextmanager
def explained(
    context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext | dg.OpExecutionContext,
    project_file: str,
    needs: Callable[[Project], Needs],
) -> Iterator[None]:
    """Turns our errors into failures that say what to do, and that are not tried again when trying cannot help.

    Refuses a launch configuration that is not plain values, before any of it is used. Meanwhile the process is without
    the secrets in its environment that the work does not need.

    Args:
        context: The op's.
        project_file: The project's dagster_project.toml.
        needs: Says what the work signs in to.
    """
    secrets: frozenset[str] = frozenset()
    try:
        require_plain_config(context.run.run_config)
        project = load_project(project_file)
        # Known before any of them is withheld.
        secrets = secret_values(project)
        with scrubbed_records(secrets), withheld(project, needs(project)):
            yield
    except EntraPipelineError as error:
        if not error.transient:
            # The daemon that retries runs looks at tags only.
            context.instance.add_run_tags(context.run.run_id, {RETRY_TAG: "false"})
        remedy = scrub(error.remedy or "-", secrets)
        raise dg.Failure(scrub(error.message, secrets), metadata={"remedy": remedy}) from None
    except Exception as error:
        if (clean := _without_secrets(error, secrets)) is error:
            raise
        raise clean from None


def in_scope(name: str, *, tenant: bool = True) -> Callable[[Project], Needs]:
    """Returns what `explained` asks of work on a scope; `tenant` as for `needs_of_scope`."""
    return lambda project: needs_of_scope(project, name, tenant=tenant)


@contextmanager
def scrubbed_tick(context: dg.SensorEvaluationContext, project_file: Path | str) -> Iterator[None]:
    """Takes secrets out of what a tick of a sensor logs meanwhile, and out of the error that ends it.

    The tick itself says what is wrong with a configuration that cannot be read.
    """
    secrets: frozenset[str] = frozenset()
    with suppress(EntraPipelineError):
        secrets = secret_values(load_project(project_file))
    # Ticks of several sensors run in one process, so that only what this one logs itself is filtered.
    context.log.addFilter(ScrubbingFilter(secrets))
    try:
        yield
    except Exception as error:
        if (clean := _without_secrets(error, secrets)) is error:
            raise
        raise clean from None


def _without_secrets(error: Exception, secrets: frozenset[str]) -> Exception:
    """Returns the same error when it shows no secret; else a failure that says the same without."""
    trace = "".join(traceback.format_exception(error))
    shown = error.metadata if isinstance(error, dg.Failure) else {}
    texts = {key: value.text or "" for key, value in shown.items() if isinstance(value, dg.TextMetadataValue)}
    if not any(scrub(text, secrets) != text for text in (trace, *texts.values())):
        return error
    if isinstance(error, dg.Failure):
        return dg.Failure(
            scrub(error.description or "", secrets),
            metadata={**shown, **{key: scrub(text, secrets) for key, text in texts.items()}},
            allow_retries=error.allow_retries,
        )
    return dg.Failure(scrub(f"{type(error).__name__}: {error}", secrets), metadata={"traceback": scrub(trace, secrets)})


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
