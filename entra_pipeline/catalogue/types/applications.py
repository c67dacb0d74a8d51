"""App registrations, enterprise applications, and what is granted to them."""

from entra_pipeline.catalogue.model import Category, ObjectType, Parent, Read, Relation

_READ_APPLICATIONS = ("Application.Read.All", "Directory.Read.All")

TYPES = (
    ObjectType(
        name="applications",
        category=Category.APPLICATIONS,
        title="App registration",
        path="applications",
        model="application",
        permissions=_READ_APPLICATIONS,
        delta=True,
        extensible="Application",
        page_size=999,
        count=True,
        identity=("displayName", "appId"),
        relations=(Relation("application_owners", "owners", Read.EXPAND),),
    ),
    ObjectType(
        name="federated_identity_credentials",
        category=Category.APPLICATIONS,
        title="Federated identity credential",
        path="",
        model="federated_identity_credential",
        permissions=("Application.Read.All",),
        parent=Parent("applications", "federatedIdentityCredentials", Read.EXPAND),
        identity=("name",),
    ),
    ObjectType(
        name="service_principals",
        category=Category.ENTERPRISE_APPLICATIONS,
        title="Enterprise application",
        path="servicePrincipals",
        model="service_principal",
        permissions=_READ_APPLICATIONS,
        delta=True,
        page_size=999,
        count=True,
        identity=("displayName", "appId"),
        relations=(Relation("service_principal_owners", "owners", Read.EXPAND),),
    ),
    ObjectType(
        name="app_role_assignments",
        category=Category.ENTERPRISE_APPLICATIONS,
        title="App role assignment",
        path="",
        model="app_role_assignment",
        permissions=_READ_APPLICATIONS,
        page_size=999,
        parent=Parent("service_principals", "appRoleAssignedTo", Read.EXPAND),
        identity=("principalDisplayName", "resourceDisplayName"),
        belongs_to="principalId",
    ),
    ObjectType(
        name="oauth2_permission_grants",
        category=Category.ENTERPRISE_APPLICATIONS,
        title="Delegated permission grant",
        path="oauth2PermissionGrants",
        model="o_auth2_permission_grant",
        permissions=("Directory.Read.All",),
        delta=True,
        page_size=999,
        identity=("scope",),
        belongs_to="principalId",
    ),
)
