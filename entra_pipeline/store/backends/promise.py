"""One thing that a storage promises or lacks, as a check found it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

from entra_pipeline.errors import ConfigurationError, EntraPipelineError


class StoragePromise(NamedTuple):
    """One thing that was tried.

    Attributes:
        check: What, in a few words.
        outcome: Whether it works.
        needed_for: What does not work without it.
        told: What was seen, or what is wrong.
        remedy: What to do when it failed.
        configuration: Whether a setting is wrong.
    """

    check: str
    outcome: Literal["passed", "failed"]
    needed_for: Literal["backup", "retention", "safety", "erasure"]
    told: str
    remedy: str = ""
    configuration: bool = False


def tried(
    check: str,
    work: Callable[[], str],
    *,
    needed_for: Literal["backup", "retention", "safety", "erasure"] = "backup",
) -> StoragePromise:
    """Does something, and says how it went; `work` returns what was seen."""
    try:
        return StoragePromise(check, "passed", needed_for, work())
    except EntraPipelineError as error:
        return failed(check, error, needed_for=needed_for)


def failed(
    check: str, error: EntraPipelineError, *, needed_for: Literal["backup", "retention", "safety", "erasure"] = "backup"
) -> StoragePromise:
    """Makes the promise that an error breaks."""
    wrong = isinstance(error, ConfigurationError)
    return StoragePromise(check, "failed", needed_for, error.message, error.remedy, wrong)
