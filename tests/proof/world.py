"""One simulation: carries out the steps of a seed, and looks after each whether everything is as it has to be."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import httpx

from entra_pipeline import demo
from entra_pipeline.backup.run import backup
from entra_pipeline.errors import EntraPipelineError, NotInStore, RecoveryPointRefused, ScopeBusy, StoreError
from entra_pipeline.graph import Graph
from entra_pipeline.store.manifest import Manifest, sha256
from entra_pipeline.store.points.keys import moment_of
from entra_pipeline.store.recovery_points import ScopeStore
from entra_pipeline.store.retention.holds import hold, release
from entra_pipeline.store.retention.prune import prune
from entra_pipeline.store.verify import verify
from tests.proof import model
from tests.proof.life import ProofLife
from tests.proof.places import Killed, Place, Trouble
from tests.proof.processes import Mishaps, Process
from tests.proof.program import Program, Step
from tests.proof.shelves import BucketShelf, FolderShelf, Shelf
from tests.proof.tenant import Tenant, project
from tests.proof.troubles import passes
from tests.proof.upkeep import failing, must_stay, sql_differences, struck_by, tamperable, tampered
from tests.proof.virtual import Universe, inside, run

# The longest backup of these small tenants takes a tenth.
_MOST_REQUESTS = 2000
_folder = Path()
_tenant: Tenant | None = None


class Violation(AssertionError):
    """Something is not as it has to be."""


class World:
    """A tenant, a place, and what is known to be true of both.

    Args:
        universe: Time and chance.
        folder: For everything.
        program: What the scope protects, and where it is stored.

    Attributes:
        trace: Hash of everything that happened so far.
        told: How often each kind of trouble struck.
        operations: Operations of the storage of each backup and prune.
        requests: Requests to S3 of each of them.
    """

    def __init__(self, universe: Universe, folder: Path, program: Program) -> None:
        self.universe = universe
        self.trace = hashlib.sha256()
        self.log: list[str] = []
        self.told: Counter[str] = Counter()
        self.history = model.History()
        self.points: dict[str, model.Recorded] = {}
        self.holds: set[str] = set()
        self._sql = program.sql
        self._denied = ""
        self._rules: list[dict[str, Any]] = []
        self._said: dict[str, list[Any]] = {}
        self._rivals = False
        self._strikes = 0
        self.operations: list[int] = []
        self.requests: list[int] = []
        global _tenant
        self.tenant = _tenant = Tenant(self.universe, folder)
        self.tenant.told = self.note
        self.project = project(folder.parent)
        self.scope = self.project.scope("contoso").model_copy(
            update={"protect": list(program.types), "max_incrementals": program.max_incrementals}
        )
        self.shelf: Shelf = BucketShelf(folder, self._struck) if program.bucket else FolderShelf(folder, universe)
        self.files = self.shelf.files
        self.look()

    def _struck(self, kind: str) -> None:
        self.told[kind] += 1
        self._strikes += 1
        self.note(kind)

    def note(self, what: str) -> None:
        """Adds to the trace."""
        line = f"{self.universe.elapsed:.6f} {what}"
        self.trace.update(line.encode())
        self.log.append(line)

    def look(self) -> None:
        """Notes what the tenant is now."""
        self.history.add(demo.look(self.tenant.control, self.scope.types()))

    def open(self, trouble: Trouble | None = None) -> tuple[ScopeStore, Place]:
        """Opens the place as a process of its own does."""
        place = Place(self.files, trouble or Trouble(), self.note)
        return ScopeStore(place, "contoso", self.universe.clock, self.scope.retention), place

    # --- Steps -------------------------------------------------------------------------------------------------------

    def change(self, seed: int = 0, changes: int = 1) -> None:
        """Somebody changes the tenant."""
        ProofLife(self.tenant.control, seed).go_on(changes)
        self.universe.pass_(1.0)
        self.look()

    def wait(self, seconds: float = 1.0) -> None:
        """Time passes."""
        self.universe.pass_(seconds)

    def clock(self, skew: float = 0.0) -> None:
        """Somebody sets the clock of the machine that runs backups."""
        self.told["clock set"] += 1
        self.universe.skew = timedelta(seconds=skew)

    def habits(self, **knobs: Any) -> None:
        """The tenant pages and tells its deltas otherwise from now on."""
        self.tenant.control.knobs(**knobs)

    def backup(
        self,
        full: bool = False,
        changes_at: Sequence[int] = (),
        seed: int = 0,
        rival: float = -1.0,
        **options: Any,
    ) -> None:
        """Somebody takes a backup; with a rival, somebody else begins one so many seconds later.

        The other options are `Mishaps` of the process, and what Graph does (`_trouble`).
        """
        mishaps, graph = Mishaps.taken_from(options)
        self.universe.pass_(5.0)
        requests = 0

        def before(what: str) -> None:
            nonlocal requests
            if requests in changes_at:
                self.told["tenant changes during a read"] += 1
                self.change(seed + requests)
            requests += 1
            if requests > _MOST_REQUESTS:
                raise Violation(f"a backup has sent {requests} requests, and does not end: {what}")

        process = self._process(mishaps)
        first = self.history.now
        self.tenant.before = before
        self._trouble(**graph)
        work = [self._backup(process.store, full)]
        self._rivals = rival >= 0
        if self._rivals:
            work.append(self._rival(self.open()[0], rival))
        try:
            with self._wire(process, mishaps):
                ended = process.ended(lambda: run(self.universe, _all(work)))
        finally:
            self.tenant.before = lambda what: None
            suffered = self._peace()
        self.operations.append(process.place.count)
        if ended:
            self.note(f"backup ended: {ended}")
            self._require_reason(ended, process)
        for point in self._new_points(1 if rival < 0 and not mishaps.meanwhile else 2):
            self._committed(point, first, suffered)

    async def _backup(self, store: ScopeStore, full: bool) -> None:
        async with Graph(self.project.tenants["simulated"]) as graph:
            await backup(self.scope, store, graph, full=full, manual=False, clock=self.universe.clock)

    async def _rival(self, store: ScopeStore, delay: float) -> None:
        await asyncio.sleep(delay)
        try:
            await self._backup(store, False)
            self.told["rival backed up"] += 1
        except ScopeBusy:
            self.told["rival found the scope busy"] += 1
        except RecoveryPointRefused as error:
            self._require_clock(error)

    def prune(self, **options: Any) -> None:
        """Somebody prunes the scope; the options are `Mishaps` of the process."""
        mishaps = Mishaps(**options)
        process = self._process(mishaps)
        with self._wire(process, mishaps):
            ended = process.ended(lambda: prune(process.store, self.scope.retention, by="proof"))
        self.operations.append(process.place.count)
        if ended:
            self.note(f"prune ended: {ended}")
            self._require_reason(ended, process)
        self._new_points(0 if not mishaps.meanwhile else 1, look_only=True)
        self._pruned(whole=not ended and not mishaps.meanwhile)

    def _pruned(self, *, whole: bool) -> None:
        """Compares what is left with what had to stay; `whole`: and what had to go."""
        left = set(self.open()[0].points())
        stay = must_stay(self.points, self.scope.retention, self.universe.clock(), self.holds)
        if lost := stay - left:
            raise Violation(f"prune took {sorted(lost)}")
        if whole and (kept := (left & self.points.keys()) - stay):
            raise Violation(f"prune left {sorted(kept)}")
        gone = self.points.keys() - left
        self.told["points pruned"] += len(gone)
        self.points = {point: known for point, known in self.points.items() if point in left}

    def hold(self, number: int = 0) -> None:
        """Somebody holds a point, or the scope."""
        names = ["", *sorted(self.points)]
        point = names[number % len(names)]
        try:
            hold(self.open()[0], point, reason="proof", by="proof")
        except ScopeBusy:
            self.told["hold found the scope busy"] += 1
            return
        except NotInStore:
            # A prune under way has taken it already, if it was not lost: that is looked at when the prune has ended.
            if point in self.open()[0].points():
                raise
            self.told["hold found the point gone"] += 1
            return
        self.told["held"] += 1
        self.holds.add(point)

    def release(self, number: int = 0) -> None:
        """Somebody releases a hold."""
        names = sorted(self.holds)
        if not names:
            return
        point = names[number % len(names)]
        try:
            release(self.open()[0], point)
        except ScopeBusy:
            return
        self.holds.discard(point)

    def tamper(self, number: int = 0, how: str = "flip") -> None:
        """Somebody changes a stored file, and it is verified; then the file is as it was."""
        store, _ = self.open()
        keys = tamperable(store, self.points)
        if not keys:
            return
        key, other = keys[number % len(keys)], keys[number // 7 % len(keys)]
        was = self.shelf.read(key)
        changed = tampered(was, how, self.shelf.read(other), number)
        if changed == was:
            return
        self.shelf.write(key, changed)
        self.told[f"tampered: {how}"] += 1
        self.note(f"{how} {key}")
        try:
            found, expected = failing(store), struck_by(store, self.points, key, how)
        finally:
            self.shelf.write(key, was)
        if expected is None:
            return
        must, may = expected
        if not must <= found or found - must - may:
            raise Violation(f"{how} of {key}: verify finds {sorted(found)} and should find {sorted(must)}")

    def verify(self) -> None:
        """Somebody verifies the scope."""
        store, _ = self.open()
        for finding in verify(store):
            if not finding.ok:
                raise Violation(f"verify finds {finding}")

    @contextmanager
    def _wire(self, process: Process, mishaps: Mishaps) -> Iterator[None]:
        """Lets the connection to the storage fail meanwhile, and waits until the leases of the dead are over."""
        self._strikes = 0
        self.shelf.fail(mishaps.wire, mishaps.wire_kinds, mishaps.wire_dies_at)
        try:
            yield
        finally:
            self.requests.append(self.shelf.requests)
            process.place.dead |= self.shelf.killed
            self.shelf.fail(0.0, ())
            self.universe.on_time.clear()
            self.universe.pass_(self.shelf.lease_seconds)

    # --- Processes, and what they meet -------------------------------------------------------------------------------

    def _process(self, mishaps: Mishaps) -> Process:
        def other(kind: str) -> Callable[[], None]:
            def act() -> None:
                self.told[f"meanwhile {kind}"] += 1
                self.note(f"meanwhile {kind}")
                # A loop of its own needs a thread of its own; this one waits for it.
                with ThreadPoolExecutor(1) as pool:
                    pool.submit(self._meanwhile, kind).result()

            return act

        return Process(*self.open(mishaps.trouble(other)))

    def _meanwhile(self, kind: str) -> None:
        """Another process does something in the middle of the work of one."""
        try:
            self._other(kind)
        except StoreError:
            if not self._strikes:
                raise

    def _other(self, kind: str) -> None:
        if kind == "pause":
            # The machine that the first one runs on stands still for longer than a lease lasts, and another one works.
            self.universe.sleep(200.0)
            kind = "backup"
        if kind == "change":
            self.change(len(self.log), 1)
        elif kind == "backup":
            try:
                run(self.universe, self._backup(self.open()[0], False))
            except ScopeBusy:
                self.told["other found the scope busy"] += 1
            except RecoveryPointRefused as error:
                self._require_clock(error)
        elif kind == "prune":
            try:
                prune(self.open()[0], self.scope.retention, by="another")
            except ScopeBusy:
                self.told["other found the scope busy"] += 1
        elif kind == "verify":
            # Points may come and go under it; it has to come to an end.
            with suppress(NotInStore):
                list(verify(self.open()[0]))
        else:
            getattr(self, kind)(len(self.log))

    def _require_reason(self, ended: BaseException, process: Process) -> None:
        """Raises when an error has no cause that is outside of the engine."""
        if isinstance(ended, Killed):
            self.told["killed"] += 1
        elif isinstance(ended, StoreError) and (process.place.struck or self._strikes):
            self.told["ended by the storage"] += 1
        elif isinstance(ended, RecoveryPointRefused | ScopeBusy) and (process.overtaken or self._rivals):
            self.told["found the scope busy"] += 1
        elif isinstance(ended, RecoveryPointRefused):
            self._require_clock(ended)
        else:
            raise Violation(f"ended by {type(ended).__name__}: {ended}") from ended

    def _require_clock(self, error: BaseException) -> None:
        newest = max(self.open()[0].points(), default="")
        if not newest or self.universe.clock() >= moment_of(newest):
            raise Violation(f"refused without a reason: {error}") from error
        self.told["refused: the clock was set back"] += 1

    def _trouble(
        self,
        faults: float = 0.0,
        fault_kinds: Sequence[str] = (),
        misbehave: Sequence[dict[str, Any]] = (),
        deny: str = "",
        expired: str | None = None,
        tokens_expire: bool = False,
    ) -> None:
        """Lets Graph misbehave until `_peace`."""
        control = self.tenant.control
        if faults:
            control.faults(faults, fault_kinds)
            self.told["reads with faults"] += 1
        self._rules = [self._resolved(rule) for rule in misbehave]
        for rule in self._rules:
            control.misbehave(**rule)
        if deny:
            control.deny(deny)
            self.told["denied"] += 1
        self._denied = deny
        if expired is not None:
            control.expire_delta_links(expired)
            self.told["delta links expired"] += 1
        if tokens_expire:
            control.expire_tokens()
            self.told["tokens expired"] += 1

    def _resolved(self, rule: dict[str, Any]) -> dict[str, Any]:
        """Returns a misbehaviour with the id of the object whose number it has."""
        if "number" not in rule:
            return rule
        ids = sorted(one["id"] for one in self.tenant.control.dump(rule["path"].partition("/*")[0]))
        rest = {name: value for name, value in rule.items() if name != "number"}
        return {**rest, "objects": [ids[rule["number"] % len(ids)]] if ids else ["nobody"]}

    def _peace(self) -> Suffered:
        """Ends what `_trouble` began; returns what struck."""
        control = self.tenant.control
        struck = {one["name"]: one["struck"] for one in control.misbehaviours() if one["struck"]}
        for name, times in struck.items():
            self.told[f"misbehaved: {name}"] += times
        others = {"graph"} if self._denied or control.knobs()["fault_rate"] else set()
        control.behave()
        control.faults(0.0)
        if self._denied:
            control.deny(self._denied, 0)
        by_rule = [rule for rule in self._rules if rule["name"] in struck]
        for rule in by_rule:
            if rule["name"] == "wrong-kind":
                self._said.setdefault(rule["property"], []).append(rule["value"])
            elif rule["name"] == "property-missing":
                self._said.setdefault("@odata.type", []).append(None)
        named = {one for rule in by_rule for one in rule.get("objects", ())}
        return Suffered(
            anything=bool(struck or others),
            lasting=bool(others) or not all(map(passes, by_rule)),
            objects=named if by_rule and not others and all("objects" in rule for rule in by_rule) else None,
        )

    # --- What has to be true -----------------------------------------------------------------------------------------

    def _new_points(self, most: int, *, look_only: bool = False) -> list[str]:
        """Returns the points that nobody knew of."""
        new = [point for point in self.open()[0].points() if point not in self.points]
        if len(new) > most:
            raise Violation(f"there are {len(new)} new points: {new}")
        if look_only:
            for point in new:
                self._committed(point, 0, Suffered(True, True, None))
        return new

    def _committed(self, point: str, first: int, suffered: Suffered) -> None:
        """Compares a new point with the tenant as it was while it was read."""
        store, _ = self.open()
        manifest = store.manifest(point)
        self.note(f"point {point} {manifest.status} {sha256(store.manifest_bytes(point))}")
        if self.points and point <= max(self.points):
            raise Violation(f"{point} does not come after {max(self.points)}")
        if self.points and manifest.parent != max(self.points):
            raise Violation(f"the parent of {point} is {manifest.parent}, and should be {max(self.points)}")
        states = model.stored(store, manifest)
        known = self.points[manifest.parent].states if manifest.parent else {}
        self.points[point] = model.Recorded(manifest, states)
        for table, held in states.items():
            gaps = manifest.tables[table].gaps
            if gaps and manifest.status == "finished":
                raise Violation(f"{point} is finished, and {table} has gaps: {gaps}")
            window = self.history.between(table, first, self.history.now)
            for key, how in model.differences(table, held, window):
                if model.as_shown(key, held, window, self._said):
                    continue
                owners = {gap.object for gap in gaps if gap.object}
                if not model.excused(key, gaps) and not self.tenant.is_part_of(table, key, owners):
                    raise Violation(f"{point} is {manifest.status}: {table} {key} {how}; gaps: {gaps}")
                before = known.get(table, {}).get(key)
                if key not in held and before is not None:
                    raise Violation(f"{point} {table} {key} was known, is there, and was dropped; gaps: {gaps}")
                if key in held and held[key] != before:
                    raise Violation(f"{point} {table} {key} {how}, and was not so before; gaps: {gaps}")
        if manifest.status == "finished":
            for problem in model.dangling(states):
                raise Violation(f"{point} is finished: {problem}")
            return
        self.told["finished with exception"] += 1
        if not any(entry.gaps for entry in manifest.tables.values()):
            raise Violation(f"{point} is {manifest.status} without any gap")
        if not suffered.anything:
            raise Violation(f"{point} has gaps without a fault: {_gaps(manifest)}")
        if not suffered.lasting:
            raise Violation(f"{point} has gaps for what had passed: {_gaps(manifest)}")
        if suffered.objects is not None:
            for gap in (gap for entry in manifest.tables.values() for gap in entry.gaps):
                if not any(one in f"{gap.what} {gap.reason}" for one in suffered.objects):
                    raise Violation(f"{point} misses more than the bad object: {gap.what}: {gap.reason}")

    def examine(self) -> None:
        """Compares what is in the place with what is known of it."""
        store, _ = self.open()
        there = store.points()
        if there != sorted(self.points):
            raise Violation(f"there are points {there}, and should be {sorted(self.points)}")
        for point in there:
            if store.manifest(point) != self.points[point].manifest:
                raise Violation(f"the manifest of {point} has changed")

    def examine_all(self) -> None:
        """Reads every point back, and one also by SQL."""
        self.examine()
        self.verify()
        store, _ = self.open()
        for point, known in self.points.items():
            if model.stored(store, known.manifest) != known.states:
                raise Violation(f"{point} no longer gives back what it held")
        if self.points and self._sql:
            point = self.universe.random.choice(sorted(self.points))
            for problem in sql_differences(self.shelf.readable(), "contoso", point, self.points[point]):
                raise Violation(f"SQL says: {problem}")
            self.told["points asked for by SQL"] += 1


class Suffered(NamedTuple):
    """What Graph did to a backup.

    Attributes:
        anything: Whether anything struck.
        lasting: Whether any of it outlasts patience, or tells what is not so.
        objects: The ids of the only objects that it was about; None when it was about others, too.
    """

    anything: bool
    lasting: bool
    objects: set[str] | None


async def _all(work: Sequence[Coroutine[Any, Any, None]]) -> None:
    """Does everything at once; what the first ends by counts."""
    first, *others = [asyncio.ensure_future(one) for one in work]
    await asyncio.wait([first, *others])
    for one in others:
        one.result()
    first.result()


def _gaps(manifest: Manifest) -> str:
    return "; ".join(f"{gap.what}: {gap.reason}" for entry in manifest.tables.values() for gap in entry.gaps)


class SeedOutcome:
    """How a simulation ended.

    Attributes:
        violation: What was not as it has to be; empty when all was.
        trace: Hash of everything that happened.
        log: The same in lines.
        told: How often each kind of trouble struck.
        operations: Operations of the storage of each backup and prune.
        requests: Requests to S3 of each of them.
        steps: How many steps were carried out.
    """

    def __init__(self, violation: str, world: World, steps: int) -> None:
        self.violation = violation
        self.trace = world.trace.hexdigest()
        self.log = world.log
        self.told = world.told
        self.operations = world.operations
        self.requests = world.requests
        self.steps = steps


def simulate(seed: int, program: Program) -> SeedOutcome:
    """Carries out a program, and returns how it went."""
    folder = Path(tempfile.mkdtemp(prefix="seed-", dir=_folder))
    universe = Universe(seed)
    try:
        with inside(universe):
            world = World(universe, folder, program)
            try:
                return _live(world, program.steps)
            finally:
                world.tenant.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _live(world: World, steps: Sequence[Step]) -> SeedOutcome:
    carried = 0
    try:
        for step in steps:
            world.note(f"--- {step}")
            _carry_out(world, step)
            carried += 1
            world.examine()
        world.examine_all()
    except Violation as violation:
        return SeedOutcome(str(violation), world, carried)
    except EntraPipelineError as error:
        return SeedOutcome(f"{type(error).__name__}: {error.message}", world, carried)
    except Exception as error:
        world.log.append(_trace_of(error))
        return SeedOutcome(f"unexpected {type(error).__name__}: {error}", world, carried)
    return SeedOutcome("", world, carried)


def _carry_out(world: World, step: Step) -> None:
    action: Callable[..., None] = getattr(world, step.kind)
    action(**step.options)


def _trace_of(error: BaseException) -> str:
    import traceback

    return "".join(traceback.format_exception(error))


def use(folder: Path) -> None:
    """Puts simulated tenants in the place of the network, and work in turn in the place of threads, for this process.

    Args:
        folder: Where everything is.
    """
    global _folder
    _folder = folder
    import duckdb

    from entra_pipeline.backup.rows import segment_writer
    from entra_pipeline.graph import connection, credentials
    from entra_pipeline.store import parallel
    from tests.proof.virtual import Executor

    trusted = connection.trust(None)
    real_connect = duckdb.connect

    def connect(*arguments: Any, config: dict[str, Any] | None = None, **options: Any) -> Any:
        return real_connect(*arguments, config={"threads": "1", **(config or {})}, **options)

    duckdb.connect = connect
    for module in (segment_writer, parallel):
        module.ThreadPoolExecutor = Executor  # type: ignore[attr-defined]
    connection.trust = lambda ca_bundle: trusted
    connection.mounts = lambda context, limits: {"all://": _current().transport()}
    credentials._build = lambda tenant, context: _current().credential()
    httpx.AsyncHTTPTransport.handle_async_request = _refuse  # type: ignore[assignment]


def _current() -> Tenant:
    assert _tenant is not None
    return _tenant


async def _refuse(*arguments: Any) -> Any:
    raise AssertionError("a simulation does not use the network")
