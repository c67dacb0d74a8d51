"""A simulated Entra tenant that speaks Microsoft Graph over HTTP: for demos, tests and restore drills.

`Simulator` runs one, `Control` changes it and injects faults. Floors, from the ground up; each imports those below it:

1. `schema`: tables of entity sets, relations and permissions, written down from Graph's documentation.
2. `protocol`: requests, paths, query options, tokens and errors, without a tenant.
3. `storage`: objects and links in SQLite, with a change counter from which delta follows.
4. `generate`: the contents of a new tenant, made from a seed. `faults`: settings that make the tenant misbehave.
5. `graph`: answers requests to read and to write, as Graph does.
6. `server`: HTTP and TLS, sign-in, the control API, and the life of a running simulator.

See docs/simulator.md.
"""

from entra_pipeline.simulator.server.control.client import Control
from entra_pipeline.simulator.server.simulator import Simulator, SimulatorError, serve

__all__ = ["Control", "Simulator", "SimulatorError", "serve"]
