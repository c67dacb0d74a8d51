"""What hangs on the objects of a new tenant: open extensions, authentication methods, settings of groups and others.

What belongs here: parts that are read one owner at a time. What does not: the owners, which are there already.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec

from entra_pipeline.simulator.generate.loader import Loader
from entra_pipeline.simulator.generate.plan import EPOCH, stamp
from entra_pipeline.simulator.schema import LinkKind

# Every user's password has this id (Graph doc: passwordauthenticationmethod).
_PASSWORD = "28c10230-6103-485e-b985-444c60001490"  # noqa: S105 - an id
_REGISTERED = 40
"""So many users, besides those with roles, have methods that can be read one by one."""
_GUEST_TEMPLATE = "08d542b9-071f-4e16-94b0-74abb372e3d9"


def details(loader: Loader) -> None:
    """Writes them."""
    if loader.plan.empty:
        return
    _open_extensions(loader)
    _authentication_methods(loader)
    _of_groups(loader)
    _remote_desktop(loader)
    _infrastructure(loader)


def _open_extensions(loader: Loader) -> None:
    owners = [loader.seq("organization", 0), loader.seq("administrativeUnit", 0)]
    for kind, number in (("user", loader.users), ("group", loader.groups), ("device", loader.devices)):
        owners += [loader.seq(kind, n) for n in range(1, min(number, 500), 37)]
    loader.write_parts(
        "openTypeExtension",
        [
            (
                owner,
                {
                    "@odata.type": "#microsoft.graph.openTypeExtension",
                    "id": "com.contoso.profil",
                    "extensionName": "com.contoso.profil",
                    "färg": "blå",
                    "weights": [1, 2.5, None],
                    "nested": {"level": number % 3, "since": stamp(EPOCH + timedelta(days=number))},
                },
            )
            for number, owner in enumerate(owners)
        ],
        LinkKind.OPEN_EXTENSIONS,
    )


def _authentication_methods(loader: Loader) -> None:
    users = {number for number, _ in loader.role_holders} | set(range(min(loader.users, _REGISTERED)))
    loader.write_parts(
        "authenticationMethod",
        [(loader.seq("user", number), method) for number in sorted(users) for method in _methods(loader, number)],
        LinkKind.AUTHENTICATION_METHODS,
    )


def _methods(loader: Loader, number: int) -> list[dict[str, Any]]:
    moment = stamp(EPOCH + timedelta(days=number))
    found: list[dict[str, Any]] = [
        {
            "@odata.type": "#microsoft.graph.passwordAuthenticationMethod",
            "id": _PASSWORD,
            "password": None,
            "createdDateTime": moment,
        },
        {
            "@odata.type": "#microsoft.graph.phoneAuthenticationMethod",
            "id": "3179e48a-750b-4051-897c-87b9720928f7",
            "phoneNumber": f"+46 70{number:07}",
            "phoneType": "mobile",
            "smsSignInState": "notAllowedByPolicy",
            "createdDateTime": moment,
        },
    ]
    if number % 3 == 0:
        found.append(
            {
                "@odata.type": "#microsoft.graph.fido2AuthenticationMethod",
                "id": loader.ids("fido2", number).replace("-", ""),
                "displayName": "Blå nyckel",
                "createdDateTime": moment,
                "aaGuid": "2fc0579f-8113-47ea-b116-bb5a8db9202a",
                "model": "NFC key",
                "attestationCertificates": [loader.ids("attestation", number).replace("-", "")],
                "attestationLevel": "attested",
            }
        )
    return found


def _of_groups(loader: Loader) -> None:
    first = loader.first.get("group", 0)
    unified = [
        row
        for row in loader.directory.page("group", limit=100)
        if "Unified" in msgspec.json.decode(row.body).get("groupTypes", ())
    ]
    loader.write_parts(
        "settingOfGroup",
        [
            (
                row.seq,
                {
                    "id": loader.ids("settingOfGroup", row.seq - first),
                    "displayName": "Group.Unified.Guest",
                    "templateId": _GUEST_TEMPLATE,
                    "values": [{"name": "AllowToAddGuests", "value": "false"}],
                },
            )
            for row in unified[:5]
        ],
        LinkKind.GROUP_SETTINGS,
    )


def _remote_desktop(loader: Loader) -> None:
    principal = loader.seq("servicePrincipal", loader.applications + 1)
    loader.write_parts(
        "remoteDesktopSecurityConfiguration",
        [(principal, {"id": "id", "isRemoteDesktopProtocolEnabled": True})],
        LinkKind.REMOTE_DESKTOP,
    )
    client = {"id": loader.ids("sp", 0), "displayName": "Application 0000"}
    loader.write_parts("approvedClientApp", [(principal, client)], LinkKind.APPROVED_CLIENTS)
    devices = {"id": loader.ids("group", 0), "displayName": "Fjärrskrivbord"}
    loader.write_parts("targetDeviceGroup", [(principal, devices)], LinkKind.DEVICE_GROUPS)


def _infrastructure(loader: Loader) -> None:
    infrastructure = loader.write(
        "certificateBasedAuthPki",
        [
            {
                "id": loader.ids("pki", 0),
                "displayName": "Contoso PKI",
                "status": "succeeded",
                "statusDetails": None,
                "lastModifiedDateTime": stamp(EPOCH + timedelta(days=50)),
                "deletedDateTime": None,
            }
        ],
    )
    loader.write_parts(
        "certificateAuthorityDetail",
        [
            (
                infrastructure,
                {
                    "id": loader.ids("pkiAuthority", number),
                    "deletedDateTime": None,
                    "certificateAuthorityType": kind,
                    "certificate": "MIIC8jCCAdqgAwIBAgIQ" + loader.ids("pkiCertificate", number).replace("-", ""),
                    "displayName": f"Contoso {kind} CA",
                    "issuer": "CN=Contoso Root CA",
                    "issuerSubjectKeyIdentifier": loader.ids("pkiKey", number).replace("-", "").upper(),
                    "thumbprint": loader.ids("pkiPrint", number).replace("-", "").upper(),
                    "certificateRevocationListUrl": "http://pki.contoso.com/root.crl",
                    "deltaCertificateRevocationListUrl": None,
                    "isIssuerHintEnabled": number == 0,
                    "createdDateTime": stamp(EPOCH + timedelta(days=50)),
                    "expirationDateTime": stamp(EPOCH + timedelta(days=3650)),
                },
            )
            for number, kind in enumerate(("root", "intermediate"))
        ],
        LinkKind.CERTIFICATE_AUTHORITIES,
    )
    loader.write(
        "samlOrWsFedExternalDomainFederation",
        [
            {
                "@odata.type": "#microsoft.graph.samlOrWsFedExternalDomainFederation",
                "id": loader.ids("externalFederation", 0),
                "displayName": "Wingtip Toys",
                "issuerUri": "https://sts.wingtiptoys.com/adfs/services/trust",
                "metadataExchangeUri": None,
                "passiveSignInUri": "https://sts.wingtiptoys.com/adfs/ls/",
                "preferredAuthenticationProtocol": "saml",
                "signingCertificate": "MIIC8jCCAdqgAwIBAgIQ" + loader.ids("externalKey", 0).replace("-", ""),
                "domains": [{"id": "wingtiptoys.com"}],
            }
        ],
    )
    loader.write(
        "authenticationEventsFlow",
        [
            {
                "@odata.type": "#microsoft.graph.externalUsersSelfServiceSignUpEventsFlow",
                "id": loader.ids("eventsFlow", 0),
                "displayName": "Registrering i butiken",
                "description": None,
                "conditions": {"applications": {"includeApplications": [{"appId": loader.ids("appId", 0)}]}},
                "onInteractiveAuthFlowStart": {
                    "@odata.type": "#microsoft.graph.onInteractiveAuthFlowStartExternalUsersSelfServiceSignUp",
                    "isSignUpAllowed": True,
                },
                "onAuthenticationMethodLoadStart": None,
                "onAttributeCollection": None,
                "onAttributeCollectionStart": None,
                "onAttributeCollectionSubmit": None,
                "onUserCreateStart": None,
            }
        ],
    )
