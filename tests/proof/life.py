"""What goes on in the tenant of a simulation: the changes of `tests.backup.changing`, and those of other types."""

from __future__ import annotations

from tests.backup.changing import Life


class ProofLife(Life):
    """Changes also applications, locations and the one authorization policy."""
