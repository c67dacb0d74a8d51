"""Lists reports, which are views of other objects, and logs; both are made when they are read."""

from __future__ import annotations

from entra_pipeline.simulator.schema.model import EntitySet

SETS: tuple[EntitySet, ...] = (
    EntitySet(
        "userRegistrationDetails",
        "reports/authenticationMethods/userRegistrationDetails",
        "user_registration_details",
        ("AuditLog.Read.All",),
        derived_from="user",
        lane="reports",
        licensed=True,
        create=False,
        update=False,
        delete=False,
    ),
)

_AUDIT = ("AuditLog.Read.All", "Directory.Read.All")


def _log(name: str, path: str, model: str, read: tuple[str, ...], *, licensed: bool = False) -> EntitySet:
    return EntitySet(
        name,
        path,
        model,
        read,
        page=1000,
        largest_page=1000,
        lane="reports",
        licensed=licensed,
        countable=False,
        create=False,
        update=False,
        delete=False,
    )


# Nothing of these is stored among the objects: they are no part of what the directory counts and dumps.
LOGS: tuple[EntitySet, ...] = (
    _log("directoryAudit", "auditLogs/directoryAudits", "directory_audit", _AUDIT),
    _log("signIn", "auditLogs/signIns", "sign_in", _AUDIT[:1], licensed=True),
    _log(
        "provisioningObjectSummary",
        "auditLogs/provisioning",
        "provisioning_object_summary",
        (*_AUDIT, "ProvisioningLog.Read.All"),
    ),
)
