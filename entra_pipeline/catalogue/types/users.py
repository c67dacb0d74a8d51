"""Users, with their manager and sponsors, licences and registered authentication methods."""

from entra_pipeline.catalogue.model import Category, Lane, ObjectType, Read, Relation, kept, restored

# Held outside the directory: Graph answers 501 when a list selects them (Graph doc: user-list).
_SINGLE_GET_ONLY = {
    "aboutMe",
    "birthday",
    "hireDate",
    "interests",
    "mailboxSettings",
    "mySite",
    "pastProjects",
    "preferredName",
    "responsibilities",
    "schools",
    "skills",
}
# Delta refuses to select signInActivity, and does not track the others (Graph doc: resources/user).
_NOT_TRACKED = {"cloudLicensing", "deviceEnrollmentLimit", "print", "signInActivity"}

TYPES = (
    ObjectType(
        name="users",
        category=Category.USERS,
        title="User",
        path="users",
        model="user",
        permissions=("User.Read.All", "Directory.Read.All"),
        restore=restored(
            "from the recycle bin, else POST /users (disabled, random password, invitation for guests), PATCH; not: "
            "password, passkeys, MFA secrets, mailbox; synced users in Active Directory"
        ),
        delta=True,
        select=True,
        not_listable=frozenset(_SINGLE_GET_ONLY | _NOT_TRACKED),
        gated={
            "customSecurityAttributes": "CustomSecAttributeAssignment.Read.All",
            "employeeLeaveDateTime": "User-LifeCycleInfo.Read.All",
        },
        extensible="User",
        page_size=999,
        identity=("userPrincipalName", "displayName"),
        relations=(
            Relation("user_manager", "manager", Read.DELTA, many=False, inverse="directReports"),
            Relation("user_sponsors", "sponsors", Read.EXPAND),
        ),
    ),
    ObjectType(
        name="user_licenses",
        category=Category.USERS,
        title="Licences of a user",
        path="users",
        model="user",
        permissions=("LicenseAssignment.Read.All", "User.Read.All", "Directory.Read.All"),
        restore=restored("POST /users/{id}/assignLicense for licences assigned directly; the others come with groups"),
        projection=("id", "userPrincipalName", "assignedLicenses", "licenseAssignmentStates"),
        page_size=999,
        daily=True,
        identity=("userPrincipalName",),
        belongs_to="id",
        shows="users",
    ),
    ObjectType(
        name="user_registration_details",
        category=Category.USERS,
        title="Registered authentication methods of a user",
        path="reports/authenticationMethods/userRegistrationDetails",
        model="user_registration_details",
        permissions=("AuditLog.Read.All",),
        restore=kept("a report; methods are registered by their user"),
        page_size=999,
        daily=True,
        identity=("userPrincipalName",),
        belongs_to="id",
        lane=Lane.REPORTS,
        licence="Microsoft Entra ID P1",
        shows="users",
    ),
)
