"""Takes orders inside the server and hands each to what carries it out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from entra_pipeline.simulator.graph.tenant import SimulatedGraph
from entra_pipeline.simulator.protocol.failures import Failure
from entra_pipeline.simulator.server.control.changes import ChangeOrders
from entra_pipeline.simulator.server.control.lookup import WrongOrder
from entra_pipeline.simulator.server.control.settings import SettingOrders
from entra_pipeline.simulator.server.control.truth import TruthOrders


class ControlPanel:
    """Carries out orders on one tenant."""

    def __init__(self, tenant: SimulatedGraph) -> None:
        self.tenant = tenant
        self._settings = SettingOrders(tenant)
        self._orders: dict[str, Callable[..., Any]] = {
            "identity": self._identity,
            **ChangeOrders(tenant).orders(),
            **TruthOrders(tenant).orders(),
            **self._settings.orders(),
        }

    def answer(self, name: str, order: bytes) -> tuple[int, bytes]:
        """Carries out an order given as JSON; returns the HTTP status, and the result or what is wrong as JSON."""
        try:
            return 200, msgspec.json.encode(self.obey(name, msgspec.json.decode(order or b"{}")))
        except (WrongOrder, Failure, msgspec.DecodeError) as error:
            return 400, msgspec.json.encode({"error": str(error)})

    def obey(self, name: str, order: dict[str, Any]) -> Any:
        """Returns the result of an order, ready for JSON. Raises WrongOrder, Failure."""
        if name not in self._orders:
            raise WrongOrder(f"no such order: {name}; there are {', '.join(sorted(self._orders))}")
        try:
            if name == "knobs":
                return self._orders[name](**order)
            with self.tenant.directory.writing():
                return self._orders[name](**order)
        except TypeError as error:
            raise WrongOrder(str(error)) from error

    def _identity(self) -> Any:
        return {"tenant_id": self.tenant.identity.tenant_id, "client_id": self.tenant.identity.client_id}
