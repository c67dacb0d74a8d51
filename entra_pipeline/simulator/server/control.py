"""The control API: changes the tenant, tells the truth about it, turns its knobs.

`ControlPanel` obeys orders inside the server; `Control` sends them over HTTP, one method per order. What Graph would
refuse, the panel does: it is for tests and demonstrations, and answers to the machine it runs on only.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from typing import Any

import httpx
import msgspec

from entra_pipeline.simulator.faults.settings import EXPIRY_FORMS, FAULTS, LATE_FAULTS
from entra_pipeline.simulator.graph.projection import shape
from entra_pipeline.simulator.graph.tenant import Ledger, Tenant
from entra_pipeline.simulator.protocol.failures import not_found
from entra_pipeline.simulator.protocol.paths import Place, resolve
from entra_pipeline.simulator.schema import BY_NAME, SETS, EntitySet, Link
from entra_pipeline.simulator.storage.database import Row, State

_MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])

_GUARDED = {"seed"}
_SETS = ("hole", "hidden", "hidden_links", "hidden_types", "unlicensed", "fault_methods")


class WrongOrder(Exception):
    """An order the control API does not know, or cannot carry out."""


class ControlPanel:
    """Carries out orders on one tenant."""

    def __init__(self, tenant: Tenant) -> None:
        self.tenant = tenant
        self.directory = tenant.directory
        self._orders: dict[str, Callable[..., Any]] = {
            "identity": self._identity,
            "create": self._create,
            "patch": self._patch,
            "delete": self._delete,
            "restore": self._restore,
            "has_password": self._has_password,
            "publish": self._publish,
            "purge": self._purge,
            "link": self._link,
            "dump": self._dump,
            "edges": self._edges,
            "counts": self._counts,
            "ledger": self._ledger,
            "knobs": self._knobs,
            "deny": self._deny,
            "expire_delta_links": self._expire_delta_links,
            "expire_tokens": self._expire_tokens,
            "clock": self._clock,
            "log": self._log,
            "roles": self._roles,
            "directory_roles": self._directory_roles,
            "writes": self._writes,
            "certificate": self._certificate,
        }

    def obey(self, name: str, order: dict[str, Any]) -> Any:
        """The result of an order, ready for JSON. Raises WrongOrder, Failure."""
        if name not in self._orders:
            raise WrongOrder(f"no such order: {name}; there are {', '.join(sorted(self._orders))}")
        try:
            if name == "knobs":
                return self._knobs(**order)
            with self.directory.writing():
                return self._orders[name](**order)
        except TypeError as error:
            raise WrongOrder(str(error)) from error

    # --- the tenant --------------------------------------------------------------------------------------------------

    def _identity(self) -> Any:
        return {"tenant_id": self.tenant.identity.tenant_id, "client_id": self.tenant.identity.client_id}

    def _place(self, path: str) -> Place:
        return resolve(path.strip("/"))

    def _row(self, place: Place, states: Sequence[int] = (State.LIVE,)) -> Row:
        if place.deleted:
            states = (State.DELETED,)
        row = self.directory.find(place.key, place.entry.name if place.entry else "", states=states)
        if row is None:
            raise not_found(place.key)
        return row

    def _create(self, path: str, bodies: list[dict[str, Any]]) -> Any:
        place = self._place(path)
        writer = self.tenant.writer
        if place.relation is not None:
            owner = self._row(place)
            made = [writer.create_part(owner, place.relation, body, trusted=True).id for body in bodies]
        elif place.entry is None or place.key:
            raise WrongOrder(f"nothing can be created at {path}")
        else:
            made = [writer.create(place.entry, body, trusted=True).id for body in bodies]
        for identifier in made:
            self.tenant.logs.note("Add", identifier)
        return made

    def _target(self, path: str) -> Row:
        """The object or part at the path."""
        place = self._place(path)
        if place.relation is None or not place.item:
            return self._row(place)
        found = [p for p in self.directory.linked(place.relation.codes, self._row(place).seq) if p.id == place.item]
        if not found:
            raise not_found(place.item)
        return found[0]

    def _patch(self, path: str, changes: dict[str, Any]) -> Any:
        row = self._target(path)
        self.tenant.writer.patch(row, changes, trusted=True)
        self.tenant.logs.note("Update", row.id)

    def _delete(self, path: str) -> Any:
        row = self._target(path)
        self.tenant.writer.delete(row, trusted=True)
        self.tenant.logs.note("Delete", row.id)

    def _restore(self, identifier: str) -> Any:
        self.tenant.writer.restore(self._row(Place(None, identifier), (State.DELETED,)), {})
        self.tenant.logs.note("Restore", identifier)

    def _has_password(self, user: str, password: str) -> Any:
        return self.directory.passwords.get(user.lower()) == password

    def _publish(self, applications: list[dict[str, Any]]) -> Any:
        self.tenant.writer.creation.publish(applications)

    def _purge(self, identifier: str) -> Any:
        self.directory.purge(self._row(Place(None, identifier), (State.LIVE, State.DELETED)).seq)
        self.tenant.logs.note("Hard delete", identifier)

    def _link(self, path: str, targets: list[str], present: bool) -> Any:
        place = self._place(path)
        if place.relation is None or place.relation.inverse or place.relation.part:
            raise WrongOrder(f"{path} is not a relation that holds references")
        row = self._row(place)
        writer = self.tenant.writer
        change = writer.add_reference if present else writer.remove_reference
        for target in targets:
            change(row, place.relation, self._row(Place(None, target)), trusted=True)
        self.tenant.logs.note("Add" if present else "Remove", row.id, relation=place.relation.name, others=targets)

    # --- the truth ---------------------------------------------------------------------------------------------------

    def _entry(self, path: str) -> EntitySet:
        """The set at the path; sets of parts go by their type's name, or the path from any owner (`domains/-/…`)."""
        if path in BY_NAME:
            return BY_NAME[path]
        place = self._place(path)
        if place.relation is not None and place.relation.part:
            return BY_NAME[place.relation.part]
        if place.entry is None or (place.key and not place.entry.singleton):
            raise WrongOrder(f"{path} is not a set")
        return place.entry

    def _dump(self, path: str, deleted: bool, after: int, limit: int) -> Any:
        entry = self._entry(path)
        binned = path not in BY_NAME and self._place(path).deleted
        state = State.DELETED if deleted or binned else State.LIVE
        owned = self._place(path) if path not in BY_NAME else None
        relation = owned.relation if owned is not None else None
        if owned is not None and relation is not None and owned.key != "-":
            rows = self.directory.linked(relation.codes, self._row(owned).seq, after=after, limit=limit)
        else:
            rows = self.directory.page(entry.stored, after=after, limit=limit, state=state)
        last = rows[-1].seq if len(rows) == limit else 0
        if owned is not None and relation is not None and relation.codes[0] == Link.OPEN_EXTENSIONS:
            # Objects of many types have them.
            kinds = {row.seq: self.directory.owner_of(relation.codes[0], row.seq) for row in rows}
            rows = [
                row for row in rows if (one := kinds[row.seq]) and self.directory.by_seq(one).type == owned.set.name
            ]
        if entry.default is None and not entry.on_select:
            bodies = shape(entry.name, None)([row.body for row in rows])
            expanded = [*(name for name in entry.expandable if name not in entry.single_only), *entry.streams]
            if expanded:
                more = shape(entry.name, tuple(expanded), fill=False)([row.body for row in rows])
                bodies = [{**body, **_members(kept)} for body, kept in zip(bodies, more, strict=True)]
        else:
            stored = [_MEMBERS.decode(row.body) for row in rows]
            nulls = {n: None for n in entry.properties() if n not in entry.single_only and n not in entry.untracked}
            bodies = [{**nulls, **body} for body in stored]
        return {"value": bodies, "after": last}

    def _edges(self, path: str, relation: str, binned: bool = False) -> Any:
        entry = self._entry(path)
        found = entry.relation(relation)
        if found is None or found.transitive:
            raise WrongOrder(f"{path} has no stored relation {relation}")
        return list(self.directory.links(found.codes, entry.stored, inverse=found.inverse, binned=binned))

    def _log(self, path: str) -> Any:
        entries = list(self.tenant.logs.entries(self._place(path).set.name, late=True))
        return shape(self._place(path).set.name, None)([entry.body() for entry in entries])

    def _counts(self) -> Any:
        return {entry.path or entry.name: self.directory.count(entry.stored) for entry in SETS}

    def _ledger(self, reset: bool, entries: bool) -> Any:
        ledger = self.tenant.ledger
        result = {
            "requests": ledger.requests,
            "units": ledger.units,
            "statuses": {str(status): number for status, number in sorted(ledger.statuses.items())},
            "sets": dict(ledger.sets),
            "writes": dict(ledger.writes),
            "written": dict(ledger.written),
            "entries": [entry._asdict() for entry in ledger.entries] if entries else [],
        }
        if reset:
            self.tenant.ledger = Ledger()
        return result

    def _writes(self) -> Any:
        return [{**write._asdict(), "body": _sent(write.body)} for write in self.tenant.ledger.log]

    # --- knobs -------------------------------------------------------------------------------------------------------

    def _knobs(self, **changes: Any) -> Any:
        """Sets knobs by name; returns all."""
        knobs = self.tenant.knobs
        for name, value in changes.items():
            if not hasattr(knobs, name) or name in _GUARDED:
                raise WrongOrder(f"no such knob: {name}")
            if name in _SETS:
                value = frozenset(value)
            if name == "fault_kinds":
                value = tuple(value)
                if not set(value) <= {*FAULTS, *LATE_FAULTS}:
                    raise WrongOrder(f"kinds of faults are {', '.join((*FAULTS, *LATE_FAULTS))}")
            setattr(knobs, name, value)
        self.tenant.follow()
        return {**asdict(knobs), **{name: sorted(getattr(knobs, name)) for name in _SETS}}

    def _deny(self, prefix: str, status: int) -> Any:
        if status:
            self.tenant.knobs.deny[prefix] = status
        else:
            self.tenant.knobs.deny.pop(prefix, None)

    def _expire_delta_links(self, form: str) -> Any:
        if form and form not in EXPIRY_FORMS:
            raise WrongOrder(f"forms of expiry are {', '.join(EXPIRY_FORMS)}")
        self.tenant.knobs.expired_before = self.directory.now().timestamp()
        self.tenant.knobs.expiry_form = form

    def _expire_tokens(self) -> Any:
        self.tenant.knobs.issued_after = time.time()

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

    def _certificate(self, client_id: str, pem: str) -> Any:
        self.tenant.certificates.setdefault(client_id, []).append(pem)


def _sent(body: bytes) -> Any:
    """A body as it was sent; nothing when it is not JSON."""
    try:
        return msgspec.json.decode(body) if body else None
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _members(body: Any) -> dict[str, Any]:
    """The members of a body that `shape` made."""
    decoded: dict[str, Any] = _MEMBERS.decode(msgspec.json.encode(body))
    return decoded


class Control:
    """Sends orders to a running simulator.

    Args:
        url: Root of the simulator, for example `http://127.0.0.1:8480`.
    """

    def __init__(self, url: str) -> None:
        self._client = httpx.Client(base_url=f"{url.rstrip('/')}/_control/", timeout=300, trust_env=False)

    def close(self) -> None:
        """Closes the connection; the simulator goes on."""
        self._client.close()

    def order(self, name: str, **values: Any) -> Any:
        """Sends one order. Raises RuntimeError with the simulator's explanation when it is refused."""
        response = self._client.post(name, content=msgspec.json.encode(values))
        if response.status_code != 200:
            raise RuntimeError(f"{name}: {response.text}")
        return msgspec.json.decode(response.content)

    # --- change the tenant -------------------------------------------------------------------------------------------

    def create(self, path: str, body: dict[str, Any] | None = None) -> str:
        """Creates an object at a set (`users`) or part collection; returns its id. What is missing is made up."""
        return str(self.create_many(path, [body or {}])[0])

    def create_many(self, path: str, bodies: Sequence[dict[str, Any]]) -> list[str]:
        """Creates objects; returns their ids."""
        result: list[str] = self.order("create", path=path, bodies=list(bodies))
        return result

    def patch(self, path: str, changes: dict[str, Any]) -> None:
        """Sets properties of the object at `users/{id}`; None clears one."""
        self.order("patch", path=path, changes=changes)

    def delete(self, path: str) -> None:
        """Deletes the object at the path, as Graph would: to the recycle bin when its type has one."""
        self.order("delete", path=path)

    def restore(self, identifier: str) -> None:
        """Brings an object back from the recycle bin."""
        self.order("restore", identifier=identifier)

    def has_password(self, user_principal_name: str, password: str) -> bool:
        """Whether a user that was made since the simulator was started has this password."""
        return bool(self.order("has_password", user=user_principal_name, password=password))

    def publish(self, applications: Sequence[dict[str, Any]]) -> None:
        """Makes applications of other tenants known, by `appId`: enterprise applications can be made of them.

        Their other members (`displayName`, `appRoles` …) are what an enterprise application takes over.
        """
        self.order("publish", applications=list(applications))

    def purge(self, identifier: str) -> None:
        """Deletes an object for good."""
        self.order("purge", identifier=identifier)

    def add_link(self, path: str, *targets: str) -> None:
        """Adds references: `add_link("groups/{id}/members", user_id, …)`."""
        self.order("link", path=path, targets=list(targets), present=True)

    def remove_link(self, path: str, *targets: str) -> None:
        """Removes references."""
        self.order("link", path=path, targets=list(targets), present=False)

    # --- read the truth ----------------------------------------------------------------------------------------------

    def dump(self, path: str, *, deleted: bool = False) -> list[dict[str, Any]]:
        """All objects of a set (`users`; parts by type: `appRoleAssignment`) with every property a list can have.

        Parts go by a path below any owner, too (`domains/-/verificationDnsRecords`), those of one below that owner; a
        recycle bin goes by its path.
        """
        found: list[dict[str, Any]] = []
        after = 0
        while True:
            page = self.order("dump", path=path, deleted=deleted, after=after, limit=10_000)
            found += page["value"]
            after = page["after"]
            if not after:
                return found

    def edges(self, path: str, relation: str, *, binned: bool = False) -> set[tuple[str, str, str]]:
        """All links of a relation, as (id, id of the other end, its type such as `user`); `memberOf` goes backwards.

        With `binned`, also those of which an end is in the recycle bin.
        """
        return {
            (source, target, kind)
            for source, target, kind in self.order("edges", path=path, relation=relation, binned=binned)
        }

    def log(self, path: str) -> list[dict[str, Any]]:
        """All that the log (`auditLogs/signIns`) still keeps, oldest first, what cannot be read yet included."""
        result: list[dict[str, Any]] = self.order("log", path=path)
        return result

    def counts(self) -> dict[str, int]:
        """Live objects per set."""
        result: dict[str, int] = self.order("counts")
        return result

    def ledger(self, *, reset: bool = False, entries: bool = False) -> dict[str, Any]:
        """Requests to Graph since the last reset: `requests`, `units`, `statuses`, `sets`, `entries`.

        `writes` has the requests to write, by method and type (`POST user`, `PATCH group`, `POST group/members`), and
        `written` those that were carried out, whether or not the answer arrived; items of batches count singly.
        """
        result: dict[str, Any] = self.order("ledger", reset=reset, entries=entries)
        return result

    def writes(self) -> list[dict[str, Any]]:
        """The latest 100,000 requests to write since the ledger was reset, oldest first, those that were refused too.

        Each has `at` (seconds since 1970), `method`, `path`, `name` (as in `ledger`), `status`, `body` (decoded),
        `batched` and `lost` (carried out, but the answer was kept back).
        """
        result: list[dict[str, Any]] = self.order("writes")
        return result

    # --- turn the knobs ----------------------------------------------------------------------------------------------

    def knobs(self, **changes: Any) -> dict[str, Any]:
        """Sets knobs by the names of `entra_pipeline.simulator.faults.settings.Knobs`; returns all of them."""
        result: dict[str, Any] = self.order("knobs", **changes)
        return result

    def faults(self, rate: float, kinds: Iterable[str] = FAULTS, methods: Iterable[str] = ()) -> None:
        """From now on this share of Graph requests (with the methods, if some are given) fails; 0 = none."""
        self.knobs(fault_rate=rate, fault_kinds=list(kinds), fault_methods=list(methods))

    def deny(self, prefix: str, status: int = 403) -> None:
        """Paths with the prefix are answered with the status; 0 = no longer."""
        self.order("deny", prefix=prefix, status=status)

    def hide(
        self,
        *,
        objects: Iterable[str] = (),
        links: Iterable[str] = (),
        types: Iterable[str] = (),
        in_lists: bool = False,
    ) -> None:
        """Leaves objects, links (`<owner id>/<relation>/<target id>`) or types (`user`) out of what delta tells.

        They are still counted, and still answer by themselves; `in_lists` leaves them out of lists, too.
        """
        self.knobs(hidden=list(objects), hidden_links=list(links), hidden_types=list(types), hidden_in_lists=in_lists)

    def unlicensed(self, *prefixes: str) -> None:
        """Paths with the prefixes are answered 403, for want of a licence; without any, everything is licensed again.

        `schema.LICENSED` has the paths of everything that takes one.
        """
        self.knobs(unlicensed=list(prefixes))

    def expire_delta_links(self, form: str = "") -> None:
        """All delta links minted so far have expired; `form` is one of `faults.settings.EXPIRY_FORMS`."""
        self.order("expire_delta_links", form=form)

    def expire_tokens(self) -> None:
        """All access tokens issued so far are refused."""
        self.order("expire_tokens")

    def token_lifetime(self, seconds: int) -> None:
        """New access tokens live this long."""
        self.knobs(token_lifetime=seconds)

    def latency(self, seconds: float) -> None:
        """Each Graph request takes this much longer."""
        self.knobs(latency=seconds)

    def empty_pages(self, rate: float) -> None:
        """This share of pages is followed by an empty one."""
        self.knobs(empty_pages=rate)

    def repeat_pages(self, rate: float) -> None:
        """This share of pages is followed by the same objects again."""
        self.knobs(repeat_pages=rate)

    def delta(
        self,
        *,
        page_size: int | None = None,
        slice_size: int | None = None,
        replays: int | None = None,
        disorder: bool | None = None,
        hole: Iterable[str] | None = None,
        partial: bool | None = None,
    ) -> None:
        """Sets delta's habits; what is None stays."""
        wanted = {
            "delta_page_size": page_size,
            "delta_slice_size": slice_size,
            "replays": replays,
            "disorder": disorder,
            "hole": None if hole is None else list(hole),
            "partial": partial,
        }
        self.knobs(**{name: value for name, value in wanted.items() if value is not None})

    def clock(self, advance_seconds: float) -> str:
        """Moves the tenant's time; returns what it is now."""
        return str(self.order("clock", advance=advance_seconds))

    def roles(self, client_id: str, roles: Sequence[str] | None = None) -> list[str]:
        """Sets an app registration's application permissions (seen by its next token), or only returns them."""
        result: list[str] = self.order("roles", client_id=client_id, roles=None if roles is None else list(roles))
        return result

    def directory_roles(self, client_id: str, *names: str) -> None:
        """Gives an app registration these directory roles, by name, instead of those it holds.

        It takes `Privileged Authentication Administrator`, which the one that may write holds at first, or `Global
        Administrator` to change privileged users.
        """
        self.order("directory_roles", client_id=client_id, names=list(names))

    def register_certificate(self, client_id: str, pem: str) -> None:
        """The app registration may sign in with this certificate (PEM, public part)."""
        self.order("certificate", client_id=client_id, pem=pem)
