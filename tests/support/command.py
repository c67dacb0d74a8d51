"""The command, called as from a shell, on a simulated tenant and a local folder."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any, NamedTuple

from entra_pipeline.cli import run
from entra_pipeline.project import load_project
from entra_pipeline.project.stores import open_store
from entra_pipeline.simulator import Simulator
from entra_pipeline.store.recovery_points import ScopeStore


class Result(NamedTuple):
    """What a call of the command came to."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def call(*arguments: object) -> Result:
    """Calls the command in this process, with the same explanations of errors and exit codes as a shell gets."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run([str(one) for one in arguments])
    return Result(code, out.getvalue(), err.getvalue())


class Place(NamedTuple):
    """A project in a folder, with its tenant."""

    file: Path
    simulator: Simulator

    def call(self, *arguments: object) -> Result:
        return call("--project", self.file, *arguments)

    def store(self, scope: str = "all") -> ScopeStore:
        return open_store(load_project(self.file), scope)


def write_project(folder: Path, simulator: Simulator, extra: str = "") -> Path:
    """A project whose scope `all` protects the whole tenant, and whose scope `few` protects three types."""
    file = folder / "dagster_project.toml"
    file.write_text(
        "# made for the tests\n"
        f'[storage.disk]\nkind = "local"\npath = "backup"\n'
        f"{simulator.tenant_table('contoso')}\n"
        '[scopes.all]\ntenant = "contoso"\nstorage = "disk"\nschedule = "0 5 * * *"\n'
        '[scopes.few]\ntenant = "contoso"\nstorage = "disk"\nprotect = ["users", "groups", "domains"]\n' + extra,
        encoding="utf-8",
    )
    return file
