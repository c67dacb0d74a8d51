"""Writes policies that applications and enterprise applications are given: claims, tokens, home realms, management."""

from __future__ import annotations

from typing import Any

from entra_pipeline.simulator.generate.loader import Loader
from entra_pipeline.simulator.generate.plan import EPOCH, stamp
from entra_pipeline.simulator.schema import LinkKind


def stamped_policy(
    loader: Loader, kind: str, name: str, definition: str, default: bool, number: int = 0
) -> dict[str, Any]:
    """Returns a policy whose definition is a text of JSON."""
    return {
        "id": loader.ids(kind, number),
        "displayName": name,
        "description": None,
        "definition": [definition],
        "isOrganizationDefault": default,
    }


def application_policies(loader: Loader) -> None:
    """Writes them; applications have to be there already."""
    applications, principals = loader.seq("application", 0), loader.seq("servicePrincipal", 1)
    for type_name, code, name, definition, tied in (
        (
            "claimsMappingPolicy",
            LinkKind.CLAIMS_MAPPING,
            "Lön: kostnadsställe",
            '{"ClaimsMappingPolicy":{"Version":1,"IncludeBasicClaimSet":"true","ClaimsSchema":[{"Source":"user",'
            '"ID":"employeeid","JwtClaimType":"employee_id"}]}}',
            (principals, principals + 2),
        ),
        (
            "homeRealmDiscoveryPolicy",
            LinkKind.HOME_REALM,
            "Straight to corp.contoso.com",
            '{"HomeRealmDiscoveryPolicy":{"AccelerateToFederatedDomain":true,"PreferredDomain":"corp.contoso.com"}}',
            (principals + 1,),
        ),
        (
            "tokenIssuancePolicy",
            LinkKind.TOKEN_ISSUANCE,
            "SAML 2.0, signed",
            '{"TokenIssuancePolicy":{"Version":1,"SigningAlgorithm":"http://www.w3.org/2001/04/xmldsig-more#rsa-sha256",'
            '"TokenResponseSigningPolicy":"TokenOnly","SamlTokenVersion":"2.0"}}',
            (applications + 1, principals + 3),
        ),
        (
            "tokenLifetimePolicy",
            LinkKind.TOKEN_LIFETIME,
            "Eight hours",
            '{"TokenLifetimePolicy":{"Version":1,"AccessTokenLifetime":"8:00:00"}}',
            (applications, principals),
        ),
    ):
        first = loader.write(
            type_name,
            [
                stamped_policy(loader, type_name, name, definition, False),
                stamped_policy(loader, type_name, f"{name} (unused)", definition, False, 1),
            ],
        )
        loader.directory.load_links(code, [(seq, first) for seq in tied])
    first = loader.write(
        "appManagementPolicy",
        [
            {
                "id": loader.ids("appManagement", 0),
                "displayName": "Inga lösenord 🔒",
                "description": "No new passwords for applications that can do with certificates.",
                "isEnabled": True,
                "restrictions": {
                    "passwordCredentials": [
                        {
                            "restrictionType": "passwordAddition",
                            "maxLifetime": None,
                            "restrictForAppsCreatedAfterDateTime": stamp(EPOCH),
                            "state": "enabled",
                        }
                    ],
                    "keyCredentials": [],
                },
            }
        ],
    )
    loader.directory.load_links(LinkKind.APP_MANAGEMENT, [(applications + 2, first), (principals + 2, first)])
