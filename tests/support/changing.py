"""Random changes of users, groups, administrative units and roles, reproducible by seed."""

from __future__ import annotations

import random
from collections.abc import Callable

from entra_pipeline.simulator import Control

_BINS = ("users", "groups", "directory/administrativeUnits")
_VALUES = (None, "", "x", "Ångström 東京 🦊", 'q"\\')


class Life:
    """What goes on in a tenant.

    Args:
        control: The tenant.
        seed: The same seed brings the same changes to the same tenant.
    """

    def __init__(self, control: Control, seed: int) -> None:
        self._control = control
        self._random = random.Random(seed)

    def go_on(self, changes: int) -> None:
        """Makes changes, one after the other; one that finds nothing to change is left out."""
        kinds: list[Callable[[], None]] = [
            self._create,
            self._update,
            self._update,
            self._delete,
            self._restore,
            self._link,
            self._link,
            self._unlink,
            self._unlink,
        ]
        for _ in range(changes):
            self._random.choice(kinds)()

    def _one(self, path: str, *, deleted: bool = False) -> str:
        """The id of an object, live or in the recycle bin; empty when there is none."""
        found = sorted(one["id"] for one in self._control.dump(path, deleted=deleted))
        return self._random.choice(found) if found else ""

    def _set(self) -> str:
        return self._random.choice(_BINS)

    def _create(self) -> None:
        path = self._set()
        made = self._control.create(path, {"displayName": f"New {self._random.random()}"})
        if path != "users":
            self._control.add_link(f"{path}/{made}/members", self._one("users"))

    def _update(self) -> None:
        path = self._set()
        if chosen := self._one(path):
            value = self._random.choice(_VALUES)
            self._control.patch(f"{path}/{chosen}", {"description" if path != "users" else "department": value})

    def _delete(self) -> None:
        path = self._set()
        if chosen := self._one(path):
            self._control.delete(f"{path}/{chosen}")
            if self._random.random() < 0.3:
                self._control.purge(chosen)

    def _restore(self) -> None:
        if chosen := self._one(self._set(), deleted=True):
            self._control.restore(chosen)

    def _relation(self) -> tuple[str, str]:
        return self._random.choice(
            [
                ("groups", "members"),
                ("groups", "members"),
                ("groups", "owners"),
                ("users", "manager"),
                ("users", "sponsors"),
                ("directory/administrativeUnits", "members"),
                ("directoryRoles", "members"),
            ]
        )

    def _link(self) -> None:
        path, relation = self._relation()
        source, target = self._one(path), self._one("users")
        taken = {other for one, other, _ in self._control.edges(path, relation) if one == source}
        if relation == "manager" and not taken:
            # It may be in the recycle bin, and who comes back from there is not to be a second manager.
            return
        if source and target not in {source, *taken}:
            self._control.add_link(f"{path}/{source}/{relation}", target)

    def _unlink(self) -> None:
        path, relation = self._relation()
        if links := sorted(self._control.edges(path, relation)):
            source, target, _ = self._random.choice(links)
            self._control.remove_link(f"{path}/{source}/{relation}", target)
