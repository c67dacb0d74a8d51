"""One simulation: carries out the steps of a seed, and looks after each whether everything is as it has to be."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx

from entra_pipeline import demo
from entra_pipeline.backup.run import backup
from entra_pipeline.errors import EntraPipelineError
from entra_pipeline.graph import Graph
from entra_pipeline.store.manifest import Manifest, sha256
from entra_pipeline.store.recovery_points import ScopeStore
from entra_pipeline.store.verify import verify
from tests.proof import model
from tests.proof.life import ProofLife
from tests.proof.places import AgingFolder, Killed, Place, Trouble
from tests.proof.program import Program, Step
from tests.proof.tenant import Tenant, project
from tests.proof.virtual import Universe, inside, run

_folder = Path()
_tenant: Tenant | None = None


class Violation(AssertionError):
    """Something is not as it has to be."""


class World:
    """A tenant, a place, and what is known to be true of both.

    Args:
        universe: Time and chance.
        folder: For everything.
        types: What the scope protects.

    Attributes:
        trace: Hash of everything that happened so far.
        told: How often each kind of trouble struck.
    """

    def __init__(self, universe: Universe, folder: Path, types: Sequence[str]) -> None:
        self.universe = universe
        self.trace = hashlib.sha256()
        self.log: list[str] = []
        self.told: Counter[str] = Counter()
        self.history = model.History()
        self.points: dict[str, model.Recorded] = {}
        global _tenant
        self.tenant = _tenant = Tenant(self.universe, folder)
        self.tenant.told = self.note
        self.project = project(folder.parent)
        self.scope = self.project.scope("contoso").model_copy(update={"protect": list(types)})
        self.files = AgingFolder(folder / "store", self.universe)
        self.look()

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

    def backup(
        self,
        full: bool = False,
        changes_at: tuple[int, ...] = (),
        seed: int = 0,
        dies_at: int = -1,
        done: bool = False,
    ) -> None:
        """Somebody takes a backup."""
        self.universe.pass_(5.0)
        requests = 0

        def before(what: str) -> None:
            nonlocal requests
            if requests in changes_at:
                self.note("a change meanwhile")
                self.change(seed + requests)
            requests += 1

        trouble = Trouble(dies_at=dies_at, done=done)
        store, place = self.open(trouble)
        first = self.history.now
        self.tenant.before = before
        try:
            made = run(self.universe, self._backup(store, full))
        except (Killed, BaseExceptionGroup) as end:
            if not place.dead:
                raise
            self.note(f"killed at {dies_at}: {type(end).__name__}")
            self.told["killed"] += 1
            made = self._left_by_the_dead()
        finally:
            self.tenant.before = lambda what: None
        if made is not None:
            self._committed(made, first)

    async def _backup(self, store: ScopeStore, full: bool) -> Manifest:
        async with Graph(self.project.tenants["simulated"]) as graph:
            return await backup(self.scope, store, graph, full=full, manual=False, clock=self.universe.clock)

    def _left_by_the_dead(self) -> Manifest | None:
        """Returns the point that a process had committed when it was killed."""
        store, _ = self.open()
        new = [point for point in store.points() if point not in self.points]
        if len(new) > 1:
            raise Violation(f"one backup left {len(new)} points")
        return store.manifest(new[0]) if new else None

    def verify(self) -> None:
        """Somebody verifies the scope."""
        store, _ = self.open()
        for finding in verify(store):
            if not finding.ok:
                raise Violation(f"verify finds {finding}")

    # --- What has to be true -----------------------------------------------------------------------------------------

    def _committed(self, manifest: Manifest, first: int) -> None:
        """Compares a new point with the tenant as it was while it was read."""
        point = manifest.recovery_point
        self.note(f"point {point} {manifest.status} {sha256(self.open()[0].manifest_bytes(point))}")
        if self.points and point <= max(self.points):
            raise Violation(f"{point} does not come after {max(self.points)}")
        store, _ = self.open()
        states = model.stored(store, manifest)
        self.points[point] = model.Recorded(manifest, states)
        for table, held in states.items():
            gaps = manifest.tables[table].gaps
            if bool(gaps) and manifest.status == "finished":
                raise Violation(f"{point} is finished, and {table} has gaps: {gaps}")
            for key, how in model.differences(table, held, self.history.between(table, first, self.history.now)):
                if not model.excused(key, gaps):
                    raise Violation(f"{point} is {manifest.status}: {table} {key} {how}; gaps: {gaps}")
        if manifest.status == "finished":
            for problem in model.dangling(states):
                raise Violation(f"{point} is finished: {problem}")
        elif not any(entry.gaps for entry in manifest.tables.values()):
            raise Violation(f"{point} is {manifest.status} without any gap")
        else:
            self.told["finished with exception"] += 1
            raise Violation(f"{point} has gaps without a fault: {_gaps(manifest)}")

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
        """Reads every point back."""
        self.examine()
        self.verify()
        store, _ = self.open()
        for point, known in self.points.items():
            states = model.stored(store, known.manifest)
            if states != known.states:
                raise Violation(f"{point} no longer gives back what it held")


def _gaps(manifest: Manifest) -> str:
    return "; ".join(f"{gap.what}: {gap.reason}" for entry in manifest.tables.values() for gap in entry.gaps)


class Outcome:
    """How a simulation ended.

    Attributes:
        violation: What was not as it has to be; empty when all was.
        trace: Hash of everything that happened.
        log: The same in lines.
        told: How often each kind of trouble struck.
        steps: How many steps were carried out.
    """

    def __init__(self, violation: str, world: World, steps: int) -> None:
        self.violation = violation
        self.trace = world.trace.hexdigest()
        self.log = world.log
        self.told = world.told
        self.steps = steps


def simulate(seed: int, program: Program) -> Outcome:
    """Carries out a program, and returns how it went."""
    folder = Path(tempfile.mkdtemp(prefix="seed-", dir=_folder))
    universe = Universe(seed)
    try:
        with inside(universe):
            world = World(universe, folder, program.types)
            try:
                return _live(world, program.steps)
            finally:
                world.tenant.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _live(world: World, steps: Sequence[Step]) -> Outcome:
    carried = 0
    try:
        for step in steps:
            world.note(f"--- {step}")
            _carry_out(world, step)
            carried += 1
            world.examine()
        world.examine_all()
    except Violation as violation:
        return Outcome(str(violation), world, carried)
    except EntraPipelineError as error:
        return Outcome(f"{type(error).__name__}: {error.message}", world, carried)
    except Exception as error:
        world.log.append(_trace_of(error))
        return Outcome(f"unexpected {type(error).__name__}: {error}", world, carried)
    return Outcome("", world, carried)


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
