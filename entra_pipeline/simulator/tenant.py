"""One simulated tenant: what answers a request to Graph, in the order in which Graph checks things.

Path, token, permission, throttling, then reading, delta or writing.
"""

from __future__ import annotations

import time
import uuid
from collections import Counter, deque
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from entra_pipeline.simulator.chance import dice
from entra_pipeline.simulator.delta import Delta
from entra_pipeline.simulator.directory import Directory
from entra_pipeline.simulator.failures import Failure, denied, method_not_allowed, not_found
from entra_pipeline.simulator.knobs import Knobs
from entra_pipeline.simulator.logs import Logs, unlicensed
from entra_pipeline.simulator.paths import Place, resolve
from entra_pipeline.simulator.plan import Identity
from entra_pipeline.simulator.reading import Reader
from entra_pipeline.simulator.requests import JSON, Answer, Request
from entra_pipeline.simulator.sets import BACKUP_ROLES, BY_NAME, DIRECTORY_OBJECTS, RESTORE_ROLES
from entra_pipeline.simulator.throttle import Cost, Throttle, cost, throttled
from entra_pipeline.simulator.tokens import Caller, Signer
from entra_pipeline.simulator.unseen import leave_out
from entra_pipeline.simulator.writing import Writer

_LEDGER_LENGTH = 200_000


class Entry(NamedTuple):
    """One request in the ledger."""

    method: str
    path: str
    query: str
    status: int
    units: int


class Ledger:
    """What was asked: the latest requests, and totals since the last reset."""

    def __init__(self) -> None:
        self.entries: deque[Entry] = deque(maxlen=_LEDGER_LENGTH)
        self.requests = 0
        self.units = 0
        self.statuses: Counter[int] = Counter()
        self.sets: Counter[str] = Counter()

    def note(self, entry: Entry, name: str) -> None:
        """Takes down a request; `name` is the type it was about."""
        self.entries.append(entry)
        self.requests += 1
        self.units += entry.units
        self.statuses[entry.status] += 1
        self.sets[name] += 1


class App(NamedTuple):
    """An app registration of the simulated tenant that may sign in."""

    secret: str
    roles: tuple[str, ...]


class Tenant:
    """The tenant behind the simulated Graph."""

    def __init__(self, directory: Directory, identity: Identity, signer: Signer, seed: int) -> None:
        self.directory = directory
        self.identity = identity
        self.signer = signer
        self.knobs = Knobs(seed=seed)
        self.ledger = Ledger()
        self.throttle = Throttle(self.knobs)
        self.apps = {
            identity.client_id: App(identity.client_secret, BACKUP_ROLES),
            identity.restore_client_id: App(identity.restore_client_secret, RESTORE_ROLES),
        }
        self.certificates: dict[str, list[str]] = {}
        self.audiences: set[str] = {"https://graph.microsoft.com", "00000003-0000-0000-c000-000000000000"}
        self.chance = dice(seed)
        self.reader = Reader(self)
        self.delta = Delta(self)
        self.writer = Writer(self.directory, identity, seed)
        self.logs = Logs(self.directory, self.knobs, signer, identity, seed)
        self._born: dict[str, float] = {}

    def answer(self, request: Request) -> Answer:
        """The answer to a request under /v1.0, errors included; noted in the ledger."""
        price = Cost(1, 0)
        name = ""
        try:
            place = resolve(request.path)
            name = place.entry.name if place.entry else "directoryObject"
            caller = self.signer.caller(
                request.headers.get("authorization", ""), self.audiences, self.knobs.issued_after
            )
            price = cost(request.method, place, dict(request.options))
            headers = self._admit(request, place, caller, price)
            answer = self._dispatch(request, place, caller)
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
        self.ledger.note(Entry(request.method, request.path, query, answer.status, price.units), name)
        return answer

    def failed(self, failure: Failure, request: Request) -> Answer:
        """An error in Graph's shape (Graph doc: errors)."""
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
        return Answer(failure.status, body, {"Content-Type": JSON, **failure.headers})

    def fault(self) -> str:
        """The fault that strikes the next request; empty for none."""
        if self.knobs.fault_rate and self.chance.random() < self.knobs.fault_rate:
            return self.chance.choice(self.knobs.fault_kinds)
        return ""

    def refusal(self, kind: str, request: Request) -> Answer:
        """The answer of a fault that refuses."""
        if kind.startswith("429"):
            return self.failed(throttled(None if kind == "429-no-retry-after" else 1), request)
        code, message = {
            "503": ("ServiceUnavailable", "The service is temporarily unavailable."),
            "504": ("GatewayTimeout", "The gateway did not receive a response in time."),
        }[kind]
        answer = self.failed(Failure(int(kind), code, message), request)
        self.ledger.note(Entry(request.method, request.path, "", answer.status, 0), "fault")
        return answer

    def _admit(self, request: Request, place: Place, caller: Caller, price: Cost) -> dict[str, str]:
        """Permission and throttling. Raises Failure."""
        for prefix, status in self.knobs.deny.items():
            if _below(request.path, prefix):
                raise denied() if status == 403 else Failure(status, "Denied", "Refused by the control API.")
        if not self._permitted(request.method, place, caller):
            raise denied()
        if any(_below(request.path, prefix) for prefix in self.knobs.unlicensed):
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

    def _permitted(self, method: str, place: Place, caller: Caller) -> bool:
        reading = method == "GET" or place.tail in {"getByIds", "getAvailableExtensionProperties"}
        if place.entry is None:
            types = [BY_NAME[name] for name in DIRECTORY_OBJECTS]
            return any(caller.may(entry.read if reading else entry.write) for entry in types)
        if place.entry.delegated:
            return False
        if place.relation is not None:
            own = place.relation.read if reading else place.relation.write
            return caller.may(own or (place.entry.read if reading else place.entry.write))
        if place.deleted and not reading and place.entry.name == "user":
            return caller.may(("User.DeleteRestore.All", *place.entry.write))
        if place.tail == "assignLicense":
            return caller.may(("LicenseAssignment.ReadWrite.All", *place.entry.write))
        return caller.may(place.entry.read if reading else place.entry.write)

    def _dispatch(self, request: Request, place: Place, caller: Caller) -> Answer:
        if place.tail == "getByIds" and request.method == "POST":
            return self.reader.by_ids(request, caller)
        if place.tail == "getAvailableExtensionProperties" and request.method == "POST":
            return self.reader.extension_properties()
        if request.method == "GET":
            self._check_lag(place)
            if self.logs.has(place):
                return self._hiding(self.logs.answer(request, place), place)
            if place.tail == "delta":
                return self._hiding(self.delta.answer(request, place, caller), place)
            return self._hiding(self.reader.answer(request, place, caller), place)
        if request.method not in {"POST", "PATCH", "PUT", "DELETE"} or place.tail in {"delta", "$count"}:
            raise method_not_allowed()
        if self.knobs.conflicts and self.chance.random() < self.knobs.conflicts:
            raise Failure(
                409, "Directory_ConcurrencyViolation", "Unable to complete the request due to data concurrency."
            )
        answer = self.writer.answer(request, place, caller)
        self.logs.record(request, place, answer, caller.client_id)
        if answer.status == 201 and self.knobs.lag:
            self._born[msgspec.json.decode(answer.body).get("id", "")] = time.monotonic()
        return answer

    def _hiding(self, answer: Answer, place: Place) -> Answer:
        knobs = self.knobs
        if knobs.hidden or knobs.hidden_links or knobs.hidden_types:
            return leave_out(answer, place, knobs)
        return answer

    def _check_lag(self, place: Place) -> None:
        born = self._born.get(place.key)
        if born is not None and time.monotonic() - born < self.knobs.lag:
            raise not_found(place.key)


def _below(path: str, prefix: str) -> bool:
    return path.lower().startswith(prefix.strip("/").lower())
