"""Conditional access: policies, named locations, authentication strengths and contexts, terms of use."""

from entra_pipeline.catalogue.model import Category, Lane, ObjectType, Restore, kept
from entra_pipeline.catalogue.restoring import WriteStrategy, protectable

_WRITE = ("Policy.ReadWrite.ConditionalAccess",)
_TIMES = frozenset({"createdDateTime", "deletedDateTime", "modifiedDateTime"})
# Not `conditions` as a whole: the ids of partner tenants are among them.
_REFERRING = frozenset(
    {
        "conditions.applications.excludeApplications",
        "conditions.applications.includeApplications",
        "conditions.clientApplications.excludeServicePrincipals",
        "conditions.clientApplications.includeServicePrincipals",
        "conditions.locations.excludeLocations",
        "conditions.locations.includeLocations",
        "conditions.users.excludeGroups",
        "conditions.users.excludeRoles",
        "conditions.users.excludeUsers",
        "conditions.users.includeGroups",
        "conditions.users.includeRoles",
        "conditions.users.includeUsers",
        "grantControls.authenticationStrength",
    }
)

TYPES = (
    ObjectType(
        name="conditional_access_policies",
        category=Category.CONDITIONAL_ACCESS,
        title="Conditional access policy",
        path="identity/conditionalAccess/policies",
        model="conditional_access_policy",
        permissions=("Policy.Read.All",),
        restore=Restore(
            how="from the recycle bin, else POST /identity/conditionalAccess/policies, PATCH; report-only by default",
            permissions=_WRITE,
            besides=("Application.Read.All", "Policy.Read.All"),
            bin="identity/conditionalAccess/deletedItems/policies",
            volatile=_TIMES | {"templateId"},
            required=("conditions", "displayName", "state"),
            parts={"grantControls.authenticationStrength": ("id",)},
            guard=("state", "enabledForReportingButNotEnforced"),
            actions=protectable("conditionalAccessPolicies", "create", "delete", "*"),
            after=(
                "users",
                "groups",
                "service_principals",
                "role_definitions",
                "named_locations",
                "authentication_strength_policies",
                "authentication_context_class_references",
            ),
            refers=_REFERRING,
            names_others=frozenset({"conditions.applications.includeAuthenticationContextClassReferences"}),
        ),
        lane=Lane.CONDITIONAL_ACCESS,
    ),
    ObjectType(
        name="named_locations",
        category=Category.CONDITIONAL_ACCESS,
        title="Named location",
        path="identity/conditionalAccess/namedLocations",
        model="named_location",
        subtypes=("country_named_location", "ip_named_location"),
        permissions=("Policy.Read.All",),
        restore=Restore(
            how="from the recycle bin, else POST /identity/conditionalAccess/namedLocations, PATCH",
            permissions=_WRITE,
            besides=("Policy.Read.All",),
            # Graph doc: namedlocation-delete.
            before_removal={"isTrusted": False},
            bin="identity/conditionalAccess/deletedItems/namedLocations",
            # Graph doc: namedlocation-restore.
            forgotten=frozenset({"isTrusted"}),
            volatile=_TIMES,
            required=("@odata.type", "displayName"),
            actions=protectable("namedLocations", "create", "delete", "*"),
        ),
        lane=Lane.CONDITIONAL_ACCESS,
    ),
    ObjectType(
        name="authentication_strength_policies",
        category=Category.CONDITIONAL_ACCESS,
        title="Authentication strength",
        path="policies/authenticationStrengthPolicies",
        model="authentication_strength_policy",
        permissions=("Policy.Read.AuthenticationMethod", "Policy.Read.All"),
        restore=Restore(
            how="POST /policies/authenticationStrengthPolicies, PATCH, updateAllowedCombinations; built-in: fixed",
            permissions=_WRITE,
            volatile=frozenset({"createdDateTime", "modifiedDateTime", "policyType", "requirementsSatisfied"}),
            change_only=frozenset({"combinationConfigurations"}),
            required=("allowedCombinations", "displayName"),
            parts={
                "combinationConfigurations": (
                    "@odata.type",
                    "allowedAAGUIDs",
                    "allowedIssuerSkis",
                    "allowedPolicyOIDs",
                    "appliesToCombinations",
                )
            },
            fixed="raw->>'$.policyType' = 'builtIn'",
            strategy=WriteStrategy.STRENGTH,
        ),
        inline=("combinationConfigurations",),
    ),
    ObjectType(
        name="authentication_context_class_references",
        category=Category.CONDITIONAL_ACCESS,
        title="Authentication context",
        path="identity/conditionalAccess/authenticationContextClassReferences",
        model="authentication_context_class_reference",
        permissions=("AuthenticationContext.Read.All", "Policy.Read.ConditionalAccess"),
        restore=Restore(
            how="PATCH by id, c1 to c99, which creates it where it is missing",
            permissions=("AuthenticationContext.ReadWrite.All", *_WRITE),
            create="PATCH",
            # Graph doc: authenticationcontextclassreference-delete: a published one cannot be deleted.
            before_removal={"isAvailable": False},
            required=("displayName", "isAvailable"),
        ),
    ),
    ObjectType(
        name="agreements",
        category=Category.CONDITIONAL_ACCESS,
        title="Terms of use",
        irregular_plural="Terms of use",
        path="identityGovernance/termsOfUse/agreements",
        model="agreement",
        permissions=("Agreement.Read.All",),
        restore=kept("Graph offers it to a signed-in user only"),
        delegated=True,
    ),
)
