"""Reports: views of other objects, made when they are asked for."""

from __future__ import annotations

from entra_pipeline.simulator.sets.model import EntitySet

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
