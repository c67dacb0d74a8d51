"""A project whose writing app has a credential only while it writes."""

from __future__ import annotations

from pathlib import Path

from entra_pipeline.simulator import Simulator


def make_just_in_time(file: Path, simulator: Simulator) -> None:
    """Turns `just_in_time` on in a project file, and takes the writing app's own secret away."""
    secret = file.parent / "owner_secret"
    secret.write_text(simulator.owner_client_secret)
    text, writer = file.read_text(), f'client_id = "{simulator.restore_client_id}"\n'
    head, _, tail = text.partition(writer)
    file.write_text(
        f"{head}{writer}just_in_time = true\n"
        f'owner.client_id = "{simulator.owner_client_id}"\n'
        f'owner.client_secret = {{ file = "{secret}" }}\n{tail.partition(chr(10))[2]}'
    )
    simulator.control.standing_secret(simulator.restore_client_id)
