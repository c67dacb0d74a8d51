"""Directory extensions that a tenant does not take, because nobody has registered them there.

What belongs here: finding their values in steps, and leaving them out. What does not: registering them, which steps of
`extension_properties` do.

Graph refuses the whole request for one such value (`Request_BadRequest`: "The following extension properties are not
available"), so that a user would not come back at all for an application that is gone, or that nobody protects.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from entra_pipeline.backup.read.extensions import available_extensions
from entra_pipeline.errors import GraphError
from entra_pipeline.graph import Graph, RequestStats
from entra_pipeline.restore.objects.model import PlanRefusal
from entra_pipeline.restore.objects.references import ids_in, rewrite
from entra_pipeline.restore.plan.rules.drafts import Draft

_PREFIX = "extension_"
_DEFINED_BY = "extension_properties"


async def taken_extensions(graph: Graph) -> frozenset[str] | None:
    """Reads the names of the directory extensions that the tenant takes; None where Graph does not tell."""
    try:
        by_target = await available_extensions(graph, RequestStats())
    except GraphError:
        return None
    return frozenset(name for names in by_target.values() for name in names)


def leave_out(
    drafts: list[Draft], taken: Collection[str], coming: Collection[str], forward: Mapping[str, str]
) -> tuple[list[Draft], list[PlanRefusal]]:
    """Removes values of extensions that the tenant would refuse.

    Args:
        drafts: The steps, which are changed.
        taken: Names that the tenant takes.
        coming: AppIds of applications that come out of the recycle bin, with their extensions.
        forward: Id at the recovery point → id in the tenant, where they differ.

    Returns:
        The steps that still write something, and what they no longer do.
    """
    registered = {str(draft.body.get("name")) for draft in drafts if draft.table == _DEFINED_BY}
    refusals: list[PlanRefusal] = []
    for draft in drafts:
        lost = sorted(
            name
            for name in draft.body
            if name.startswith(_PREFIX)
            and name not in registered
            and rewrite(name, forward) not in taken
            and not ids_in(name) & set(coming)
        )
        if not lost:
            continue
        draft.body = {name: value for name, value in draft.body.items() if name not in lost}
        draft.before = {name: value for name, value in draft.before.items() if name not in lost}
        reason = f"without {', '.join(lost)}: not registered by any application in the tenant"
        draft.notes.append(reason)
        owners = ", ".join(sorted(ids_in(lost)))
        refusals.append(
            PlanRefusal(
                table=draft.table,
                id=draft.id,
                name=draft.name,
                kind="unresolved",
                reason=reason,
                remedy=f"Get the application with the appId {owners} back, with its extension properties (--types "
                "applications, if the scope protects it), or register them again; then restore these objects again.",
            )
        )
    written = [draft for draft in drafts if draft.body or draft.action not in {"update", "enable"}]
    return written, refusals
