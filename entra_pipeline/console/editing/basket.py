"""What somebody has selected of a recovery point so far: a record of their session, while they look further."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from entra_pipeline.console.auth.sessions import Session
from entra_pipeline.console.shared.records import ConsoleRecords
from entra_pipeline.errors import UsageError

MOST = 2_000
"""Objects in a basket at the most; more are restored by type or condition."""
_BASKETS = 5


class BasketItem(NamedTuple):
    """A selected object: its type, its id, its name."""

    table: str
    id: str
    name: str

    @property
    def text(self) -> str:
        """The item as a form sends it."""
        return "\t".join(self)


_DECODER = msgspec.json.Decoder(dict[str, list[BasketItem]])


class Basket:
    """The objects that are selected of a recovery point, by the order of selection.

    Args:
        records: Where it is kept.
        session: The session of who selects.
        scope: Name of the scope.
        point: The recovery point.

    Raises:
        StoreError: The place cannot be read.
    """

    def __init__(self, records: ConsoleRecords, session: Session, scope: str, point: str) -> None:
        self._records, self._record = records, f"baskets/{session.id}"
        said = records.read_sealed(self._record)
        self._all = _DECODER.decode(said) if said is not None else {}
        self._name = f"{scope} {point}"
        self._items = {(one.table, one.id): one for one in self._all.get(self._name, ())}

    @property
    def items(self) -> list[BasketItem]:
        """What is in it."""
        return list(self._items.values())

    def __contains__(self, key: object) -> bool:
        """Whether an object is in it, by type and id."""
        return key in self._items

    def add(self, text: str) -> None:
        """Adds an item as a form sent it; raises UsageError for one that is none, or when the basket is full."""
        parts = text.split("\t")
        if len(parts) != 3 or not parts[1]:
            raise UsageError("the selection cannot be read", remedy="Select the objects again.")
        if len(self._items) >= MOST and (parts[0], parts[1]) not in self._items:
            raise UsageError(
                f"more than {MOST:,} objects are selected",
                remedy="Restore whole object types from the page of the recovery point.",
            )
        self._items[parts[0], parts[1]] = BasketItem(*parts)

    def remove(self, text: str) -> None:
        """Removes an item as a form sent it."""
        table, _, rest = text.partition("\t")
        self._items.pop((table, rest.partition("\t")[0]), None)

    def clear(self) -> None:
        """Empties it."""
        self._items.clear()

    def keep(self) -> None:
        """Writes down what is in it; of a session, few baskets are kept. Raises StoreError."""
        others = {name: items for name, items in self._all.items() if name != self._name}
        kept = [*others.items(), (self._name, self.items)][-_BASKETS:]
        self._records.write_sealed(self._record, msgspec.json.encode(dict(kept)))
