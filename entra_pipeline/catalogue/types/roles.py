"""Directory roles (activated), role definitions and role assignments."""

from entra_pipeline.catalogue.model import Category, ObjectType, Read, Relation

_READ_ROLES = ("RoleManagement.Read.Directory", "Directory.Read.All")

TYPES = (
    ObjectType(
        name="directory_roles",
        category=Category.ROLES,
        title="Directory role",
        path="directoryRoles",
        model="directory_role",
        permissions=_READ_ROLES,
        delta=True,
        relations=(Relation("directory_role_members", "members", Read.DELTA, inverse="memberOf"),),
    ),
    ObjectType(
        name="role_definitions",
        category=Category.ROLES,
        title="Role definition",
        path="roleManagement/directory/roleDefinitions",
        model="unified_role_definition",
        permissions=_READ_ROLES,
    ),
    ObjectType(
        name="role_assignments",
        category=Category.ROLES,
        title="Role assignment",
        path="roleManagement/directory/roleAssignments",
        model="unified_role_assignment",
        permissions=_READ_ROLES,
        identity=("id",),
        belongs_to="principalId",
    ),
)
