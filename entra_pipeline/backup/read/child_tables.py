"""The tables that are read owner by owner, and what of their owners was not answered."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import unquote

import msgspec
import pyarrow as pa

from entra_pipeline.backup.read.singles import single_object
from entra_pipeline.backup.read.table_reader import licence_missing
from entra_pipeline.backup.rows.page_parser import endpoint
from entra_pipeline.backup.rows.set_aside import MOST_OBJECTS
from entra_pipeline.backup.rows.staging import EDGE_ROWS, OBJECT_ROWS, UPSERT, Staging
from entra_pipeline.catalogue import CATALOGUE, ObjectType, Read, Relation
from entra_pipeline.errors import GraphError, GraphPermissionDenied
from entra_pipeline.graph import BatchResult
from entra_pipeline.graph.client import BATCH_SIZE
from entra_pipeline.graph.pages import Unreadable
from entra_pipeline.graph.responses import explain


@dataclass(frozen=True, slots=True)
class ChildCollection:
    """A table that is read owner by owner.

    Attributes:
        table: Its name.
        entry: The object type that it belongs to: the child type itself, or the type whose relation it is.
        owner: The type of the owners.
        segment: What comes behind the owner's address.
        read: How it is read.
        many: False when an owner has at most one.
        relation: The relation, when the table holds edges.
        path: Path and query for one owner, when that is not its address and the segment.
        where: SQL condition that owners have to meet.
        among: Types whose objects name the owners to request.
        tracked: The owner's delta query tells when it changes.
    """

    table: str
    entry: ObjectType
    owner: ObjectType
    segment: str
    read: Read
    many: bool
    relation: Relation | None = None
    path: str = ""
    where: str = ""
    among: tuple[str, ...] = ()
    tracked: bool = False

    def single(self, result: BatchResult) -> bytes:
        """Returns the one object of an owner. Raises GraphError when Graph refuses it or answers something else."""
        # What is read with the owner's own path is a part of the owner, and has its id.
        part_of_owner = self.path.partition("?")[0].endswith("/{id}")
        return single_object(self.entry, result, result.request.key if part_of_owner else "")

    @property
    def schema(self) -> pa.Schema:
        """Shape of its rows when they are staged."""
        return EDGE_ROWS if self.relation is not None else OBJECT_ROWS


def child_collections(entry: ObjectType) -> list[ChildCollection]:
    """The tables of an object type that are read owner by owner; the type's own comes first."""
    tables = []
    if (parent := entry.parent) is not None:
        owner = CATALOGUE[parent.type]
        tables.append(
            ChildCollection(
                entry.name,
                entry,
                owner,
                parent.segment,
                parent.read,
                parent.many,
                path=parent.path,
                where=parent.where,
                among=parent.among,
                tracked=parent.tracked,
            )
        )
    for relation in entry.relations:
        if relation.read is not Read.DELTA:
            tables.append(
                ChildCollection(
                    relation.name, entry, entry, relation.segment, relation.read, relation.many, relation=relation
                )
            )
    return tables


def children_of(owner: ObjectType) -> list[ChildCollection]:
    """The tables that are read for each object of a type."""
    return [one for entry in CATALOGUE.values() for one in child_collections(entry) if one.owner is owner]


@dataclass(slots=True)
class UnansweredOwners:
    """Owners whose items Graph did not show, or not all of them, in one read.

    Attributes:
        absent: Answered by 404.
        refused: Refused for another reason, or failing for one that did not pass.
        unreadable: Elements of their lists that cannot be read.
        shown: What they have shown all the same, as (owner, item).
        answered: How many others were answered.
    """

    absent: list[str] = field(default_factory=list)
    refused: dict[str, GraphError] = field(default_factory=dict)
    unreadable: dict[str, list[Unreadable]] = field(default_factory=dict)
    shown: set[tuple[str, str]] = field(default_factory=set)
    answered: int = 0

    def refuse(self, owner: str, error: GraphError, *, of: int) -> None:
        """Adds an owner; raises the error when it seems to be that of all owners, not of this one.

        Args:
            owner: Its id.
            error: Why.
            of: How many owners are asked.
        """
        self.refused[owner] = error
        lacking = isinstance(error, GraphPermissionDenied) or licence_missing(error)
        all_of_them = not self.answered and len(self.refused) >= min(of, BATCH_SIZE) and (of > 1 or lacking)
        if all_of_them or len(self.refused) > MOST_OBJECTS:
            raise error

    def names(self) -> set[str]:
        """Returns the ids of all of them."""
        return {*self.absent, *self.refused, *self.unreadable}


def address(entry: ObjectType, identifier: str, parent_id: str = "") -> str:
    """Path of one object under the Graph root."""
    if entry.parent is None:
        return f"{entry.path}/{identifier}"
    local = identifier.removeprefix(f"{parent_id}/") if entry.local_ids else identifier
    return f"{CATALOGUE[entry.parent.type].path}/{parent_id}/{entry.parent.segment}/{local}"


def stage_edges(owner_id: str, items: Iterable[msgspec.Raw], edges: Staging, target: str = "") -> None:
    """Stages the edges from an owner to each of the listed objects."""
    others = [endpoint(raw) for raw in items]
    number = len(others)
    types = [other.target_type or target for other in others]
    edges.extend([owner_id] * number, [other.id for other in others], types, [UPSERT] * number)


def names_owner(result: BatchResult) -> bool:
    """Tells whether a 404 says that an owner on the way to an item does not exist, rather than the item.

    The owner may itself belong to another one, which Graph names as well.
    """
    path = unquote(result.request.url.partition("?")[0])
    # Segments that name properties have letters only; ids have digits, dashes or dots.
    ids = {segment.lower() for segment in path.split("/") if segment and not segment.isalpha()}
    message = explain(result).message.lower()
    return any(one in message for one in ids | {result.request.key.lower()})
