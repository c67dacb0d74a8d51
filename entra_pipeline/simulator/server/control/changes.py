"""Carries out orders that change the tenant, without Graph's checks; each is recorded in the audit log."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from entra_pipeline.simulator.protocol.paths import ResourcePath
from entra_pipeline.simulator.server.control.lookup import Lookup, WrongOrder
from entra_pipeline.simulator.storage.database import State


class ChangeOrders(Lookup):
    """Changes one tenant."""

    def orders(self) -> dict[str, Callable[..., Any]]:
        """Returns what carries out each order, by its name."""
        return {
            "create": self._create,
            "patch": self._patch,
            "delete": self._delete,
            "restore": self._restore,
            "has_password": self._has_password,
            "publish": self._publish,
            "purge": self._purge,
            "link": self._link,
        }

    def _create(self, path: str, bodies: list[dict[str, Any]]) -> Any:
        place = self.place(path)
        writer = self.tenant.writer.objects
        if place.relation is not None:
            owner = self.row(place)
            made = [writer.create_part(owner, place.relation, body, trusted=True).id for body in bodies]
        elif place.entry is None or place.key:
            raise WrongOrder(f"nothing can be created at {path}")
        else:
            made = [writer.create(place.entry, body, trusted=True).id for body in bodies]
        for identifier in made:
            self.tenant.logs.note("Add", identifier)
        return made

    def _patch(self, path: str, changes: dict[str, Any]) -> Any:
        row = self.target(path)
        self.tenant.writer.objects.patch(row, changes, trusted=True)
        self.tenant.logs.note("Update", row.id)

    def _delete(self, path: str) -> Any:
        row = self.target(path)
        self.tenant.writer.objects.delete(row, trusted=True)
        self.tenant.logs.note("Delete", row.id)

    def _restore(self, identifier: str) -> Any:
        self.tenant.writer.objects.restore(self.row(ResourcePath(None, identifier), (State.DELETED,)), {})
        self.tenant.logs.note("Restore", identifier)

    def _has_password(self, user: str, password: str) -> Any:
        return self.directory.passwords.get(user.lower()) == password

    def _publish(self, applications: list[dict[str, Any]]) -> Any:
        self.tenant.writer.creation.publish(applications)

    def _purge(self, identifier: str) -> Any:
        self.directory.purge(self.row(ResourcePath(None, identifier), (State.LIVE, State.DELETED)).seq)
        self.tenant.logs.note("Hard delete", identifier)

    def _link(self, path: str, targets: list[str], present: bool) -> Any:
        place = self.place(path)
        if place.relation is None or place.relation.inverse or place.relation.part:
            raise WrongOrder(f"{path} is not a relation that holds references")
        row = self.row(place)
        writer = self.tenant.writer.objects
        change = writer.references.add if present else writer.references.remove
        for target in targets:
            change(row, place.relation, self.row(ResourcePath(None, target)), trusted=True)
        self.tenant.logs.note("Add" if present else "Remove", row.id, relation=place.relation.name, others=targets)
