"""What else a tenant consists of: settings, contacts, security attributes, branding, parts of domains and apps."""

from __future__ import annotations

from dataclasses import replace

from entra_pipeline.simulator.schema.model import EntitySet, LinkKind, NavigationProperty

_SETTINGS = ("GroupSettings.Read.All", "GroupSettings.ReadWrite.All", "Directory.Read.All", "Group.Read.All")
_BRANDING = ("OrganizationalBranding.Read.All", "OrganizationalBranding.ReadWrite.All", "Organization.Read.All")
_BRANDING_WRITE = ("OrganizationalBranding.ReadWrite.All", "Organization.ReadWrite.All")
_IMAGES = frozenset(
    ["backgroundImage", "bannerLogo", "customCSS", "favicon", "headerLogo", "squareLogo", "squareLogoDark"]
)
_DNS = (
    "domain_dns_cname_record",
    "domain_dns_mx_record",
    "domain_dns_srv_record",
    "domain_dns_txt_record",
    "domain_dns_unavailable_record",
)
_PKI = ("PublicKeyInfrastructure.Read.All", "PublicKeyInfrastructure.ReadWrite.All")
_ATTRIBUTES = ("CustomSecAttributeDefinition.Read.All", "CustomSecAttributeDefinition.ReadWrite.All")


def _dns(name: str) -> EntitySet:
    return EntitySet(
        name,
        "",
        "domain_dns_record",
        ("Domain.Read.All", "Domain.ReadWrite.All"),
        subtypes=_DNS,
        create=False,
        update=False,
        delete=False,
    )


_GROUP_SETTING = EntitySet(
    "groupSetting",
    "groupSettings",
    "group_setting",
    _SETTINGS,
    ("GroupSettings.ReadWrite.All", "Directory.ReadWrite.All"),
    required=("templateId", "values"),
    read_only=frozenset(["id", "displayName"]),
    immutable=frozenset(["templateId"]),
)

SETS: tuple[EntitySet, ...] = (
    _GROUP_SETTING,
    # The same below a group.
    replace(_GROUP_SETTING, name="settingOfGroup", path=""),
    EntitySet(
        "openTypeExtension",
        "",
        "open_type_extension",
        # Whoever may read the owner.
        (),
        open=True,
        required=("extensionName",),
        immutable=frozenset(["extensionName"]),
        read_only=frozenset(["id"]),
    ),
    EntitySet(
        "groupSettingTemplate",
        "groupSettingTemplates",
        "group_setting_template",
        _SETTINGS[:3],
        create=False,
        update=False,
        delete=False,
    ),
    EntitySet(
        "groupLifecyclePolicy",
        "groupLifecyclePolicies",
        "group_lifecycle_policy",
        ("Directory.Read.All", "Directory.ReadWrite.All"),
        ("Directory.ReadWrite.All",),
        required=("groupLifetimeInDays", "managedGroupTypes"),
        read_only=frozenset(["id"]),
    ),
    EntitySet(
        "onPremisesDirectorySynchronization",
        "directory/onPremisesSynchronization",
        "on_premises_directory_synchronization",
        ("OnPremDirectorySynchronization.Read.All",),
        delegated=True,
    ),
    EntitySet(
        "delegatedPermissionClassification",
        "",
        "delegated_permission_classification",
        ("Application.Read.All", "Policy.Read.PermissionGrant", "Directory.Read.All"),
        ("Policy.ReadWrite.PermissionGrant",),
        required=("permissionId", "permissionName", "classification"),
        update=False,
    ),
    EntitySet(
        "synchronizationJob",
        "",
        "synchronization_job",
        ("Synchronization.Read.All", "Synchronization.ReadWrite.All"),
        ("Synchronization.ReadWrite.All",),
        relations=(NavigationProperty("schema", (LinkKind.SYNC_SCHEMA,), many=False, part="synchronizationSchema"),),
        required=("templateId",),
    ),
    EntitySet(
        "synchronizationSchema",
        "",
        "synchronization_schema",
        ("Synchronization.Read.All", "Synchronization.ReadWrite.All"),
        ("Synchronization.ReadWrite.All",),
        inline=(("directories", "directory_definition"),),
        changes=("PUT",),
        upsert=("PUT",),
    ),
    EntitySet(
        "bitlockerRecoveryKey",
        "informationProtection/bitlocker/recoveryKeys",
        "bitlocker_recovery_key",
        ("BitlockerKey.ReadBasic.All", "BitlockerKey.Read.All"),
        single_only=frozenset(["key"]),
        gated=(("key", "BitlockerKey.Read.All"),),
        create=False,
        update=False,
        delete=False,
    ),
    EntitySet(
        "deviceLocalCredentialInfo",
        "directory/deviceLocalCredentials",
        "device_local_credential_info",
        ("DeviceLocalCredential.ReadBasic.All", "DeviceLocalCredential.Read.All"),
        expandable=("credentials",),
        single_only=frozenset(["credentials"]),
        gated=(("credentials", "DeviceLocalCredential.Read.All"),),
        create=False,
        update=False,
        delete=False,
    ),
    EntitySet(
        "companySubscription",
        "directory/subscriptions",
        "company_subscription",
        ("Organization.Read.All", "Directory.Read.All"),
        create=False,
        update=False,
        delete=False,
    ),
    EntitySet(
        "organizationalBranding",
        "",
        "organizational_branding",
        _BRANDING,
        _BRANDING_WRITE,
        streams=_IMAGES,
        upsert=("PATCH",),
    ),
    EntitySet(
        "organizationalBrandingLocalization",
        "",
        "organizational_branding_localization",
        _BRANDING,
        _BRANDING_WRITE,
        streams=_IMAGES,
        required=("id",),
    ),
    EntitySet(
        "certificateBasedAuthConfiguration",
        "",
        "certificate_based_auth_configuration",
        ("Organization.Read.All", "Organization.ReadWrite.All"),
        ("Organization.ReadWrite.All",),
        update=False,
        required=("certificateAuthorities",),
    ),
    EntitySet(
        "certificateBasedAuthPki",
        "directory/publicKeyInfrastructure/certificateBasedAuthConfigurations",
        "certificate_based_auth_pki",
        _PKI,
        _PKI[1:],
        relations=(
            NavigationProperty(
                "certificateAuthorities", (LinkKind.CERTIFICATE_AUTHORITIES,), part="certificateAuthorityDetail"
            ),
        ),
        required=("displayName",),
        read_only=frozenset(["id", "deletedDateTime", "lastModifiedDateTime", "status", "statusDetails"]),
    ),
    EntitySet(
        "certificateAuthorityDetail",
        "",
        "certificate_authority_detail",
        _PKI,
        _PKI[1:],
        required=("certificate", "certificateAuthorityType"),
        read_only=frozenset(["id", "deletedDateTime", "createdDateTime", "expirationDateTime", "issuer", "thumbprint"]),
    ),
    EntitySet(
        "samlOrWsFedExternalDomainFederation",
        "directory/federationConfigurations",
        "identity_provider_base",
        ("IdentityProvider.Read.All", "IdentityProvider.ReadWrite.All"),
        ("IdentityProvider.ReadWrite.All",),
        subtypes=("saml_or_ws_fed_external_domain_federation",),
        inline=(("domains", "external_domain_name"),),
        lane="identity",
        required=("@odata.type", "issuerUri", "passiveSignInUri", "signingCertificate", "domains"),
        read_only=frozenset(["id"]),
    ),
    EntitySet(
        "internalDomainFederation",
        "",
        "internal_domain_federation",
        ("Domain-InternalFederation.Read.All", "Domain-InternalFederation.ReadWrite.All", "Domain.Read.All"),
        ("Domain-InternalFederation.ReadWrite.All", "Domain.ReadWrite.All"),
        required=("issuerUri", "passiveSignInUri", "signingCertificate"),
    ),
    _dns("serviceConfigurationRecord"),
    _dns("verificationDnsRecord"),
    EntitySet(
        "orgContact",
        "contacts",
        "org_contact",
        ("OrgContact.Read.All", "Directory.Read.All", "Directory.ReadWrite.All"),
        relations=(
            NavigationProperty("manager", (LinkKind.CONTACT_MANAGER,), many=False),
            NavigationProperty("memberOf", (LinkKind.GROUP_MEMBERS,), inverse=True, units=2),
        ),
        delta=True,
        advanced=True,
        create=False,
        update=False,
        delete=False,
    ),
    EntitySet(
        "attributeSet",
        "directory/attributeSets",
        "attribute_set",
        _ATTRIBUTES,
        _ATTRIBUTES[1:],
        required=("id",),
        immutable=frozenset(["id"]),
        delete=False,
    ),
    EntitySet(
        "customSecurityAttributeDefinition",
        "directory/customSecurityAttributeDefinitions",
        "custom_security_attribute_definition",
        _ATTRIBUTES,
        _ATTRIBUTES[1:],
        inline=(("allowedValues", "allowed_value"),),
        expandable=("allowedValues",),
        required=("attributeSet", "name", "type", "status", "isCollection", "isSearchable", "usePreDefinedValuesOnly"),
        immutable=frozenset(["attributeSet", "name", "type", "isCollection", "isSearchable"]),
        read_only=frozenset(["id"]),
        delete=False,
    ),
)
