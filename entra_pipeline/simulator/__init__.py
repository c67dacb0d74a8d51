"""A simulated Entra tenant that speaks Microsoft Graph over HTTP: for demos, tests and restore drills.

`Simulator` runs one, `Control` changes it and injects faults. See docs/simulator.md.
"""

from entra_pipeline.simulator.control import Control
from entra_pipeline.simulator.server import Simulator, SimulatorError, serve

__all__ = ["Control", "Simulator", "SimulatorError", "serve"]
