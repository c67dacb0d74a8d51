"""Protected actions: steps that Graph may want of a signed-in user, because the tenant ties them to Conditional Access.

What belongs here: reading which actions the tenant protects, and what a plan says of the steps that take them. What
does not: which writes take which action (`Restore.actions`), and answering Graph when it asks (`execute.step`).

Whether an application may do a protected action, only Graph's answer tells. So without anybody to sign in, the steps
stay, and are named as what Graph may refuse.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from entra_pipeline.catalogue import CATALOGUE
from entra_pipeline.errors import GraphError
from entra_pipeline.graph import Graph, RequestStats
from entra_pipeline.graph.client import query
from entra_pipeline.graph.pages import decoding
from entra_pipeline.restore.objects.model import PlanRefusal
from entra_pipeline.restore.plan.rules.drafts import Draft

_ACTIONS = "roleManagement/directory/resourceNamespaces/microsoft.directory/resourceActions"
# Graph shows neither unless it is selected (Entra doc: protected-actions-add).
_SELECTED = "name,isAuthenticationContextSettable,authenticationContextId"
_REMEDY = "Plan with --sign-in, and sign in when the plan is applied."


class _Action(msgspec.Struct, rename="camel"):
    name: str | None = None
    authentication_context_id: str | None = None


_decoded = decoding(msgspec.json.Decoder(_Action).decode)


async def read_protected_actions(graph: Graph, types: Iterable[str] | None) -> dict[str, str]:
    """Reads which actions of the directory are protected.

    Args:
        graph: The tenant.
        types: Object types that a plan is about; None for all. Nothing is read where none takes such an action.

    Returns:
        Name of the action in small letters → id of its authentication context. Nothing where Graph does not tell.
    """
    if not any(CATALOGUE[name].restore.actions for name in (CATALOGUE if types is None else types)):
        return {}
    found: dict[str, str] = {}
    try:
        async for page in graph.pages(query(_ACTIONS, select=_SELECTED), stats=RequestStats()):
            for raw in page.value:
                action = _decoded(bytes(raw))
                if action.name and action.authentication_context_id:
                    found[action.name.lower()] = action.authentication_context_id
    except (GraphError, msgspec.DecodeError):
        return {}
    return found


def mark_protected(drafts: Iterable[Draft], protected: Mapping[str, str], *, sign_in: bool) -> list[PlanRefusal]:
    """Says of the steps that take a protected action that they take a signed-in user.

    Args:
        drafts: The steps; those that are sent on behalf of the user are marked.
        protected: The protected actions of the tenant, by `read_protected_actions`.
        sign_in: A person signs in when the plan is applied.

    Returns:
        What Graph may refuse, where nobody signs in.
    """
    refusals: list[PlanRefusal] = []
    for draft in drafts if protected else ():
        for action in sorted(_actions_of(draft)):
            context = protected.get(action.lower())
            if context is None:
                continue
            why = f"the tenant protects {action} with the authentication context {context}"
            if sign_in:
                draft.delegated = True
                draft.notes.append(f"sent on behalf of the signed-in user: {why}")
                continue
            reason = f"Graph may refuse it without a signed-in user: {why}"
            draft.notes.append(reason)
            refusals.append(
                PlanRefusal(
                    table=draft.table, id=draft.id, name=draft.name, kind="unresolved", reason=reason, remedy=_REMEDY
                )
            )
    return refusals


def _actions_of(draft: Draft) -> set[str]:
    """Returns the actions that a step takes."""
    actions = CATALOGUE[draft.table].restore.actions if draft.table in CATALOGUE else {}
    if not actions:
        return set()
    if draft.action in {"create", "undelete"}:
        # No action is documented for restoring; a policy or location comes into being by it.
        names: Iterable[str] = ("create",)
    elif draft.action == "delete":
        names = ("delete",)
    else:
        names = (name if name in actions else "*" for name in draft.body if "@" not in name)
    return {actions[name] for name in names if name in actions}
