"""`python -m tests.proof`: see `make prove`."""

import os
import sys
from pathlib import Path

if os.environ.get("PYTHONHASHSEED") != "0":
    # The order of sets is part of what a seed decides.
    os.environ["PYTHONHASHSEED"] = "0"
    os.environ.setdefault("TMPDIR", "/dev/shm" if Path("/dev/shm").is_dir() else "/tmp")
    os.execv(sys.executable, [sys.executable, "-m", "tests.proof", *sys.argv[1:]])

import tests.proof.virtual  # noqa: F401, I001 - before anything of the product

from tests.proof.command import main

sys.exit(main(sys.argv[1:]))
