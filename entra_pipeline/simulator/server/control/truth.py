"""Carries out orders that read the truth about the tenant: objects, links, counts, what was requested."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from entra_pipeline.simulator.graph.app_sign_ins import APP_SIGN_IN
from entra_pipeline.simulator.graph.projection import shape
from entra_pipeline.simulator.graph.tenant import RequestLedger
from entra_pipeline.simulator.schema import BY_NAME, SETS, LinkKind
from entra_pipeline.simulator.server.control.lookup import Lookup, WrongOrder
from entra_pipeline.simulator.storage.database import State

_MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])


class TruthOrders(Lookup):
    """Reads one tenant."""

    def orders(self) -> dict[str, Callable[..., Any]]:
        """Returns what carries out each order, by its name."""
        return {
            "dump": self._dump,
            "edges": self._edges,
            "log": self._log,
            "counts": self._counts,
            "ledger": self._ledger,
            "writes": self._writes,
        }

    def _dump(self, path: str, deleted: bool, after: int, limit: int) -> Any:
        entry = self.entry(path)
        binned = path not in BY_NAME and self.place(path).deleted
        state = State.DELETED if deleted or binned else State.LIVE
        owned = self.place(path) if path not in BY_NAME else None
        relation = owned.relation if owned is not None else None
        if owned is not None and relation is not None and owned.key != "-":
            rows = self.directory.linked(relation.codes, self.row(owned).seq, after=after, limit=limit)
        else:
            rows = self.directory.page(entry.stored, after=after, limit=limit, state=state)
        last = rows[-1].seq if len(rows) == limit else 0
        if owned is not None and relation is not None and relation.codes[0] == LinkKind.OPEN_EXTENSIONS:
            # Objects of many types have them.
            kinds = {row.seq: self.directory.owner_of(relation.codes[0], row.seq) for row in rows}
            rows = [
                row for row in rows if (one := kinds[row.seq]) and self.directory.by_seq(one).type == owned.set.name
            ]
        if entry.default is None and not entry.on_select:
            bodies = shape(entry.name, None)([row.body for row in rows])
            expanded = [*(name for name in entry.expandable if name not in entry.single_only), *entry.streams]
            if expanded:
                more = shape(entry.name, tuple(expanded), fill=False)([row.body for row in rows])
                bodies = [{**body, **_members(kept)} for body, kept in zip(bodies, more, strict=True)]
        else:
            stored = [_MEMBERS.decode(row.body) for row in rows]
            nulls = {n: None for n in entry.properties() if n not in entry.single_only and n not in entry.untracked}
            bodies = [{**nulls, **body} for body in stored]
        return {"value": bodies, "after": last}

    def _edges(self, path: str, relation: str, binned: bool = False) -> Any:
        entry = self.entry(path)
        found = entry.relation(relation)
        if found is None or found.transitive:
            raise WrongOrder(f"{path} has no stored relation {relation}")
        return list(self.directory.links(found.codes, entry.stored, inverse=found.inverse, binned=binned))

    def _log(self, path: str) -> Any:
        name = self.place(path.removeprefix("beta/")).set.name
        entries = list(self.tenant.logs.entries(APP_SIGN_IN if path.startswith("beta/") else name, late=True))
        return shape(name, None)([entry.body() for entry in entries])

    def _counts(self) -> Any:
        return {entry.path or entry.name: self.directory.count(entry.stored) for entry in SETS}

    def _ledger(self, reset: bool, entries: bool) -> Any:
        ledger = self.tenant.ledger
        result = {
            "requests": ledger.requests,
            "units": ledger.units,
            "statuses": {str(status): number for status, number in sorted(ledger.statuses.items())},
            "sets": dict(ledger.sets),
            "writes": dict(ledger.writes),
            "written": dict(ledger.written),
            "entries": [entry._asdict() for entry in ledger.entries] if entries else [],
        }
        if reset:
            self.tenant.ledger = RequestLedger()
        return result

    def _writes(self) -> Any:
        return [{**write._asdict(), "body": _sent(write.body)} for write in self.tenant.ledger.log]


def _sent(body: bytes) -> Any:
    """Returns a body as it was sent; nothing when it is not JSON."""
    try:
        return msgspec.json.decode(body) if body else None
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _members(body: Any) -> dict[str, Any]:
    """Returns the members of a body that `shape` made."""
    decoded: dict[str, Any] = _MEMBERS.decode(msgspec.json.encode(body))
    return decoded
