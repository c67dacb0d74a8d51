"""Delta query: rounds over a set, and what the tokens remember (Graph doc: delta-query-overview).

A round's token is issued when the round starts, so the next round reports again what changed during this one.
Everything a round needs is in its tokens: the server keeps no sessions.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import timedelta

import msgspec

from entra_pipeline.simulator.faults.settings import TenantSettings
from entra_pipeline.simulator.generate.plan import seeded_random
from entra_pipeline.simulator.graph.projection import shape
from entra_pipeline.simulator.graph.reading import without_keys
from entra_pipeline.simulator.protocol.failures import Failure, denied, unsupported
from entra_pipeline.simulator.protocol.odata import check_select, parse_select
from entra_pipeline.simulator.protocol.paths import ResourcePath
from entra_pipeline.simulator.protocol.requests import JSON, GraphRequest, GraphResponse
from entra_pipeline.simulator.protocol.tokens import Caller, Signer
from entra_pipeline.simulator.schema import EntitySet, NavigationProperty
from entra_pipeline.simulator.storage.database import State, StoredObject
from entra_pipeline.simulator.storage.links import DirectoryReader, LinkTexts

_MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])

LIFE = timedelta(days=7)
"""How long a delta link of directory objects can be followed."""

_REFUSED = {"$orderby", "$expand", "$search", "$skip"}
_ID_FILTER = re.compile(r"\s*id\s+eq\s+'([^']+)'\s*", re.IGNORECASE)
_ID_IN = re.compile(r"\s*id\s+in\s*\(([^)]*)\)\s*", re.IGNORECASE)
_MOST_IDS = 50
_LINK = (
    """'{"@odata.type":"#microsoft.graph.' || o.type || '","id":"' || o.id ||"""
    """ iif(l.live AND o.state = 0, '"}', '","@removed":{"reason":"deleted"}}')"""
)


class DeltaToken(msgspec.Struct, array_like=True):
    """What a `$skiptoken` or `$deltatoken` carries.

    Attributes:
        set: Type the round is about.
        select: The properties requested; None = by default.
        relations: The relations requested.
        ids: Only these objects; empty = all.
        since: Change number the round starts from; 0 = the initial round.
        until: Change number of the next round's start.
        issued: When the round started, seconds since 1970 on the tenant's clock.
        final: A delta link, not a page within a round.
        after: Last object reported.
        relation, target: How far the links of the next object have been reported; relation -1 = not begun.
        number: Page number within the round.
        repeat: Position (after, relation, target) of the page before, when that is to be served again; empty = no.
        empty: The page is to be empty.
    """

    set: str
    select: list[str] | None
    relations: list[str]
    ids: list[str]
    since: int
    until: int
    issued: float
    final: bool = False
    after: int = 0
    relation: int = -1
    target: int = 0
    number: int = 0
    repeat: list[int] = []
    empty: bool = False


_TOKEN_DECODER = msgspec.msgpack.Decoder(DeltaToken)


class DeltaHandler:
    """Answers delta queries of one tenant."""

    def __init__(self, directory: DirectoryReader, signer: Signer, settings: TenantSettings) -> None:
        self.directory = directory
        self.signer = signer
        self.settings = settings

    def answer(self, request: GraphRequest, place: ResourcePath, caller: Caller) -> GraphResponse:
        """Returns a page of a round. Raises Failure."""
        entry = place.set
        given = request.options.get("$skiptoken"), request.options.get("$deltatoken")
        if given[0] and given[1]:
            raise unsupported("$skiptoken and $deltatoken cannot be combined.")
        if (given[0] or given[1] not in {None, "", "latest"}) and "$select" in request.options:
            raise unsupported("$select is not supported together with a token.")
        if given[0]:
            token = self._open(given[0], entry)
            if token.final:
                raise unsupported("Badly formed token.")
        elif given[1] not in {None, "", "latest"}:
            token = self._open(str(given[1]), entry)
            if not token.final:
                raise unsupported("Badly formed token.")
            self._check_life(request, token, entry)
            token = DeltaToken(
                token.set, token.select, token.relations, token.ids, token.until, self.directory.change, self._now()
            )
        else:
            token = self._begin(request, entry, caller)
            if given[1] == "latest":
                return self._finish(request, entry, token, [])
        return self._page(request, entry, token)

    def _now(self) -> float:
        return self.directory.now().timestamp()

    def _open(self, text: str, entry: EntitySet) -> DeltaToken:
        token: DeltaToken = self.signer.open(text, _TOKEN_DECODER)
        if token.set != entry.name:
            raise unsupported("The token was issued for another resource.")
        return token

    def _check_life(self, request: GraphRequest, token: DeltaToken, entry: EntitySet) -> None:
        settings = self.settings
        forced = token.issued <= settings.expired_before
        if not forced and self._now() - token.issued <= LIFE.total_seconds():
            return
        form = settings.expiry_form or ("unsupported" if entry.name == "user" else "gone")
        if form == "unsupported":
            raise unsupported("DeltaLink older than 30 days is not supported.")
        if form == "sync_state_not_found":
            raise Failure(404, "syncStateNotFound", "The sync state generation is not found; resync is required.")
        location = f"{request.root}/{entry.path}/delta?$deltatoken="
        raise Failure(410, "resyncRequired", "Resync required.", headers={"Location": location})

    def _begin(self, request: GraphRequest, entry: EntitySet, caller: Caller) -> DeltaToken:
        for option in _REFUSED.intersection(request.options):
            raise unsupported(f"{option} is not supported with delta query on this resource.")
        select = parse_select(request.options.get("$select"))
        check_select(entry, select, self.directory.extensions(), tuple(r.name for r in entry.relations))
        tracked = {relation.name: relation for relation in entry.tracked()}
        untracked = [
            name for name in select or () if name in entry.untracked or (entry.relation(name) and name not in tracked)
        ]
        if untracked:
            raise Failure(
                400,
                "BadRequest",
                "Invalid request for delta query: for this entity set, $expand/$select is not supported for the "
                f"following properties: {', '.join(untracked)}",
            )
        for name, permission in entry.gated:
            if name in (select or ()) and permission not in caller.roles:
                raise denied()
        if select is None:
            relations = [name for name, relation in tracked.items() if relation.delta == "default"]
        else:
            relations = [name for name in select if name in tracked]
        properties = (
            None if select is None else [name for name in dict.fromkeys(("id", *select)) if name not in tracked]
        )
        if properties == ["id"] and relations and select and "id" not in select:
            # Only relations were requested: the properties come by default.
            properties = None
        return DeltaToken(
            entry.name,
            properties,
            relations,
            self._ids(request.options.get("$filter")),
            0,
            self.directory.change,
            self._now(),
        )

    @staticmethod
    def _ids(text: str | None) -> list[str]:
        """Returns the ids of a `$filter`: nothing else can be filtered (Graph doc: delta-query-overview)."""
        if not text:
            return []
        matched = _ID_IN.fullmatch(text)
        if matched:
            ids = [piece.strip().strip("'") for piece in matched[1].split(",")]
        else:
            found = [_ID_FILTER.fullmatch(part) for part in re.split(r"\s+or\s+", text, flags=re.IGNORECASE)]
            if not all(found):
                raise unsupported("Unsupported filter: only ids can be filtered with delta query.")
            ids = [part[1] for part in found if part]
        if len(ids) > _MOST_IDS:
            raise unsupported(f"Too many ids in $filter: {len(ids)}, the maximum is {_MOST_IDS}.")
        return ids

    # --- pages -------------------------------------------------------------------------------------------------------

    def _page(self, request: GraphRequest, entry: EntitySet, token: DeltaToken) -> GraphResponse:
        if token.empty:
            onward = _moved(token, token.after, token.relation, token.target)
            if not self._rows(entry, onward, 1):
                return self._finish(request, entry, onward, [])
            return self._more(request, entry, onward, [])
        start = token
        if token.repeat:
            start = _moved(token, *token.repeat)
        values, position, more = self._collect(request, entry, start)
        settings = self.settings
        if settings.disorder:
            seeded_random(token.number, token.until).shuffle(values)
        if token.repeat:
            return self._more(request, entry, _moved(token, token.after, token.relation, token.target), values)
        key = f"{entry.name}/delta {token.since}"
        onward = _moved(token, *position)
        if values and more and settings.hits("repeat", settings.repeat_pages, key, token.number):
            onward.repeat = [token.after, token.relation, token.target]
            return self._more(request, entry, onward, values)
        if values and settings.hits("empty", settings.empty_pages, key, token.number):
            onward.empty = True
            return self._more(request, entry, onward, values)
        if more:
            return self._more(request, entry, onward, values)
        return self._finish(request, entry, token, values)

    def _rows(self, entry: EntitySet, token: DeltaToken, limit: int) -> list[StoredObject]:
        """Returns the next objects of the round; the one whose links are reported in part comes first."""
        after = token.after - 1 if token.relation >= 0 else token.after
        if token.since:
            codes = [code for name in token.relations for code in _relation(entry, name).codes]
            hole = self.settings.hole
            rows = self.directory.changed(entry.name, codes, token.since, after, -1 if token.ids or hole else limit)
            rows = [row for row in rows if row.id not in hole]
        elif token.ids:
            found = (self.directory.find(identifier, entry.name) for identifier in token.ids)
            rows = sorted({row for row in found if row and row.seq > after})
        else:
            rows = self.directory.page(entry.name, after=after, limit=limit)
        if token.ids:
            rows = [row for row in rows if row.id in token.ids]
        return rows[:limit]

    def _collect(
        self, request: GraphRequest, entry: EntitySet, token: DeltaToken
    ) -> tuple[list[bytes], tuple[int, int, int], bool]:
        """Returns the objects of a page, where it ends (after, relation, target), and whether more follow."""
        settings = self.settings
        rows = self._rows(entry, token, settings.delta_page_size + 1)
        more = len(rows) > settings.delta_page_size
        rows = rows[: settings.delta_page_size]
        if not rows:
            return [], (token.after, -1, 0), False
        slices, end = self._slices(entry, token, rows)
        rows = rows[: len(slices)]
        bodies = self._bodies(request, entry, token, rows)
        values: list[bytes] = []
        for row, body, links in zip(rows, bodies, slices, strict=True):
            if row.state != State.LIVE:
                values.append(_removed(row, "changed" if row.state == State.DELETED else "deleted"))
                continue
            if row.seq == token.after and token.relation >= 0 and (row.seq + token.target) % 2:
                # Graph repeats the object with the further links, sometimes with its properties, sometimes without.
                body = msgspec.json.encode({"id": row.id})
            values.append(_with_links(body, links))
        values += self._extras(entry, token)
        if end is None:
            return values, (rows[-1].seq, -1, 0), more
        reported = end[0] == len(token.relations)
        return values, (rows[-1].seq, -1, 0) if reported else (rows[-1].seq, *end), True

    def _bodies(
        self, request: GraphRequest, entry: EntitySet, token: DeltaToken, rows: Sequence[StoredObject]
    ) -> list[bytes]:
        """Returns the objects as JSON, without links; nothing for those that are gone."""
        select = None if token.select is None else tuple(token.select)
        live = [row for row in rows if row.state == State.LIVE]
        shown = dict(zip((row.seq for row in live), self._shape(entry, select, live), strict=True))
        settings = self.settings
        minimal = "return=minimal" in request.headers.get("prefer", "")
        if token.since and (minimal or settings.partial):
            for row in live:
                if row.created <= token.since:
                    shown[row.seq] = self._changes(row, token, shown[row.seq])
        return [shown.get(row.seq, b"") for row in rows]

    @staticmethod
    def _shape(entry: EntitySet, select: tuple[str, ...] | None, rows: Sequence[StoredObject]) -> list[bytes]:
        bodies = shape(entry.name, select, fill=False)([row.body for row in rows])
        if "keyCredentials" in entry.properties():
            bodies = [without_keys(body, row) for body, row in zip(bodies, rows, strict=True)]
        # No line break is in JSON that was encoded here.
        return msgspec.json.Encoder().encode_lines(bodies).split(b"\n")[:-1]

    def _changes(self, row: StoredObject, token: DeltaToken, body: bytes) -> bytes:
        """Returns id and changed properties; a directory extension brings all of its type (Graph doc: delta-query)."""
        names = self.directory.changed_properties(row.seq, token.since)
        extensions = self.directory.extensions()
        kinds = {extensions[name][0] for name in names if name in extensions}
        names |= {name for name, (kind, _) in extensions.items() if kind in kinds}
        whole = _MEMBERS.decode(body)
        changed = {name: value for name, value in whole.items() if name in names}
        return msgspec.json.encode({"id": row.id, **changed})

    def _slices(
        self, entry: EntitySet, token: DeltaToken, rows: Sequence[StoredObject]
    ) -> tuple[list[dict[str, bytes]], tuple[int, int] | None]:
        """Returns the links of the page's objects, and where the page ends within those of the last object.

        None: the page holds all of them.
        """
        if not token.relations:
            return [{}] * len(rows), None
        most = self.settings.delta_slice_size
        budget = 5 * most
        relations = [_relation(entry, name) for name in token.relations]
        # For each object that still has room on the page, these are all of its links, or more than fit.
        found = [self._ends(token, index, relation, rows, budget + most) for index, relation in enumerate(relations)]
        result: list[dict[str, bytes]] = []
        for row in rows:
            begun = row.seq == token.after and token.relation >= 0
            links: dict[str, bytes] = {}
            result.append(links)
            room = most
            for index, relation in enumerate(relations):
                if row.state != State.LIVE or (begun and index < token.relation):
                    continue
                if ends := found[index].get(row.seq):
                    if ends.number > room:
                        part = self._ends(token, index, relation, [row], room)[row.seq]
                        links[f"{relation.name}@delta"] = part.text
                        return result, (index, part.last)
                    links[f"{relation.name}@delta"] = ends.text
                    room -= ends.number
                    budget -= ends.number
                if room <= 0 and index + 1 < len(relations):
                    return result, (index + 1, 0)
            if budget <= 0:
                return result, (len(relations), 0)
        return result, None

    def _ends(
        self, token: DeltaToken, index: int, relation: NavigationProperty, rows: Sequence[StoredObject], limit: int
    ) -> dict[int, LinkTexts]:
        """Returns the first links to report of each object, by its number."""
        code = relation.codes[0]
        live = [row for row in rows if row.state == State.LIVE]
        found: dict[int, LinkTexts] = {}
        if live and live[0].seq == token.after and index <= token.relation:
            # The first one's links have been reported, those of the token's relation up to a target.
            first = live.pop(0)
            since = _since(first, token)
            if index == token.relation:
                found = self.directory.ends(code, [first.seq], _LINK, since=since, after=token.target, limit=limit)
        for since in {0, token.since}:
            if sources := [row.seq for row in live if _since(row, token) == since]:
                found |= self.directory.ends(code, sources, _LINK, since=since, limit=limit)
        return found

    def _extras(self, entry: EntitySet, token: DeltaToken) -> list[bytes]:
        """Returns changes of earlier rounds, when that fault is on: an unchanged object in full, an old removal."""
        if not self.settings.replays:
            return []
        extras: list[bytes] = []
        select = None if token.select is None else tuple(token.select)
        rng = seeded_random(token.number, token.until, token.since)
        for row in self.directory.page(entry.name, after=rng.randrange(1, 50), limit=self.settings.replays):
            extras += self._shape(entry, select, [row])
        for row in self.directory.page(entry.name, limit=self.settings.replays, state=State.DELETED):
            extras.append(_removed(row, "changed"))
        return extras

    # --- links -------------------------------------------------------------------------------------------------------

    def _more(self, request: GraphRequest, entry: EntitySet, token: DeltaToken, values: list[bytes]) -> GraphResponse:
        return self._send(request, entry, token, values, f"$skiptoken={self.signer.seal(token)}")

    def _finish(self, request: GraphRequest, entry: EntitySet, token: DeltaToken, values: list[bytes]) -> GraphResponse:
        final = DeltaToken(
            token.set, token.select, token.relations, token.ids, token.since, token.until, token.issued, final=True
        )
        return self._send(request, entry, token, values, f"$deltatoken={self.signer.seal(final)}")

    @staticmethod
    def _send(
        request: GraphRequest, entry: EntitySet, token: DeltaToken, values: list[bytes], option: str
    ) -> GraphResponse:
        names = f"({','.join([*token.select, *token.relations])})" if token.select else ""
        kind = "@odata.deltaLink" if option.startswith("$delta") else "@odata.nextLink"
        head = {
            "@odata.context": f"{request.root}/$metadata#{entry.path}{names}",
            kind: f"{request.root}/{entry.path}/delta?{option}",
        }
        body = b'%s,"value":[%s]}' % (msgspec.json.encode(head)[:-1], b",".join(values))
        return GraphResponse(200, body, {"Content-Type": JSON})


def _moved(token: DeltaToken, after: int, relation: int, target: int) -> DeltaToken:
    """Returns the token of the following page of the same round."""
    return DeltaToken(
        token.set,
        token.select,
        token.relations,
        token.ids,
        token.since,
        token.until,
        token.issued,
        after=after,
        relation=relation,
        target=target,
        number=token.number + 1,
    )


def _since(row: StoredObject, token: DeltaToken) -> int:
    """Returns the change from which on links are reported: 0, all of them, for an object that is new in the round."""
    return 0 if row.created > token.since else token.since


def _removed(row: StoredObject, reason: str) -> bytes:
    return msgspec.json.encode({"id": row.id, "@removed": {"reason": reason}})


def _with_links(body: bytes, links: dict[str, bytes]) -> bytes:
    """Returns an object as JSON with the links put behind its properties."""
    reported = b"".join(b',"%s":[%s]' % (name.encode(), text) for name, text in links.items())
    return b"%s%s}" % (body[:-1], reported) if reported else body


def _relation(entry: EntitySet, name: str) -> NavigationProperty:
    return next(relation for relation in entry.tracked() if relation.name == name)
