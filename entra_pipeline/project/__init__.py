"""The project's configuration: dagster_project.toml, checked before anything is done with it.

`load_project` reads it; `create_scope`, `edit_scope`, `delete_scope` and their likes for notification profiles change
it in place. What it means is documented in docs/configuration.md.
"""

from entra_pipeline.project.editing import (
    create_profile,
    create_scope,
    delete_profile,
    delete_scope,
    edit_profile,
    edit_scope,
)
from entra_pipeline.project.loading import load_project
from entra_pipeline.project.models import (
    Certificate,
    Console,
    DagsterWebservers,
    NotificationProfile,
    OpenIdConnect,
    Project,
    RestoreApp,
    Roles,
    Scope,
    Selection,
    SimulatedTenant,
    Tenant,
)
from entra_pipeline.settings.periods import Period
from entra_pipeline.settings.secrets import Secret

__all__ = [
    "Certificate",
    "Console",
    "DagsterWebservers",
    "NotificationProfile",
    "OpenIdConnect",
    "Period",
    "Project",
    "RestoreApp",
    "Roles",
    "Scope",
    "Secret",
    "Selection",
    "SimulatedTenant",
    "Tenant",
    "create_profile",
    "create_scope",
    "delete_profile",
    "delete_scope",
    "edit_profile",
    "edit_scope",
    "load_project",
]
