"""What a path means: which set, which object, which relation."""

from __future__ import annotations

import re
from dataclasses import dataclass

from entra_pipeline.simulator.protocol.failures import no_segment
from entra_pipeline.simulator.schema import BY_NAME, BY_PATH, DIRECTORY_OBJECTS, EntitySet, NavigationProperty

_KEYED = re.compile(r"(\w+)\((?:(\w+)=)?'((?:[^']|'')*)'\)")
_BINS = {tuple(entry.bin.lower().split("/")): entry for entry in BY_NAME.values() if entry.bin}
_LONGEST = max(len(path) for path in BY_PATH)
READING_TAILS = frozenset(("getByIds", "getAvailableExtensionProperties"))
"""Actions that are sent by POST and change nothing."""


@dataclass(frozen=True, slots=True)
class ResourcePath:
    """What a path leads to.

    Attributes:
        entry: The set; None for /directoryObjects and the recycle bin as a whole.
        key: Id or alternate key of the object; empty for the set itself.
        relation: The relation that follows.
        cast: Type the members are narrowed to.
        inline: The property, kept in the object, whose items follow.
        item: Id of a part, reference or inline item below that.
        tail: What follows and is neither: `$count`, `$ref`, `delta`, or an action.
        deleted: It is about the recycle bin.
        stream: The property whose bytes follow.
    """

    entry: EntitySet | None
    key: str = ""
    relation: NavigationProperty | None = None
    cast: str = ""
    item: str = ""
    tail: str = ""
    deleted: bool = False
    inline: str = ""
    stream: str = ""

    @property
    def set(self) -> EntitySet:
        """The set, where there has to be one. Raises Failure (400) where there is none."""
        if self.entry is None:
            raise no_segment(self.key or self.tail)
        return self.entry

    @property
    def followed(self) -> NavigationProperty:
        """The relation, where there has to be one. Raises Failure (400) where there is none."""
        if self.relation is None:
            raise no_segment(self.key or self.tail)
        return self.relation


_ACTIONS = {
    "user": {"assignLicense"},
    "group": {"assignLicense"},
    "authenticationStrengthPolicy": {"updateAllowedCombinations"},
    "workflow": {"createNewVersion"},
}


def resolve(path: str) -> ResourcePath:
    """Returns the place of a path below /v1.0. Raises Failure (400) for a path that Graph does not have."""
    segments = _segments(path)
    lower = [segment.lower() for segment in segments]
    if lower[:1] == ["directoryobjects"]:
        return _directory_objects(segments[1:])
    if lower[:2] == ["directory", "deleteditems"]:
        return _bin(segments[2:])
    if "deleteditems" in lower:
        return _own_bin(segments, lower)
    for length in range(_LONGEST, 0, -1):
        entry = BY_PATH.get(tuple(lower[:length]))
        if entry:
            return _below(entry, segments[length:])
    raise no_segment(segments[0] if segments else "")


def _segments(path: str) -> list[str]:
    found = []
    for segment in path.split("/") if path else []:
        keyed = _KEYED.fullmatch(segment)
        if keyed:
            found += [keyed[1], keyed[3].replace("''", "'")]
        else:
            found.append(segment.removesuffix("()"))
    return found


def _below(entry: EntitySet, rest: list[str]) -> ResourcePath:
    if not rest:
        return ResourcePath(entry, key=entry.name if entry.singleton else "")
    key, *rest = [entry.name, *rest] if entry.singleton else rest
    if key == "$count" and not rest and entry.countable:
        return ResourcePath(entry, tail="$count")
    if key.removeprefix("microsoft.graph.") == "delta" and not rest:
        if not entry.delta:
            raise no_segment("delta")
        return ResourcePath(entry, tail="delta")
    if not rest:
        return ResourcePath(entry, key=key)
    segment, *rest = rest
    if (action := segment.rpartition(".")[2]) in _ACTIONS.get(entry.name, ()) and not rest:
        return ResourcePath(entry, key=key, tail=action)
    if segment in entry.streams and not rest:
        return ResourcePath(entry, key=key, stream=segment)
    if segment in entry.kept() and len(rest) < 2:
        return ResourcePath(entry, key=key, inline=segment, item="".join(rest))
    relation = entry.relation(segment)
    if rest and (longer := entry.relation(f"{segment}/{rest[0]}")):
        relation, rest = longer, rest[1:]
    if relation is None:
        raise no_segment(segment)
    if relation.part and len(rest) > 1 and relation.many and not rest[0].startswith(("$", "microsoft.graph.")):
        # The default branding is localization 0, too (Graph doc: organizationalbranding-get).
        default = relation.part == "organizationalBrandingLocalization" and rest[0] == "0"
        return _below(BY_NAME["organizationalBranding" if default else relation.part], rest)
    return _relation(entry, key, relation, rest)


def _relation(entry: EntitySet, key: str, relation: NavigationProperty, rest: list[str]) -> ResourcePath:
    cast = item = ""
    if rest and rest[0].startswith("microsoft.graph."):
        cast = rest.pop(0).removeprefix("microsoft.graph.")
        if cast not in BY_NAME:
            raise no_segment(f"microsoft.graph.{cast}")
    if rest and not rest[0].startswith("$"):
        item = rest.pop(0)
    tail = rest.pop(0) if rest else ""
    if rest or tail not in {"", "$count", "$ref"}:
        raise no_segment(rest[0] if rest else tail)
    return ResourcePath(entry, key, relation, cast, item, tail)


def _directory_objects(rest: list[str]) -> ResourcePath:
    if len(rest) > 1:
        raise no_segment(rest[1])
    name = "".join(rest).removeprefix("microsoft.graph.")
    if name in {"getByIds", "getAvailableExtensionProperties"}:
        return ResourcePath(None, tail=name)
    return ResourcePath(None, key=name)


def _own_bin(segments: list[str], lower: list[str]) -> ResourcePath:
    """Returns the recycle bin that a service keeps for itself, of conditional access for example."""
    length = lower.index("deleteditems") + 2
    entry = _BINS.get(tuple(lower[:length]))
    rest = segments[length:]
    if entry is None or len(rest) > 2 or (len(rest) == 2 and rest[1] != "restore"):
        raise no_segment(segments[-1])
    if rest == ["$count"]:
        return ResourcePath(entry, tail="$count", deleted=True)
    return ResourcePath(entry, key="".join(rest[:1]), tail="".join(rest[1:2]), deleted=True)


def _bin(rest: list[str]) -> ResourcePath:
    if not rest:
        raise no_segment("deletedItems")
    entry = None
    if rest[0].startswith("microsoft.graph."):
        entry = BY_NAME.get(rest[0].removeprefix("microsoft.graph."))
        if entry is None or entry.name not in DIRECTORY_OBJECTS or not entry.bin:
            raise no_segment(rest[0])
        rest = rest[1:]
    if rest == ["$count"]:
        return ResourcePath(entry, tail="$count", deleted=True)
    if len(rest) > 2 or (len(rest) == 2 and rest[1] != "restore"):
        raise no_segment(rest[-1])
    return ResourcePath(entry, key="".join(rest[:1]), tail="".join(rest[1:2]), deleted=True)
