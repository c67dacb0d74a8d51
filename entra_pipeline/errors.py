"""Every error a user can meet, in one hierarchy, and the one answer to "may it pass by itself?".

What belongs here: the error classes, what sort of failure each is, their exit codes. What does not: the wording of a
particular failure, which is written where the failure is understood.

The message says what happened; `remedy` says what to do about it. The command prints both, without a stack trace, and
ends with the class's `exit_code` (0 done, 1 failed, 2 usage or configuration, 3 finished with exception).

| sort | meaning | what the callers do |
|---|---|---|
| `permanent` | the same attempt fails again until somebody changes something | fail, and do not try again |
| `transient` | the same attempt may succeed later without anybody's help | try again after a pause |
| `partial` | one object or table cannot be had; the others can | name it (a gap, a refusal) and go on |
| `usage` | an argument or a setting is wrong | say which one, and do not try again |
"""

from __future__ import annotations

from enum import StrEnum


class FailureSort(StrEnum):
    """What can be expected of another attempt; the module's docstring has the table."""

    PERMANENT = "permanent"
    TRANSIENT = "transient"
    PARTIAL = "partial"
    USAGE = "usage"


class EntraPipelineError(Exception):
    """Base of all errors that are explained to the user.

    Attributes:
        remedy: One sentence that says what to do; empty when there is nothing to advise.
    """

    exit_code = 1
    sort = FailureSort.PERMANENT

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    @property
    def transient(self) -> bool:
        """Whether the same attempt may succeed later without anybody's help."""
        return self.sort is FailureSort.TRANSIENT

    def __str__(self) -> str:
        return f"{self.message}\n  → {self.remedy}" if self.remedy else self.message


# --- What the user asked for -----------------------------------------------------------------------------------------


class UsageError(EntraPipelineError):
    """A command-line or console argument that cannot be honoured."""

    exit_code = 2
    sort = FailureSort.USAGE


class ConfigurationError(EntraPipelineError):
    """A setting that cannot be used.

    Attributes:
        what: What is wrong, without file and key.
        file: The configuration file that holds the setting (may be a path or a file name).
        key: Dotted key of the setting, for example `tenants.contoso.client_secret`; empty when the file as a whole
            is at fault.
    """

    exit_code = 2
    sort = FailureSort.USAGE

    def __init__(self, message: str, *, file: str, key: str = "", remedy: str = "") -> None:
        super().__init__(f"{file}: {key}: {message}" if key else f"{file}: {message}", remedy=remedy)
        self.what = message
        self.file = file
        self.key = key


# --- Microsoft Graph -------------------------------------------------------------------------------------------------


class GraphError(EntraPipelineError):
    """Microsoft Graph answered with an error that retrying does not mend.

    Attributes:
        status: HTTP status, 0 when no response arrived.
        code: Graph's error code, for example `Request_ResourceNotFound` (Graph doc: concepts/errors).
        request_id: Graph's `request-id`, to quote to Microsoft support.
    """

    def __init__(
        self, message: str, *, status: int = 0, code: str = "", request_id: str = "", remedy: str = ""
    ) -> None:
        super().__init__(message, remedy=remedy)
        self.status = status
        self.code = code
        self.request_id = request_id


class GraphPermissionDenied(GraphError):
    """403: the app registration lacks a permission, a directory role or a licence."""

    sort = FailureSort.PARTIAL


class GraphNotFound(GraphError):
    """404: the object (or the path) does not exist."""

    sort = FailureSort.PARTIAL


class DeltaLinkExpired(GraphError):
    """The delta link can no longer be followed; the set must be read in full (Graph doc: delta-query-overview)."""

    sort = FailureSort.PARTIAL


class RoundExpired(DeltaLinkExpired):
    """Graph refuses the link to the next page that it gave itself: the list or round has to be begun anew."""

    sort = FailureSort.TRANSIENT


class GraphUnavailable(GraphError):
    """Graph kept failing for a transient reason (throttling, 5xx, connection) until the timeout was over."""

    sort = FailureSort.TRANSIENT


class GraphProtocolError(GraphError):
    """A response that breaks Graph's own rules (a page without `value`, a link that leads elsewhere or in a circle)."""


# --- The store -------------------------------------------------------------------------------------------------------


class StoreError(EntraPipelineError):
    """The storage could not be read or written: it did not answer, was full or refused."""

    sort = FailureSort.TRANSIENT


class AlreadyExists(StoreError):
    """A conditional create found the key taken."""

    sort = FailureSort.PERMANENT


class NotInStore(StoreError):
    """The key, recovery point or object type is not in the store."""

    sort = FailureSort.PERMANENT


class NotAtPoint(NotInStore):
    """The object or type that was asked for is not at the recovery point."""

    exit_code = 2
    sort = FailureSort.USAGE


class StorageUnfit(StoreError):
    """The storage lacks something that backups rest on; no other attempt changes that."""

    sort = FailureSort.PERMANENT


class DeleteRefused(StoreError):
    """The storage does not delete an object: the key may not, or the object is locked."""

    sort = FailureSort.PERMANENT


class ScopeBusy(StoreError):
    """Another backup of the same scope is running."""


class IntegrityError(StoreError):
    """Stored data differs from what its manifest says."""

    sort = FailureSort.PERMANENT


class RecoveryPointRefused(StoreError):
    """A recovery point cannot be (re)written: it exists already, or its moment has passed."""

    sort = FailureSort.PERMANENT
