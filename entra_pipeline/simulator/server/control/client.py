"""Sends orders to a running simulator."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import httpx
import msgspec

from entra_pipeline.simulator.faults.settings import FAULTS

REUSED = 1.0
"""Seconds for which an idle connection is used again.

The simulator ends one after `listener.KEPT` seconds, and an order that is sent at that very moment is lost.
"""


Answering = Callable[[str, bytes], tuple[int, bytes]]
"""Answers an order, given by name and as JSON, with the HTTP status and the result or what is wrong, as JSON."""


class _Orders:
    """Sends orders by name.

    Args:
        url: Where the simulator listens.
        within: Answers orders where this process serves the tenant itself: no connection is made.
    """

    def __init__(self, url: str, within: Answering | None = None) -> None:
        self._within = within
        self._client = httpx.Client(
            base_url=f"{url.rstrip('/')}/_control/",
            timeout=300,
            trust_env=False,
            limits=httpx.Limits(keepalive_expiry=REUSED),
        )

    def close(self) -> None:
        """Closes the connection; the simulator goes on."""
        self._client.close()

    def order(self, name: str, /, **values: Any) -> Any:
        """Sends one order. Raises RuntimeError with the simulator's explanation when it is refused."""
        status, answer = (self._within or self._over_http)(name, msgspec.json.encode(values))
        if status != 200:
            raise RuntimeError(f"{name}: {answer.decode()}")
        return msgspec.json.decode(answer)

    def _over_http(self, name: str, order: bytes) -> tuple[int, bytes]:
        response = self._client.post(name, content=order)
        return response.status_code, response.content


class _SettingControl(_Orders):
    """Sets how the tenant behaves."""

    def knobs(self, **changes: Any) -> dict[str, Any]:
        """Changes settings by the names of `faults.settings.TenantSettings`; returns all of them."""
        result: dict[str, Any] = self.order("knobs", **changes)
        return result

    def faults(self, rate: float, kinds: Iterable[str] = FAULTS, methods: Iterable[str] = ()) -> None:
        """Makes this share of Graph requests fail (with the methods, if some are given); 0 = none."""
        self.knobs(fault_rate=rate, fault_kinds=list(kinds), fault_methods=list(methods))

    def deny(self, prefix: str, status: int = 403) -> None:
        """Paths with the prefix are answered with the status; 0 = no longer."""
        self.order("deny", prefix=prefix, status=status)

    def misbehave(
        self,
        name: str,
        path: str = "",
        *,
        objects: Iterable[str] = (),
        times: int = 0,
        seconds: float = 0.0,
        probability: float = 1.0,
        only: str = "",
        **options: Any,
    ) -> None:
        """Makes the tenant misbehave in a way of `faults.misbehave.MISBEHAVIOURS`, besides those that are set.

        Args:
            name: Which; `all` sets every one of them with the probability.
            path: Paths it strikes, `*` for anything (`groups/*/members`); empty = all that it can strike.
            objects: Ids of the objects, or owners of a relation, that it strikes; empty = any.
            times: How many answers; 0 = for ever.
            seconds: For how long; 0 = for ever.
            probability: Share of requests or, where it is about elements of a page, of elements.
            only: `batch` = parts of batches only; `single` = requests of their own only.
            options: What the misbehaviour takes.

        Raises:
            RuntimeError: There is no such misbehaviour, or it takes no such option.
        """
        if name == "all":
            self.order("misbehave", name=name, probability=probability)
            return
        self.order(
            "misbehave",
            name=name,
            path=path,
            objects=list(objects),
            times=times,
            seconds=seconds,
            probability=probability,
            only=only,
            **options,
        )

    def behave(self, name: str = "") -> None:
        """Ends a misbehaviour, or all."""
        self.order("behave", name=name)

    def misbehaviours(self) -> list[dict[str, Any]]:
        """Returns those that are set: `name`, `path`, `objects`, how many answers they `struck`, and `over`."""
        result: list[dict[str, Any]] = self.order("misbehaviours")
        return result

    def hide(
        self,
        *,
        objects: Iterable[str] = (),
        links: Iterable[str] = (),
        types: Iterable[str] = (),
        in_lists: bool = False,
    ) -> None:
        """Leaves objects, links (`<owner id>/<relation>/<target id>`) or types (`user`) out of delta.

        They are still counted, and a GET of one still answers; `in_lists` leaves them out of lists, too.
        """
        self.knobs(hidden=list(objects), hidden_links=list(links), hidden_types=list(types), hidden_in_lists=in_lists)

    def unlicensed(self, *prefixes: str) -> None:
        """Paths with the prefixes are answered 403, for want of a licence; without any, everything is licensed again.

        `schema.LICENSED` has the paths of everything that takes one.
        """
        self.knobs(unlicensed=list(prefixes))

    def expire_delta_links(self, form: str = "") -> None:
        """Expires all delta links issued so far; `form` is one of `faults.settings.EXPIRY_FORMS`."""
        self.order("expire_delta_links", form=form)

    def expire_tokens(self) -> None:
        """Refuses all access tokens issued so far."""
        self.order("expire_tokens")

    def token_lifetime(self, seconds: int) -> None:
        """Sets how long new access tokens live."""
        self.knobs(token_lifetime=seconds)

    def latency(self, seconds: float) -> None:
        """Makes each Graph request take this much longer."""
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

    def sign_app_in(self, client_id: str, address: str = "198.51.100.7") -> str:
        """Has somebody from elsewhere sign in as the app registration; returns the id of the sign-in in the log."""
        return str(self.order("sign_app_in", client_id=client_id, address=address))

    def standing_secret(self, client_id: str, secret: str = "") -> None:
        """Gives the app registration a client secret that stays; empty = it has none."""
        self.order("standing_secret", client_id=client_id, secret=secret)

    def register_certificate(self, client_id: str, pem: str) -> None:
        """Lets the app registration sign in with this certificate (PEM, public part)."""
        self.order("certificate", client_id=client_id, pem=pem)


class Control(_SettingControl):
    """Changes a running tenant, reads the truth about it, and sets how it behaves.

    Args:
        url: Root of the simulator, for example `http://127.0.0.1:8480`.
        within: Answers orders where this process serves the tenant itself: no connection is made.
    """

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
        """Returns whether a user that was made since the simulator was started has this password."""
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

    def dump(self, path: str, *, deleted: bool = False) -> list[dict[str, Any]]:
        """Returns all objects of a set (`users`; parts by type: `appRoleAssignment`) with every property of a list.

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
        """Returns all links of a relation as (id, other end's id, its type such as `user`); `memberOf` goes backwards.

        With `binned`, also those of which an end is in the recycle bin.
        """
        return {
            (source, target, kind)
            for source, target, kind in self.order("edges", path=path, relation=relation, binned=binned)
        }

    def log(self, path: str) -> list[dict[str, Any]]:
        """Returns everything the log (`auditLogs/signIns`) still keeps, oldest first, even what cannot be read yet.

        `beta/auditLogs/signIns` has the sign-ins of apps.
        """
        result: list[dict[str, Any]] = self.order("log", path=path)
        return result

    def counts(self) -> dict[str, int]:
        """Returns live objects per set."""
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
        """Returns the latest 100,000 requests to write since the last reset, oldest first, refused ones included.

        Each has `at` (seconds since 1970), `method`, `path`, `name` (as in `ledger`), `status`, `body` (decoded),
        `batched` and `lost` (carried out, but the answer was kept back).
        """
        result: list[dict[str, Any]] = self.order("writes")
        return result
