"""Rules of privileged identity management: kept in policies, and shown by what assigns a policy to a role or a group.

What belongs here: that both tell the same, and that a new group has rules. What does not: who may write them.
"""

from __future__ import annotations

from typing import Any

import msgspec

from entra_pipeline.simulator.generate.privileged import policy_and_assignment
from entra_pipeline.simulator.schema import LinkKind
from entra_pipeline.simulator.storage.database import Entity, StoredObject
from entra_pipeline.simulator.storage.directory import Directory

POLICY = "unifiedRoleManagementPolicy"
_ASSIGNMENT = "unifiedRoleManagementPolicyAssignment"


def merged(before: list[Entity], given: list[Entity]) -> list[Entity]:
    """Returns the rules of a policy after a PATCH, which has those that change (Graph doc: update a policy)."""
    changes = {str(one.get("id")): one for one in given}
    return [{**one, **changes.get(str(one["id"]), {})} for one in before]


def show(directory: Directory, seq: int) -> None:
    """Has the assignments of a policy show it as it is now."""
    row = directory.by_seq(seq)
    policy = {name: value for name, value in msgspec.json.decode(row.body).items() if name != "effectiveRules"}
    where = "json_extract(o.json, '$.policyId') = ?"
    for assignment in directory.page(_ASSIGNMENT, where=where, values=(row.id,)):
        directory.update(assignment.seq, {"policy": policy})


def give(directory: Directory, group: StoredObject, new_key: Any) -> None:
    """Gives a new group the rules that every group begins with (Graph doc: PIM for groups)."""
    body = msgspec.json.decode(group.body)
    if not body.get("isAssignableToRole") or "DynamicMembership" in (body.get("groupTypes") or ()):
        return
    for access in ("member", "owner"):
        policy, assignment = policy_and_assignment(f"Group_{group.id}_{new_key()}", group.id, "Group", access)
        for kind, part in ((POLICY, policy), (_ASSIGNMENT, assignment)):
            made = directory.insert(kind, part["id"], part)
            directory.link(LinkKind.GROUP_RULES, group.seq, made.seq)
