"""Conditional access: policies, named locations, authentication strengths and contexts, terms of use."""

from entra_pipeline.catalogue.model import Category, Lane, ObjectType, kept, restored

TYPES = (
    ObjectType(
        name="conditional_access_policies",
        category=Category.CONDITIONAL_ACCESS,
        title="Conditional access policy",
        path="identity/conditionalAccess/policies",
        model="conditional_access_policy",
        permissions=("Policy.Read.All",),
        restore=restored(
            "from the recycle bin, else POST /identity/conditionalAccess/policies, PATCH; report-only unless asked for"
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
        restore=restored("from the recycle bin, else POST /identity/conditionalAccess/namedLocations, PATCH"),
        lane=Lane.CONDITIONAL_ACCESS,
    ),
    ObjectType(
        name="authentication_strength_policies",
        category=Category.CONDITIONAL_ACCESS,
        title="Authentication strength",
        path="policies/authenticationStrengthPolicies",
        model="authentication_strength_policy",
        permissions=("Policy.Read.AuthenticationMethod", "Policy.Read.All"),
        restore=restored(
            "POST /policies/authenticationStrengthPolicies, PATCH, updateAllowedCombinations; built-in: fixed"
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
        restore=restored("PATCH by id, c1 to c99, which creates it where it is missing"),
    ),
    ObjectType(
        name="agreements",
        category=Category.CONDITIONAL_ACCESS,
        title="Terms of use",
        path="identityGovernance/termsOfUse/agreements",
        model="agreement",
        permissions=("Agreement.Read.All",),
        restore=kept("Graph offers it to a signed-in user only"),
        delegated=True,
    ),
)
