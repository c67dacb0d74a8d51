"""External identities: identity providers, user flows, custom authentication."""

from __future__ import annotations

from entra_pipeline.simulator.schema.model import EntitySet, LinkKind, NavigationProperty

_FLOWS = ("IdentityUserFlow.Read.All", "IdentityUserFlow.ReadWrite.All")
_PROVIDERS = ("IdentityProvider.Read.All", "IdentityProvider.ReadWrite.All")
_LANE = "identity"

SETS: tuple[EntitySet, ...] = (
    EntitySet(
        "identityProviderBase",
        "identity/identityProviders",
        "identity_provider_base",
        _PROVIDERS,
        _PROVIDERS[1:],
        subtypes=(
            "apple_managed_identity_provider",
            "built_in_identity_provider",
            "oidc_identity_provider",
            "social_identity_provider",
        ),
        lane=_LANE,
        required=("displayName",),
    ),
    EntitySet(
        "b2xIdentityUserFlow",
        "identity/b2xUserFlows",
        "b2x_identity_user_flow",
        _FLOWS,
        _FLOWS[1:],
        relations=(
            NavigationProperty(
                "userAttributeAssignments", (LinkKind.FLOW_ATTRIBUTES,), part="identityUserFlowAttributeAssignment"
            ),
            NavigationProperty("languages", (LinkKind.FLOW_LANGUAGES,), part="userFlowLanguageConfiguration"),
            NavigationProperty(
                "userFlowIdentityProviders",
                (LinkKind.FLOW_PROVIDERS,),
                targets=("identityProviderBase",),
                read=_FLOWS[1:],
            ),
        ),
        lane=_LANE,
        required=("id", "userFlowType", "userFlowTypeVersion"),
        update=False,
        immutable=frozenset(["id"]),
    ),
    EntitySet(
        "identityUserFlowAttributeAssignment",
        "",
        "identity_user_flow_attribute_assignment",
        _FLOWS,
        _FLOWS[1:],
        expandable=("userAttribute",),
        lane=_LANE,
        required=("isOptional", "userInputType"),
    ),
    EntitySet(
        "userFlowLanguageConfiguration",
        "",
        "user_flow_language_configuration",
        _FLOWS,
        _FLOWS[1:],
        lane=_LANE,
        changes=("PATCH", "PUT"),
        upsert=("PUT",),
    ),
    EntitySet(
        "identityUserFlowAttribute",
        "identity/userFlowAttributes",
        "identity_user_flow_attribute",
        _FLOWS,
        _FLOWS[1:],
        lane=_LANE,
        required=("displayName", "dataType"),
    ),
    EntitySet(
        "identityApiConnector",
        "identity/apiConnectors",
        "identity_api_connector",
        ("APIConnectors.ReadWrite.All",),
        ("APIConnectors.ReadWrite.All",),
        lane=_LANE,
        required=("displayName", "targetUrl", "authenticationConfiguration"),
    ),
    EntitySet(
        "authenticationEventListener",
        "identity/authenticationEventListeners",
        "authentication_event_listener",
        ("EventListener.Read.All", "EventListener.ReadWrite.All"),
        ("EventListener.ReadWrite.All",),
        subtypes=("on_token_issuance_start_listener",),
        lane=_LANE,
    ),
    EntitySet(
        "authenticationEventsFlow",
        "identity/authenticationEventsFlows",
        "authentication_events_flow",
        ("EventListener.Read.All", "EventListener.ReadWrite.All"),
        ("EventListener.ReadWrite.All",),
        subtypes=("external_users_self_service_sign_up_events_flow",),
        lane=_LANE,
        required=("displayName",),
    ),
    EntitySet(
        "customAuthenticationExtension",
        "identity/customAuthenticationExtensions",
        "custom_authentication_extension",
        ("CustomAuthenticationExtension.Read.All", "CustomAuthenticationExtension.ReadWrite.All"),
        ("CustomAuthenticationExtension.ReadWrite.All",),
        subtypes=("on_token_issuance_start_custom_extension",),
        lane=_LANE,
        required=("displayName",),
    ),
)
