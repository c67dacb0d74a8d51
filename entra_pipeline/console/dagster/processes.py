"""Dagster's processes on this machine, which the console starts and finds again.

They are sessions of their own: a console that ends, or is killed, does not take running jobs with it. The next one
finds them by the file that the first left in DAGSTER_HOME, and starts only what is not running. None of them has a
port: webservers and code server listen on Unix sockets in a folder that only this user can enter.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import mkdtemp

import dagster as dg
import msgspec

from entra_pipeline.console.dagster.client import LOCATION, PATH, UNDER_WAY, Dagster, DagsterUnavailable
from entra_pipeline.console.dagster.webserver import WebserverAddress
from entra_pipeline.errors import UsageError
from entra_pipeline.project.creating import shipped_dagster_yaml
from entra_pipeline.project.loading import VARIABLE
from entra_pipeline.project.secrets import scrubber
from entra_pipeline.project.watching import WatchedProject

_CHECK = 5.0
_GRACE = 15.0
# Seconds that a webserver may take until it listens: 5 on an idle machine.
_STARTING = 60.0
_SERVERS = ("code-server", "webserver", "read-only")
# Bytes of the path of a socket: `sun_path` of unix(7) has 108, one of which ends it.
_LONGEST_PATH = 107


class _Known(msgspec.Struct):
    """What the file in DAGSTER_HOME tells.

    Attributes:
        pids: Process ids, by name.
        sockets: The folder of the sockets.
    """

    pids: dict[str, int]
    sockets: str = ""


_KNOWN_DECODER = msgspec.json.Decoder(_Known)


class DagsterProcesses:
    """Code server, daemon, and two webservers. Use as a context manager.

    Args:
        home: DAGSTER_HOME; made when it is not there.
        project: The configuration file.
    """

    def __init__(self, home: Path, project: Path) -> None:
        self.home = home.resolve()
        self._project = project.resolve()
        self._file = self.home / "console.json"
        self._known = _Known({})
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._stopping = threading.Event()
        self._watch = threading.Thread(target=self._watching, name="dagster", daemon=True)

    def __enter__(self) -> Dagster:
        self._prepare()
        self._start_missing()
        self._watch.start()
        addresses = (WebserverAddress(f"http://localhost{PATH}", self._socket(name)) for name in _SERVERS[1:])
        self._dagster = Dagster(*addresses, starting=_STARTING, scrub=scrubber(WatchedProject(self._project).load))
        return self._dagster

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._watch.join()
        if not self.busy():
            self._stop()
        self._dagster.close()

    def busy(self) -> bool:
        """Whether jobs are under way, so that Dagster has to go on."""
        with suppress(DagsterUnavailable):
            return bool(self._dagster.runs(limit=1, filters={"statuses": list(UNDER_WAY)}))
        return False

    # --- Starting ----------------------------------------------------------------------------------------------------

    def _prepare(self) -> None:
        try:
            self.home.mkdir(parents=True, exist_ok=True)
            self.home.chmod(0o700)
            if not (self.home / "dagster.yaml").exists():
                shutil.copyfile(shipped_dagster_yaml(self._project.parent), self.home / "dagster.yaml")
        except OSError as error:
            raise UsageError(
                f"{self.home} cannot be used for Dagster: {error.strerror}",
                remedy="Set DAGSTER_HOME to a folder that the console can write to.",
            ) from None
        _make_databases(self.home)
        with suppress(OSError, msgspec.DecodeError):
            self._known = _KNOWN_DECODER.decode(self._file.read_bytes())
        if not self._known.sockets or not Path(self._known.sockets).is_dir():
            self._known.sockets = _private_folder(self.home)
        server = {"socket": self._socket("code-server"), "location_name": LOCATION}
        # JSON is YAML.
        self._workspace.write_bytes(msgspec.json.encode({"load_from": [{"grpc_server": server}]}))

    def _socket(self, name: str) -> str:
        return str(Path(self._known.sockets) / name)

    @property
    def _workspace(self) -> Path:
        return self.home / "console-workspace.yaml"

    def _commands(self) -> Mapping[str, list[str]]:
        binaries = Path(sys.executable).parent
        workspace = ["-w", str(self._workspace)]
        module = [sys.executable, "-m", "entra_pipeline.console.dagster.webserver"]
        webserver = ["-l", PATH, *workspace]
        code = ["code-server", "start", "-s", self._socket("code-server"), "--location-name", LOCATION]
        return {
            "code-server": [
                *(str(binaries / "dagster"), *code, "-m", "entra_pipeline.definitions"),
                "--use-python-environment-entry-point",
            ],
            "webserver": [*module, self._socket("webserver"), *webserver],
            "read-only": [*module, self._socket("read-only"), *webserver, "--read-only"],
            "daemon": [str(binaries / "dagster-daemon"), "run", *workspace],
        }

    def _start_missing(self) -> None:
        for name, command in self._commands().items():
            if not self._runs(name, command):
                self._retire(name)
                self._known.pids[name] = self._start(name, command)
        # In one step: a console that is killed meanwhile leaves a file by which the next one finds Dagster.
        written = self._file.with_suffix(".new")
        written.write_bytes(msgspec.json.encode(self._known))
        written.replace(self._file)

    def _start(self, name: str, command: list[str]) -> int:
        environment = os.environ | {
            "DAGSTER_HOME": str(self.home),
            VARIABLE: str(self._project),
            "DAGSTER_DISABLE_TELEMETRY": "yes",
        }
        with (self.home / f"console-{name}.log").open("ab") as log:
            child = subprocess.Popen(  # noqa: S603 - our own command
                command,
                cwd=self._project.parent,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                # Logs of runs and Dagster's databases tell of people, too.
                umask=0o077,
            )
        self._children[name] = child
        return child.pid

    def _runs(self, name: str, command: list[str]) -> bool:
        """Whether a process is running: the one that was started, not another that has its number now."""
        child = self._children.get(name)
        if child is not None:
            return child.poll() is None
        return " ".join(command[1:]) in _command_of(self._known.pids.get(name))

    def _retire(self, name: str) -> None:
        """Ends the process of another release, which was started in another way: two would do the same work."""
        pid = self._known.pids.get(name)
        if pid is not None and name != "code-server" and str(self._workspace) in _command_of(pid):
            _signal(pid, signal.SIGTERM)

    def _watching(self) -> None:
        """Starts again what has ended, less and less eagerly."""
        pause = _CHECK
        while not self._stopping.wait(pause):
            before = dict(self._known.pids)
            self._start_missing()
            pause = _CHECK if before == self._known.pids else min(pause * 2, 120.0)

    # --- Stopping ----------------------------------------------------------------------------------------------------

    def _stop(self) -> None:
        commands = self._commands()
        running = {name: self._known.pids[name] for name, command in commands.items() if self._runs(name, command)}
        # The code server does not heed it, and holds nothing: it goes when all who ask it have gone.
        asked = [name for name in running if name != "code-server"]
        for name in asked:
            _signal(running[name], signal.SIGTERM)
        end = time.monotonic() + _GRACE
        while time.monotonic() < end and any(self._runs(name, commands[name]) for name in asked):
            time.sleep(0.1)
        for pid in running.values():
            _signal(pid, signal.SIGKILL)
        self._file.unlink(missing_ok=True)


def _command_of(pid: int | None) -> str:
    """The command line of a process; empty when there is none."""
    if pid is None:
        return ""
    told = subprocess.run(  # noqa: S603
        ["ps", "-ww", "-o", "stat=,command=", "-p", str(pid)],  # noqa: S607
        capture_output=True,
        text=True,
        check=False,
    ).stdout.strip()
    return "" if told.startswith("Z") else told


def _signal(pid: int, number: signal.Signals) -> None:
    """Tells a process, and those that it started."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def _make_databases(home: Path) -> None:
    """Makes Dagster's databases where they are not there: four processes that start at once would each make them."""
    with dg.DagsterInstance.from_config(str(home)) as instance:
        instance.get_runs(limit=1)
        instance.get_asset_keys(limit=1)
        instance.all_instigator_state()


def _private_folder(home: Path) -> str:
    """A folder for sockets that only this user can enter: in DAGSTER_HOME, unless its name is too long for a socket."""
    folder = home / "sockets"
    if max(len(os.fsencode(folder / name)) for name in _SERVERS) > _LONGEST_PATH:
        return mkdtemp(prefix="entra-pipeline-")
    folder.mkdir(mode=0o700, exist_ok=True)
    folder.chmod(0o700)
    return str(folder)
