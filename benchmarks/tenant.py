"""The tenant that is measured: a simulated one that serves from a process of its own, and a scope on it.

What belongs here: starting it, changing it, and the files that a run in another process needs. What does not: runs.
"""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from entra_pipeline.project import Project, load_project
from entra_pipeline.simulator import Simulator, serve

MEMBERSHIPS_PER_USER = 5
"""What the simulator makes up: 200,000 users have a million memberships."""
SCOPE = "measured"
_START_SECONDS = 1_200
_SERVING = "serving"
_PROJECT = """
[storage.local]
kind = "local"
path = "store"

{tenant}
[scopes.measured]
tenant = "simulated"
storage = "local"
protect = {types}
"""


class Measured:
    """A tenant that is served, and the folder of a project with the scope `measured` on it.

    Attributes:
        simulator: Attached to the process that serves the tenant.
        control: Changes the tenant, and counts what is asked of it.
        folder: Of the project; the store is below it.
        users: How many users the tenant was made with.
        groups: How many groups.
    """

    def __init__(self, simulator: Simulator, folder: Path, users: int, groups: int) -> None:
        self.simulator = simulator
        self.control = simulator.control
        self.folder = folder
        self.users = users
        self.groups = groups

    @property
    def project_file(self) -> Path:
        """The configuration."""
        return self.folder / "dagster_project.toml"

    @property
    def project(self) -> Project:
        """The configuration, read."""
        return load_project(self.project_file)

    def protect(self, types: list[str]) -> None:
        """Writes a scope that protects these object types, with an empty store."""
        shutil.rmtree(self.folder / "store", ignore_errors=True)
        self.folder.mkdir(exist_ok=True)
        listed = "[" + ", ".join(f'"{name}"' for name in types) + "]"
        self.project_file.write_text(_PROJECT.format(tenant=self.simulator.tenant_table(), types=listed))

    def change(self, share: float, seed: int = 1) -> int:
        """Changes a share of the users, groups and memberships; returns how many changes were made.

        Of the users, eight in ten get other attributes, one in ten is new, and one in ten is deleted; groups get other
        descriptions; as many memberships are added as are taken away.
        """
        chance = random.Random(seed)
        users = [str(one["id"]) for one in self.control.dump("users")]
        groups = [
            str(one["id"])
            for one in self.control.dump("groups")
            if "DynamicMembership" not in one.get("groupTypes", ())
        ]
        chosen = chance.sample(users, max(3, round(len(users) * share)))
        tenth = max(1, len(chosen) // 10)
        for identifier in chosen[:tenth]:
            self.control.delete(f"users/{identifier}")
        for number, identifier in enumerate(chosen[tenth:-tenth]):
            self.control.patch(f"users/{identifier}", {"jobTitle": f"Changed {seed}.{number}"})
        created = self.control.create_many("users", [{}] * tenth)
        changed = chance.sample(groups, max(1, round(len(groups) * share)))
        for number, identifier in enumerate(changed):
            self.control.patch(f"groups/{identifier}", {"description": f"Changed {seed}.{number}"})
        wanted = max(2, round(self.users * MEMBERSHIPS_PER_USER * share))
        gone = set(chosen[:tenth])
        edges = [(s, t) for s, t, kind in sorted(self.control.edges("groups", "members")) if kind == "user"]
        fixed = set(groups)
        removable = [(s, t) for s, t in edges if s in fixed and t not in gone]
        removed = chance.sample(removable, min(len(removable), wanted // 2))
        for source, target in removed:
            self.control.remove_link(f"groups/{source}/members", target)
        taken = set(edges)
        left = [one for one in users if one not in gone]
        added = 0
        while added < wanted - len(removed):
            pair = (chance.choice(groups), chance.choice(left))
            if pair not in taken:
                taken.add(pair)
                self.control.add_link(f"groups/{pair[0]}/members", pair[1])
                added += 1
        return len(chosen) + len(created) + len(changed) + len(removed) + added


@contextmanager
def measured(folder: Path, users: int, groups: int) -> Iterator[Measured]:
    """A tenant of that size, served by a process of its own until the context ends.

    Args:
        folder: Keeps the tenant (it is made once per size) and the project.
        users: How many users.
        groups: How many groups.
    """
    state = folder / f"tenant-{users}-{groups}"
    state.mkdir(parents=True, exist_ok=True)
    (state / _SERVING).unlink(missing_ok=True)
    serving = subprocess.Popen([sys.executable, "-m", "benchmarks.tenant", str(state), str(users), str(groups)])
    try:
        simulator = _attached(state, serving)
        # The limits are Graph's, and take their time from everybody alike: what is measured is the work.
        simulator.control.knobs(throttle_units=False, throttle_conditional_access=False, throttle_lanes=False)
        yield Measured(simulator, folder / f"project-{users}-{groups}", users, groups)
        simulator.stop()
    finally:
        serving.terminate()
        serving.wait()


def _attached(state: Path, serving: subprocess.Popen[bytes]) -> Simulator:
    deadline = time.monotonic() + _START_SECONDS
    while not (state / _SERVING).exists():
        if serving.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError("the simulated tenant did not start")
        time.sleep(0.1)
    simulator = Simulator(state=state)
    simulator.start()
    return simulator


if __name__ == "__main__":
    at, how_many_users, how_many_groups = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    serve(how_many_users, how_many_groups, state=at, started=lambda simulator: (at / _SERVING).touch())
