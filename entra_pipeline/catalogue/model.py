"""What an object type is: one declarative entry. Everything else (schema, assets, views, docs) is derived from it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property

from entra_pipeline.catalogue.restoring import LinkWrite, Restore, kept
from entra_pipeline.catalogue.sdk import JSON, Property, class_name, model_properties

_CONSONANT_Y = re.compile("(?<=[^aeiou])y$")


class Category(StrEnum):
    """What the console filters by."""

    USERS = "Users"
    GROUPS = "Groups"
    ADMINISTRATIVE_UNITS = "Administrative units"
    APPLICATIONS = "Applications"
    ENTERPRISE_APPLICATIONS = "Enterprise applications"
    ROLES = "Roles"
    CONDITIONAL_ACCESS = "Conditional access"
    POLICIES = "Policies"
    DEVICES = "Devices"
    GOVERNANCE = "Governance"
    EXTERNAL_IDENTITIES = "External identities"
    TENANT = "Tenant"
    RECYCLE_BIN = "Recycle bin"


class Lane(StrEnum):
    """The throttling lane a path belongs to (Graph doc: throttling-limits)."""

    DIRECTORY = "directory"
    CONDITIONAL_ACCESS = "conditional access"
    """1 request per second per tenant over all apps, 429 without Retry-After."""
    REPORTS = "reports"
    """5 requests per 10 seconds per app and tenant."""
    CERTIFICATES = "certificates"
    """`$select=keyCredentials`: 150 requests per minute per tenant (Graph doc: application-list)."""
    IDENTITY = "identity providers and user flows"
    """200 requests per minute per app and tenant, 300 per tenant."""


class Read(StrEnum):
    """How a relation, or a child collection, is read."""

    DELTA = "delta"
    """Tracked by the owner's delta query, as `<segment>@delta`."""
    EXPAND = "expand"
    """`$expand` on the owner's list as a probe: Graph cuts it at 20 items, so an owner with 20 is read on its own."""
    EACH = "each"
    """One request per owner, 20 to a `$batch`."""


@dataclass(frozen=True, slots=True)
class Relation:
    """An edge set of an object type, stored as its own table of id pairs.

    Attributes:
        name: Table name, `<singular>_<relation>`, for example `group_members`.
        segment: The navigation property in Graph, for example `members`.
        read: How it is read.
        many: False when an object has at most one target (`manager`).
        inverse: The navigation property that leads back from the target (`memberOf`), read when an object that was
            deleted comes back with its links.
        target: Type of the targets in `@odata.type`, where Graph's answer does not say it.
        permission: Application permission that would allow writing, too: the relation is read only when the access
            token carries it.
        hidden: Application permission without which Graph shows no links of owners with hidden membership, and no
            error (Graph doc: resources/group, visibility).
        write: How links are written; None when Graph offers no way, or another table's objects write them.
    """

    name: str
    segment: str
    read: Read
    many: bool = True
    inverse: str = ""
    target: str = ""
    permission: str = ""
    hidden: str = ""
    write: LinkWrite | None = None


@dataclass(frozen=True, slots=True)
class Parent:
    """Where the objects of a child type live.

    Attributes:
        type: Name of the owning object type, for example `applications`.
        segment: Navigation property of the owner, for example `federatedIdentityCredentials`.
        read: `Read.EXPAND` or `Read.EACH`.
        many: False when an owner has at most one such object (`branding`), and Graph answers with it, or 404.
        path: Path and query of one owner's objects with `{id}` for the owner's id, where that is not
            `<owner>/{id}/<segment>` (privilegedAccess/group takes `$filter=groupId eq '{id}'`).
        where: SQL condition over the owner's JSON, `raw`; owners that do not meet it have no such objects.
        among: Types whose objects belong to owners (`belongs_to`): only those owners are asked.
        tracked: The owner's delta query tells when such an object changes, so that only told owners are read again.
    """

    type: str
    segment: str
    read: Read
    many: bool = True
    path: str = ""
    where: str = ""
    among: tuple[str, ...] = ()
    tracked: bool = False


@dataclass(frozen=True, slots=True)
class Streams:
    """Stream properties of a child type: bytes that are read one by one, and kept in the object as Base64.

    That is how OData writes a stream inside an object (OData JSON Format 4.01, 9: Stream Property).

    Attributes:
        names: The properties, for example `bannerLogo`.
        path: Where each is, with `{owner}` and `{id}` for the ids of the owner and the object, and `{name}`.
        given_by: The property that is null when there is no such stream, with `{name}`: `{name}RelativeUrl`.
    """

    names: frozenset[str]
    path: str
    given_by: str


@dataclass(frozen=True, slots=True)
class Personal:
    """Whose values an object has: a scope with `erasure` encrypts them with the key of that person.

    Attributes:
        whose: Where the person's id is: `id`, `_parent_id`, or the path of a property (`target.objectId`).
        members: The properties that are the person's; all but `id` when empty.
        where: A property and its value: other objects have nobody's values (`principalType`, `User`).
    """

    whose: str
    members: frozenset[str] = frozenset()
    where: tuple[str, str] = ("", "")


@dataclass(frozen=True)
class ObjectType:
    """An entry of the catalogue.

    Attributes:
        name: Graph's collection name in snake case, for example `service_principals`.
        category: What the console filters by.
        title: A plain name for people, singular, for example "Enterprise application".
        irregular_plural: The name of several, where it is not the title with its last word in the plural.
        path: Path under the Graph root, for example `servicePrincipals`. Empty for child types.
        model: Module of the msgraph-sdk model, for example `service_principal`; types and names come from there.
        permissions: Application permissions that allow reading, least privileged first (Graph permissions reference).
        restore: Whether and how its objects come back.
        subtypes: Modules of derived models, where the collection is polymorphic (`ip_named_location`); their properties
            become columns too.
        singleton: The path leads to one object, not to a collection.
        may_be_absent: A singleton that a tenant can do without: 404 means that it has none.
        key: Property that identifies an object where Graph's objects have no `id` (`tenantId` of partners). A singleton
            without any is stored under the name of its type.
        delta: Whether `<path>/delta` exists and tracks the type.
        select: True when Graph returns only a part of the properties unless `$select` names them.
        projection: `$select` of exactly these properties, where a type shows a part of other objects.
        on_request: Properties that Graph returns only when `$select` names them, though it returns the others unasked.
        expand: Navigation properties whose items belong to the object and are asked for with `$expand`.
        inline: Navigation properties that Graph puts into the object unasked.
        filter: `$filter` without which Graph refuses the list.
        one_by_one: Graph's list leaves out properties that only the single object shows.
        not_listable: Properties Graph refuses or never fills in a list or delta query, and why: name → reason.
        gated: Properties that need a permission of their own: name → application permission. They are selected only
            when the access token carries it.
        streams: Its stream properties, if their bytes are read.
        secret: A property that is read, one object at a time, only when a scope asks for it (`key` of BitLocker keys).
        extensible: The name under which directory extensions target this type (`User`, `Group` …), if they can.
        page_size: `$top` for list requests; None where Graph does not page or does not take `$top`.
        daily: What it shows changes slowly, and delta does not tell it: where the list is long, it is read once a day.
        count: Whether to ask `<path>/$count`. Graph may refuse; then the proof does without.
        parent: Set for child types.
        local_ids: Ids of a child type are unique within their parent only: its objects are stored as `<parent>/<id>`.
        relations: Edge sets whose source is this type.
        identity: Properties by which a person or another system knows the object, best first.
        aliases: Properties besides the id by whose value other objects refer to one (`appId` of applications).
        belongs_to: Property that holds the id of the user or group the object belongs to; a scope of chosen users and
            groups keeps these objects with them.
        lane: Throttling lane.
        licence: What the tenant has to have for the feature to exist; empty when every tenant has it.
        delegated: Graph offers it to a signed-in user only, never to an application.
        optional: Read only when the access token carries the permission, because that would allow writing, too.
        on_demand: Read only by a scope that names the type, because Graph lets it be read slowly only.
        shows: Name of the type whose objects this type shows from another side (deleted users, licences of users).
        personal: Whose values its objects have; None when nobody's.
    """

    name: str
    category: Category
    title: str
    path: str
    model: str
    permissions: tuple[str, ...]
    restore: Restore
    subtypes: tuple[str, ...] = ()
    singleton: bool = False
    may_be_absent: bool = False
    key: str = "id"
    delta: bool = False
    select: bool = False
    projection: tuple[str, ...] = ()
    on_request: frozenset[str] = frozenset()
    expand: tuple[str, ...] = ()
    inline: tuple[str, ...] = ()
    filter: str = ""
    one_by_one: bool = False
    not_listable: Mapping[str, str] = field(default_factory=dict)
    gated: Mapping[str, str] = field(default_factory=dict)
    streams: Streams | None = None
    secret: str = ""
    extensible: str = ""
    page_size: int | None = None
    daily: bool = False
    count: bool = True
    parent: Parent | None = None
    local_ids: bool = False
    relations: tuple[Relation, ...] = ()
    identity: tuple[str, ...] = ("displayName",)
    aliases: tuple[str, ...] = ()
    belongs_to: str = ""
    lane: Lane = Lane.DIRECTORY
    licence: str = ""
    delegated: bool = False
    optional: bool = False
    on_demand: bool = False
    shows: str = ""
    personal: Personal | None = None
    irregular_plural: str = ""

    @property
    def plural(self) -> str:
        """The name of several: "Enterprise applications"; that of what a tenant has once is its title."""
        if self.irregular_plural or self.singleton:
            return self.irregular_plural or self.title
        return f"{_CONSONANT_Y.sub('ie', self.title)}s"

    @cached_property
    def properties(self) -> dict[str, Property]:
        """Properties that Graph can return in a list, by name, in alphabetical order, `id` first.

        Expanded and inline navigation properties are among them, as JSON.
        """
        found = {name: kind for model in (self.model, *self.subtypes) for name, kind in model_properties(model).items()}
        if self.projection:
            found = {name: found[name] for name in self.projection}
        found |= {name.partition("(")[0]: JSON for name in (*self.expand, *self.inline)}
        names = sorted(found.keys() - self.not_listable.keys() - {self.secret}, key=lambda name: (name != "id", name))
        return {name: found[name] for name in names}

    @property
    def graph_type(self) -> str:
        """The name of the type in `@odata.type`, for example `servicePrincipal`."""
        name = class_name(self.model)
        return name[0].lower() + name[1:]

    @property
    def collection(self) -> bool:
        """Whether the type is a collection of its own, listed as a whole."""
        return self.parent is None and not self.singleton

    @property
    def write_lane(self) -> Lane:
        """The throttling lane of writes: what limits reads of certificates does not limit them."""
        return Lane.DIRECTORY if self.lane is Lane.CERTIFICATES else self.lane

    def selection(self, granted: frozenset[str]) -> list[str]:
        """The properties to name in `$select`, sorted; empty when Graph returns everything by itself.

        Args:
            granted: Application permissions in the access token; a gated property without its permission is left out.
        """
        if self.projection:
            return list(self.projection)
        if not self.select:
            return []
        return self.allowed(self.properties, granted)

    def allowed(self, names: Mapping[str, object] | frozenset[str], granted: frozenset[str]) -> list[str]:
        """Those of the properties that the access token may select, sorted."""
        return sorted(name for name in names if self.gated.get(name, "") in {"", *granted})

    def delta_relations(self) -> tuple[Relation, ...]:
        """Relations that the type's delta query tracks."""
        return tuple(relation for relation in self.relations if relation.read is Read.DELTA)


__all__ = [
    "Category",
    "Lane",
    "LinkWrite",
    "ObjectType",
    "Parent",
    "Personal",
    "Read",
    "Relation",
    "Restore",
    "kept",
]
