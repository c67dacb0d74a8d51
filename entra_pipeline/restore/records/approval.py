"""Approval of a plan by somebody else than who made it, where a scope asks for that.

What belongs here: whether a plan needs approval, who made it, who approved it. What does not: who is an administrator,
which the console knows. Both are files beside the plan, written once, and bound to its seal: what was approved is that
plan and no other.
"""

from __future__ import annotations

from contextlib import suppress

import msgspec

from entra_pipeline.clock import Clock, iso, system_clock
from entra_pipeline.errors import AlreadyExists, NotInStore, UsageError
from entra_pipeline.project import Project
from entra_pipeline.restore.objects.model import RestorePlan
from entra_pipeline.store.manifest import canonical
from entra_pipeline.store.recovery_points import ScopeStore


class NotApproved(UsageError):
    """A plan that needs the approval of a second administrator, and does not have it."""


class PlanSignature(msgspec.Struct, frozen=True, kw_only=True):
    """Who made a plan, or who approved it.

    Attributes:
        plan: Id of the plan.
        seal: Its seal.
        by: The name that they sign in with; of the command, the user of the operating system.
        moment: When, RFC 3339.
        identity: Issuer and subject of their sign-in, which stay when names change; empty where there was none.
    """

    plan: str
    seal: str
    by: str
    moment: str
    identity: str = ""


_SIGNED_DECODER = msgspec.json.Decoder(PlanSignature)


def approval_scopes(project: Project, plan: RestorePlan) -> list[str]:
    """Lists the scopes that require approval of a plan: that of its recovery point, and those of its tenant."""
    return [
        scope.name
        for scope in project.scopes.values()
        if scope.approval
        and (
            scope.name == plan.scope
            or scope.tenant == plan.tenant
            or project.tenants[scope.tenant].tenant_id == plan.tenant_id
        )
    ]


def sign_plan(
    store: ScopeStore, plan: RestorePlan, by: str, identity: str = "", *, clock: Clock = system_clock
) -> None:
    """Records who made a plan, once; `by` and `identity` as in `PlanSignature`."""
    signed = PlanSignature(plan=plan.id, seal=plan.seal, by=by, identity=identity, moment=iso(clock()))
    with suppress(AlreadyExists):
        store.files.create(_key(plan, "made"), canonical(signed))


def made_by(store: ScopeStore, plan: RestorePlan) -> PlanSignature | None:
    """Returns who made a plan; None when that is unknown."""
    return _read(store, plan, "made")


def approved_by(store: ScopeStore, plan: RestorePlan) -> PlanSignature | None:
    """Returns who approved a plan; None when nobody has."""
    made, approved = made_by(store, plan), _read(store, plan, "approved")
    if made is None or approved is None:
        return None
    return None if is_same_person(made.by, made.identity, approved.by, approved.identity) else approved


def approve(
    store: ScopeStore, plan: RestorePlan, by: str, identity: str = "", *, clock: Clock = system_clock
) -> PlanSignature:
    """Approves a plan, once.

    Args:
        store: The store of the plan's scope.
        plan: The plan, as the administrator has seen it.
        by: The administrator.
        identity: Issuer and subject of their sign-in; empty where there was none.
        clock: The one clock.

    Raises:
        UsageError: They made the plan themselves, nobody knows who did, or somebody has approved it.
    """
    made = made_by(store, plan)
    if made is None:
        raise UsageError(
            "the author of this plan is not recorded", remedy="Plan again; then another administrator can approve it."
        )
    if is_same_person(made.by, made.identity, by, identity):
        raise UsageError(
            "authors cannot approve their own plans",
            remedy="Another administrator has to sign in and review it.",
        )
    signed = PlanSignature(plan=plan.id, seal=plan.seal, by=by, identity=identity, moment=iso(clock()))
    try:
        store.files.create(_key(plan, "approved"), canonical(signed))
    except AlreadyExists:
        raise UsageError("this plan has been approved already", remedy="Apply it.") from None
    return signed


def require_approval(project: Project, store: ScopeStore, plan: RestorePlan) -> None:
    """Raises NotApproved when a plan needs approval, and does not have it."""
    scopes = approval_scopes(project, plan)
    if scopes and approved_by(store, plan) is None:
        raise NotApproved(
            f"plan {plan.id} needs the approval of a second administrator (scope {', '.join(scopes)})",
            remedy="Have an administrator other than its author approve it in the console, under Restores; then apply "
            "it.",
        )


def _read(store: ScopeStore, plan: RestorePlan, what: str) -> PlanSignature | None:
    try:
        signed = _SIGNED_DECODER.decode(store.files.read(_key(plan, what)))
    except (NotInStore, msgspec.DecodeError):
        return None
    return signed if (signed.plan, signed.seal) == (plan.id, plan.seal) else None


def is_same_person(name: str, identity: str, other_name: str, other_identity: str) -> bool:
    """Returns whether two who signed in are one: by identity, which nobody can change, or by name."""
    if identity and identity == other_identity:
        return True
    return name.strip().casefold() == other_name.strip().casefold()


def _key(plan: RestorePlan, what: str) -> str:
    return f"_restore/{plan.id}/{what}.json"
