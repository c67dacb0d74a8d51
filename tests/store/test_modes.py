"""What is stored on a disk is for its user alone, whatever the umask."""

from __future__ import annotations

import os
from pathlib import Path

from entra_pipeline.clock import system_clock
from entra_pipeline.store.backends.local import LocalObjectStore


def test_nobody_else_reads_a_local_store(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        files = LocalObjectStore(tmp_path / "above" / "store")
        files.create("users/scope=a/part", b"x")
        files.replace("_audit/one", b"x")
        source = tmp_path / "source"
        source.write_bytes(b"x")
        files.upload("groups/part", source)
        with files.lock("scope", "the scope", system_clock):
            pass
    finally:
        os.umask(before)
    made = [tmp_path / "above", *(tmp_path / "above").rglob("*")]
    assert len(made) > 8
    assert {oct(one.stat().st_mode & 0o777) for one in made} == {"0o600", "0o700"}
    assert all((one.stat().st_mode & 0o777 == 0o700) == one.is_dir() for one in made)
