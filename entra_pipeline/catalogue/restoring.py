"""How objects and links of the catalogue come back: the part of an entry that a restore works from.

What belongs here: what Graph takes, refuses and computes by itself, as data. What does not: when a restore sends what
(`restore`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

WriteMethod = Literal["POST", "PUT", "PATCH", ""]


class WriteStrategy(StrEnum):
    """Objects that take other requests than those that `Restore` describes: who makes the requests instead.

    Each has a module of its own in `restore.execute.requests`.
    """

    GENERIC = ""
    USER = "user"
    """Random password, disabled until the end; guests by invitation."""
    LICENSES = "licenses"
    """assignLicense of users, for licences that no group assigns."""
    GROUP = "group"
    """assignLicense for the licences of a group, when its members are in place."""
    APPLICATION = "application"
    """Scopes before who is pre-authorised for them; what is removed is disabled first."""
    SCHEDULE = "schedule"
    """Requests that make schedules come and go (adminAssign, adminRemove)."""
    STRENGTH = "strength"
    """updateAllowedCombinations; combinationConfigurations have paths of their own below the object."""
    PARTS = "parts"
    """Items kept in the object have paths of their own below it."""
    ENTITLEMENT = "entitlement"
    """Resource and assignment requests; the roles and scopes of an access package have paths of their own."""
    STREAMS = "streams"
    """Streams (`ObjectType.streams`) are put as bytes, one by one, when the object is there."""
    GROUP_RULES = "group rules"
    """PIM rules of a group, in a policy that it has from its creation on."""
    WORKFLOW = "workflow"
    """createNewVersion, for tasks and execution conditions."""


NO_NICKNAME = r"[^!#$%&'*+./0-9=?A-Z^_`a-z{|}~-]"
"""A character that no `mailNickname` has (Graph doc: group, mailNickname)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextRule:
    """Which texts Graph takes for a property.

    Attributes:
        longest: Characters at the most.
        refused: Regular expression of a character that it may not have; empty: any may be.
        replaced: An object comes back with another text rather than not at all.
    """

    longest: int
    refused: str = ""
    replaced: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What shows that two objects of one unique name are the same, where such a name passes from one to another.

    Attributes:
        alone: Properties that each belong to one object for good: one that agrees is enough, one that differs is
            enough against it.
        together: Properties that are enough when all of them agree.
    """

    alone: tuple[str, ...]
    together: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """All these properties."""
        return (*self.alone, *self.together)


@dataclass(frozen=True, slots=True, kw_only=True)
class Restore:
    """Whether and how objects of a type come back.

    Attributes:
        how: By which requests, for people; or why not.
        possible: Whether they can be restored through Graph, by an application or a signed-in user (`delegated`).
        permissions: Application permissions that allow writing any object of the type, least privileged first (Graph
            permissions reference).
        besides: Application permissions that Graph asks for besides one of those.
        delegated: Delegated permissions, any of which lets a signed-in user write what no application may; empty where
            an application may.
        gated: Properties that take a permission of their own to be written: name → application permission.
        create: Method that makes a missing object: POST to the collection, or PUT or PATCH at its own path, which keeps
            its id. Empty: it cannot be made, it is always there. A singleton's own path is the type's, that of a child
            of which its parent has one (`Parent.many`) is the one that reads it.
        change: Method that changes it; PUT sends the whole object. Empty: it cannot be changed, another one takes its
            place.
        remove: Whether DELETE at its path removes it.
        removed_first: Whether Graph deletes the owner of an object, or what a tie (`link`) ties, only after it.
        before_removal: Properties, and values that they have to have before Graph deletes an object.
        bin: Path below which a deleted one is restored by POST `<bin>/{id}/restore`; empty: deletion is final.
        forgotten: Properties that an object from the recycle bin comes back without.
        path: Path that POST goes to, with `{parent}` for the owner's id, where it is not the one that lists.
        item: Path of one object, with `{id}` and `{parent}`, where it is not `<path>/{id}`.
        volatile: Properties that Graph computes: never sent; their differences are shown apart.
        elsewhere: Those of the volatile properties that people change, though not through Graph → who can, for people.
        create_only: Properties that only a new object takes; a difference cannot be mended in place.
        change_only: Properties that POST refuses: a PATCH right after it sends them.
        required: Properties that POST demands, whether or not they differ from nothing. `id` among them is chosen by
            who makes the object, and kept. `@odata.type` among them, of polymorphic types, goes with every change, too.
        secrets: Properties, by dotted path, that POST demands and Graph never shows: a new object gets random values,
            until somebody sets the right ones; a change leaves them out.
        prefixed: What Graph puts before the value of a property, which POST therefore takes without: property → regular
            expression.
        parts: What counts of a property, by dotted path through objects and lists (of
            `grantControls.authenticationStrength` the `id`): its other members are filled in by Graph, and neither
            compared nor sent.
        later: Properties, by dotted path, that may lead to objects that come after, or to others of the same type
            (`api.preAuthorizedApplications`); `extension_*` stands for directory extensions. What leads to an object
            that is not there yet is sent by a PATCH of its own once it is (`catalogue.order.later_stage`).
        unique: Properties that no two objects of the type have in common in a tenant (of a child type, in its owner):
            an object that others made anew is known by them.
        evidence: What else has to agree before an object is known by `unique`. None: these names never pass to
            another object, as they are chosen for it and cannot be changed.
        names: Properties, by dotted path, that hold names which only one object of a tenant has at a time, besides
            `unique`, and the space of names that they share with others (mail addresses of users and groups).
        guards: Properties that narrow access: an object is never made without one of them that Graph refuses, as it is
            without others. `*`: all that do more than describe, of policies for example.
        texts: Limits of texts, by property.
        ends: Property, by dotted path, that says when an object is over by itself: a moment, a schedule, a recurrence,
            or a list of items that are over one by one. Graph takes none that is past.
        reserved: Those of `names` and `unique` that an object in the recycle bin holds as well.
        domains: Properties that name domains, which have to be verified in the tenant.
        lost: Properties that Graph never shows, so that no backup can have them, for people: `passwords`.
        derived: SQL condition over the object's JSON, `raw`, that is true of objects that come and go by themselves
            (activated roles, what is inherited from a group, reviews that are over): nobody makes or removes them.
        fixed: SQL condition over the object's JSON, `raw`, that is true of built-in objects, which nobody can change.
        mastered: SQL condition over `raw` that is true of objects that are mastered elsewhere (Active Directory,
            Exchange): they are restored there.
        cloud_owned: Properties that Graph takes even of objects that Active Directory masters.
        guard: A property and the value with which an object comes back, until everything else is in place: the last
            stage gives it its own value. An object whose own value is null comes back without. Empty: none.
        strategy: Which requests write the objects.
        actions: Actions of the directory that writes take and that a tenant can protect with Conditional Access (Entra
            doc: protected-actions-overview): of `create` and `delete`, and by property that changes, `*` for any other.
        after: Object types that have to be in place before, because its properties lead to them, besides its parent's.
        refers: Properties, by dotted path, that hold ids of other objects at any depth. All ids are rewritten wherever
            they stand; an id in one of these that leads nowhere keeps the object from being written.
        names_others: Properties, by dotted path, that refer to others by ids which are names (`c1` of a context). One
            that was there at the recovery point, and is no more, keeps the object from being written.
        link: The object only ties others together (a grant, an assignment): where a restore overwrites, one that the
            recovery point does not have is removed, as links are.
        once: Of such an object, the properties of which Graph takes a combination only once. Empty: all but `ends`.
    """

    how: str
    possible: bool = True
    permissions: tuple[str, ...] = ()
    besides: tuple[str, ...] = ()
    delegated: tuple[str, ...] = ()
    gated: Mapping[str, str] = field(default_factory=dict)
    create: WriteMethod = "POST"
    change: WriteMethod = "PATCH"
    remove: bool = True
    removed_first: bool = False
    before_removal: Mapping[str, object] = field(default_factory=dict)
    bin: str = ""
    forgotten: frozenset[str] = frozenset()
    path: str = ""
    item: str = ""
    volatile: frozenset[str] = frozenset()
    elsewhere: Mapping[str, str] = field(default_factory=dict)
    create_only: frozenset[str] = frozenset()
    change_only: frozenset[str] = frozenset()
    required: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()
    prefixed: Mapping[str, str] = field(default_factory=dict)
    parts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    later: frozenset[str] = frozenset()
    unique: tuple[str, ...] = ()
    evidence: Evidence | None = None
    names: Mapping[str, str] = field(default_factory=dict)
    guards: frozenset[str] = frozenset({"*"})
    texts: Mapping[str, TextRule] = field(default_factory=dict)
    ends: str = ""
    reserved: frozenset[str] = frozenset()
    domains: frozenset[str] = frozenset()
    lost: tuple[str, ...] = ()
    derived: str = ""
    fixed: str = ""
    mastered: str = ""
    cloud_owned: frozenset[str] = frozenset()
    guard: tuple[str, object] | None = None
    strategy: WriteStrategy = WriteStrategy.GENERIC
    actions: Mapping[str, str] = field(default_factory=dict)
    after: tuple[str, ...] = ()
    refers: frozenset[str] = frozenset()
    names_others: frozenset[str] = frozenset()
    link: bool = False
    once: frozenset[str] = frozenset()

    @property
    def by_application(self) -> bool:
        """Whether an application can restore the objects without anybody signing in."""
        return self.possible and not self.delegated


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkWrite:
    """How links of a relation are written.

    Attributes:
        add: `bind` (PATCH of the owner with `<segment>@odata.bind`, 20 at a time, all or nothing), `ref` (POST
            `<segment>/$ref`, one at a time), or `put` (PUT `<segment>/$ref`, where an object has one target at most).
        from_target: Path below which the link is written from its target instead, by the target's type in
            `@odata.type`: `{target}` is its id. The reference is then to the owner. Links to other types are not
            written.
        permissions: Application permissions, least privileged first.
        besides: Application permissions that Graph asks for besides one of those.
        derived: SQL condition over the owner's JSON, `raw`, that is true where Graph computes the links (dynamic
            groups).
        mastered: SQL condition over `raw` that is true where another system writes them (Active Directory).
    """

    add: Literal["bind", "ref", "put"] = "ref"
    from_target: Mapping[str, str] = field(default_factory=dict, hash=False)
    permissions: tuple[str, ...] = ()
    besides: tuple[str, ...] = ()
    derived: str = ""
    mastered: str = ""


def protectable(resource: str, *writes: str, **properties: str) -> dict[str, str]:
    """Names the actions that writing a resource takes (`Restore.actions`).

    Args:
        resource: Name of the resource in the actions of the directory.
        writes: `create`, `delete`; `*` for `basic/update`.
        properties: The property set in the action that changes a property, by property.
    """
    root = f"microsoft.directory/{resource}"
    named = {write: f"{root}/{'basic/update' if write == '*' else write}" for write in writes}
    return named | {name: f"{root}/{part}/update" for name, part in properties.items()}


def kept(
    why: str,
    *,
    volatile: frozenset[str] = frozenset(),
    unique: tuple[str, ...] = (),
    names: Mapping[str, str] | None = None,
) -> Restore:
    """The restore rule of a type that is kept as evidence only, for the given reason."""
    return Restore(
        possible=False,
        how=why,
        create="",
        change="",
        remove=False,
        volatile=volatile,
        unique=unique,
        names=names or {},
    )
