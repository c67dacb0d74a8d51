"""Outputs of ops and assets: there are none, as everything that a run makes is in the store of its scope."""

from __future__ import annotations

from typing import Any, NoReturn

import dagster as dg


class NoOutputs(dg.IOManager):
    """Stands where Dagster would put an I/O manager of its own, which takes a folder to write to from a launch."""

    def handle_output(self, context: dg.OutputContext, obj: Any) -> NoReturn:
        """Raises DagsterInvariantViolationError: nothing is handed on by Dagster."""
        raise dg.DagsterInvariantViolationError("ops and assets of this project hand nothing on: they use the store")

    def load_input(self, context: dg.InputContext) -> NoReturn:
        """Raises DagsterInvariantViolationError: nothing is handed on by Dagster."""
        raise dg.DagsterInvariantViolationError("ops and assets of this project hand nothing on: they use the store")
