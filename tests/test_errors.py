"""Errors are sorted once: what callers try again, leave out, or give up follows from the class."""

from __future__ import annotations

import pytest

from entra_pipeline.errors import (
    AlreadyExists,
    ConfigurationError,
    DeltaLinkExpired,
    EntraPipelineError,
    FailureSort,
    GraphError,
    GraphNotFound,
    GraphPermissionDenied,
    GraphProtocolError,
    GraphUnavailable,
    IntegrityError,
    NotAtPoint,
    NotInStore,
    RecoveryPointRefused,
    ScopeBusy,
    StoreError,
    UsageError,
)


@pytest.mark.parametrize("kind", [GraphUnavailable, StoreError, ScopeBusy])
def test_what_may_pass_by_itself_is_transient(kind: type[EntraPipelineError]) -> None:
    assert kind("it failed").transient


@pytest.mark.parametrize(
    ("kind", "sort"),
    [
        (EntraPipelineError, FailureSort.PERMANENT),
        (GraphError, FailureSort.PERMANENT),
        (GraphProtocolError, FailureSort.PERMANENT),
        (AlreadyExists, FailureSort.PERMANENT),
        (NotInStore, FailureSort.PERMANENT),
        (IntegrityError, FailureSort.PERMANENT),
        (RecoveryPointRefused, FailureSort.PERMANENT),
        (GraphPermissionDenied, FailureSort.PARTIAL),
        (GraphNotFound, FailureSort.PARTIAL),
        (DeltaLinkExpired, FailureSort.PARTIAL),
        (UsageError, FailureSort.USAGE),
        (NotAtPoint, FailureSort.USAGE),
    ],
)
def test_everything_else_needs_somebody(kind: type[EntraPipelineError], sort: FailureSort) -> None:
    assert kind("it failed").sort is sort
    assert not kind("it failed").transient


def test_usage_ends_the_command_with_2_and_all_else_with_1() -> None:
    kinds = [EntraPipelineError]
    for kind in kinds:
        kinds += [one for one in kind.__subclasses__() if one.__module__ == "entra_pipeline.errors"]
    assert {kind.exit_code for kind in kinds if kind.sort is FailureSort.USAGE} == {2}
    assert {kind.exit_code for kind in kinds if kind.sort is not FailureSort.USAGE} == {1}
    assert not ConfigurationError("is wrong", file="dagster_project.toml").transient
