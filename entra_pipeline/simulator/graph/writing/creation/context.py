"""Holds what every creation needs: ids of new objects, and checks of names that have to be unique."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from entra_pipeline.simulator.generate.plan import Identity, Ids
from entra_pipeline.simulator.protocol.failures import Failure, bad_request, conflict, same_key
from entra_pipeline.simulator.schema import LinkKind
from entra_pipeline.simulator.storage.database import Body
from entra_pipeline.simulator.storage.directory import Directory

NO_ROLE = "00000000-0000-0000-0000-000000000000"
"""Id that stands for "no particular role" in an assignment to an application (Graph doc: approleassignment)."""
_BODIES = msgspec.json.Decoder(dict[str, Body])


class NewObjects:
    """Gives new objects of one tenant their ids, and checks their names."""

    def __init__(self, directory: Directory, identity: Identity, seed: int) -> None:
        self.directory = directory
        self.identity = identity
        self._ids = Ids(seed)

    def new_key(self) -> str:
        """Returns a new id; it follows from the seed and the number of ids so far."""
        return self._ids("created", self.count())

    def count(self) -> int:
        """Returns the number of the next new object; every call counts one."""
        number = int(self.directory.meta("created") or 0) + 1
        self.directory.remember("created", str(number))
        return number

    def check_user_name(self, name: str, seq: int = 0) -> None:
        """Raises Failure when the name is taken by a live user or its domain is not verified."""
        domain = name.rpartition("@")[2].lower()
        verified = {
            row.id.lower() for row in self.directory.page("domain") if msgspec.json.decode(row.body)["isVerified"]
        }
        if "@" not in name or domain not in verified:
            raise bad_request(
                "The domain portion of the userPrincipalName property is invalid. You must use one of the verified "
                "domain names in your organization."
            )
        if any(row.seq != seq for row in self.directory.by_key("user", name)):
            raise conflict("userPrincipalName")

    def check_uris(self, uris: list[str], seq: int = 0) -> None:
        """Raises Failure when an identifier URI is taken by another live application."""
        for uri in uris:
            where = "EXISTS (SELECT 1 FROM json_each(o.json, '$.identifierUris') j WHERE j.value = ? COLLATE NOCASE)"
            if any(row.seq != seq for row in self.directory.page("application", where=where, values=(uri,))):
                raise conflict("identifierUris")

    def mirror_role(self, assignment: Body, *, present: bool) -> None:
        """Keeps members of an activated role the same as the assignments of its definition over the directory."""
        if assignment.get("directoryScopeId") != "/":
            return
        roles = self.directory.by_key("directoryRole", str(assignment["roleDefinitionId"]))
        principal = self.directory.find(str(assignment["principalId"]))
        if roles and principal:
            change = self.directory.link if present else self.directory.unlink
            change(LinkKind.ROLE_MEMBERS, roles[0].seq, principal.seq)

    def publish(self, applications: list[Body]) -> None:
        """Makes applications of other tenants known, by `appId`; enterprise applications can be made of them.

        Their other members are what an enterprise application takes over from its application.
        """
        known = {str(one["appId"]).lower(): {n: v for n, v in one.items() if n != "appId"} for one in applications}
        kept = {**self.applications_elsewhere(), **known}
        self.directory.remember("applications elsewhere", msgspec.json.encode(kept).decode())

    def applications_elsewhere(self) -> dict[str, Body]:
        """Returns the applications of other tenants that are known, by `appId` in lower case."""
        kept = self.directory.meta("applications elsewhere")
        return _BODIES.decode(kept) if kept else {}


Preset = Callable[[NewObjects, Body, bool], Body]
"""Returns an object's first properties from what the request sent: `id` included where the type has its own kind.

The flag skips the checks. Raises Failure for what Graph refuses.
"""


def principal_exists(app_id: str) -> Failure:
    """Returns the refusal of a second service principal for an application."""
    return same_key(
        "The service principal cannot be created, updated, or restored because the service principal name "
        f"{app_id} is already in use."
    )
