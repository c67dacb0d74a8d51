"""`make bench`: runs every comparison and writes what it finds into docs/benchmarks.md.

`python -m benchmarks [PART …] [--scale X] [--keep FOLDER]` runs some of the parts; without any, all of them. At another
scale than the published one, the page stays as it is.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from benchmarks import report
from benchmarks.parts import PARTS


def main() -> None:
    """Runs the parts, prints what each found, and writes it into the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "parts", nargs="*", metavar="PART", help=f"which to run: {', '.join(PARTS)}; all when none is named"
    )
    parser.add_argument("--scale", type=float, default=1.0, help="size of the tenants against the published ones")
    parser.add_argument("--keep", type=Path, help="folder that keeps the simulated tenants from run to run")
    given = parser.parse_args()
    if unknown := [name for name in given.parts if name not in PARTS]:
        parser.error(f"no such part: {', '.join(unknown)}")
    chosen = given.parts or list(PARTS)
    with tempfile.TemporaryDirectory(prefix="entra-pipeline-bench-") as temporary:
        folder = given.keep or Path(temporary)
        sections = []
        for name in chosen:
            found = []
            for section in PARTS[name](folder, given.scale):
                print(section.text(), end="\n\n", flush=True)
                found.append(section)
            if given.scale == 1.0:
                report.write(name, found)
            sections += found
    missed = [f"{bound.what} ({section.title})" for section in sections for bound in section.bounds if not bound.holds]
    if missed:
        sys.exit(f"not what it has to be: {', '.join(missed)}")


if __name__ == "__main__":
    main()
