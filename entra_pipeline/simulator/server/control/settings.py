"""Carries out orders about settings: faults, expiry, time, app registrations."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from entra_pipeline.simulator.faults.settings import EXPIRY_FORMS, FAULTS, LATE_FAULTS
from entra_pipeline.simulator.server.control.lookup import Lookup, WrongOrder

_GUARDED = {"seed"}
_SETS = ("hole", "hidden", "hidden_links", "hidden_types", "unlicensed", "fault_methods")


class SettingOrders(Lookup):
    """Sets how one tenant behaves."""

    def orders(self) -> dict[str, Callable[..., Any]]:
        """Returns what carries out each order, by its name."""
        return {
            "knobs": self._knobs,
            "misbehave": self._misbehave,
            "behave": self._behave,
            "misbehaviours": self._misbehaviours,
            "deny": self._deny,
            "expire_delta_links": self._expire_delta_links,
            "expire_tokens": self._expire_tokens,
            "clock": self._clock,
            "roles": self._roles,
            "directory_roles": self._directory_roles,
            "certificate": self._certificate,
            "standing_secret": self._standing_secret,
            "sign_app_in": self._sign_app_in,
        }

    def _sign_app_in(self, client_id: str, address: str) -> Any:
        """Has somebody else sign in as an app registration; returns the id of the sign-in."""
        request_id = uuid.uuid4()
        self.tenant.logs.sign_app_in(client_id, request_id, address, credential=str(uuid.uuid4()))
        return str(request_id)

    def _knobs(self, **changes: Any) -> Any:
        """Sets settings by name; returns all."""
        settings = self.tenant.settings
        for name, value in changes.items():
            if not hasattr(settings, name) or name in _GUARDED:
                raise WrongOrder(f"no such knob: {name}")
            if name in _SETS:
                value = frozenset(value)
            if name == "fault_kinds":
                value = tuple(value)
                if not set(value) <= {*FAULTS, *LATE_FAULTS}:
                    raise WrongOrder(f"kinds of faults are {', '.join((*FAULTS, *LATE_FAULTS))}")
            setattr(settings, name, value)
        self.tenant.follow()
        return {**asdict(settings), **{name: sorted(getattr(settings, name)) for name in _SETS}}

    def _misbehave(self, name: str, **values: Any) -> Any:
        try:
            if name == "all":
                self.tenant.misbehaviours.set_all(**values)
            else:
                self.tenant.misbehaviours.set(name, **values)
        except ValueError as error:
            raise WrongOrder(str(error)) from None

    def _behave(self, name: str) -> Any:
        self.tenant.misbehaviours.end(name)

    def _misbehaviours(self) -> Any:
        return [
            {
                "name": rule.name,
                "path": rule.path,
                "objects": sorted(rule.objects),
                "struck": rule.struck,
                "over": rule.over,
            }
            for rule in self.tenant.misbehaviours.rules
        ]

    def _deny(self, prefix: str, status: int) -> Any:
        if status:
            self.tenant.settings.deny[prefix] = status
        else:
            self.tenant.settings.deny.pop(prefix, None)

    def _expire_delta_links(self, form: str) -> Any:
        if form and form not in EXPIRY_FORMS:
            raise WrongOrder(f"forms of expiry are {', '.join(EXPIRY_FORMS)}")
        self.tenant.settings.expired_before = self.directory.now().timestamp()
        self.tenant.settings.expiry_form = form

    def _expire_tokens(self) -> Any:
        self.tenant.settings.issued_after = time.time()

    def _clock(self, advance: float) -> Any:
        self.directory.advance(advance)
        return self.directory.stamp()

    def _roles(self, client_id: str, roles: list[str] | None) -> Any:
        app = self.tenant.apps.get(client_id)
        if app is None:
            raise WrongOrder(f"no such app registration: {client_id}")
        if roles is not None:
            self.tenant.apps[client_id] = app._replace(roles=tuple(roles))
        return list(self.tenant.apps[client_id].roles)

    def _directory_roles(self, client_id: str, names: list[str]) -> Any:
        if client_id not in self.tenant.apps:
            raise WrongOrder(f"no such app registration: {client_id}")
        self.tenant.apps[client_id] = self.tenant.apps[client_id]._replace(directory_roles=tuple(names))

    def _standing_secret(self, client_id: str, secret: str) -> Any:
        if client_id not in self.tenant.apps:
            raise WrongOrder(f"no such app registration: {client_id}")
        self.tenant.apps[client_id] = self.tenant.apps[client_id]._replace(secret=secret)

    def _certificate(self, client_id: str, pem: str) -> Any:
        self.tenant.certificates.setdefault(client_id, []).append(pem)
