"""A job's report as a message: what a notification says."""

from __future__ import annotations

from dataclasses import dataclass

from entra_pipeline.clock import Clock, system_clock
from entra_pipeline.errors import NotInStore
from entra_pipeline.reports.job import job_report
from entra_pipeline.reports.rendering.html import as_html
from entra_pipeline.reports.rendering.plain import as_text
from entra_pipeline.store.jobs import job_record
from entra_pipeline.store.recovery_points import ScopeStore


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


def job_message(store: ScopeStore, job_id: str, clock: Clock = system_clock) -> Message:
    """The message about a job of a scope; raises NotInStore when there is none of this id, StoreError."""
    record = job_record(store, job_id)
    if record is None:
        raise NotInStore(
            f"scope {store.scope!r} has no job {job_id!r}", remedy="entra-pipeline report jobs lists them."
        )
    report = job_report(store, record, clock())
    return Message(" ".join(report.title.split()), as_text(report), as_html(report))
