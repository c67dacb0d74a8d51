"""The logs that can be protected: one declarative entry each.

What belongs here: where Graph keeps a log and what it takes to read it. What does not: how it is read (`backup.logs`)
and stored (`store.logs`). Logs are apart from the object types: they have days, not states, and nothing restores them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from entra_pipeline.catalogue.sdk import Property, model_properties

CATEGORY = "Logs"
"""What the console filters logs by."""


@dataclass(frozen=True)
class LogType:
    """A log.

    Attributes:
        name: Name of its table, for example `sign_ins`.
        title: A plain name for people, singular.
        path: Path under the Graph root.
        model: Module of the msgraph-sdk model of its entries.
        time: Property with the moment of an entry, by which Graph filters.
        permission: Application permission that allows reading, the least privileged (Graph permissions reference).
        licence: What the tenant has to have for the log to be shown; empty when every tenant has it.
        page_size: `$top`, the largest that Graph takes.
        beta: Only Graph's beta has it.
        condition: What else Graph filters by.
        own_apps: Only entries of the app registrations of entra-pipeline are read (property `appId`).
    """

    name: str
    title: str
    path: str
    model: str
    time: str = "activityDateTime"
    permission: str = "AuditLog.Read.All"
    licence: str = ""
    page_size: int = 1000
    beta: bool = False
    condition: str = ""
    own_apps: bool = False

    @cached_property
    def properties(self) -> dict[str, Property]:
        """Properties of an entry by name, `id` first, then in alphabetical order."""
        found = model_properties(self.model)
        return {name: found[name] for name in sorted(found, key=lambda name: (name != "id", name))}


APP_SIGN_INS = "app_sign_ins"
"""The log of the sign-ins of entra-pipeline's own app registrations, which `operations.sign_ins` explains."""

LOGS: dict[str, LogType] = {
    entry.name: entry
    for entry in (
        LogType("directory_audits", "Directory audit", "auditLogs/directoryAudits", "directory_audit", page_size=999),
        LogType(
            "sign_ins",
            "Sign-in",
            "auditLogs/signIns",
            "sign_in",
            time="createdDateTime",
            licence="Microsoft Entra ID P1",
        ),
        # v1.0 has sign-ins of users only; with this filter beta has those of apps (Graph doc: beta/resources/signin).
        LogType(
            APP_SIGN_INS,
            "Sign-in of our apps",
            "auditLogs/signIns",
            "sign_in",
            time="createdDateTime",
            licence="Microsoft Entra ID P1",
            beta=True,
            condition="signInEventTypes/any(t: t eq 'servicePrincipal' or t eq 'managedIdentity')",
            own_apps=True,
        ),
        LogType("provisioning", "Provisioning event", "auditLogs/provisioning", "provisioning_object_summary"),
    )
}
"""Every log, by name."""
