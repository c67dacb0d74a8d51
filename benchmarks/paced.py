"""Backups at Graph's limits: their time against the floor that latency and quota allow, and each table's least cost.

The floor of a run is the longest of three times, none of which any client can go below. Nothing of our own is in it: no
processor time, no proof.

- Chains: requests that have to wait for each other, at one latency each. Pages of a collection come one after the
  other, because only a page names the next. What is asked owner by owner comes a latency after the last page of the
  owners, for all at once. Types that can have directory extensions begin a latency late: their names are asked first.
- Lanes: requests to a service that takes only so many in so many seconds.
- Quota: resource units beyond those that the allowance lets through at once, at the rate at which it fills up.

The least that a table costs are the fewest requests that bring all of it, at the prices of Graph's throttling limits.
How many objects a delta round or an unpaged list shows on a page is Graph's choice; of other lists it is the largest
page that Graph gives.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import ceil
from pathlib import Path

import msgspec

from benchmarks.ours import Run
from benchmarks.processes import backup
from benchmarks.report import Bound, Section
from benchmarks.tenant import SCOPE, Measured, measured
from entra_pipeline.backup.read.child_tables import ChildCollection, child_collections
from entra_pipeline.backup.read.expansion import EXPAND_LIMIT
from entra_pipeline.catalogue import CATALOGUE, RELATIONS, Lane, ObjectType, Read, table_names
from entra_pipeline.project.stores import open_store
from entra_pipeline.store.manifest import Manifest, TableEntry
from entra_pipeline.store.recovery_points import ScopeStore
from entra_pipeline.store.state import connect, state_query

LATENCY = 0.3
"""Seconds that the simulated Graph takes for each request, a `$batch` being one."""
# Graph doc: throttling-limits. The bucket of resource units is full at first, and fills up meanwhile; services with
# limits of their own take so many requests in so many seconds.
_UNITS = 8_000.0
_UNITS_PER_SECOND = 800.0
_LANES = {Lane.CONDITIONAL_ACCESS: (1, 1.0), Lane.REPORTS: (5, 10.0), Lane.IDENTITY: (200, 60.0)}
# Seconds after which the services with limits of their own have forgotten the run before.
_FORGOTTEN = 11.0
_USERS, _GROUPS = 20_000, 2_000
_BATCH = 20
_PRICES = {"applications": 2, "users": 2, "oauth2PermissionGrants": 2, "subscribedSkus": 3}
_PRICES_BELOW = {"groups/members": 3, "servicePrincipals/appRoleAssignments": 2}


class Least(msgspec.Struct, kw_only=True):
    """The least that a table can cost.

    Attributes:
        requests: HTTP requests, a batch being one.
        items: Requests in batches.
        units: Resource units.
        chain: How many requests, from the first of the run, have to wait for each other until the table is read.
    """

    requests: int = 0
    items: int = 0
    units: int = 0
    chain: int = 0


class Cost(msgspec.Struct, kw_only=True):
    """What a table has cost, and the least.

    Attributes:
        table: The table.
        rows: Its rows.
        requests: HTTP requests, a batch being one.
        items: Requests in batches.
        units: Resource units.
        least: The least that it can cost.
        compared: Owners whose links the proof compared with what Graph shows or counts elsewhere: that costs more.
    """

    table: str
    rows: int
    requests: int
    items: int
    units: int
    least: Least
    compared: int


class Floor(msgspec.Struct, kw_only=True):
    """The time below which no client comes, in seconds, and what makes it."""

    chain: float
    chain_of: str
    lane: float
    lane_of: str
    quota: float

    @property
    def seconds(self) -> float:
        """The longest of the three."""
        return max(self.chain, self.lane, self.quota)

    @property
    def because(self) -> str:
        """Which one it is."""
        if self.quota >= max(self.chain, self.lane):
            return "the quota of resource units"
        if self.lane >= self.chain:
            return f"the limit of the {self.lane_of} service"
        return f"the pages of `{self.chain_of}`, one after the other"


class Paced(msgspec.Struct, kw_only=True):
    """A backup at Graph's limits.

    Attributes:
        kind: Full or incremental.
        types: How many object types.
        run: What it cost.
        throttled: Requests that Graph answered with 429, as the simulated Graph counts them.
        floor: The least time.
        costs: What each table cost, in the order of the catalogue.
    """

    kind: str
    types: int
    run: Run
    throttled: int
    floor: Floor
    costs: list[Cost]

    @property
    def ratio(self) -> float:
        """The time against the floor."""
        return self.run.seconds / self.floor.seconds


def paced(tenant: Measured) -> list[Paced]:
    """A full backup, and an incremental one without changes, of the whole catalogue at Graph's limits.

    Then the same without the one report that costs a large tenant more time than all else: what is left shows how the
    reads share the wire.
    """
    everything = list(CATALOGUE)
    found = []
    with _limits(tenant):
        for types in (everything, [name for name in everything if CATALOGUE[name].lane is not Lane.REPORTS]):
            tenant.protect(types)
            found += [_measure(tenant, types, full=True), _measure(tenant, types, full=False)]
    return found


@contextmanager
def _limits(tenant: Measured) -> Iterator[None]:
    limits = ("throttle_units", "throttle_conditional_access", "throttle_lanes")
    tenant.control.knobs(latency=LATENCY, **dict.fromkeys(limits, True))
    try:
        yield
    finally:
        tenant.control.knobs(latency=0.0, **dict.fromkeys(limits, False))


def _measure(tenant: Measured, types: Sequence[str], *, full: bool) -> Paced:
    time.sleep(_FORGOTTEN)
    tenant.control.ledger(reset=True)
    run = backup(tenant, full=full)
    throttled = tenant.control.ledger()["statuses"].get("429", 0)
    project = tenant.project
    store = open_store(project, project.scope(SCOPE))
    manifest = store.latest()
    assert manifest is not None
    kind = "full" if full else "incremental"
    costs = _costs(store, manifest, types)
    return Paced(kind=kind, types=len(types), run=run, throttled=throttled, floor=_floor(manifest, costs), costs=costs)


def _floor(manifest: Manifest, costs: Sequence[Cost]) -> Floor:
    longest = max(costs, key=lambda cost: cost.least.chain)
    lanes = {}
    for lane, (at_once, seconds) in _LANES.items():
        asked = sum(c.least.items or c.least.requests for c in costs if _type_of(c.table).lane is lane)
        lanes[lane] = (ceil(asked / at_once) - 1) * seconds + LATENCY if asked else 0.0
    slowest = max(lanes, key=lambda lane: lanes[lane])
    units = sum(cost.least.units for cost in costs)
    return Floor(
        chain=longest.least.chain * LATENCY,
        chain_of=longest.table,
        lane=lanes[slowest],
        lane_of=slowest.value,
        quota=max(0.0, units - _UNITS) / _UNITS_PER_SECOND,
    )


def _type_of(table: str) -> ObjectType:
    return CATALOGUE.get(table) or RELATIONS[table][0]


# --- The least -------------------------------------------------------------------------------------------------------


class _Ledger:
    """Knows the tables of a recovery point, to say what they cost at the least."""

    def __init__(self, store: ScopeStore, manifest: Manifest) -> None:
        self._store = store
        self._manifest = manifest
        self._connection = connect(store.files)
        self._owned = {one.table: one for entry in CATALOGUE.values() for one in child_collections(entry)}
        self._known: dict[str, Least] = {}

    def close(self) -> None:
        self._connection.close()

    def least(self, table: str) -> Least:
        """The least that a table costs."""
        if table not in self._known:
            entry = self._manifest.tables[table]
            if entry.read in {"never", "carried"} or self._rested(entry):
                self._known[table] = Least()
            elif (owned := self._owned.get(table)) is not None:
                self._known[table] = self._each(owned) if owned.read is Read.EACH else self._expanded(owned)
            elif table in CATALOGUE:
                self._known[table] = self._listed(CATALOGUE[table], entry)
            else:
                self._known[table] = Least(chain=self.least(RELATIONS[table][0].name).chain)
        return self._known[table]

    def _rested(self, entry: TableEntry) -> bool:
        """Whether it was listed for an earlier point, and now no more of it than what delta told: nothing here."""
        a_list = entry.table in CATALOGUE and not CATALOGUE[entry.table].delta
        return (a_list or entry.table in self._owned) and entry.listed < self._manifest.started

    def _listed(self, entry: ObjectType, table: TableEntry) -> Least:
        pages = table.pages if entry.delta or not entry.page_size else max(1, ceil(table.live / entry.page_size))
        pages = 1 if entry.singleton else pages
        late = bool(entry.extensible)
        price = _price(entry.path, select=entry.select or entry.projection, expand=entry.expand)
        # Chosen by Graph: the links of a delta round do not carry the options, and so not their discount.
        following = _price(entry.path) if entry.delta else price
        items = table.live if entry.one_by_one else 0
        return Least(
            requests=pages + ceil(items / _BATCH),
            items=items,
            units=price + following * (pages - 1) + items,
            chain=late + pages + bool(items),
        )

    def _expanded(self, owned: ChildCollection) -> Least:
        owners = self._manifest.tables[owned.owner.name].live
        pages = max(1, ceil(owners / (owned.owner.page_size or owners or 1)))
        long = self._owners_with(owned, EXPAND_LIMIT)
        price = _price(owned.owner.path, select=True, expand=True)
        each = _price_below(owned)
        return Least(
            requests=pages + ceil(len(long) / _BATCH),
            items=len(long),
            units=pages * price + len(long) * each,
            chain=pages + bool(long),
        )

    def _each(self, owned: ChildCollection) -> Least:
        owner = self._manifest.tables.get(owned.owner.name)
        if owner is None:
            return Least()
        state = state_query(self._store.files, owner, "id, _raw AS raw")
        among = " UNION ".join(
            f"SELECT _raw->>'$.{CATALOGUE[name].belongs_to}' FROM ({state_query(self._store.files, table, '_raw')})"
            for name in owned.among
            if (table := self._manifest.tables.get(name)) is not None and table.parts
        )
        query = f"SELECT count(*) FROM ({state}) WHERE {owned.where or 'true'}"
        [(owners,)] = self._connection.execute(f"{query} AND id IN ({among})" if among else query).fetchall()
        return Least(
            requests=ceil(owners / _BATCH),
            items=owners,
            units=owners * _price_below(owned),
            chain=self.least(owned.owner.name).chain + bool(owners),
        )

    def _owners_with(self, owned: ChildCollection, rows: int) -> list[str]:
        entry = self._manifest.tables[owned.table]
        column = "source_id" if entry.kind == "edges" else "_parent_id"
        state = state_query(self._store.files, entry, f"{column} AS owner")
        query = f"SELECT owner FROM ({state}) GROUP BY owner HAVING count(*) >= {rows}"
        return [str(row[0]) for row in self._connection.execute(query).fetchall()]


def _price(path: str, *, select: object = False, expand: object = False) -> int:
    """Resource units of a request to a collection (Graph doc: throttling-limits)."""
    return max(1, _PRICES.get(path, 1) - bool(select) + bool(expand))


def _price_below(owned: ChildCollection) -> int:
    price = _PRICES_BELOW.get(f"{owned.owner.path}/{owned.segment}", 1)
    return max(1, price - (owned.relation is not None and not owned.relation.target))


def _costs(store: ScopeStore, manifest: Manifest, types: Sequence[str]) -> list[Cost]:
    ledger = _Ledger(store, manifest)
    try:
        return [
            Cost(
                table=entry.table,
                rows=entry.live,
                requests=entry.requests,
                items=entry.items,
                units=entry.resource_units,
                least=ledger.least(entry.table),
                compared=entry.compared,
            )
            for entry in (manifest.tables[name] for name in table_names(list(types)))
        ]
    finally:
        ledger.close()


# --- For people ------------------------------------------------------------------------------------------------------


def summary(runs: Sequence[Paced]) -> list[str]:
    """Markdown: the time of each run against its floor."""
    return [
        "| backup | object types | time | lower bound | ratio | set by | requests | in batches | resource units "
        "| 429 |",
        "|---|--:|--:|--:|--:|---|--:|--:|--:|--:|",
        *(
            f"| {one.kind} | {one.types} | {one.run.seconds:.1f} s | {one.floor.seconds:.1f} s | {one.ratio:.2f} | "
            f"{one.floor.because} | {one.run.requests:,} | {one.run.items:,} | {one.run.units:,.0f} | {one.throttled} |"
            for one in runs
        ),
    ]


def cost_table(costs: Sequence[Cost]) -> list[str]:
    """Markdown: what each table cost, and the least; those of one request at the least are one line."""
    small = [one for one in costs if one.requests == one.least.requests <= 1 and one.items <= one.least.items]
    shown = [one for one in costs if one not in small and (one.requests or one.least.requests)]
    total = Cost(
        table="**all**",
        rows=sum(one.rows for one in costs),
        requests=sum(one.requests for one in costs),
        items=sum(one.items for one in costs),
        units=sum(one.units for one in costs),
        least=Least(
            requests=sum(one.least.requests for one in costs),
            items=sum(one.least.items for one in costs),
            units=sum(one.least.units for one in costs),
        ),
        compared=sum(one.compared for one in costs),
    )
    asked = [one for one in small if one.requests]
    others = Cost(
        table=f"{len(asked)} others, one request each",
        rows=sum(one.rows for one in asked),
        requests=len(asked),
        items=sum(one.items for one in asked),
        units=sum(one.units for one in asked),
        least=Least(
            requests=len(asked),
            items=sum(one.least.items for one in asked),
            units=sum(one.least.units for one in asked),
        ),
        compared=0,
    )
    return [
        "| table | rows | requests | minimum | in batches | minimum | resource units | minimum | owners compared |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|",
        *(_cost_row(one) for one in [*shown, others, total]),
    ]


def _cost_row(one: Cost) -> str:
    name = one.table if " " in one.table or "*" in one.table else f"`{one.table}`"
    return (
        f"| {name} | {one.rows:,} | {one.requests:,} | {one.least.requests:,} | {one.items:,} | {one.least.items:,} | "
        f"{one.units:,} | {one.least.units:,} | {one.compared or ''} |"
    )


def measure(folder: Path, scale: float) -> list[Section]:
    """Backs a tenant up at Graph's limits."""
    users, groups = round(_USERS * scale), round(_GROUPS * scale)
    with measured(folder, users, groups) as tenant:
        runs = paced(tenant)
    whole = [one for one in runs if one.types == len(CATALOGUE)]
    return [
        Section(
            title="At Graph's limits",
            method=f"{users:,} users and {groups:,} groups, every object type. The simulated Graph enforces its limits "
            "(8,000 resource units in 10 seconds, and separate limits of some services) and answers after "
            f"{LATENCY * 1000:.0f} ms. The lower bound is the shortest time that any client can take. It is the "
            "longest of three: the longest sequence of dependent requests, the services with separate limits, and the "
            "quota. It includes neither entra-pipeline's own work nor the verification against Graph.",
            bounds=[
                *(Bound(f"time of the {one.kind} against the lower bound", one.ratio, 1.5) for one in whole),
                Bound("requests answered 429", sum(one.throttled for one in runs), 0),
            ],
            after="\n".join(summary(runs)),
        ),
        *(
            Section(
                title=f"Requests and resource units of a{'n' * (one.kind == 'incremental')} {one.kind} backup",
                method="Per table, beside the minimum that reads all of it, at the costs of Graph's throttling limits.",
                after="\n".join(cost_table(one.costs)),
            )
            for one in whole
        ),
    ]
