"""What a change leads to that is not seen in its form: each is a question, and saving takes a yes.

What belongs here: what is asked. What does not: what is refused (`project`), and how it is saved (`pages`).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from hashlib import sha256

from entra_pipeline.backup.read.selection import missing_names
from entra_pipeline.console.editing.form_errors import InvalidEntries
from entra_pipeline.console.monitor.jobs import MonitoredJob
from entra_pipeline.errors import EntraPipelineError
from entra_pipeline.operations.environment import ask_tenant
from entra_pipeline.project import Period, Project, Scope
from entra_pipeline.store.points.keys import moment_of
from entra_pipeline.store.recovery_points import ScopeStore
from entra_pipeline.store.retention.holds import retention_holds
from entra_pipeline.store.retention.prune import points_past
from entra_pipeline.text import pluralize

_NAMED = 10


@dataclass(frozen=True, slots=True)
class Consequence:
    """Something that a person has to agree to.

    Attributes:
        text: What it is, in a sentence.
    """

    text: str

    @property
    def key(self) -> str:
        """What a form sends when it is agreed to; another one as soon as the sentence is another."""
        return sha256(self.text.encode()).hexdigest()[:16]


def not_agreed(found: Sequence[Consequence], agreed: Collection[str]) -> list[Consequence]:
    """Returns what nobody has agreed to yet."""
    return [one for one in found if one.key not in agreed]


def of_name(project: Project, name: str) -> list[Consequence]:
    """Returns what follows from the name of a new scope: whether it is told from another one by its case only."""
    alike = [other for other in project.scopes if other != name and other.lower() == name.lower()]
    return (
        [Consequence(f"The scope {alike[0]} exists: {name} differs from it by capital letters only.")] if alike else []
    )


def of_retention(store: ScopeStore, scope: Scope, retention: Period) -> list[Consequence]:
    """Returns what follows from another retention: how many recovery points go that stay now, and when.

    Raises:
        StoreError: The store cannot be read.
    """
    stays = set(points_past(store, scope.retention))
    going = [point for point in points_past(store, retention) if point not in stays]
    if not going:
        return []
    when = "with the next run of retention, daily at 03:20 UTC" if scope.prune else "when retention is run"
    first, last = (f"{moment_of(point):%Y-%m-%d}" for point in (going[0], going[-1]))
    dates = f"of {first}" if first == last else f"of {first} to {last}"
    return [
        Consequence(
            f"{pluralize(len(going), 'recovery point')} {dates} {'is' if len(going) == 1 else 'are'} older than "
            f"{retention} and will be deleted {when}."
        )
    ]


def of_selection(project: Project, tenant: str, users: Sequence[str], groups: Sequence[str]) -> list[Consequence]:
    """Checks that chosen users and groups exist in the tenant; returns a question where nobody can tell.

    Raises:
        InvalidEntries: The tenant has none of a name.
    """
    if tenant not in project.tenants or not (users or groups):
        return []

    try:
        missing = ask_tenant(project, tenant, "console", lambda graph: missing_names(graph, users, groups))
    except EntraPipelineError as error:
        told = f"Whether the entered users and groups exist cannot be checked in tenant {tenant}: {error.message}."
        return [Consequence(told)]
    if missing:
        named = ", ".join(f"{name} ({kind[:-1]})" for kind, name in missing[:_NAMED])
        more = f" and {len(missing) - _NAMED:,} more" if len(missing) > _NAMED else ""
        raise InvalidEntries({"people": f"Not found in tenant {tenant}: {named}{more}. Correct or remove them."})
    return []


def of_deletion(
    store: ScopeStore, scope: Scope, backup: MonitoredJob | None, restore: MonitoredJob | None
) -> list[Consequence]:
    """Returns what a scope has when it is deleted: recovery points, holds, jobs under way.

    Raises:
        StoreError: The store cannot be read.
    """
    found = []
    if points := store.points():
        found.append(
            Consequence(
                f"It has {pluralize(len(points), 'recovery point')}. They stay in the storage {scope.storage}, and "
                "retention deletes none of them any more. They can be opened again with a scope of the same name."
            )
        )
    if holds := retention_holds(store):
        found.append(
            Consequence(f"It has {pluralize(len(holds), 'hold')}. Nobody can release a hold without the scope.")
        )
    if backup is not None:
        found.append(Consequence("A backup of it is running or queued, and will come to its end or fail."))
    if restore is not None:
        what = "A restore from it is being planned" if restore.planning else "A restore from it is running or queued"
        found.append(Consequence(f"{what}, and will come to its end or fail."))
    return found


def of_storage(before: Project, after: Project, name: str) -> list[Consequence]:
    """Returns what follows from a change of a storage profile that scopes use: their recovery points stay behind."""
    old, new = before.storage[name], after.storage[name]
    using = ", ".join(scope.name for scope in before.scopes.values() if scope.storage == name)
    if not using:
        return []
    found = []
    if old.location() != new.location():
        found.append(
            Consequence(
                f"It is another place than before. The recovery points of {using} stay in the old one and are not "
                "shown any more; the next backup begins anew."
            )
        )
    if old.encryption != new.encryption:
        found.append(
            Consequence(
                f"Its encryption is another than before. What {using} stored until now can be read only while its key "
                "is named."
            )
        )
    return found


def of_tenant(before: Project, after: Project, name: str) -> list[Consequence]:
    """Returns what follows from a change of a tenant: scopes that protected one directory now protect another."""
    old, new = before.tenants[name], after.tenants[name]
    using = ", ".join(scope.name for scope in before.scopes.values() if scope.tenant == name)
    if not using or old.tenant_id == new.tenant_id:
        return []
    return [
        Consequence(
            f"It is another directory than before, and {using} has recovery points of the old one. Another directory "
            "is better protected by a tenant and a scope of its own."
        )
    ]
