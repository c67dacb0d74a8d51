"""`metrics`: how every scope stands, for Prometheus."""

from __future__ import annotations

from pathlib import Path

import click

from entra_pipeline.cli.context import echo, project_of


@click.command()
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write into FILE in one step, such as one of node_exporter's textfile collector (NAME.prom).",
)
@click.pass_context
def metrics(ctx: click.Context, output: Path | None) -> None:
    """Print how every scope stands, in Prometheus's text format.

    The console serves the same at /metrics. What each metric means: docs/monitoring.md.
    """
    from entra_pipeline.clock import system_clock
    from entra_pipeline.operations.metrics import exposition

    made = exposition(project_of(ctx), system_clock())
    if output is None:
        echo(made.decode().rstrip("\n"))
        return
    # The collector reads at any moment.
    new = output.with_name(f".{output.name}.new")
    new.write_bytes(made)
    # It is another user's process, too.
    new.chmod(0o644)
    new.replace(output)
