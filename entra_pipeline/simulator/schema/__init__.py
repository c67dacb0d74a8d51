"""The entity sets of the simulated tenant: one entry each, from which paths, defaults, rights and costs follow.

What belongs here: facts about Graph's v1.0 surface, as tables. What does not: behaviour. They are written down from
Graph's documentation, independently of the catalogue, so that the two check each other.
"""

from __future__ import annotations

from entra_pipeline.simulator.schema import (
    applications,
    directory,
    governance,
    identity,
    policies,
    reports,
    roles,
    tenant,
)
from entra_pipeline.simulator.schema.model import BY_NAME, OWNING, EntitySet, LinkKind, NavigationProperty

SETS: tuple[EntitySet, ...] = (
    *directory.SETS,
    *applications.SETS,
    *policies.SETS,
    *roles.SETS,
    *tenant.SETS,
    *governance.SETS,
    *identity.SETS,
    *reports.SETS,
)

LOGS = reports.LOGS
"""The logs, which have paths like sets and no stored objects."""

BY_NAME.update({entry.name: entry for entry in (*SETS, *LOGS)})
BY_PATH = {tuple(entry.path.lower().split("/")): entry for entry in BY_NAME.values() if entry.path}
DIRECTORY_OBJECTS = frozenset(
    ("user", "group", "administrativeUnit", "application", "servicePrincipal", "directoryRole", "device", "orgContact")
)
"""Types that /directoryObjects and the recycle bin of the directory know."""

LICENSED = tuple(path for entry in BY_NAME.values() if entry.licensed for path in (entry.path, entry.bin) if path)
"""Paths of what takes a licence beyond the free one."""

BACKUP_ROLES = (
    "Directory.Read.All",
    "User.Read.All",
    "Group.Read.All",
    "Application.Read.All",
    "Device.Read.All",
    "AdministrativeUnit.Read.All",
    "Organization.Read.All",
    "Domain.Read.All",
    "RoleManagement.Read.Directory",
    "Policy.Read.All",
    "Policy.Read.AuthenticationMethod",
    "LicenseAssignment.Read.All",
    "AuditLog.Read.All",
    "CustomSecAttributeAssignment.Read.All",
    "User-LifeCycleInfo.Read.All",
    "GroupSettings.Read.All",
    "OrgContact.Read.All",
    "Policy.Read.PermissionGrant",
    "Policy.Read.DeviceConfiguration",
    "AuthenticationContext.Read.All",
    "OrganizationalBranding.Read.All",
    "Domain-InternalFederation.Read.All",
    "CustomSecAttributeDefinition.Read.All",
    "UserAuthenticationMethod.Read.All",
    "Agreement.Read.All",
    "EntitlementManagement.Read.All",
    "AccessReview.Read.All",
    "LifecycleWorkflows.Read.All",
    "PrivilegedEligibilitySchedule.Read.AzureADGroup",
    "PrivilegedAssignmentSchedule.Read.AzureADGroup",
    "IdentityProvider.Read.All",
    "IdentityUserFlow.Read.All",
    "EventListener.Read.All",
    "CustomAuthenticationExtension.Read.All",
    "BitlockerKey.ReadBasic.All",
    "DeviceLocalCredential.ReadBasic.All",
    "Synchronization.Read.All",
    "RoleManagementPolicy.Read.AzureADGroup",
    "PublicKeyInfrastructure.Read.All",
    "MultiTenantOrganization.Read.All",
)
"""What the simulated backup app registration is granted."""

RESTORE_ROLES = (
    *BACKUP_ROLES,
    "User.ReadWrite.All",
    "User.DeleteRestore.All",
    "LicenseAssignment.ReadWrite.All",
    "Group.ReadWrite.All",
    "AdministrativeUnit.ReadWrite.All",
    "Application.ReadWrite.All",
    "AppRoleAssignment.ReadWrite.All",
    "DelegatedPermissionGrant.ReadWrite.All",
    "RoleManagement.ReadWrite.Directory",
    "Policy.ReadWrite.ConditionalAccess",
    "Policy.ReadWrite.AuthenticationMethod",
    "Device.ReadWrite.All",
    "Domain.ReadWrite.All",
    "Organization.ReadWrite.All",
    "Directory.ReadWrite.All",
    "GroupSettings.ReadWrite.All",
    "CustomSecAttributeDefinition.ReadWrite.All",
    "CustomSecAttributeAssignment.ReadWrite.All",
    "User-LifeCycleInfo.ReadWrite.All",
    "User.Invite.All",
    "OrganizationalBranding.ReadWrite.All",
    "Domain-InternalFederation.ReadWrite.All",
    "AuthenticationContext.ReadWrite.All",
    "Policy.ReadWrite.Authorization",
    "Policy.ReadWrite.AuthenticationFlows",
    "Policy.ReadWrite.SecurityDefaults",
    "Policy.ReadWrite.ConsentRequest",
    "Policy.ReadWrite.PermissionGrant",
    "Policy.ReadWrite.CrossTenantAccess",
    "Policy.ReadWrite.ApplicationConfiguration",
    "Policy.ReadWrite.DeviceConfiguration",
    "PrivilegedEligibilitySchedule.ReadWrite.AzureADGroup",
    "PrivilegedAssignmentSchedule.ReadWrite.AzureADGroup",
    "RoleManagementPolicy.ReadWrite.AzureADGroup",
    "EntitlementManagement.ReadWrite.All",
    "AccessReview.ReadWrite.All",
    "LifecycleWorkflows.ReadWrite.All",
    "IdentityProvider.ReadWrite.All",
    "IdentityUserFlow.ReadWrite.All",
    "APIConnectors.ReadWrite.All",
    "EventListener.ReadWrite.All",
    "CustomAuthenticationExtension.ReadWrite.All",
    "Synchronization.ReadWrite.All",
    "PublicKeyInfrastructure.ReadWrite.All",
    "MultiTenantOrganization.ReadWrite.All",
    "Policy.ReadWrite.FedTokenValidation",
)
"""What the simulated restore app registration is granted."""

__all__ = [
    "BACKUP_ROLES",
    "BY_NAME",
    "BY_PATH",
    "DIRECTORY_OBJECTS",
    "LICENSED",
    "LOGS",
    "OWNING",
    "RESTORE_ROLES",
    "SETS",
    "EntitySet",
    "LinkKind",
    "NavigationProperty",
]
