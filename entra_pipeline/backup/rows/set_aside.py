"""What of the answers of a run cannot be read: set aside by table and object, named in gaps, kept byte by byte.

What belongs here: the collection of one run. What does not: what is wrong with an element (`graph.pages`,
`page_parser`), and reading its object singly (`reconcile.unread`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from entra_pipeline.backup.rows.ids import one_form
from entra_pipeline.graph.pages import Unreadable
from entra_pipeline.store.manifest import Gap
from entra_pipeline.store.points.unreadable import UnreadableElement
from entra_pipeline.text import pluralize

MOST_OBJECTS = 500
"""Objects of a table that are named in gaps of their own. Of more, the table counts as not read."""
PROPERTIES = "properties"
"""What the gap of a table is about of which more objects than that lack properties: all of it has to be read again."""
READ_AGAIN = "The next backup reads it again; if the problem persists, check the object in the Entra admin center."
"""The remedy of a gap about one object."""
READ_ALL_AGAIN = "The next backup reads it again; if it stays, give the reason to Microsoft support."
"""The remedy of a gap about a table, where the error has none of its own."""
_UNKNOWN = "an element without an id"


@dataclass(frozen=True, slots=True)
class SetAside:
    """The unreadable elements of one run.

    Attributes:
        listed_only: Ids of objects that a list shows and that answered 404 by themselves, by table.
    """

    listed_only: dict[str, set[str]] = field(default_factory=dict)
    _found: dict[str, dict[str, list[Unreadable]]] = field(default_factory=dict)

    def begin(self, table: str) -> None:
        """Forgets what was set aside of a table: its read begins again."""
        self._found.pop(table, None)
        self.listed_only.pop(table, None)

    def add(self, table: str, identifier: str, elements: Iterable[Unreadable]) -> None:
        """Sets elements aside.

        Args:
            table: The table that they belong to.
            identifier: Id of the object, or of the owner of an edge or child object; empty when it is not known.
            elements: The elements.
        """
        for element in elements:
            held = self._found.setdefault(table, {}).setdefault(one_form(identifier), [])
            if element not in held:
                held.append(element)

    def objects(self, table: str) -> list[str]:
        """Returns the ids of objects and owners with unreadable elements, sorted."""
        return sorted(one for one in self._found.get(table, {}) if one)

    def has_unknown(self, table: str) -> bool:
        """Tells whether there are elements of which nobody can say whose they are."""
        return "" in self._found.get(table, {}) or len(self._found.get(table, {})) > MOST_OBJECTS

    def gaps(self, table: str, title: str) -> list[Gap]:
        """Returns the gaps of a table.

        Args:
            table: The table.
            title: What to call its objects or owners, for example `group`.
        """
        gaps = []
        for identifier, elements in sorted(self._found.get(table, {}).items())[: MOST_OBJECTS + 1]:
            reason = f"Graph answered what cannot be read: {elements[0].reason}"
            if len(elements) > 1:
                reason += f", and {pluralize(len(elements) - 1, 'more element')}"
            what = f"{table} of {title} {identifier}" if identifier else f"{table}: {_UNKNOWN}"
            gaps.append(
                Gap(
                    what=what,
                    reason=f"{reason}; what was known is kept, the bytes are with the job's report",
                    remedy=READ_AGAIN,
                    object=identifier,
                )
            )
        return gaps

    def tables(self) -> list[str]:
        """Returns the tables with unreadable elements, sorted."""
        return sorted(self._found)

    def elements(self) -> list[UnreadableElement]:
        """Returns all elements, to be kept with the job."""
        return [
            UnreadableElement.of(table, identifier, element.reason, element.raw)
            for table, objects in sorted(self._found.items())
            for identifier, elements in sorted(objects.items())
            for element in elements
        ]


def is_unknown(gap: Gap) -> bool:
    """Tells whether a gap is about an element of which nobody can say whose it is."""
    return gap.what.endswith(f": {_UNKNOWN}")
