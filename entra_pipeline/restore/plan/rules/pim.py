"""Active assignments of privileged identity management, which give at once what they stand for.

What belongs here: those that would give a membership, an ownership or a role that nobody had at the recovery point, and
those that take one away which was there before them.
What does not: how they are asked for (`requests.schedule`).

A request for an active assignment makes its principal a member of the group, or gives it the role (Graph doc: PIM for
groups, PIM for roles). Where somebody was taken out of a group, and the assignment stayed, it would bring back more
than there was.
"""

from __future__ import annotations

import duckdb

from entra_pipeline.catalogue import CATALOGUE
from entra_pipeline.restore.objects.model import PlanRefusal
from entra_pipeline.restore.objects.normalize import normalized
from entra_pipeline.restore.objects.references import rewrite
from entra_pipeline.restore.plan.diff import RestoreLink, Side, TenantDiff, decoded
from entra_pipeline.restore.plan.estimate import requests_for_links
from entra_pipeline.restore.plan.rules.drafts import REMOVALS, Draft

_GROUPS = "privileged_access_group_assignment_schedules"
_ROLES = "role_assignment_schedules"
_ASSIGNMENTS = "role_assignments"
_GOES = "goes with an assignment that is removed, and was there before it"
# Graph doc: privilegedAccessGroupAssignmentSchedule, `accessId`.
_GIVEN = {"member": ("group_members", "a member of the group"), "owner": ("group_owners", "an owner of the group")}
_ROLE = ("principalId", "roleDefinitionId", "directoryScopeId")


def without_more_access(
    connection: duckdb.DuckDBPyConnection, point: Side, drafts: list[Draft]
) -> tuple[list[Draft], list[PlanRefusal]]:
    """Refuses assignments that would give more access than there was.

    A table that the recovery point has never read says nothing against an assignment.

    Args:
        connection: Reads the store of the recovery point.
        point: The recovery point.
        drafts: The steps.

    Returns:
        The steps that stay, and why the others do not.
    """
    given = _Given(connection, point)
    refusals = [refusal for draft in drafts if (refusal := given.refusal(draft)) is not None]
    refused = {(one.table, one.id) for one in refusals}
    kept = [one for one in drafts if one.action != "create" or (one.table, one.id) not in refused]
    return kept, refusals


def with_links_that_go(
    connection: duckdb.DuckDBPyConnection, point: Side, drafts: list[Draft], diff: TenantDiff
) -> list[Draft]:
    """Adds links and roles of the recovery point that an active assignment takes with it when it is removed.

    Who was a member, an owner or the holder of a role before the assignment was given is that no more when it ends:
    Graph knows one only.

    Args:
        connection: Reads the store of the recovery point.
        point: The recovery point.
        drafts: The resolved steps.
        diff: What differs between the recovery point and the tenant.
    """
    given_anew = {draft.id for draft in drafts if draft.table in {_GROUPS, _ROLES} and draft.action == "create"}
    before = {now: then for then, now in diff.forward.items()}
    lost: dict[tuple[str, str], list[RestoreLink]] = {}
    for draft in drafts:
        if draft.table != _GROUPS or draft.action != "delete" or draft.id in given_anew:
            continue
        assignment = rewrite(diff.items[_GROUPS][draft.id].found(), before)
        relation, _ = _GIVEN.get(str(assignment.get("accessId")), ("", ""))
        if not relation or not point.has(relation):
            continue
        state = point.state(relation, "source_id, target_id, target_type")
        query = f"SELECT * FROM ({state}) WHERE source_id = ? AND target_id = ?"
        rows = connection.execute(query, [assignment["groupId"], assignment["principalId"]]).fetchall()
        for row in rows:
            lost.setdefault((relation, assignment["groupId"]), []).append(RestoreLink(*row))
    roles = _roles_that_go(connection, point, [one for one in drafts if one.id not in given_anew], diff)
    again = {one.id: one for one in drafts if one.table == _ASSIGNMENTS and one.action == "create"}
    for id_ in again.keys() & roles.keys():
        # Given before the other one is removed, it would go with that.
        again[id_].stage = REMOVALS
    drafts = drafts + [role for id_, role in sorted(roles.items()) if id_ not in again]
    return drafts + [
        Draft(
            action="link",
            table=relation,
            id=group,
            live_id=diff.forward.get(group, group),
            stage=REMOVALS,
            name=group,
            links=links,
            requests=requests_for_links(relation, len(links), added=True),
            notes=[_GOES],
        )
        for (relation, group), links in sorted(lost.items())
    ]


def _roles_that_go(
    connection: duckdb.DuckDBPyConnection, point: Side, drafts: list[Draft], diff: TenantDiff
) -> dict[str, Draft]:
    """Drafts role assignments of the recovery point that an active assignment takes with it; by their id."""
    before = {now: then for then, now in diff.forward.items()}
    found: dict[str, Draft] = {}
    for draft in drafts:
        if draft.table != _ROLES or draft.action != "delete" or not point.has(_ASSIGNMENTS):
            continue
        assignment = rewrite(diff.items[_ROLES][draft.id].found(), before)
        same = " AND ".join(f"lower(_raw->>'$.{name}') = ?" for name in _ROLE)
        query = f"SELECT id, _raw FROM ({point.state(_ASSIGNMENTS, 'id, _raw')}) WHERE {same}"
        who = _lower(*(assignment.get(name) for name in _ROLE))
        for id_, raw in connection.execute(query, who).fetchall():
            said = normalized(CATALOGUE[_ASSIGNMENTS], decoded(raw))
            found[id_] = Draft(
                action="create",
                table=_ASSIGNMENTS,
                id=id_,
                stage=REMOVALS,
                name=id_,
                body={name: value for name, value in said.items() if value is not None},
                notes=[_GOES],
            )
    return found


class _Given:
    """What is given at the recovery point; read when the first step asks."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, point: Side) -> None:
        self._connection = connection
        self._point = point
        self._held: dict[str, frozenset[tuple[str, ...]]] = {}

    def refusal(self, draft: Draft) -> PlanRefusal | None:
        """Returns the refusal of a step that would give more access; None when it does not."""
        if draft.action != "create" or draft.returning:
            return None
        if draft.table == _GROUPS and draft.body.get("accessId") in _GIVEN:
            table, what = _GIVEN[draft.body["accessId"]]
            wanted = _lower(draft.body["groupId"], draft.body["principalId"])
            columns = "source_id, target_id"
        elif draft.table == _ROLES:
            table, what = _ASSIGNMENTS, "the holder of the role"
            wanted = _lower(*(draft.body.get(name) for name in _ROLE))
            columns = ", ".join(f"_raw->>'$.{name}'" for name in _ROLE)
        else:
            return None
        if not self._point.has(table):
            return None
        if table not in self._held:
            rows = self._connection.execute(self._point.state(table, columns)).fetchall()
            self._held[table] = frozenset(_lower(*row) for row in rows)
        if wanted in self._held[table]:
            return None
        return PlanRefusal(
            table=draft.table,
            id=draft.id,
            name=draft.name,
            kind="unresolved",
            reason=f"it would make {draft.body['principalId']} {what}, which was not the case at the recovery point",
            remedy="Assign it again in Privileged Identity Management if it is intended.",
        )


def _lower(*ids: str | None) -> tuple[str, ...]:
    return tuple(str(one).lower() for one in ids)
