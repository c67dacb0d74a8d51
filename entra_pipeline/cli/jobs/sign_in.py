"""`--sign-in`: a person signs in, for what Graph lets no application do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from entra_pipeline.cli.auditing import noting
from entra_pipeline.cli.context import echo
from entra_pipeline.graph.users import SignInPrompt

_WAYS = ("device", "browser")


def sign_in_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds `--sign-in` to a command."""
    return click.option(
        "--sign-in",
        "sign_in",
        type=click.Choice(_WAYS),
        is_flag=False,
        flag_value=_WAYS[0],
        help="Sign in as yourself for what Graph lets no application do, and for protected actions: with a code on any "
        "device, or in this machine's browser (--sign-in=browser).",
    )(command)


def prompt_for(way: str | None) -> SignInPrompt | None:
    """Returns what asks the person at the terminal; None when nobody is to sign in. The audit log says who did."""
    if way is None:
        return None
    note = noting("signed in")

    def signed_in(name: str) -> None:
        note(name)
        echo(f"signed in as {name}", err=True)

    return SignInPrompt(
        way="browser" if way == "browser" else "device", tell=lambda text: echo(text, err=True), signed_in=signed_in
    )
