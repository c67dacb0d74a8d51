"""What else a new tenant consists of: contacts, security attributes, branding, and what belongs to domains and apps.

What belongs here: contents that are neither directory objects with rules of their own nor policies.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from entra_pipeline.simulator.generate import builtin
from entra_pipeline.simulator.generate.loader import Loader
from entra_pipeline.simulator.generate.plan import EPOCH, stamp
from entra_pipeline.simulator.schema import LinkKind

_CDN = ["aadcdn.msftauthimages.net", "aadcdn.msauthimages.net"]
_ESCROWED = 10
"""One in so many Windows devices has its recovery key and local password with Entra."""


def tenant(loader: Loader) -> None:
    """Writes it; the directory has to be there already."""
    _subscriptions(loader)
    _dns(loader)
    if loader.plan.empty:
        return
    _contacts(loader)
    _security_attributes(loader)
    _branding(loader)
    _certificates(loader)
    _escrow(loader)
    _of_principals(loader)
    loader.write(
        "onPremisesDirectorySynchronization",
        [
            {
                "id": loader.who.tenant_id,
                "configuration": {"accidentalDeletionPrevention": {"alertThreshold": 500}},
                "features": {"passwordSyncEnabled": True, "deviceWritebackEnabled": False},
            }
        ],
    )


def _subscriptions(loader: Loader) -> None:
    loader.write(
        "companySubscription",
        [
            {
                "id": loader.ids("subscription", number),
                "commerceSubscriptionId": loader.ids("commerce", number),
                "createdDateTime": stamp(EPOCH),
                "isTrial": False,
                "nextLifecycleDateTime": stamp(EPOCH + timedelta(days=3653)),
                "ownerId": None,
                "ownerTenantId": None,
                "ownerType": None,
                "serviceStatus": [
                    {
                        "appliesTo": "User",
                        "provisioningStatus": "Success",
                        "servicePlanId": plan,
                        "servicePlanName": name,
                    }
                    for plan, name in plans
                ],
                "skuId": sku,
                "skuPartNumber": part,
                "status": "Enabled",
                "totalLicenses": loader.users + 25,
            }
            for number, (sku, part, plans) in enumerate(builtin.SKUS)
        ],
    )


def _dns(loader: Loader) -> None:
    domains = [row.id for row in loader.directory.page("domain")]
    owners = [row.seq for row in loader.directory.page("domain")]

    def records(kind: str) -> Iterator[tuple[int, dict[str, Any]]]:
        for number, (owner, domain) in enumerate(zip(owners, domains, strict=True)):
            shared = {"isOptional": False, "label": domain, "supportedService": "Email", "ttl": 3600}
            yield (
                owner,
                {
                    "@odata.type": "#microsoft.graph.domainDnsTxtRecord",
                    "id": loader.ids(f"{kind}Txt", number),
                    **shared,
                    "recordType": "Txt",
                    "text": f"MS=ms{number + 38183636}" if kind == "verification" else "v=spf1 -all",
                },
            )
            yield (
                owner,
                {
                    "@odata.type": "#microsoft.graph.domainDnsMxRecord",
                    "id": loader.ids(f"{kind}Mx", number),
                    **shared,
                    "recordType": "Mx",
                    "mailExchange": f"{domain.replace('.', '-')}.mail.protection.outlook.com",
                    "preference": 0,
                },
            )

    loader.write_parts("serviceConfigurationRecord", records("service"), LinkKind.SERVICE_RECORDS)
    loader.write_parts("verificationDnsRecord", records("verification"), LinkKind.VERIFICATION_RECORDS)
    if loader.plan.empty:
        return
    federated = owners[domains.index(f"corp.{loader.who.domain}")]
    trust = {
        "id": loader.ids("federation", 0),
        "displayName": "Contoso AD FS",
        "issuerUri": "http://sts.corp.contoso.com/adfs/services/trust",
        "metadataExchangeUri": "https://sts.corp.contoso.com/adfs/services/trust/mex",
        "activeSignInUri": "https://sts.corp.contoso.com/adfs/services/trust/2005/usernamemixed",
        "passiveSignInUri": "https://sts.corp.contoso.com/adfs/ls/",
        "signOutUri": "https://sts.corp.contoso.com/adfs/ls/",
        "signingCertificate": "MIIC8jCCAdqgAwIBAgIQ" + loader.ids("federationKey", 0).replace("-", ""),
        "nextSigningCertificate": None,
        "preferredAuthenticationProtocol": "wsFed",
        "promptLoginBehavior": "nativeSupport",
        "federatedIdpMfaBehavior": "rejectMfaByFederatedIdp",
        "isSignedAuthenticationRequestRequired": False,
        "passwordResetUri": None,
        "signingCertificateUpdateStatus": {
            "certificateUpdateResult": "Success",
            "lastRunDateTime": stamp(EPOCH + timedelta(days=30)),
        },
    }
    loader.write_parts("internalDomainFederation", [(federated, trust)], LinkKind.FEDERATION)


# --- people outside, and what is known of people ---------------------------------------------------------------------


def _contacts(loader: Loader) -> None:
    count = max(3, loader.users // 20)
    first = loader.write(
        "orgContact",
        (
            {
                "id": loader.ids("contact", number),
                "companyName": "Fabrikam" if number % 2 else "Wingtip Toys",
                "department": "Marknad" if number % 3 else None,
                "displayName": f"Kontakt {number:04} – Zoë",
                "givenName": "Zoë",
                "surname": f"Kontakt {number:04}",
                "jobTitle": None,
                "mail": f"contact{number:04}@fabrikam.com",
                "mailNickname": f"contact{number:04}",
                "proxyAddresses": [f"SMTP:contact{number:04}@fabrikam.com"],
                "addresses": [
                    {
                        "city": "Göteborg",
                        "countryOrRegion": "Sweden",
                        "officeLocation": None,
                        "postalCode": f"411 {number % 100:02}",
                        "state": None,
                        "street": f"Storgatan {number}",
                    }
                ],
                "phones": [{"number": f"+46 31 555 {number % 1000:03}", "type": "business"}],
                "onPremisesSyncEnabled": True if number % 2 else None,
                "onPremisesLastSyncDateTime": stamp(EPOCH + timedelta(days=number)) if number % 2 else None,
                "onPremisesProvisioningErrors": [],
                "serviceProvisioningErrors": [],
            }
            for number in range(count)
        ),
    )
    if loader.users:
        managers = [(first + n, loader.seq("user", n % loader.users)) for n in range(0, count, 2)]
        loader.directory.load_links(LinkKind.CONTACT_MANAGER, [*managers, (first + 1, first)])
    if loader.groups:
        # Every tenth group, from the seventh: neither dynamic nor synchronised.
        groups = range(7, loader.groups, 10) if loader.groups > 7 else range(1)
        members = [(loader.seq("group", group), first + group % count) for group in groups]
        loader.directory.load_links(LinkKind.GROUP_MEMBERS, members)


def _security_attributes(loader: Loader) -> None:
    loader.write(
        "attributeSet",
        [
            {"id": "Engineering", "description": "Attributes for engineering", "maxAttributesPerSet": 25},
            {"id": "Marknad", "description": "Attribut för marknad", "maxAttributesPerSet": None},
        ],
    )
    loader.write(
        "customSecurityAttributeDefinition",
        [
            {
                "id": f"{group}_{name}",
                "attributeSet": group,
                "name": name,
                "description": f"{name} of a person or an application",
                "type": kind,
                "status": status,
                "isCollection": many,
                "isSearchable": True,
                "usePreDefinedValuesOnly": bool(values),
                "allowedValues": [{"id": value, "isActive": value != "Restricted"} for value in values],
            }
            for group, name, kind, status, many, values in (
                ("Engineering", "Clearance", "String", "Available", False, ("Open", "Secret", "Restricted")),
                ("Engineering", "Project", "String", "Available", True, ()),
                ("Marknad", "Level", "Integer", "Deprecated", False, ()),
            )
        ],
    )


# --- the organization ------------------------------------------------------------------------------------------------


def _branding(loader: Loader) -> None:
    organization = loader.seq("organization", 0)

    def look(identifier: str, text: str) -> dict[str, Any]:
        return {
            "id": identifier,
            "backgroundColor": "#0F6CBD",
            "backgroundImageRelativeUrl": f"{loader.ids('branding', 0)}/logintenantbranding/{identifier}/illustration",
            "bannerLogoRelativeUrl": f"{loader.ids('branding', 0)}/logintenantbranding/{identifier}/bannerlogo",
            "backgroundImage": _image(loader, f"{identifier} background"),
            "bannerLogo": _image(loader, f"{identifier} banner"),
            "cdnList": _CDN,
            "signInPageText": text,
            "usernameHintText": None,
            "loginPageLayoutConfiguration": {
                "layoutTemplateType": "default",
                "isHeaderShown": False,
                "isFooterShown": True,
            },
        }

    loader.write_parts("organizationalBranding", [(organization, look("0", "Contoso"))], LinkKind.BRANDING)
    languages = (("sv-SE", "Välkommen till Contoso"), ("ja-JP", "コントソへようこそ"))
    loader.write_parts(
        "organizationalBrandingLocalization",
        [(organization, look(language, text)) for language, text in languages],
        LinkKind.BRANDING_LOCALIZATIONS,
    )


def _image(loader: Loader, name: str) -> str:
    """Bytes that pass for a picture, as Base64."""
    return base64.b64encode(b"\x89PNG\r\n\x1a\n" + loader.random(name).randbytes(400)).decode()


def _certificates(loader: Loader) -> None:
    authority = {
        "isRootAuthority": True,
        "certificateRevocationListUrl": "http://pki.contoso.com/root.crl",
        "deltaCertificateRevocationListUrl": None,
        "certificate": "MIIC8jCCAdqgAwIBAgIQ" + loader.ids("authority", 0).replace("-", ""),
        "issuer": "CN=Contoso Root CA",
        "issuerSki": loader.ids("authorityKey", 0).replace("-", "").upper(),
    }
    loader.write_parts(
        "certificateBasedAuthConfiguration",
        [
            (
                loader.seq("organization", 0),
                {"id": "29728ade-6ae4-4ee9-9103-412912537da5", "certificateAuthorities": [authority]},
            )
        ],
        LinkKind.CERTIFICATE_AUTHENTICATION,
    )


def _escrow(loader: Loader) -> None:
    windows = [number for number in range(loader.devices) if number % 3][::_ESCROWED]
    loader.write(
        "bitlockerRecoveryKey",
        (
            {
                "id": loader.ids("recoveryKey", number),
                "createdDateTime": stamp(EPOCH + timedelta(minutes=number), "0000000"),
                "volumeType": "1" if number % 2 else "2",
                "deviceId": loader.ids("deviceId", number),
                "key": "-".join(f"{loader.random('recovery', number).randrange(10**6):06}" for _ in range(8)),
            }
            for number in windows
        ),
    )
    loader.write(
        "deviceLocalCredentialInfo",
        (
            {
                "id": loader.ids("deviceId", number),
                "deviceName": f"DESKTOP-{number:06}",
                "lastBackupDateTime": stamp(EPOCH + timedelta(minutes=number)),
                "refreshDateTime": stamp(EPOCH + timedelta(days=30, minutes=number)),
                "credentials": [
                    {
                        "accountName": "Administrator",
                        "accountSid": f"S-1-5-21-{number}-500",
                        "backupDateTime": stamp(EPOCH + timedelta(minutes=number)),
                        "passwordBase64": "UABhAHMAcwB3AG8AcgBkAA==",
                    }
                ],
            }
            for number in windows
        ),
    )


# --- enterprise applications -----------------------------------------------------------------------------------------


def _of_principals(loader: Loader) -> None:
    graph = loader.seq("servicePrincipal", 0)
    loader.write_parts(
        "delegatedPermissionClassification",
        [
            (
                graph,
                {
                    "id": loader.ids("classification", number).replace("-", "")[:22] + "E",
                    "permissionId": identifier,
                    "permissionName": name,
                    "classification": "low",
                },
            )
            for number, (identifier, name) in enumerate(builtin.GRAPH_SCOPES[2:])
        ],
        LinkKind.CLASSIFICATIONS,
    )
    jobs = range(1, loader.applications, 5)
    first = loader.write_parts(
        "synchronizationJob",
        [(loader.seq("servicePrincipal", 1 + number), _job(loader, number)) for number in jobs],
        LinkKind.SYNC_JOBS,
    )
    loader.write_parts(
        "synchronizationSchema",
        [(first + index, _schema(loader, number)) for index, number in enumerate(jobs)],
        LinkKind.SYNC_SCHEMA,
    )


def _job(loader: Loader, number: int) -> dict[str, Any]:
    return {
        "id": f"scim.{loader.who.tenant_id.replace('-', '')}.{loader.ids('job', number)}",
        "templateId": "scim",
        "schedule": {"expiration": None, "interval": "PT40M", "state": "Active"},
        "status": {
            "code": "Active",
            "countSuccessiveCompleteFailures": 0,
            "escrowsPruned": False,
            "steadyStateFirstAchievedTime": stamp(EPOCH + timedelta(days=10)),
            "steadyStateLastAchievedTime": stamp(EPOCH + timedelta(days=20)),
            "quarantine": None,
            "troubleshootingUrl": "",
        },
        "synchronizationJobSettings": [{"name": "AzureIngestionAttributeOptimization", "value": "False"}],
    }


def _schema(loader: Loader, number: int) -> dict[str, Any]:
    def mapping(source: str, target: str, precedence: int) -> dict[str, Any]:
        return {
            "defaultValue": None,
            "exportMissingReferences": False,
            "flowBehavior": "FlowWhenChanged",
            "flowType": "Always",
            "matchingPriority": precedence,
            "targetAttributeName": target,
            "source": {"expression": f"[{source}]", "name": source, "parameters": [], "type": "Attribute"},
        }

    return {
        "id": f"scim.{loader.who.tenant_id.replace('-', '')}.{loader.ids('schema', number)}",
        "version": "v1.1",
        "synchronizationRules": [
            {
                "id": loader.ids("rule", number),
                "name": "USER_TO_USER",
                "editable": True,
                "priority": 1,
                "sourceDirectoryName": "Microsoft Entra ID",
                "targetDirectoryName": "customappsso",
                "objectMappings": [
                    {
                        "enabled": True,
                        "flowTypes": "Add, Update, Delete",
                        "name": "Provision users",
                        "sourceObjectName": "User",
                        "targetObjectName": "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User",
                        "attributeMappings": [
                            mapping("userPrincipalName", "userName", 1),
                            mapping("displayName", "displayName", 0),
                            mapping("department", "urn:contoso:avdelning", 0),
                        ],
                    }
                ],
            }
        ],
        "directories": [
            {
                "id": loader.ids("synchronizedDirectory", number),
                "name": "customappsso",
                "discoverabilities": "AttributeNames",
                "objects": [],
                "version": "v1.1",
            }
        ],
    }
