"""A scope on a simulated tenant of its own; see tests/backup/conftest.py."""

from tests.support.protected import _impatience, tenant

__all__ = ["_impatience", "tenant"]
