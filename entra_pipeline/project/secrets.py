"""The secrets of a project: what their values are, and which variables of the environment a piece of work goes without.

What belongs here: secrets by what they are for. What does not: taking values out of texts (`settings.scrubbing`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from entra_pipeline.errors import ConfigurationError
from entra_pipeline.project.models import Project
from entra_pipeline.settings.references import references
from entra_pipeline.settings.scrubbing import scrub
from entra_pipeline.settings.section import Section


class Needs(NamedTuple):
    """What a piece of work signs in to; names that the project does not have are none.

    Attributes:
        tenants: Names of tenants.
        storages: Names of storage profiles.
    """

    tenants: frozenset[str] = frozenset()
    storages: frozenset[str] = frozenset()


def needs_of_scope(project: Project, scope: str, *, tenant: bool = True) -> Needs:
    """Returns what work on a scope needs: its storage and, unless told otherwise, its tenant.

    Raises:
        UsageError: There is no scope of the name.
    """
    found = project.scope(scope)
    return Needs(frozenset({found.tenant} if tenant else ()), frozenset({found.storage}))


def needs_of_restore(project: Project, scope: str, tenant: str) -> Needs:
    """Returns what a restore needs: both tenants, the scope's storage, and those that the target tenant is stored in.

    Args:
        project: The project.
        scope: The scope that is restored.
        tenant: The tenant that it is restored to; empty for the scope's own.

    Raises:
        UsageError: There is no scope of the name.
    """
    own = project.scope(scope)
    target = tenant or own.tenant
    storages = {one.storage for one in project.scopes.values() if one.tenant == target}
    return Needs(frozenset({own.tenant, target}), frozenset({own.storage, *storages}))


def needs_of_all_storages(project: Project) -> Needs:
    """Returns what work on everything that is stored needs: the storages of all scopes, and no tenant."""
    return Needs(storages=frozenset(scope.storage for scope in project.scopes.values()))


def secret_values(project: Project) -> frozenset[str]:
    """Returns what the secrets of a project are now; those that cannot be found are left out."""
    return _values_at(_places(project))


def _values_at(places: Iterable[tuple[str, str]]) -> frozenset[str]:
    found = set()
    for place, name in places:
        if place == "env":
            found.add(os.environ.get(name, "").strip())
        elif place == "file":
            with suppress(OSError, UnicodeDecodeError):
                found.add(Path(name).read_text(encoding="utf-8").strip())
    return frozenset(found - {""})


def scrubber(load: Callable[[], Project]) -> Callable[[str], str]:
    """Returns what takes the secrets out of a text that a project has at that moment.

    A configuration that cannot be read names none.

    Args:
        load: Loads the project.
    """
    # Of a thousand tenants, to find where secrets are takes longer than to read them: that stays as the project does.
    known: tuple[Project | None, tuple[tuple[str, str], ...]] = (None, ())

    def scrubbed(text: str) -> str:
        nonlocal known
        try:
            project = load()
        except ConfigurationError:
            return text
        of, places = known
        if of is not project:
            places = tuple(dict.fromkeys(_places(project)))
            known = project, places
        return scrub(text, _values_at(places))

    return scrubbed


@contextmanager
def withheld(project: Project, needs: Needs) -> Iterator[None]:
    """Takes the secrets that a piece of work does not need out of this process's environment meanwhile.

    Only variables are taken that the project names. A process that is started meanwhile goes without them, too.
    """
    kept = _variables(
        [
            *(project.tenants[name] for name in needs.tenants if name in project.tenants),
            *(project.storage[name] for name in needs.storages if name in project.storage),
        ]
    )
    named = {name for place, name in _places(project) if place == "env"}
    taken = {name: os.environ.pop(name) for name in named - kept if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(taken)


def _variables(sections: Iterable[Section]) -> set[str]:
    return {one.name for section in sections for one in references(section) if one.place == "env"}


def _places(project: Project) -> Iterator[tuple[str, str]]:
    """Yields where each secret is: `env` or `file`, or another place; and the name of the variable or its path."""
    for one in references(project):
        yield one.place, one.name
    for former in project.console.former_secrets:
        yield ("env", former.env) if former.env is not None else ("file", str(former.resolve(former.file or "")))
