"""Users, with their manager and sponsors."""

from entra_pipeline.catalogue.model import Category, ObjectType, Read, Relation

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
        delta=True,
        select=True,
        not_listable=frozenset(_SINGLE_GET_ONLY | _NOT_TRACKED),
        gated={
            "customSecurityAttributes": "CustomSecAttributeAssignment.Read.All",
            "employeeLeaveDateTime": "User-LifeCycleInfo.Read.All",
        },
        extensible="User",
        page_size=999,
        count=True,
        identity=("userPrincipalName", "displayName"),
        relations=(
            Relation("user_manager", "manager", Read.DELTA, many=False, inverse="directReports"),
            Relation("user_sponsors", "sponsors", Read.EXPAND),
        ),
    ),
)
