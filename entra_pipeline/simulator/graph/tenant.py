"""One simulated tenant: what answers a request to Graph, in the order in which Graph checks things.

Path, token, permission, throttling, then reading, delta or writing.
"""

from __future__ import annotations

import time
import uuid
from collections import Counter, deque
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from entra_pipeline.simulator.faults.hidden import without_hidden
from entra_pipeline.simulator.faults.misbehave import Misbehaviours
from entra_pipeline.simulator.faults.misbehave.rule import Exchange
from entra_pipeline.simulator.faults.settings import LATE_FAULTS, TenantSettings
from entra_pipeline.simulator.faults.throttle import Cost, Throttle, cost, throttled
from entra_pipeline.simulator.faults.unseen import check_seen
from entra_pipeline.simulator.generate.plan import Identity, seeded_random
from entra_pipeline.simulator.graph import protected
from entra_pipeline.simulator.graph.credentials import OWNED_BY, AppCredentials, AppRegistration
from entra_pipeline.simulator.graph.delta import DeltaHandler
from entra_pipeline.simulator.graph.logs import TenantLogs, unlicensed
from entra_pipeline.simulator.graph.reading import Continuation, ReadHandler
from entra_pipeline.simulator.graph.writing.writer import WriteHandler
from entra_pipeline.simulator.protocol.failures import (
    Failure,
    concurrency,
    denied,
    method_not_allowed,
    step_up,
)
from entra_pipeline.simulator.protocol.paths import READING_TAILS, ResourcePath, resolve
from entra_pipeline.simulator.protocol.requests import JSON, GraphRequest, GraphResponse
from entra_pipeline.simulator.protocol.tokens import Caller, Signer
from entra_pipeline.simulator.schema import BACKUP_ROLES, BY_NAME, DIRECTORY_OBJECTS, RESTORE_ROLES
from entra_pipeline.simulator.storage.database import State
from entra_pipeline.simulator.storage.directory import Directory
from entra_pipeline.simulator.storage.replica import Replica

_LEDGER_LENGTH = 200_000
_WRITES_KEPT = 100_000
_LARGEST_BODY = 64 * 1024


class RequestRecord(NamedTuple):
    """One request in the ledger."""

    method: str
    path: str
    query: str
    status: int
    units: int


class WriteRecord(NamedTuple):
    """One request to write.

    Attributes:
        at: Seconds since 1970.
        name: Type it was about; `group/members` for a reference or a part, `user/restore` for an undelete,
            `user/deletedItems` for what is deleted for good.
        status: Of the answer that the client should have got; with `lost`, it got none or another.
        body: As sent; nothing when it is larger than 64 KiB.
        batched: It was an item of a batch.
    """

    at: float
    method: str
    path: str
    name: str
    status: int
    body: bytes
    batched: bool
    lost: bool


class RequestLedger:
    """Counts requests: the latest ones, and totals since the last reset.

    Attributes:
        writes: Requests to write, whatever became of them, by method and name.
        written: Those that were carried out.
        log: The latest of them.
    """

    def __init__(self) -> None:
        self.writes: Counter[str] = Counter()
        self.written: Counter[str] = Counter()
        self.log: deque[WriteRecord] = deque(maxlen=_WRITES_KEPT)
        self.entries: deque[RequestRecord] = deque(maxlen=_LEDGER_LENGTH)
        self.requests = 0
        self.units = 0
        self.statuses: Counter[int] = Counter()
        self.sets: Counter[str] = Counter()

    def note(self, entry: RequestRecord, name: str) -> None:
        """Takes down a request; `name` is the type it was about."""
        self.entries.append(entry)
        self.requests += 1
        self.units += entry.units
        self.statuses[entry.status] += 1
        self.sets[name] += 1

    def note_write(self, write: WriteRecord) -> None:
        """Takes down a request to write."""
        self.log.append(write)
        self.writes[f"{write.method} {write.name}"] += 1
        if write.status < 400:
            self.written[f"{write.method} {write.name}"] += 1


class SimulatedGraph:
    """Answers the requests to one simulated tenant."""

    def __init__(self, directory: Directory, identity: Identity, signer: Signer, seed: int) -> None:
        self.directory = directory
        self.identity = identity
        self.signer = signer
        self.settings = TenantSettings(seed=seed)
        self.ledger = RequestLedger()
        self.throttle = Throttle(self.settings)
        self.apps = {
            identity.client_id: AppRegistration(identity.client_secret, BACKUP_ROLES),
            identity.restore_client_id: AppRegistration(
                identity.restore_client_secret,
                RESTORE_ROLES,
                ("Privileged Authentication Administrator",),
                owners=(identity.owner_client_id,),
            ),
            identity.owner_client_id: AppRegistration(identity.owner_client_secret, (OWNED_BY,)),
        }
        self.credentials = AppCredentials(self.apps, directory, self.settings)
        self.certificates: dict[str, list[str]] = {}
        self.audiences: set[str] = {"https://graph.microsoft.com", "00000003-0000-0000-c000-000000000000"}
        self.rng = seeded_random(seed)
        self.reader = ReadHandler(directory, signer, self.settings)
        self.delta = DeltaHandler(directory, signer, self.settings)
        self.writer = WriteHandler(self.directory, identity, seed)
        self.logs = TenantLogs(self.directory, self.settings, signer, identity, seed)
        self.misbehaviours = Misbehaviours(seed)
        self.replica: Replica | None = None
        self._answered: dict[str, float] = {}

    def answer(self, request: GraphRequest, *, lost: bool = False) -> GraphResponse:
        """Answers a request under /v1.0, errors included, and counts it. `lost`: the client will not get the answer."""
        price = Cost(1, 0)
        name = ""
        place = None
        try:
            if not (own := self.credentials.has(request.path)):
                place = resolve(request.path)
            if request.beta and not (place and self.logs.has(place)):
                raise Failure(501, "NotImplemented", "Of beta, this tenant has logs only.")
            name = place.entry.name if place and place.entry else "application" if own else "directoryObject"
            caller = self.signer.caller(
                request.headers.get("authorization", ""), self.audiences, self.settings.issued_after
            )
            if caller.client_id in self.apps:
                holds = frozenset(self.apps[caller.client_id].directory_roles)
                caller = replace(caller, directory_roles=holds)
            if place is None:
                answer = self.credentials.answer(request, caller)
            else:
                price = cost(request.method, place, dict(request.options))
                headers = self._admit(request, place, caller, price)
                answer = self._misbehave(request, place, caller)
                answer.headers.update(headers)
        except Failure as failure:
            answer = self.failed(failure, request)
        answer.units = price.units
        answer.headers.setdefault("x-ms-resource-unit", str(price.units))
        query = "&".join(
            f"{option}={value}"
            for option, value in request.options.items()
            if option not in {"$skiptoken", "$deltatoken"}
        )
        self.ledger.note(RequestRecord(request.method, request.path, query, answer.status, price.units), name)
        if request.method != "GET" and not (place and place.tail in READING_TAILS):
            self._note_write(request, place, name, answer.status, lost)
        return answer

    def answer_with_fault(self, request: GraphRequest, fault: str) -> GraphResponse:
        """Answers a request that a fault strikes; faults of the connection are left to the server."""
        if self.refuses(fault):
            return self.refusal(fault, request)
        answer = self.answer(request, lost=fault in LATE_FAULTS)
        return self.refusal(fault, request) if fault == "504-after" else answer

    def _note_write(
        self, request: GraphRequest, place: ResourcePath | None, name: str, status: int, lost: bool
    ) -> None:
        if place and place.deleted:
            states = (State.DELETED, State.LIVE, State.PURGED)
            row = self.directory.find(place.key, states=states) if place.key else None
            name = f"{row.type if row else name}/{place.tail or 'deletedItems'}"
        elif place and place.relation:
            name += f"/{place.relation.name}"
        elif place and place.inline:
            name += f"/{place.inline}"
        elif place and place.tail:
            name += f"/{place.tail}"
        body = request.body if len(request.body) <= _LARGEST_BODY else b""
        self.ledger.note_write(
            WriteRecord(time.time(), request.method, request.path, name, status, body, request.batched, lost)
        )

    def failed(self, failure: Failure, request: GraphRequest) -> GraphResponse:
        """Returns an error in Graph's shape (Graph doc: errors)."""
        inner = {
            "date": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S"),
            "request-id": str(uuid.uuid4()),
            "client-request-id": request.headers.get("client-request-id", str(uuid.uuid4())),
        }
        error: dict[str, Any] = {"code": failure.code, "message": failure.message}
        if failure.details:
            error["details"] = failure.details
        if failure.status == 429:
            inner |= {"code": "429", "message": "Please retry after", "status": "429"}
        body = msgspec.json.encode({"error": {**error, "innerError": inner}})
        return GraphResponse(failure.status, body, {"Content-Type": JSON, **failure.headers})

    def fault(self, method: str) -> str:
        """Returns the fault that strikes the next request; empty for none."""
        settings = self.settings
        if settings.fault_methods and method not in settings.fault_methods:
            return ""
        if settings.fault_rate and self.rng.random() < settings.fault_rate:
            return self.rng.choice(settings.fault_kinds)
        return ""

    @staticmethod
    def refuses(fault: str) -> bool:
        """Returns whether the fault keeps a request from being carried out."""
        return fault in {"503", "504"} or fault.startswith("429")

    def follow(self) -> None:
        """Reads lag from now on, or no longer, as the knob says; not within a transaction."""
        if self.settings.lag and self.replica is None:
            self.replica = Replica(self.directory)
        elif self.replica is not None and not self.settings.lag:
            self.replica.close()
            self.replica = None

    def refusal(self, kind: str, request: GraphRequest) -> GraphResponse:
        """Returns the answer of a fault that refuses."""
        if kind.startswith("429"):
            return self.failed(throttled(None if kind == "429-no-retry-after" else 1), request)
        status = int(kind[:3])
        code, message = {
            503: ("ServiceUnavailable", "The service is temporarily unavailable."),
            504: ("GatewayTimeout", "The gateway did not receive a response in time."),
        }[status]
        answer = self.failed(Failure(status, code, message), request)
        if kind in LATE_FAULTS:
            return answer
        self.ledger.note(RequestRecord(request.method, request.path, "", answer.status, 0), "fault")
        return answer

    def _admit(self, request: GraphRequest, place: ResourcePath, caller: Caller, price: Cost) -> dict[str, str]:
        """Checks permission and throttling; returns headers about throttling. Raises Failure (403, 429)."""
        for prefix, status in self.settings.deny.items():
            if _below(request.path, prefix):
                raise denied() if status == 403 else Failure(status, "Denied", "Refused by the control API.")
        if not self._permitted(request.method, place, caller):
            raise denied()
        if request.method != "GET":
            held = {one for prefix, one in self.settings.protected.items() if _below(request.path, prefix)}
            for context in sorted(held | protected.contexts(self.directory, request, place)):
                if context not in caller.contexts:
                    raise step_up(context)
        if any(_below(request.path, prefix) for prefix in self.settings.unlicensed):
            if self.logs.has(place):
                raise unlicensed()
            raise Failure(
                403,
                "AadPremiumLicenseRequired",
                "The tenant needs to have Microsoft Entra ID P2 or Microsoft Entra ID Governance license.",
            )
        users = self.directory.count("user")
        return self.throttle.admit(
            caller.client_id, self.identity.tenant_id, place, price, users, request.options.get("$select", "")
        )

    def _permitted(self, method: str, place: ResourcePath, caller: Caller) -> bool:
        reading = method == "GET" or place.tail in READING_TAILS
        if place.entry is None:
            types = [BY_NAME[name] for name in DIRECTORY_OBJECTS]
            return any(caller.may(entry.read if reading else entry.write) for entry in types)
        if place.entry.delegated:
            return False
        if place.entry.by_user and not reading and not _by_application(place):
            return bool(caller.user) and caller.may(place.entry.by_user)
        if place.relation is not None:
            own = place.relation.read if reading else place.relation.write
            return caller.may(own or (place.entry.read if reading else place.entry.write))
        if place.deleted and not reading and place.entry.name == "user":
            return caller.may(("User.DeleteRestore.All", *place.entry.write))
        if place.tail == "assignLicense":
            return caller.may(("LicenseAssignment.ReadWrite.All", *place.entry.write))
        return caller.may(place.entry.read if reading else place.entry.write)

    def _misbehave(self, request: GraphRequest, place: ResourcePath, caller: Caller) -> GraphResponse:
        """Returns the answer, as the misbehaviours that are set change it. Raises Failure."""
        if not self.misbehaviours.rules:
            return self._dispatch(request, place, caller)

        def continue_after(path: str, seq: int) -> str:
            return f"{request.root}/{path}?$skiptoken={self.signer.seal(Continuation(seq))}"

        return self.misbehaviours.strike(
            Exchange(
                request,
                place,
                caller,
                self.directory,
                lambda: self._dispatch(request, place, caller),
                continue_after,
            )
        )

    def _dispatch(self, request: GraphRequest, place: ResourcePath, caller: Caller) -> GraphResponse:
        if place.tail == "getByIds" and request.method == "POST":
            return self.reader.by_ids(request, caller)
        if place.tail == "getAvailableExtensionProperties" and request.method == "POST":
            return self.reader.extension_properties()
        if request.method == "GET":
            return self._read(request, place, caller)
        if request.method not in {"POST", "PATCH", "PUT", "DELETE"} or place.tail in {"delta", "$count"}:
            raise method_not_allowed()
        if self.settings.conflicts and self.rng.random() < self.settings.conflicts:
            raise concurrency()
        written = self._written(place)
        last = self._answered.get(written) if self.settings.collisions else None
        if last is not None and request.arrived <= last + self.settings.settling:
            raise concurrency()
        if self.settings.lag_writes and self.replica is not None:
            self.replica.follow(self.settings.lag)
            check_seen(self.directory, self.replica, request, place)
        answer = self.writer.answer(request, place, caller)
        self.logs.record(request, place, answer, caller.client_id)
        if written:
            self._answered[written] = time.monotonic()
        return answer

    def _read(self, request: GraphRequest, place: ResourcePath, caller: Caller) -> GraphResponse:
        if self.logs.has(place):
            return self._hiding(self.logs.answer(request, place), place)
        reader, delta = self.reader, self.delta
        if self.replica is not None:
            self.replica.follow(self.settings.lag)
            reader, delta = (
                ReadHandler(self.replica, self.signer, self.settings),
                DeltaHandler(self.replica, self.signer, self.settings),
            )
        answer = (delta if place.tail == "delta" else reader).answer(request, place, caller)
        return self._hiding(answer, place)

    def _written(self, place: ResourcePath) -> str:
        """Returns the id of the object a write changes, so that two at once collide; empty where one is created."""
        if place.entry is None or not place.key:
            return place.key
        if place.relation is not None and place.relation.part:
            return place.item
        row = self.directory.find(place.key, place.entry.name)
        return row.id if row else place.key

    def _hiding(self, answer: GraphResponse, place: ResourcePath) -> GraphResponse:
        settings = self.settings
        if settings.hidden or settings.hidden_links or settings.hidden_types:
            return without_hidden(answer, place, settings)
        return answer


def _by_application(place: ResourcePath) -> bool:
    """Returns whether an application may write an object of a type that only a signed-in user may write otherwise."""
    begins = place.set.by_application
    return bool(begins) and place.key.startswith(begins)


def _below(path: str, prefix: str) -> bool:
    return path.lower().startswith(prefix.strip("/").lower())
