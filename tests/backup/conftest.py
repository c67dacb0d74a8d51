"""Every test of this room may have a tenant of its own, and waits for nothing."""

from tests.support.protected import _impatience, tenant

__all__ = ["_impatience", "tenant"]
