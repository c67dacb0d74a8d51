"""What a restore plan is, and what became of it. The files are public: docs/restore.md.

What belongs here: the shape of plans, journals and outcomes. What does not: how they are made (`planner`,
`apply`, `verify`).
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

FORMAT = "entra-pipeline/restore-plan"
VERSION = 1

Conflict = Literal["overwrite", "merge", "skip"]
Taken = Literal["skip", "rename", "match"]
Action = Literal["undelete", "create", "update", "delete", "link", "unlink", "enable"]
Result = Literal["restored", "restored with differences", "failed", "refused", "not reached"]


class RestoreSelection(msgspec.Struct, frozen=True, kw_only=True):
    """What to restore of a recovery point; everything when nothing is given.

    Attributes:
        types: Object types; their relations and child types go with them.
        ids: Ids of objects.
        where: SQL condition over the columns of the one type in `types`.
        search: Text that occurs in the object.
    """

    types: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()
    where: str = ""
    search: str = ""


class RestoreOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How to restore.

    Attributes:
        conflict: Objects that are there and differ: `overwrite` them (and remove links and assignments that the
            recovery point does not have), `merge` (fill what is missing, add links, remove nothing), or `skip` them.
        delete_added: Also delete objects that the recovery point does not have.
        enable_policies: Conditional access policies come back in the state they had, not report-only.
        taken: A user whose sign-in name is somebody else's now, or of no verified domain: `skip` it, or `rename` it.
            `match`: who has the name now is the same person, unless something contradicts that.
        ended_until: Moment, RFC 3339, until which assignments come back whose own end is past; empty: they do not.
        sign_in: A person signs in when the plan is applied: what Graph lets no application do is planned.
    """

    conflict: Conflict = "overwrite"
    delete_added: bool = False
    enable_policies: bool = False
    taken: Taken = "skip"
    ended_until: str = ""
    sign_in: bool = False


class RestoreStep(msgspec.Struct, frozen=True, kw_only=True):
    """One object to write, or the links of one owner.

    Ids are those of the recovery point wherever they stand, in `body`, `targets` and `needs`: apply puts those of the
    tenant in their place, which a plan cannot know of objects that are still to be made.

    Attributes:
        number: Position in the plan, from 1.
        stage: Name of the stage; stages are carried out one after the other.
        action: What is done. `enable` gives a guarded property its value when all else is in place.
        table: Object type, or relation for `link` and `unlink`.
        id: Id of the object, or of the owner of the links, at the recovery point.
        parent: Id of the object that owns it, for child types.
        live_id: Its id in the tenant; empty when an earlier step, or this one, makes it.
        name: What people call it.
        body: Properties that have to be so: of an object to make all of them, of one that is there those that differ,
            and all when Graph takes it only as a whole (`Restore.change` is PUT). How it is sent is up to apply.
            Licences of a user (`user_licenses`) are all those that are to be assigned directly.
        before: Values in the tenant of the properties that differ; nothing for what is not there.
        targets: Ids that the links lead to, and their types in `@odata.type`, one for one.
        target_types: See `targets`.
        needs: Ids of objects that earlier steps make or take out of the recycle bin, and that this step leads to. Of
            `delete`, ids of objects that have to be restored before: they replace the object, or need its name.
        seen: SHA-256 of the object as the plan saw it in the tenant, canonical JSON without volatile properties; empty
            when it was not there.
        requests: Requests that it takes, at least.
        returning: What is written comes back by itself with what an earlier step takes out of the recycle bin, if it
            was there when that was deleted: apply looks first, and writes only what is not there. Counts no
            requests.
        whole: Of `link`, `targets` are all that the owner had: it comes out of the recycle bin, perhaps with more.
        parameters: Of `undelete`, what the request says besides: `newUserPrincipalName`,
            `autoReconcileProxyConflict` (Graph doc: directory-deleteditems-restore).
        frees: Of `delete` and `update`, ids of the objects that need a name which its object holds: their steps come
            after this one. What was deleted for one that then fails is taken out of the recycle bin again.
        waits: Numbers of the steps that give up a name or a seat which this one needs: it is sent after them.
        passing: Of `update`: its object gives up names or seats that others need, for the time being; a later step of
            the same object gives it its own. When that fails, it gets back what it had.
        delegated: Only a signed-in user may do it: it is sent on behalf of the person who applies the plan.
        notes: What a person should know: what does not come back, and why.
    """

    number: int
    stage: str
    action: Action
    table: str
    id: str
    parent: str = ""
    live_id: str = ""
    name: str = ""
    body: dict[str, Any] = {}
    before: dict[str, Any] = {}
    targets: tuple[str, ...] = ()
    target_types: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    seen: str = ""
    requests: int = 1
    returning: bool = False
    whole: bool = False
    parameters: dict[str, Any] = {}
    frees: tuple[str, ...] = ()
    waits: tuple[int, ...] = ()
    passing: bool = False
    delegated: bool = False
    notes: tuple[str, ...] = ()


class PlanRefusal(msgspec.Struct, frozen=True, kw_only=True):
    """An object that the plan does not write, and why; with the remedy where there is one.

    Attributes:
        table: Object type or relation.
        id: Its id at the recovery point.
        name: What people call it.
        kind: `unresolved` (a reference leads nowhere, or Graph would refuse it or a part of it), `unrestorable`
            (Graph cannot), `skipped` (as asked).
        reason: Why.
        remedy: What to do; may be empty.
    """

    table: str
    id: str
    name: str = ""
    kind: Literal["unresolved", "unrestorable", "skipped"]
    reason: str
    remedy: str = ""


class RestorePlan(msgspec.Struct, frozen=True, kw_only=True):
    """A restore plan.

    Attributes:
        id: Job id, under which plan, journal and report are kept (`_restore/<id>/`).
        scope: The scope whose recovery point is restored.
        point: The recovery point.
        tenant: Name of the tenant that is written to, in the configuration.
        tenant_id: Its id.
        live_point: Recovery point that shows the tenant as the plan saw it.
        live_scope: The scope that it is of: that of the plan, unless the tenant is another one.
        created: When, RFC 3339.
        selection, options: What was asked for.
        stages: Names of the stages, in order.
        steps: What apply does, in order.
        refusals: What it does not do.
        identity: Ids at the recovery point → ids in the tenant, of objects that came back under another id before, or
            that are known to be the same.
        domains: Domain at the recovery point → domain in the tenant, where it is another tenant's.
        older: Tables that steps are about and that were not read for the recovery point, but before it → when (RFC
            3339): the steps restore what was there at that moment.
        undoes: Id of the restore that it undoes, whose undo point `point` is; empty when it is none.
        requests: Requests that all steps take, at least.
        seconds: How long they take at Graph's write limits.
        format, version: Of this file.
        seal: SHA-256 of the canonical plan without the seal.
    """

    id: str
    scope: str
    point: str
    tenant: str
    tenant_id: str
    live_point: str
    created: str
    selection: RestoreSelection
    options: RestoreOptions
    stages: tuple[str, ...]
    steps: tuple[RestoreStep, ...]
    refusals: tuple[PlanRefusal, ...]
    identity: dict[str, str]
    requests: int
    seconds: float
    live_scope: str = ""
    domains: dict[str, str] = {}
    older: dict[str, str] = {}
    undoes: str = ""
    format: str = FORMAT
    version: int = VERSION
    seal: str = ""


PLAN_DECODER = msgspec.json.Decoder(RestorePlan)


class StepOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a step, or of an object after verification.

    Attributes:
        number: Of the step.
        table, id, name: As in the step.
        result: What became of it.
        live_id: Its id in the tenant.
        reason: Why, where it is not restored; Graph's own words.
        remedy: What to do.
        differences: Properties that differ from the recovery point after all: wanted and found.
    """

    number: int
    table: str
    id: str
    name: str = ""
    result: Result
    live_id: str = ""
    reason: str = ""
    remedy: str = ""
    differences: dict[str, tuple[Any, Any]] = {}
