"""External identities of a new tenant: identity providers, user flows, custom authentication."""

from __future__ import annotations

from typing import Any

from entra_pipeline.simulator.generate.loader import Loader
from entra_pipeline.simulator.schema import LinkKind

_ATTRIBUTES = (("email", "Email Address"), ("displayName", "Display Name"), ("city", "City"), ("country", "Country"))


def identities(loader: Loader) -> None:
    """Writes them; applications have to be there already."""
    attributes = [
        {
            "id": identifier,
            "displayName": name,
            "description": f"{name} of the user.",
            "dataType": "string",
            "userFlowAttributeType": "builtIn",
        }
        for identifier, name in _ATTRIBUTES
    ]
    if not loader.plan.empty:
        attributes.append(
            {
                "id": f"extension_{loader.ids('b2x', 0).replace('-', '')}_shoeSize",
                "displayName": "Skostorlek",
                "description": "What the shop wants to know",
                "dataType": "int64",
                "userFlowAttributeType": "custom",
            }
        )
    loader.write("identityUserFlowAttribute", attributes)
    providers: list[dict[str, Any]] = [
        {
            "@odata.type": "#microsoft.graph.builtInIdentityProvider",
            "id": f"{name}-OAUTH",
            "displayName": title,
            "identityProviderType": kind,
        }
        for name, title, kind in (
            ("AADSignup", "Directory Sign up", "AADSignup"),
            ("EmailOtpSignup", "Email One Time Passcode", "EmailOTP"),
        )
    ]
    if not loader.plan.empty:
        providers += [
            {
                "@odata.type": "#microsoft.graph.socialIdentityProvider",
                "id": "Facebook-OAUTH",
                "displayName": "Facebook",
                "identityProviderType": "Facebook",
                "clientId": "contoso-shop",
                "clientSecret": "******",
            }
        ]
    first = loader.write("identityProviderBase", providers)
    if not loader.plan.empty:
        _flows(loader, attributes, [first + number for number in range(1, len(providers))])
        _custom(loader)


def _flows(loader: Loader, attributes: list[dict[str, Any]], providers: list[int]) -> None:
    flows = loader.write(
        "b2xIdentityUserFlow",
        [
            {
                "id": f"B2X_1_{name}",
                "userFlowType": "signUpOrSignIn",
                "userFlowTypeVersion": 1,
                "apiConnectorConfiguration": {},
            }
            for name in ("Partner", "Butik")
        ],
    )
    loader.directory.load_links(LinkKind.FLOW_PROVIDERS, [(flows + n, seq) for n in range(2) for seq in providers])
    loader.write_parts(
        "identityUserFlowAttributeAssignment",
        [
            (
                flows + number,
                {
                    "id": attribute["id"],
                    "displayName": attribute["displayName"],
                    "isOptional": attribute["id"] != "email",
                    "requiresVerification": attribute["id"] == "email",
                    "userInputType": "emailBox" if attribute["id"] == "email" else "textBox",
                    "userAttributeValues": [],
                    "userAttribute": attribute,
                },
            )
            for number in range(2)
            for attribute in attributes[: 3 + 2 * number]
        ],
        LinkKind.FLOW_ATTRIBUTES,
    )
    loader.write_parts(
        "userFlowLanguageConfiguration",
        [
            (flows + number, {"id": language, "displayName": name, "isEnabled": number == 0})
            for number in range(2)
            for language, name in (("en", "English"), ("sv", "Svenska"))
        ],
        LinkKind.FLOW_LANGUAGES,
    )


def _custom(loader: Loader) -> None:
    loader.write(
        "identityApiConnector",
        [
            {
                "id": loader.ids("connector", 0),
                "displayName": "Kreditkontroll",
                "targetUrl": "https://credit.contoso.com/api/check",
                "authenticationConfiguration": {
                    "@odata.type": "#microsoft.graph.basicAuthentication",
                    "username": "contoso",
                    "password": "******",
                },
            }
        ],
    )
    extension = {
        "@odata.type": "#microsoft.graph.onTokenIssuanceStartCustomExtension",
        "id": loader.ids("customExtension", 0),
        "displayName": "Anspråk från personalsystemet",
        "description": "Fetches claims from the HR system",
        "authenticationConfiguration": {
            "@odata.type": "#microsoft.graph.azureAdTokenAuthentication",
            "resourceId": f"api://claims.contoso.com/{loader.ids('appId', 0)}",
        },
        "clientConfiguration": {"timeoutInMilliseconds": 2000, "maximumRetries": 1},
        "endpointConfiguration": {
            "@odata.type": "#microsoft.graph.httpRequestEndpoint",
            "targetUrl": "https://claims.contoso.com/api",
        },
        "behaviorOnError": None,
        "claimsForTokenConfiguration": [{"claimIdInApiResponse": "costCenter"}],
    }
    loader.write("customAuthenticationExtension", [extension])
    loader.write(
        "authenticationEventListener",
        [
            {
                "@odata.type": "#microsoft.graph.onTokenIssuanceStartListener",
                "id": loader.ids("listener", 0),
                "displayName": None,
                "authenticationEventsFlowId": None,
                "conditions": {
                    "applications": {"includeApplications": [{"appId": loader.ids("appId", 0)}]},
                },
                "handler": {
                    "@odata.type": "#microsoft.graph.onTokenIssuanceStartCustomExtensionHandler",
                    "configuration": None,
                    "customExtension": {"id": extension["id"]},
                },
            }
        ],
    )
