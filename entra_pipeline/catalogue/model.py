"""What an object type is: one declarative entry. Everything else (schema, assets, views, docs) is derived from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property

from entra_pipeline.catalogue.sdk import Property, model_properties


class Category(StrEnum):
    """What the console filters by."""

    USERS = "Users"
    GROUPS = "Groups"
    ADMINISTRATIVE_UNITS = "Administrative units"
    APPLICATIONS = "Applications"
    ENTERPRISE_APPLICATIONS = "Enterprise applications"
    ROLES = "Roles"
    CONDITIONAL_ACCESS = "Conditional access"
    DEVICES = "Devices"
    TENANT = "Tenant"


class Lane(StrEnum):
    """The throttling lane a path belongs to (Graph doc: throttling-limits)."""

    DIRECTORY = "directory"
    CONDITIONAL_ACCESS = "conditional access"
    """1 request per second per tenant over all apps, 429 without Retry-After."""


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
    """

    name: str
    segment: str
    read: Read
    many: bool = True
    inverse: str = ""


@dataclass(frozen=True, slots=True)
class Parent:
    """Where the objects of a child type live.

    Attributes:
        type: Name of the owning object type, for example `applications`.
        segment: Navigation property of the owner, for example `federatedIdentityCredentials`.
        read: `Read.EXPAND` or `Read.EACH`.
    """

    type: str
    segment: str
    read: Read


@dataclass(frozen=True)
class ObjectType:
    """An entry of the catalogue.

    Attributes:
        name: Graph's collection name in snake case, for example `service_principals`.
        category: What the console filters by.
        title: A plain name for people, singular, for example "Enterprise application".
        path: Path under the Graph root, for example `servicePrincipals`. Empty for child types.
        model: Module of the msgraph-sdk model, for example `service_principal`; types and names come from there.
        subtypes: Modules of derived models, where the collection is polymorphic (`ip_named_location`); their properties
            become columns too.
        permissions: Application permissions that allow reading, least privileged first (Graph permissions reference).
        delta: Whether `<path>/delta` exists and tracks the type.
        select: True when Graph returns only a part of the properties unless `$select` names them.
        not_listable: Properties Graph refuses or never fills in a list or delta query.
        gated: Properties that need a permission of their own: name → application permission. They are selected only
            when the access token carries it.
        extensible: The name under which directory extensions target this type (`User`, `Group` …), if they can.
        page_size: `$top` for list requests; None where Graph does not page or does not take `$top`.
        count: Whether `<path>/$count` is offered.
        parent: Set for child types.
        relations: Edge sets whose source is this type.
        identity: Properties by which a person or another system knows the object, best first.
        belongs_to: Property that holds the id of the user or group the object belongs to; a scope of chosen users and
            groups keeps these objects with them.
        lane: Throttling lane.
    """

    name: str
    category: Category
    title: str
    path: str
    model: str
    permissions: tuple[str, ...]
    subtypes: tuple[str, ...] = ()
    delta: bool = False
    select: bool = False
    not_listable: frozenset[str] = frozenset()
    gated: Mapping[str, str] = field(default_factory=dict)
    extensible: str = ""
    page_size: int | None = None
    count: bool = False
    parent: Parent | None = None
    relations: tuple[Relation, ...] = ()
    identity: tuple[str, ...] = ("displayName",)
    belongs_to: str = ""
    lane: Lane = Lane.DIRECTORY

    @cached_property
    def properties(self) -> dict[str, Property]:
        """Structural properties that Graph can return in a list, by name, in alphabetical order, `id` first."""
        found = {name: kind for model in (self.model, *self.subtypes) for name, kind in model_properties(model).items()}
        names = sorted(found.keys() - self.not_listable, key=lambda name: (name != "id", name))
        return {name: found[name] for name in names}

    @property
    def graph_type(self) -> str:
        """The name of the type in `@odata.type`, for example `servicePrincipal`."""
        first, *rest = self.model.split("_")
        return first + "".join(part.capitalize() for part in rest)

    def selection(self, granted: frozenset[str]) -> list[str]:
        """The properties to name in `$select`, sorted; empty when Graph returns everything by itself.

        Args:
            granted: Application permissions in the access token; a gated property without its permission is left out.
        """
        if not self.select:
            return []
        return [name for name in self.properties if self.gated.get(name, "") in {"", *granted}]

    def delta_relations(self) -> tuple[Relation, ...]:
        """Relations that the type's delta query tracks."""
        return tuple(relation for relation in self.relations if relation.read is Read.DELTA)
