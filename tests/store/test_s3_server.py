"""The S3 server of the tests."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support import s3

RUN = """
import sys, time
from pathlib import Path
from tests.support.s3 import ceph

with ceph(Path(sys.argv[1])):
    print("ready", flush=True)
    time.sleep(600)
"""


def is_running(process: int) -> bool:
    """Tells whether a process runs; one that has ended and that nobody waited for shows no command any more."""
    try:
        return bool(Path(f"/proc/{process}/cmdline").read_bytes())
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not s3.ceph_is_installed(), reason="Ceph is not installed")
def test_a_run_that_is_killed_leaves_no_daemon_behind(tmp_path: Path) -> None:
    command = [sys.executable, "-c", RUN, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == b"ready\n"
        daemons = [int(file.read_text()) for file in (tmp_path / "run").glob("*.pid")]
        assert [is_running(daemon) for daemon in daemons] == [True] * 3
        os.killpg(run.pid, signal.SIGKILL)
    deadline = time.monotonic() + 60
    while any(is_running(daemon) for daemon in daemons):
        assert time.monotonic() < deadline
        time.sleep(0.1)
