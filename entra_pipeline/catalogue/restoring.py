"""How objects and links of the catalogue come back: the part of an entry that a restore works from.

What belongs here: what Graph takes, refuses and computes by itself, as data. What does not: when a restore sends what
(`restore`).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

Method = Literal["POST", "PUT", "PATCH", ""]


class By(StrEnum):
    """Objects that take other requests than those that `Restore` describes: who makes the requests instead.

    Each has a module of its own in `restore.requests`.
    """

    GENERIC = ""
    USER = "user"
    """Random password, disabled until the end; guests by invitation."""
    LICENSES = "licenses"
    """assignLicense of users and groups."""
    APPLICATION = "application"
    """Scopes before who is pre-authorised for them; what is removed is disabled first."""
    SCHEDULE = "schedule"
    """Requests that make schedules come and go (adminAssign, adminRemove)."""
    STRENGTH = "strength"
    """updateAllowedCombinations."""
    PARTS = "parts"
    """Items kept in the object have paths of their own below it."""
    ENTITLEMENT = "entitlement"
    """Resource and assignment requests."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Restore:
    """Whether and how objects of a type come back.

    Attributes:
        how: By which requests, for people; or why not.
        possible: Whether they can be restored through Graph by an application.
        permissions: Application permissions that allow writing, least privileged first (Graph permissions reference).
        create: Method that makes a missing object: POST to the collection, or PUT or PATCH at its own path, which keeps
            its id. Empty: it cannot be made, it is always there.
        change: Method that changes it. Empty: it cannot be changed, another one takes its place.
        remove: Whether DELETE at its path removes it.
        bin: Path below which a deleted one is restored by POST `<bin>/{id}/restore`; empty: deletion is final.
        path: Path that POST goes to, with `{parent}` for the owner's id, where it is not the one that lists.
        item: Path of one object, with `{id}` and `{parent}`, where it is not `<path>/{id}`.
        volatile: Properties that Graph computes: never sent; their differences are shown apart.
        create_only: Properties that only a new object takes; a difference cannot be mended in place.
        change_only: Properties that POST refuses: a PATCH right after it sends them.
        required: Properties that POST demands, whether or not they differ from nothing.
        lost: Properties that Graph never shows, so that no backup can have them, for people: `passwords`.
        fixed: SQL condition over the object's JSON, `raw`, that is true of built-in objects, which nobody can change.
        mastered: SQL condition over `raw` that is true of objects that are mastered elsewhere (Active Directory,
            Exchange): they are restored there.
        guard: A property and the value with which an object comes back, until everything else is in place: the last
            stage gives it its own value. Empty: none.
        by: Who makes the requests.
        after: Object types that have to be in place before, besides those that its parent, relations and `refers` say.
        refers: Properties that hold ids of other objects at any depth. All ids are rewritten wherever they stand; an
            id in one of these that leads nowhere keeps the object from being written.
        link: The object only ties others together (a grant, an assignment): where a restore overwrites, one that the
            recovery point does not have is removed, as links are.
    """

    how: str
    possible: bool = True
    permissions: tuple[str, ...] = ()
    create: Method = "POST"
    change: Method = "PATCH"
    remove: bool = True
    bin: str = ""
    path: str = ""
    item: str = ""
    volatile: frozenset[str] = frozenset()
    create_only: frozenset[str] = frozenset()
    change_only: frozenset[str] = frozenset()
    required: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()
    fixed: str = ""
    mastered: str = ""
    guard: tuple[str, object] | None = None
    by: By = By.GENERIC
    after: tuple[str, ...] = ()
    refers: frozenset[str] = frozenset()
    link: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkWrite:
    """How links of a relation are written.

    Attributes:
        add: `bind` (PATCH of the owner with `<segment>@odata.bind`, 20 at a time, all or nothing), `ref` (POST
            `<segment>/$ref`, one at a time), or `put` (PUT `<segment>/$ref`, where an object has one target at most).
        from_target: Path below which the link is written from its target instead: `{target}` is the target's id. The
            reference is then to the owner.
        permissions: Application permissions, least privileged first.
        derived: SQL condition over the owner's JSON, `raw`, that is true where Graph computes the links (dynamic
            groups).
    """

    add: Literal["bind", "ref", "put"] = "ref"
    from_target: str = ""
    permissions: tuple[str, ...] = ()
    derived: str = ""


def restored(how: str) -> Restore:
    """The restore rule of a type that comes back, by the given requests."""
    return Restore(how=how)


def kept(why: str, *, volatile: frozenset[str] = frozenset()) -> Restore:
    """The restore rule of a type that is kept as evidence only, for the given reason."""
    return Restore(possible=False, how=why, create="", change="", remove=False, volatile=volatile)
