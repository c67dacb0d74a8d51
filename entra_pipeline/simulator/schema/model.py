"""What an entity set of the simulated tenant is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from functools import cache

from entra_pipeline.catalogue.sdk import JSON, Property, PropertyKind, class_name, model_properties


class LinkKind(IntEnum):
    """Kinds of stored links. Numbers are part of a persistent tenant's file: never reuse one."""

    GROUP_MEMBERS = 1
    GROUP_OWNERS = 2
    USER_MANAGER = 3
    USER_SPONSORS = 4
    UNIT_MEMBERS = 5
    ROLE_MEMBERS = 6
    APPLICATION_OWNERS = 7
    PRINCIPAL_OWNERS = 8
    DEVICE_OWNERS = 9
    DEVICE_USERS = 10
    # From here on the source owns the target: the target is hidden and purged with it.
    CREDENTIALS = 20
    EXTENSIONS = 21
    SCOPED_MEMBERS = 22
    SCOPED_MEMBER_USER = 23
    ASSIGNED_TO = 24
    ASSIGNMENTS = 25
    GRANT_CLIENT = 26
    GRANT_RESOURCE = 27
    GRANT_PRINCIPAL = 28
    ROLE_ASSIGNED = 29
    CLASSIFICATIONS = 30
    SYNC_JOBS = 31
    SYNC_SCHEMA = 32
    BRANDING = 33
    BRANDING_LOCALIZATIONS = 34
    CERTIFICATE_AUTHENTICATION = 35
    FEDERATION = 36
    SERVICE_RECORDS = 37
    VERIFICATION_RECORDS = 38
    IDENTITY_SYNC = 39
    FLOW_ATTRIBUTES = 40
    FLOW_LANGUAGES = 41
    GROUP_ELIGIBILITY = 42
    GROUP_ASSIGNMENT = 43
    CATALOG_RESOURCES = 44
    CATALOG_EXTENSIONS = 45
    ROLE_SCHEDULED = 46
    GROUP_SETTINGS = 47
    AUTHENTICATION_METHODS = 48
    OPEN_EXTENSIONS = 49
    REMOTE_DESKTOP = 50
    APPROVED_CLIENTS = 51
    DEVICE_GROUPS = 52
    CERTIFICATE_AUTHORITIES = 53
    REVIEW_INSTANCES = 54
    GROUP_RULES = 55
    # References between objects that live on their own again.
    CLAIMS_MAPPING = 60
    HOME_REALM = 61
    TOKEN_ISSUANCE = 62
    TOKEN_LIFETIME = 63
    APP_MANAGEMENT = 64
    CONTACT_MANAGER = 65
    INCOMPATIBLE_PACKAGES = 66
    INCOMPATIBLE_GROUPS = 67
    INTERNAL_SPONSORS = 68
    EXTERNAL_SPONSORS = 69
    FLOW_PROVIDERS = 70


OWNING = tuple(int(code) for code in LinkKind if LinkKind.CREDENTIALS <= code < LinkKind.CLAIMS_MAPPING)
"""Links whose target cannot live without its source."""


@dataclass(frozen=True, slots=True)
class NavigationProperty:
    """A navigation property.

    Attributes:
        name: The path segment.
        codes: Stored links it shows; several when it is a union (`memberOf`).
        inverse: Read from target to source.
        many: A collection (else a single object).
        transitive: Follows the links of the same code to any depth.
        delta: "default" when delta tracks it unasked, "select" when only if selected, "" when not at all.
        targets: Types a written reference may have; empty means read-only.
        part: Type of the objects it owns; empty for references to directory objects.
        units: Resource units of a read, before modifiers.
        read: Application permissions, any of which allows reading; empty means those of the set.
        write: The same for writing.
    """

    name: str
    codes: tuple[LinkKind, ...]
    inverse: bool = False
    many: bool = True
    transitive: bool = False
    delta: str = ""
    targets: tuple[str, ...] = ()
    part: str = ""
    units: int = 1
    read: tuple[str, ...] = ()
    write: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EntitySet:
    """One collection of objects of a type.

    Attributes:
        name: OData type without namespace (`user`); also the key in storage.
        path: Path under /v1.0; empty for parts that are only reached through a parent.
        model: Module of the msgraph-sdk model, the source of property names and kinds.
        default: What a list returns without `$select`; None = everything but `on_select` and `single_only`.
        on_select: Returned only when selected.
        single_only: Held outside the directory: a list that selects them is answered 501.
        untracked: Delta refuses to select them.
        navigation: Relations, by segment.
        page: Default page size; 0 = does not page.
        largest_page: Largest `$top`.
        delta: Has a delta function.
        bin: Path of its recycle bin; empty = deletion is final.
        units: Resource units of listing, and of getting one.
        lane: Throttling lane: "directory" or "conditional_access".
        advanced: `$count` and advanced queries are supported.
        alternate: Property that is an alternate key (`appId`), or that also serves as key (`userPrincipalName`).
        required: Properties a POST must have.
        read_only: Properties a write must not have.
        immutable: Properties only POST may have.
        singleton: The path leads to one object, stored under the name of the type; only GET and PATCH (or PUT) exist.
        key: Property that identifies objects which have no `id` of their own.
        anonymous: Objects have neither.
        filters: Groups of properties, by all of one of which a list must be filtered.
        inline: Navigation properties whose items are kept in the object, and the model of the items. They are shown
            with it unless they are `expandable`, too, and have paths of their own below it.
        expandable: Navigation properties kept in the object that are shown, whole, when `$expand` asks for them.
        navigation: Navigation properties that msgraph-sdk takes for structural ones, and that are never shown.
        list_hides: Properties that a list leaves out and one object shows.
        streams: Properties that are bytes, kept as Base64, with paths of their own below the object; never in its JSON.
        open: An object may have properties that no model knows.
        derived_from: Type whose objects these are another view of; nothing is stored.
        changes: Methods that change an object.
        upsert: Those of them that create what is not there.
        countable: `$count` exists.
        delegated: Never for applications.
        by_user: Delegated permissions, any of which allows a signed-in user to write what no application may.
        by_application: What the ids of those objects begin with that an application may write all the same.
        licensed: Takes a licence beyond the free one.
        create, update, delete: Whether the method exists for applications.
        read, write: Application permissions, any of which allows it.
    """

    name: str
    path: str
    model: str
    read: tuple[str, ...]
    write: tuple[str, ...] = ()
    default: tuple[str, ...] | None = None
    on_select: frozenset[str] = frozenset()
    single_only: frozenset[str] = frozenset()
    untracked: frozenset[str] = frozenset()
    relations: tuple[NavigationProperty, ...] = ()
    page: int = 100
    largest_page: int = 999
    delta: bool = False
    bin: str = ""
    units: tuple[int, int] = (1, 1)
    lane: str = "directory"
    advanced: bool = False
    alternate: str = ""
    required: tuple[str, ...] = ()
    read_only: frozenset[str] = frozenset()
    immutable: frozenset[str] = frozenset()
    singleton: bool = False
    key: str = "id"
    anonymous: bool = False
    filters: tuple[tuple[str, ...], ...] = ()
    inline: tuple[tuple[str, str], ...] = ()
    expandable: tuple[str, ...] = ()
    navigation: tuple[str, ...] = ()
    list_hides: frozenset[str] = frozenset()
    streams: frozenset[str] = frozenset()
    open: bool = False
    derived_from: str = ""
    changes: tuple[str, ...] = ("PATCH",)
    upsert: tuple[str, ...] = ()
    countable: bool = True
    delegated: bool = False
    by_user: tuple[str, ...] = ()
    by_application: str = ""
    licensed: bool = False
    create: bool = True
    update: bool = True
    delete: bool = True
    subtypes: tuple[str, ...] = ()
    gated: tuple[tuple[str, str], ...] = ()

    def properties(self) -> dict[str, Property]:
        """Returns names and kinds of all structural properties, those of subtypes included."""
        return _properties(self.name)

    def listed(self) -> tuple[str, ...]:
        """Returns what a list returns without `$select`, in order."""
        return _listed(self.name)

    @property
    def stored(self) -> str:
        """The type under which the objects are stored."""
        return self.derived_from or self.name

    def hidden(self) -> frozenset[str]:
        """Returns what neither a list nor one object shows unasked."""
        return self.on_select | self.single_only | self.streams | frozenset(self.expandable)

    def kept(self) -> frozenset[str]:
        """Returns navigation properties whose items are kept in the object."""
        return frozenset((*self.expandable, *(segment for segment, _ in self.inline)))

    def relation(self, segment: str) -> NavigationProperty | None:
        """Returns the relation of the name, None when there is none."""
        return _relations(self.name).get(segment)

    def tracked(self) -> tuple[NavigationProperty, ...]:
        """Returns relations that delta can report."""
        return tuple(relation for relation in self.relations if relation.delta)


BY_NAME: dict[str, EntitySet] = {}
"""Every entity set by its type; filled when the package is imported."""


@cache
def _properties(name: str) -> dict[str, Property]:
    entry = BY_NAME[name]
    merged: dict[str, Property] = {}
    for model in (entry.model, *entry.subtypes):
        merged.update(model_properties(model))
    for relation in entry.relations:
        merged.pop(relation.name, None)
    for segment in entry.navigation:
        merged.pop(segment, None)
    merged |= dict.fromkeys(entry.expandable, JSON)
    merged |= {segment: Property(PropertyKind.COMPLEX, True, class_name(model)) for segment, model in entry.inline}
    if entry.anonymous or entry.key != "id":
        merged.pop("id", None)
    return merged


@cache
def _listed(name: str) -> tuple[str, ...]:
    entry = BY_NAME[name]
    if entry.default is not None:
        return entry.default
    hidden = entry.hidden()
    return tuple(sorted((p for p in entry.properties() if p not in hidden), key=lambda p: p != "id"))


@cache
def _relations(name: str) -> dict[str, NavigationProperty]:
    return {relation.name: relation for relation in BY_NAME[name].relations}
