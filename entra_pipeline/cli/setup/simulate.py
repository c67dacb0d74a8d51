"""`simulate`: a simulated tenant over HTTP."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import click

from entra_pipeline.cli.context import echo
from entra_pipeline.simulator import Simulator
from entra_pipeline.simulator.faults.misbehave.text import parse_misbehaviour
from entra_pipeline.text import pluralize


def _misbehaviours(
    context: click.Context, option: click.Parameter, texts: tuple[str, ...]
) -> tuple[tuple[str, dict[str, Any]], ...]:
    """Returns the misbehaviours of the option, read."""
    try:
        return tuple(parse_misbehaviour(text) for text in texts)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


@click.command()
@click.option(
    "--port",
    type=click.IntRange(1024, 65534),
    default=8480,
    show_default=True,
    help="Port of Graph; TLS is on port + 1.",
)
@click.option("--users", type=click.IntRange(0, 1_000_000), default=200, show_default=True)
@click.option("--groups", type=click.IntRange(0, 100_000), default=20, show_default=True)
@click.option("--seed", type=int, default=7, show_default=True, help="Seed of the generated tenant.")
@click.option("--https", is_flag=True, help="Graph over TLS as well.")
@click.option(
    "--state", type=click.Path(path_type=Path), help="Folder that keeps the tenant. [default: discarded at the end]"
)
@click.option(
    "--misbehave",
    "misbehaviours",
    multiple=True,
    metavar="NAME [KEY=VALUE ...]",
    callback=_misbehaviours,
    help="A way to misbehave, or `all`; can be given again. For example 'all probability=0.02'.",
)
def simulate(
    port: int,
    users: int,
    groups: int,
    seed: int,
    https: bool,
    state: Path | None,
    misbehaviours: tuple[tuple[str, dict[str, Any]], ...],
) -> None:
    """Serve a simulated tenant over HTTP until interrupted.

    Prints the table that adds it to dagster_project.toml as a tenant.
    """
    with Simulator(users=users, groups=groups, seed=seed, https=https, port=port, state=state) as tenant:
        for name, values in misbehaviours:
            try:
                tenant.control.misbehave(name, **values)
            except RuntimeError as error:
                raise click.BadParameter(str(error), param_hint="--misbehave") from None
        echo(tenant.tenant_table())
        held = f"{pluralize(users, 'user')} and {pluralize(groups, 'group')}"
        echo(f"# serving {held} at {tenant.graph_url}; Ctrl-C ends it", err=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            echo("stopped", err=True)
