"""What differs between a recovery point and the tenant: which object is which, and what is there of it.

1. `compare` finds every object of the point in the tenant, and the links that differ.
2. `moved` adds what names an object that gets another id, and follows that to what can only be made anew.
3. `ties` finds grants and assignments of which Graph holds one only.

What belongs here: differences. What does not: what is done about them (`plan.rules`).
"""

from entra_pipeline.restore.plan.diff.compare import compare
from entra_pipeline.restore.plan.diff.sides import Side, decoded, meeting, namesakes, naming
from entra_pipeline.restore.plan.diff.tenant_diff import ObjectDiff, ObjectState, RestoreLink, TenantDiff

__all__ = [
    "ObjectDiff",
    "ObjectState",
    "RestoreLink",
    "Side",
    "TenantDiff",
    "compare",
    "decoded",
    "meeting",
    "namesakes",
    "naming",
]
