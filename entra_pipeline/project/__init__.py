"""The project's configuration: dagster_project.toml, checked before anything is done with it.

`load_project` reads it; `create_scope`, `edit_scope` and `delete_scope` change it in place, and for any other table
`editing.save_table` does. What it means is documented in docs/configuration.md.
"""

from entra_pipeline.project.editing import (
    create_scope,
    delete_scope,
    edit_scope,
)
from entra_pipeline.project.loading import load_project
from entra_pipeline.project.models import (
    ConfigurationProblem,
    Console,
    DagsterWebservers,
    NotificationProfile,
    OpenIdConnect,
    Project,
    RoleAssignment,
    Roles,
    Scope,
    Selection,
)
from entra_pipeline.project.tenant_models import Certificate, RestoreApp, SimulatedTenant, Tenant
from entra_pipeline.settings.periods import Period
from entra_pipeline.settings.secrets import Secret

__all__ = [
    "Certificate",
    "ConfigurationProblem",
    "Console",
    "DagsterWebservers",
    "NotificationProfile",
    "OpenIdConnect",
    "Period",
    "Project",
    "RestoreApp",
    "RoleAssignment",
    "Roles",
    "Scope",
    "Secret",
    "Selection",
    "SimulatedTenant",
    "Tenant",
    "create_scope",
    "delete_scope",
    "edit_scope",
    "load_project",
]
