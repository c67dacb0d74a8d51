"""Conditional access: policies, named locations, authentication strengths."""

from entra_pipeline.catalogue.model import Category, Lane, ObjectType

TYPES = (
    ObjectType(
        name="conditional_access_policies",
        category=Category.CONDITIONAL_ACCESS,
        title="Conditional access policy",
        path="identity/conditionalAccess/policies",
        model="conditional_access_policy",
        permissions=("Policy.Read.All",),
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
        lane=Lane.CONDITIONAL_ACCESS,
    ),
    ObjectType(
        name="authentication_strength_policies",
        category=Category.CONDITIONAL_ACCESS,
        title="Authentication strength",
        path="policies/authenticationStrengthPolicies",
        model="authentication_strength_policy",
        permissions=("Policy.Read.AuthenticationMethod", "Policy.Read.All"),
    ),
)
