"""What is installed: the wheel has everything that the packages have, and offers what it says."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import dagster as dg

import entra_pipeline
from entra_pipeline.simulator import Simulator
from tests.support.command import write_project

ROOT = Path(__file__).parents[1]


def test_a_wheel_has_every_file_of_the_packages_and_dagsters_settings(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, timeout=120)
    (wheel,) = tmp_path.glob("*.whl")
    held = set(zipfile.ZipFile(wheel).namelist())
    ours = {
        str(file.relative_to(ROOT))
        for package in ("entra_pipeline", "assets", "resources")
        for file in (ROOT / package).rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    assert ours - held == set()
    assert "entra_pipeline/dagster.yaml" in held


def test_definitions_stand_beside_those_of_others(tmp_path: Path) -> None:
    with Simulator(users=1, groups=1, seed=1) as simulator:
        file = write_project(tmp_path, simulator)

    @dg.asset(deps=[dg.AssetKey(["few", "users"])])
    def ours() -> None:
        """Reads what a backup has written."""

    both = dg.Definitions.merge(dg.Definitions(assets=[ours]), entra_pipeline.definitions_for(file))
    assert {dg.AssetKey("ours"), dg.AssetKey(["few", "users"])} <= both.resolve_asset_graph().get_all_asset_keys()
    assert "backup_now_few" in both.get_repository_def().job_names
