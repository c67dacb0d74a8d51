"""The report of a job that is attached to its mail."""

from __future__ import annotations

from entra_pipeline.notifications.messages import Message
from entra_pipeline.notifications.rendering import html


def report_file(message: Message) -> tuple[str, str]:
    """The report that belongs to a message: the name of a file, and an HTML page that needs nothing else."""
    return f"report-{message.name}.html", html(message, whole=True)
