"""`serve`: the console, and Dagster's UI behind the same sign-in."""

from __future__ import annotations

import click

from entra_pipeline.cli.context import echo, project_of


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=8400, show_default=True, help="0 chooses a free one.")
@click.pass_context
def serve(ctx: click.Context, host: str, port: int) -> None:
    """Serve the console until interrupted, and Dagster's own UI behind the same sign-in.

    Starts Dagster as well, unless [console.dagster] names a running one. Running jobs continue when the console ends.
    """
    from entra_pipeline.console.server import serve as serve_console

    serve_console(project_of(ctx), host=host, port=port, told=lambda text: echo(text))
