"""Holds what every creation needs: ids of new objects, and checks of names that have to be unique."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

import msgspec

from entra_pipeline.simulator.generate.plan import Identity, Ids
from entra_pipeline.simulator.protocol.failures import Failure, bad_request, conflict, same_key
from entra_pipeline.simulator.schema import LinkKind
from entra_pipeline.simulator.storage.database import Entity, State
from entra_pipeline.simulator.storage.directory import Directory

NO_ROLE = "00000000-0000-0000-0000-000000000000"
"""Id that stands for "no particular role" in an assignment to an application (Graph doc: approleassignment)."""
_BODIES = msgspec.json.Decoder(dict[str, Entity])


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
        if "@" not in name or domain not in self.verified_domains():
            raise bad_request(
                "The domain portion of the userPrincipalName property is invalid. You must use one of the verified "
                "domain names in your organization."
            )
        if any(row.seq != seq for row in self.directory.by_key("user", name)):
            raise conflict("userPrincipalName")

    def verified_domains(self) -> set[str]:
        """Returns the verified domains, in lower case."""
        return {row.id.lower() for row in self.directory.page("domain") if msgspec.json.decode(row.body)["isVerified"]}

    def check_uris(self, uris: list[str], seq: int = 0) -> None:
        """Raises Failure for an identifier URI of a domain that is not verified, or of another live application."""
        verified = self.verified_domains()
        for uri in uris:
            host = (urlsplit(uri).hostname or "") if uri.lower().startswith(("http:", "https:", "api:")) else ""
            if "." in host and not any(host == one or host.endswith(f".{one}") for one in verified):
                message = (
                    "Values of identifierUris property must use a verified domain of the organization or its "
                    f"subdomain: '{uri}'"
                )
                details = [{"code": "HostNameNotOnVerifiedDomain", "message": message, "target": "identifierUris"}]
                raise Failure(400, "HostNameNotOnVerifiedDomain", message, details=details)
        for uri in uris:
            where = "EXISTS (SELECT 1 FROM json_each(o.json, '$.identifierUris') j WHERE j.value = ? COLLATE NOCASE)"
            # An application in the recycle bin keeps its own.
            for state in (State.LIVE, State.DELETED):
                found = self.directory.page("application", where=where, values=(uri,), state=state)
                if any(row.seq != seq for row in found):
                    raise conflict("identifierUris")

    def check_addresses(self, addresses: list[str], seq: int = 0) -> None:
        """Raises Failure when an address is another live object's (Graph doc: user, proxyAddresses)."""
        if any(self.holds_address(address, seq) for address in addresses):
            raise conflict("proxyAddresses")

    def check_identities(self, identities: list[Entity], seq: int = 0) -> None:
        """Raises Failure when an identity is another live user's (Graph doc: objectIdentity)."""
        where = (
            "EXISTS (SELECT 1 FROM json_each(o.json, '$.identities') j WHERE json_extract(j.value, '$.issuer') = ? "
            "COLLATE NOCASE AND json_extract(j.value, '$.issuerAssignedId') = ? COLLATE NOCASE)"
        )
        for one in identities:
            values = (one.get("issuer"), one.get("issuerAssignedId"))
            if any(row.seq != seq for row in self.directory.page("user", where=where, values=values)):
                raise conflict("identities")

    def holds_address(self, address: str, seq: int = 0) -> bool:
        """Returns whether a live user, group or contact other than number `seq` has an address."""
        plain = address.lower().removeprefix("smtp:")
        for kind in ("user", "group", "orgContact"):
            for row in self.directory.page(kind, where="instr(lower(o.json), ?)", values=(f'"smtp:{plain}"',)):
                held = msgspec.json.decode(row.body).get("proxyAddresses") or ()
                if row.seq != seq and plain in {one.lower().removeprefix("smtp:") for one in held}:
                    return True
        return False

    def mirror_role(self, assignment: Entity, *, present: bool) -> None:
        """Keeps members of an activated role the same as the assignments of its definition over the directory."""
        if assignment.get("directoryScopeId") != "/":
            return
        roles = self.directory.by_key("directoryRole", str(assignment["roleDefinitionId"]))
        principal = self.directory.find(str(assignment["principalId"]))
        if roles and principal:
            change = self.directory.link if present else self.directory.unlink
            change(LinkKind.ROLE_MEMBERS, roles[0].seq, principal.seq)

    def publish(self, applications: list[Entity]) -> None:
        """Makes applications of other tenants known, by `appId`; enterprise applications can be made of them.

        Their other members are what an enterprise application takes over from its application.
        """
        known = {str(one["appId"]).lower(): {n: v for n, v in one.items() if n != "appId"} for one in applications}
        kept = {**self.applications_elsewhere(), **known}
        self.directory.remember("applications elsewhere", msgspec.json.encode(kept).decode())

    def applications_elsewhere(self) -> dict[str, Entity]:
        """Returns the applications of other tenants that are known, by `appId` in lower case."""
        kept = self.directory.meta("applications elsewhere")
        return _BODIES.decode(kept) if kept else {}


Preset = Callable[[NewObjects, Entity, bool], Entity]
"""Returns an object's first properties from what the request sent: `id` included where the type has its own kind.

The flag skips the checks. Raises Failure for what Graph refuses.
"""


def principal_exists(app_id: str) -> Failure:
    """Returns the refusal of a second service principal for an application."""
    return same_key(
        "The service principal cannot be created, updated, or restored because the service principal name "
        f"{app_id} is already in use."
    )
