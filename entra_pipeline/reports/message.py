"""A job's report as a message: what a notification says."""

from __future__ import annotations

from dataclasses import dataclass

from entra_pipeline.clock import Clock, system_clock
from entra_pipeline.project import Project
from entra_pipeline.reports.job import job
from entra_pipeline.reports.model import Asked
from entra_pipeline.reports.rendering.html import as_html
from entra_pipeline.reports.rendering.plain import as_text


@dataclass(frozen=True, slots=True)
class Message:
    """A message in two forms.

    Attributes:
        subject: One line.
        text: For readers without HTML.
        html: A whole page.
    """

    subject: str
    text: str
    html: str


def job_message(project: Project, scope: str, job_id: str, clock: Clock = system_clock) -> Message:
    """The message about a job; raises UsageError when the scope has no such job, StoreError."""
    now = clock()
    report = job(Asked(project, now, now.date(), now.date(), scope=scope), job_id)
    return Message(" ".join(report.title.split()), as_text(report), as_html(report))
