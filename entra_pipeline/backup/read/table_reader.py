"""What every read of a table shares: the scope, the query options, the outcome of a refusal, where rows are staged."""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import msgspec
import pyarrow as pa

from entra_pipeline.backup.point_builder import PointBuilder
from entra_pipeline.backup.read.selection import ResolvedSelection
from entra_pipeline.backup.rows.result import NotOffered, ReadFailure, ReadResult, TableOutcome
from entra_pipeline.backup.rows.set_aside import SetAside
from entra_pipeline.backup.rows.staging import Staging
from entra_pipeline.backup.states import TableStates
from entra_pipeline.catalogue import ObjectType
from entra_pipeline.clock import Clock
from entra_pipeline.errors import (
    GraphError,
    GraphPermissionDenied,
    GraphProtocolError,
)
from entra_pipeline.graph import Graph, RequestStats
from entra_pipeline.graph.pages import PageCutError
from entra_pipeline.store.manifest import NOT_IN_TENANT, Manifest

_T = TypeVar("_T")
_LICENCE_MISSING = re.compile(r"licen[cs]e|premium", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class TableReader:
    """What every read of a table shares, for one run: what is in scope, what is selected, where rows are staged.

    Attributes:
        graph: The tenant.
        builder: Where the rows go; knows the parent's state.
        folder: Where staging files go.
        clock: The one clock.
        parent: The manifest that the run builds on, None for the first.
        granted: Application permissions of the token.
        chosen: The chosen users and groups, None when the scope protects everything.
        reveal: Object types whose secret the scope asks for.
        progress: Called with a table and the number of rows read so far.
        requested: Object types that a person requested by name: they are read even where a daily read would do.
        extensions: Directory extensions, and other properties to ask for by name, by object type; known when the type
            is read.
        refused: Properties that Graph has refused to select, by object type.
        aside: What of the answers cannot be read.
    """

    graph: Graph
    builder: PointBuilder
    folder: Path
    clock: Clock
    parent: Manifest | None
    granted: frozenset[str]
    chosen: ResolvedSelection | None
    reveal: frozenset[str]
    progress: Callable[[str, int], None]
    requested: frozenset[str] = frozenset()
    extensions: dict[str, tuple[str, ...]] = field(default_factory=dict)
    refused: dict[str, frozenset[str]] = field(default_factory=dict)
    aside: SetAside = field(default_factory=SetAside)

    @property
    def states(self) -> TableStates:
        """The parent's states and the new ones."""
        return self.builder.states

    async def guarded(
        self,
        entry: ObjectType,
        tables: Sequence[str],
        read: Callable[[RequestStats], Coroutine[None, None, list[ReadResult]]],
    ) -> list[TableOutcome]:
        """Returns the outcome of a read of some tables of a type; a refusal of Graph is an outcome, too."""
        stats = RequestStats()
        if reason := self._not_offered(entry):
            return [NotOffered(table, reason, stats) for table in tables]
        try:
            return list(await read_answers(read(stats)))
        except GraphError as error:
            costs = [stats, *(RequestStats() for _ in tables[1:])]
            if self._not_licensed(entry, tables, error):
                reason = f"{NOT_IN_TENANT}: it requires {entry.licence} ({error.message})"
                return [NotOffered(table, reason, cost) for table, cost in zip(tables, costs, strict=True)]
            return [ReadFailure(table, error, cost) for table, cost in zip(tables, costs, strict=True)]

    def _not_offered(self, entry: ObjectType) -> str:
        """Returns why a type is not requested at all; empty when it is."""
        permission = entry.permissions[0]
        if entry.delegated:
            return f"Graph offers it to a signed-in user only, with {permission}, never to an application"
        if entry.optional and permission not in self.granted:
            return f"requires {permission}, which also allows writing; grant it to protect this type as well"
        return ""

    def _not_licensed(self, entry: ObjectType, tables: Sequence[str], error: GraphError) -> bool:
        """Whether Graph says that the tenant does not have the feature; what it once had, it has lost, and misses."""
        return (
            bool(entry.licence)
            and licence_missing(error)
            and not any(self.states.live_before(table) for table in tables)
        )

    async def listing(
        self,
        table: str,
        schema: pa.Schema,
        fill: Callable[[Staging], Coroutine[None, None, int | None]],
        stats: RequestStats,
        notes: list[str] | None = None,
    ) -> list[ReadResult]:
        """Reads a table completely; begins anew when Graph breaks it off half-way, and keeps what came in the end.

        Args:
            table: The table.
            schema: Shape of its rows.
            fill: Stages the rows, and tells how many Graph counted, if it did.
            stats: Counts the requests.
            notes: Handed on with the reading.
        """
        started = self.clock()
        reached: tuple[Staging, GraphError] | None = None

        async def read() -> tuple[Staging, int | None]:
            nonlocal reached
            reached = None
            self.aside.begin(table)
            with self.staging(table, schema, base=self.builder.full) as staging:
                try:
                    return staging, await fill(staging)
                except GraphError as error:
                    if staging.rows and keeps_rows(error):
                        reached = staging, error
                    raise

        try:
            staging, counted = await self.graph.begun_anew(read)
            broken = None
        except GraphError:
            if reached is None:
                raise
            (staging, broken), counted = reached, None
        finished = self.clock()
        complete = broken is None
        return [
            ReadResult(
                table,
                staging.staged,
                complete,
                started,
                finished,
                stats,
                counted=counted,
                notes=notes or [],
                broken=broken,
            )
        ]

    def staging(self, table: str, schema: pa.Schema, *, base: bool) -> Staging:
        """Where rows are staged; those that are the whole of a new base are typed and written as they come."""
        typed = self.builder.typing(table) if base else None
        return Staging(self.folder / f"{table}.arrow", schema, typed)

    def properties_to_select(self, entry: ObjectType) -> list[str]:
        """Returns the names for `$select`: none where Graph returns all properties and no extension has to be named."""
        extensions = self.extensions.get(entry.name, ())
        chosen = entry.selection(self.granted)
        if not chosen and not extensions:
            return []
        chosen = chosen or entry.allowed(entry.properties, self.granted)
        refused = self.refused.get(entry.name, frozenset())
        return [name for name in (*chosen, *extensions) if name not in refused]

    def expected(self, entry: ObjectType) -> frozenset[str]:
        """Returns the names that every object of a type has in the answers that are read, if only with null."""
        selected = self.properties_to_select(entry)
        names = set(selected) if selected else {*entry.allowed(entry.properties, self.granted)} - entry.on_request
        # Graph leaves out extensions without a value.
        names &= entry.properties.keys()
        if entry.secret and entry.name in self.reveal:
            names.add(entry.secret)
        if entry.subtypes:
            names.add("@odata.type")
        return frozenset(names)

    def is_accepted(self, entry: ObjectType) -> bool:
        """Tells whether a type is taken as Graph shows it: a person has asked for it by name, and in full."""
        return self.builder.full and entry.name in self.requested

    def does_without(self, entry: ObjectType, names: list[str], error: GraphError) -> bool:
        """Tells whether Graph refused to select some of the names; they are not selected again."""
        refused = _refused_properties(error, names)
        self.refused[entry.name] = self.refused.get(entry.name, frozenset()) | refused
        return bool(refused)

    def not_protected(self, entry: ObjectType) -> list[str]:
        """Notes on the properties that a read does without."""
        gated = entry.gated.items()
        notes = [f"not protected: {name} (grant {p} to protect it)" for name, p in gated if p not in self.granted]
        refused = ", ".join(sorted(self.refused.get(entry.name, ())))
        return [*notes, f"not protected: {refused} (Graph refuses to list it)"] if refused else notes

    def chosen_ids(self, entry: ObjectType) -> frozenset[str] | None:
        """Ids of the chosen objects of a type; None when the type is protected as a whole."""
        return self.chosen.ids(entry) if self.chosen else None

    def keep(self, entry: ObjectType) -> Callable[[msgspec.Raw], bool] | None:
        """Tells which objects of a listing belong to the scope; None when all do."""
        return self.chosen.keeps(entry) if self.chosen else None


def licence_missing(error: GraphError) -> bool:
    """Whether Graph refuses because the tenant lacks a licence."""
    return error.status in {400, 403} and _LICENCE_MISSING.search(f"{error.code} {error.message}") is not None


def keeps_rows(error: GraphError) -> bool:
    """Tells whether what came before an error ended a list is as good as any; of wrong answers nothing is believed."""
    return isinstance(error, PageCutError) or not isinstance(error, GraphProtocolError)


async def read_answers(read: Coroutine[None, None, _T]) -> _T:
    """Awaits a read; an answer of another shape than Graph's documentation has is an error of Graph.

    Raises:
        GraphProtocolError: An element of an answer cannot be read.
    """
    try:
        return await read
    except (msgspec.DecodeError, UnicodeDecodeError, pa.ArrowInvalid) as error:
        raise GraphProtocolError(f"Graph answered something that cannot be read: {error}") from error


def _refused_properties(error: GraphError, names: list[str]) -> frozenset[str]:
    """The properties that a 400 names as not selectable.

    Seen: "Could not find a property named 'x' on type 'microsoft.graph.user'." and "$expand/$select is not supported
    for the following properties: x, y".
    """
    if error.status != 400 or isinstance(error, GraphPermissionDenied):
        return frozenset()
    _, marked, listed = error.message.partition("not supported for the following properties:")
    words = {word.strip(" .'") for word in listed.split(",")} if marked else set()
    _, marked, rest = error.message.partition("property named '")
    if marked:
        words.add(rest.partition("'")[0])
    return frozenset(words & set(names))
