"""What goes on in the tenant of a simulation: the changes of `tests.backup.changing`, and those of other types."""

from __future__ import annotations

from collections.abc import Callable

from tests.support.changing import Life

_PLACES = "identity/conditionalAccess/namedLocations"
_POLICY = "policies/authorizationPolicy"


class ProofLife(Life):
    """Changes also applications and their owners, locations, and the one authorization policy."""

    def go_on(self, changes: int) -> None:
        more: list[Callable[[], None]] = [
            self._new_application,
            self._own_application,
            self._own_application,
            self._rename_location,
            self._drop_location,
            self._set_policy,
            self._fill_group,
        ]
        for _ in range(changes):
            if self._random.random() < 0.6:
                super().go_on(1)
            else:
                self._random.choice(more)()

    def _new_application(self) -> None:
        made = self._control.create("applications", {"displayName": f"App {self._random.random()}"})
        if owner := self._one("users"):
            self._control.add_link(f"applications/{made}/owners", owner)

    def _own_application(self) -> None:
        owned = sorted(self._control.edges("applications", "owners"))
        application, owner = self._one("applications"), self._one("users")
        if owned and self._random.random() < 0.5:
            source, target, _ = self._random.choice(owned)
            self._control.remove_link(f"applications/{source}/owners", target)
        elif application and owner and (application, owner) not in {edge[:2] for edge in owned}:
            self._control.add_link(f"applications/{application}/owners", owner)

    def _rename_location(self) -> None:
        if chosen := self._one(_PLACES):
            self._control.patch(f"{_PLACES}/{chosen}", {"displayName": f"Place {self._random.random()}"})

    def _drop_location(self) -> None:
        if (chosen := self._one(_PLACES)) and len(self._control.dump(_PLACES)) > 1:
            self._control.delete(f"{_PLACES}/{chosen}")

    def _set_policy(self) -> None:
        self._control.patch(_POLICY, {"description": f"Policy {self._random.random()}"})

    def _fill_group(self) -> None:
        """Gives a group all users, more than `$expand` shows of a relation on most types."""
        group = self._one("groups")
        inside = {target for source, target, _ in self._control.edges("groups", "members") if source == group}
        everybody = {one["id"] for one in self._control.dump("users")}
        if missing := sorted(everybody - inside):
            self._control.add_link(f"groups/{group}/members", *missing)
