"""A machine: a user, a file system in which nothing but its own folders can be written, and processes.

What a container gives, by `unshare` and `setpriv`, except a network of its own: names of machines are addresses of the
loopback network.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

HOME = Path("/var/lib/entra-pipeline")
"""DAGSTER_HOME in a machine."""
SETTINGS = Path("/etc/entra-pipeline")
"""Where a machine has its configuration."""

_BIN = Path(sys.executable).parent
# Mounted in this order: what is in the machine's folder has to be mounted before /tmp hides it.
_ENTER = """
set -e
mount --make-rprivate /
for place in "$0"/root/*; do mount --bind "$place" "/$(basename "$place" | tr + /)"; done
mount -t tmpfs -o mode=1777 tmpfs /tmp
cd {home}
exec setpriv --reuid "$1" --regid "$1" --clear-groups --inh-caps=-all --no-new-privs -- "${{@:2}}"
"""


class Machine:
    """One machine.

    Args:
        folder: Keeps its files; made.
        user: Number of its user, which nobody else has.
        hosts: Address by name of the machines.
        environment: Of its processes, beside what every machine has.
        files: What stands in `SETTINGS` and `HOME`: text by absolute path. Its user reads them, and nobody else.
    """

    def __init__(
        self,
        folder: Path,
        user: int,
        *,
        hosts: Mapping[str, str],
        environment: Mapping[str, str],
        files: Mapping[Path, str],
    ) -> None:
        self.folder, self.user = folder, user
        self._files = {Path("/etc/hosts"): "\n".join(f"{address} {name}" for name, address in hosts.items()), **files}
        self._environment = {
            "PATH": os.pathsep.join([str(_BIN), "/usr/bin", "/bin"]),
            "HOME": "/tmp",
            "PYTHONUNBUFFERED": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "DAGSTER_HOME": str(HOME),
            "DAGSTER_DISABLE_TELEMETRY": "yes",
            "ENTRA_PIPELINE_PROJECT": str(SETTINGS / "dagster_project.toml"),
            "PYTHONPATH": str(Path(__file__).parents[2]),
            **environment,
        }
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self.build()

    def build(self) -> None:
        """Makes its file system anew: what was written on it before is gone."""
        shutil.rmtree(self.folder / "root", ignore_errors=True)
        for place in (HOME, SETTINGS):
            place.mkdir(parents=True, exist_ok=True)
            (self._under(place)).mkdir(parents=True)
        os.chown(self._under(HOME), self.user, self.user)
        self._under(HOME).chmod(0o700)
        for path, text in self._files.items():
            mounted = next((one for one in (HOME, SETTINGS) if path.is_relative_to(one)), path)
            file = self._under(mounted) / path.relative_to(mounted)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
            os.chown(file, self.user, self.user)
            file.chmod(0o400)

    def _under(self, path: Path) -> Path:
        return self.folder / "root" / str(path.relative_to("/")).replace("/", "+")

    def start(self, name: str, arguments: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        """Starts a process, which writes into the log `NAME.log` of the folder; one of that name has to have ended."""
        with (self.folder / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                self._entered(arguments),
                env={**self._environment, **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def succeeds(self, arguments: Sequence[str]) -> bool:
        """Tells whether a command ends with 0 in the machine."""
        done = subprocess.run(self._entered(arguments), env=self._environment, capture_output=True, check=False)
        return done.returncode == 0

    def alive(self, name: str) -> bool:
        """Tells whether a process runs."""
        return name in self._processes and self._processes[name].poll() is None

    def kill(self, name: str) -> None:
        """Kills a process and all that it has started, with SIGKILL."""
        process = self._processes[name]
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def stop(self) -> None:
        """Ends all processes."""
        for process in self._processes.values():
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
        for name, process in self._processes.items():
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill(name)

    def written(self) -> list[str]:
        """Returns the files that its processes have written, relative to `HOME`."""
        home = self._under(HOME)
        given = {path.relative_to(HOME) for path in self._files if path.is_relative_to(HOME)}
        found = (path.relative_to(home) for path in home.rglob("*") if path.is_file())
        return sorted(str(path) for path in found if path not in given)

    def _entered(self, arguments: Sequence[str]) -> list[str]:
        enter = _ENTER.format(home=shlex.quote(str(HOME)))
        return ["unshare", "--mount", "bash", "-c", enter, str(self.folder), str(self.user), *arguments]
