"""The tenants of the backup's tests: a restore plan is made of what a backup has read."""

from tests.support.protected import _impatience, tenant

__all__ = ["_impatience", "tenant"]
