"""The script that checks evidence, as an auditor runs it: alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.evidence.conftest import FIRST, LAST, World
from tests.support.command import call
from tests.support.signing import OURS


def test_the_command_writes_it_and_the_script_checks_it_alone(own: World, tmp_path: Path) -> None:
    target, script = tmp_path / "bundle.jsonl", tmp_path / "verify_evidence.py"
    period = ("--from", FIRST, "--to", LAST)
    result = call("--project", own.file, "evidence", "contoso", *period, "--output", target)
    assert result.code == 0 and OURS.public.text in result.out, result.err
    script.write_text(call("evidence", "--script").out)
    (tmp_path / "key.txt").write_text(OURS.public.text + "\n")
    # Isolated: what is beside the script, and the working folder, cannot be imported.
    for key in (OURS.public.text, tmp_path / "key.txt"):
        done = subprocess.run([sys.executable, "-I", script, target, key], capture_output=True, text=True)
        assert done.returncode == 0 and "all is as it was signed" in done.stdout, done.stdout + done.stderr
    assert "drill of" in done.stdout and "NOT OK" not in done.stdout
    imported = {
        line.split()[1].split(".")[0]
        for line in script.read_text().splitlines()
        if line.startswith(("from ", "import "))
    }
    assert imported - sys.stdlib_module_names == {"cryptography"}
