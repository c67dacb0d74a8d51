"""One thing that was tried, and what came of it."""

from __future__ import annotations

from typing import Literal, NamedTuple

from entra_pipeline.errors import ConfigurationError, EntraPipelineError

Outcome = Literal["ok", "warning", "failed", "skipped"]
"""`failed`: backups cannot work; `warning`: something else than backups does not; `skipped`: it is not set up."""


class Diagnosis(NamedTuple):
    """One thing that was tried.

    Attributes:
        subject: What it is about: `tenant contoso`, `storage main`, `dagster`.
        check: What was tried, in a few words.
        outcome: What came of it.
        told: What was seen, or what is wrong.
        remedy: What to do; empty when there is nothing to advise.
        configuration: Whether a setting is wrong.
    """

    subject: str
    check: str
    outcome: Outcome
    told: str
    remedy: str = ""
    configuration: bool = False


def failed(subject: str, check: str, error: EntraPipelineError) -> Diagnosis:
    """Makes a diagnosis of an error."""
    return Diagnosis(subject, check, "failed", error.message, error.remedy, isinstance(error, ConfigurationError))
