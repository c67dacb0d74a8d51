"""The tenant's logs: directory audits, sign-ins, provisioning.

What belongs here: what happened, and how Graph lists it. What does not: who may ask, and how often (`tenant`,
`throttle`).

Everyday events follow from the seed and the date alone: entry number n of a day can be computed without the ones before
it, so that a large tenant pays only for the pages that are read. What is really done to the tenant is recorded in the
directory as it happens. Times are counted in ticks of 100 nanoseconds since 1970, as finely as Graph writes them.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from hashlib import blake2b
from heapq import merge
from itertools import islice
from typing import Any, NamedTuple

import msgspec

from entra_pipeline.simulator.faults.settings import TenantSettings
from entra_pipeline.simulator.generate.plan import Identity, Ids, seeded_random
from entra_pipeline.simulator.graph.app_sign_ins import APP_SIGN_IN, app_sign_in, asks_for_apps, without_kinds
from entra_pipeline.simulator.graph.projection import shape
from entra_pipeline.simulator.protocol.failures import Failure, bad_request, not_found, unsupported
from entra_pipeline.simulator.protocol.odata import check_select, parse_select
from entra_pipeline.simulator.protocol.paths import ResourcePath
from entra_pipeline.simulator.protocol.requests import GraphRequest, GraphResponse, json_answer
from entra_pipeline.simulator.protocol.tokens import Signer
from entra_pipeline.simulator.schema import LOGS, EntitySet, LinkKind
from entra_pipeline.simulator.storage.database import Entity, State
from entra_pipeline.simulator.storage.directory import Directory

SECOND = 10_000_000
"""Ticks in a second."""
_DAY = 86_400 * SECOND
_START = datetime(1970, 1, 1, tzinfo=UTC)
_WHEN = {"directoryAudit": "activityDateTime", "signIn": "createdDateTime"}
_ANY_OF = re.compile(r"\((\w+) eq '[^']*'(?: or \1 eq '[^']*')*\)")
_VALUE = re.compile(r"eq '([^']*)'")
_OTHERWISE = "activityDateTime"
# Sign-ins of thirty days at the most, of the largest tenant.
_MOST_SIGN_INS = 200_000
_MOST_PEOPLE = 2_000
_EVERY_STATE = (State.LIVE, State.DELETED, State.HIDDEN, State.PURGED)
_CLAUSE = re.compile(r"(\w+)\s+(eq|ge|gt|le|lt)\s+('(?:[^']|'')*'|\S+)")
_TIME = re.compile(r"(\d{4}-\d\d-\d\d)(?:T(\d\d:\d\d:\d\d)(?:\.(\d{1,7})\d*)?(?:Z|\+00:00))?")
_VERBS = {"POST": "Add", "PATCH": "Update", "PUT": "Update", "DELETE": "Delete"}
_CATEGORIES = {
    "user": "UserManagement",
    "group": "GroupManagement",
    "application": "ApplicationManagement",
    "servicePrincipal": "ApplicationManagement",
    "device": "Device",
    "directoryRole": "RoleManagement",
    "unifiedRoleAssignment": "RoleManagement",
    "administrativeUnit": "AdministrativeUnit",
    "conditionalAccessPolicy": "Policy",
}


class LogEntry(NamedTuple):
    """An entry of a log: its time in ticks, its id, and its JSON when it is read."""

    ticks: int
    id: str
    body: Callable[[], bytes]


class LogContinuation(msgspec.Struct, array_like=True):
    """What a `$skiptoken` of a log carries: the entry that the page starts behind."""

    ticks: int
    id: str


_AFTER_DECODER = msgspec.msgpack.Decoder(LogContinuation)


@dataclass(frozen=True, slots=True)
class LogQuery:
    """A `$filter` of a log: from `first` to before `end`, in ticks, and properties that have to equal one of values."""

    first: int
    end: int
    wanted: tuple[tuple[str, frozenset[str]], ...]


def ticks_of(moment: datetime) -> int:
    """Returns a moment in ticks."""
    return (moment - _START) // timedelta(microseconds=1) * 10


def stamp_of(ticks: int) -> str:
    """Returns a time as the logs write it, for example `2026-11-23T05:00:00.1234567Z`."""
    moment = _START + timedelta(seconds=ticks // SECOND)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{ticks % SECOND:07}Z"


class TenantLogs:
    """The logs of one tenant."""

    def __init__(
        self, directory: Directory, settings: TenantSettings, signer: Signer, identity: Identity, seed: int
    ) -> None:
        self.directory = directory
        self.settings = settings
        self._signer = signer
        self._identity = identity
        self._seed = seed
        self._ids = Ids(seed)

    # --- answering ---------------------------------------------------------------------------------------------------

    @staticmethod
    def has(place: ResourcePath) -> bool:
        """Returns whether the path leads to a log."""
        return place.entry in LOGS

    def answer(self, request: GraphRequest, place: ResourcePath) -> GraphResponse:
        """Returns the answer to a GET: a page, or one entry. Raises Failure."""
        entry = place.set
        if place.tail or place.relation:
            raise not_found(place.tail)
        select = parse_select(request.options.get("$select"))
        check_select(entry, select, {})
        shown = shape(entry.name, select)
        apps = asks_for_apps(request)
        context = f"{request.root}/$metadata#{entry.path}"
        if place.key:
            found = next((one for one in self.entries(entry.name) if one.id == place.key), None)
            if found is None:
                raise not_found(place.key)
            (body,) = shown([found.body()])
            return json_answer(
                {"@odata.context": f"{context}/$entity", **msgspec.json.decode(msgspec.json.encode(body))}
            )
        query = self._query(entry, without_kinds(request.options.get("$filter", "")))
        descending = _descending(entry, request.options.get("$orderby", ""))
        limit = _top(entry, request.options.get("$top"))
        token = request.options.get("$skiptoken")
        after = self._signer.open(token, _AFTER_DECODER) if token else None
        rows = list(islice(self._matching(APP_SIGN_IN if apps else entry.name, query, descending, after), limit + 1))
        body = {"@odata.context": context, "value": shown([row.body() for row in rows[:limit]])}
        if len(rows) > limit:
            onward = self._signer.seal(LogContinuation(rows[limit - 1].ticks, rows[limit - 1].id))
            body["@odata.nextLink"] = request.link(request.path, {"$skiptoken"}, skiptoken=onward)
        return json_answer(body)

    def entries(
        self, name: str, first: int = 0, end: int | None = None, *, descending: bool = False, late: bool = False
    ) -> Iterator[LogEntry]:
        """Yields the entries of a log that can be read now, in the order of their times.

        Args:
            name: Type of the entries.
            first: From then on, in ticks.
            end: Before then; up to now when None.
            descending: The newest first.
            late: Those, too, that happened and cannot be read yet.
        """
        now = ticks_of(self.directory.now())
        first = max(first, now - self.settings.log_retention_days * _DAY)
        end = min(now, end if end is not None else now)
        days = range(first // _DAY, (end + _DAY - 1) // _DAY)
        lag = 0 if late else int(self.settings.log_lag * SECOND)
        for day in reversed(days) if descending else days:
            numbers = self._numbers(name, day, first, end)
            everyday = (self._everyday(name, day, number) for number in (reversed(numbers) if descending else numbers))
            taken = self._recorded(name, max(first, day * _DAY), min(end, (day + 1) * _DAY))
            both = merge(everyday, reversed(taken) if descending else taken, key=_order, reverse=descending)
            for one in both:
                if first <= one.ticks < end and (not lag or one.ticks + _part(one.id, lag) <= now):
                    yield one

    def _matching(
        self, name: str, query: LogQuery, descending: bool, after: LogContinuation | None
    ) -> Iterator[LogEntry]:
        first, end = query.first, query.end
        if after is not None:
            first, end = (first, min(end, after.ticks + 1)) if descending else (max(first, after.ticks), end)
        for one in self.entries(name, first, end, descending=descending):
            if after is not None:
                here, there = _order(one), (after.ticks, after.id)
                if here >= there if descending else here <= there:
                    continue
            if query.wanted:
                body = msgspec.json.decode(one.body())
                if any(body.get(name) not in values for name, values in query.wanted):
                    continue
            yield one

    @staticmethod
    def _query(entry: EntitySet, text: str) -> LogQuery:
        when = _WHEN.get(entry.name, _OTHERWISE)
        first, end = 0, ticks_of(datetime.max.replace(tzinfo=UTC))
        wanted: list[tuple[str, frozenset[str]]] = []
        for clause in filter(None, re.split(r"\s*\band\s+", text)):
            if some := _ANY_OF.fullmatch(clause.strip()):
                check_select(entry, (some[1],), {})
                wanted.append((some[1], frozenset(_VALUE.findall(clause))))
                continue
            matched = _CLAUSE.fullmatch(clause.strip(" ()"))
            if not matched:
                raise unsupported("Invalid filter clause: Syntax error.")
            name, operator, value = matched.groups()
            check_select(entry, (name,), {})
            if name == when:
                ticks = _ticks(value)
                if operator in {"ge", "gt", "eq"}:
                    first = max(first, ticks + (operator == "gt"))
                if operator in {"le", "lt", "eq"}:
                    end = min(end, ticks + (operator != "lt"))
            elif operator == "eq" and value.startswith("'"):
                wanted.append((name, frozenset([value[1:-1].replace("''", "'")])))
            else:
                raise unsupported(f"The filter on '{name}' is not supported.")
        return LogQuery(first, end, tuple(wanted))

    # --- everyday events ---------------------------------------------------------------------------------------------

    def _per_day(self, name: str, day: int) -> int:
        if name == APP_SIGN_IN:
            # Each was really a sign-in.
            return 0
        people = len(self._people) and self._size
        if not people:
            # Nobody is there to do anything.
            return 0
        if name == "signIn":
            # The first day of 1970 was a Thursday; weekends are quiet.
            usual = min(5 * people, _MOST_SIGN_INS // 30)
            return usual * 3 // 10 if (day + 3) % 7 > 4 else usual
        if name == "directoryAudit":
            return min(4 + people // 25, 400)
        return min(12 * len(self._jobs), 600)

    def _numbers(self, name: str, day: int, first: int, end: int) -> range:
        """Numbers of the day's entries that may lie between two times."""
        number = self._per_day(name, day)
        if not number:
            return range(0)
        step = _DAY // number
        start = day * _DAY
        return range(min(number, max(0, (first - start) // step)), min(number, max(0, (end - 1 - start) // step + 1)))

    def _everyday(self, name: str, day: int, number: int) -> LogEntry:
        step = _DAY // self._per_day(name, day)
        key = f"{name}:{day}:{number}"
        identifier = self._ids(name, day * 1_000_000 + number)
        ticks = day * _DAY + number * step + _part(f"{self._seed}:{key}", step)
        if name == "directoryAudit":
            identifier = f"Directory_{identifier}_{number:05}"
        return LogEntry(ticks, identifier, lambda: _encoded(self._made(name, key, ticks, identifier)))

    def _made(self, name: str, key: str, ticks: int, identifier: str) -> Entity:
        rng = seeded_random(self._seed, key)
        person = rng.choice(self._people)
        made = {"directoryAudit": self._audit, "signIn": self._sign_in}.get(name, self._provisioning)
        return {"id": identifier, _WHEN.get(name, _OTHERWISE): stamp_of(ticks), **made(person, rng, key)}

    def _sign_in(self, person: Entity, rng: Any, key: str) -> Entity:
        failed = rng.random() < 0.06
        application = rng.choice(_APPLICATIONS)
        return {
            "userId": person["id"],
            "userDisplayName": person["displayName"],
            "userPrincipalName": person["userPrincipalName"],
            "appId": application[0],
            "appDisplayName": application[1],
            "ipAddress": f"203.0.113.{rng.randrange(1, 255)}",
            "clientAppUsed": rng.choice(("Browser", "Mobile Apps and Desktop clients")),
            "userAgent": "Mozilla/5.0 (Windows NT 10.0; Win64; x64)",
            "correlationId": self._ids("correlation " + key, 0),
            "conditionalAccessStatus": "failure" if failed else rng.choice(("success", "notApplied")),
            "isInteractive": True,
            "homeTenantId": self._identity.tenant_id,
            "resourceTenantId": self._identity.tenant_id,
            "riskDetail": "none",
            "riskLevelAggregated": "none",
            "riskLevelDuringSignIn": "none",
            "riskState": "none",
            "riskEventTypes": [],
            "riskEventTypes_v2": [],
            "resourceDisplayName": "Microsoft Graph",
            "resourceId": "00000003-0000-0000-c000-000000000000",
            "status": {
                "errorCode": 50126 if failed else 0,
                "failureReason": "Error validating credentials due to invalid username or password."
                if failed
                else "Other.",
                "additionalDetails": None,
            },
            "deviceDetail": {
                "deviceId": "",
                "displayName": None,
                "operatingSystem": rng.choice(("Windows 11", "macOS", "Ios 18", "Android 15")),
                "browser": "Edge 130.0",
                "isCompliant": None,
                "isManaged": None,
                "trustType": None,
            },
            "location": {
                "city": "Stockholm",
                "state": "Stockholms Lan",
                "countryOrRegion": "SE",
                "geoCoordinates": {"altitude": None, "latitude": 59.33, "longitude": 18.06},
            },
            "appliedConditionalAccessPolicies": [],
        }

    def _audit(self, person: Entity, rng: Any, key: str) -> Entity:
        verb, kind = rng.choice((("Update", "user"), ("Change password of", "user"), ("Update", "device")))
        admin = rng.choice(self._people)
        who = {"id": admin["id"], "displayName": None, "userPrincipalName": admin["userPrincipalName"]}
        return self._audit_body(
            verb, kind, [_resource(person, kind)], {"user": who, "app": None}, self._ids("correlation " + key, 0)
        )

    def _provisioning(self, person: Entity, rng: Any, key: str) -> Entity:
        principal, job = rng.choice(self._jobs)
        action = rng.choice(("create", "update", "update", "other", "disable"))
        failed = rng.random() < 0.05
        return {
            "tenantId": self._identity.tenant_id,
            "jobId": job,
            "cycleId": self._ids("cycle " + key, 0),
            "changeId": self._ids("change " + key, 0),
            "provisioningAction": action,
            "durationInMilliseconds": rng.randrange(50, 4000),
            "provisioningStatusInfo": {"status": "failure" if failed else "success", "errorInformation": None},
            "provisioningSteps": [
                {"name": "EntryImport", "provisioningStepType": "import", "status": "success", "details": {}}
            ],
            "modifiedProperties": [{"displayName": "displayName", "oldValue": None, "newValue": person["displayName"]}],
            "servicePrincipal": {"id": principal, "displayName": "Contoso directory"},
            "sourceSystem": {"displayName": "Azure Active Directory", "details": {}},
            "targetSystem": {"displayName": "customappsso", "details": {}},
            "initiatedBy": {"id": "", "displayName": "Azure AD Provisioning Service", "initiatorType": "system"},
            "sourceIdentity": {"id": person["id"], "displayName": person["displayName"], "identityType": "User"},
            "targetIdentity": {"id": self._ids("target " + person["id"], 0), "identityType": "urn:ietf:params:scim"},
        }

    @cached_property
    def _size(self) -> int:
        """Users of the tenant when the logs were first read: the days do not change with the tenant."""
        if not (known := self.directory.meta("log_users")):
            known = str(self.directory.count("user"))
            self.directory.remember("log_users", known)
        return int(known)

    @cached_property
    def _people(self) -> list[Entity]:
        """Those who sign in: users, whatever became of them since."""
        limit = min(self._size, _MOST_PEOPLE)
        rows = [row for state in _EVERY_STATE for row in self.directory.page("user", limit=limit, state=state)]
        people = [msgspec.json.decode(row.body) for row in sorted(rows)[:limit]]
        return [{"displayName": None, "userPrincipalName": None, **person} for person in people]

    @cached_property
    def _jobs(self) -> list[tuple[str, str]]:
        """Provisioning jobs: the service principal and the job."""
        links = self.directory.links((LinkKind.SYNC_JOBS,), "servicePrincipal")
        return sorted((principal, job) for principal, job, _ in links) if self._people else []

    # --- what is really done -----------------------------------------------------------------------------------------

    def record(self, request: GraphRequest, place: ResourcePath, answer: GraphResponse, client_id: str) -> None:
        """Records a write that succeeded."""
        if place.relation is not None and place.tail == "$ref":
            reference = place.item or str(request.json().get("@odata.id", "") if request.body else "")
            others = [reference.rpartition("/")[2]]
            verb = "Remove" if request.method == "DELETE" else "Add"
            self.note(verb, place.key, relation=place.relation.name, others=others, by=client_id)
            return
        verb = _VERBS[request.method]
        if place.deleted:
            verb = "Restore" if place.tail == "restore" else "Hard delete"
        created = msgspec.json.decode(answer.body).get("id", "") if answer.status == 201 else ""
        self.note(verb, created or place.item or place.key, by=client_id)

    def note(self, verb: str, identifier: str, *, relation: str = "", others: Sequence[str] = (), by: str = "") -> None:
        """Records that something was done.

        Args:
            verb: What, for example `Add`.
            identifier: The object it was done to.
            relation: The relation that changed, if one did.
            others: The other ends.
            by: The app registration that did it; empty for the control API.
        """
        row = self.directory.find(identifier, states=_EVERY_STATE)
        kind = row.type if row else "object"
        body = msgspec.json.decode(row.body) if row else {"id": identifier}
        targets = [_resource({"id": identifier, **body}, kind)]
        if relation:
            verb = f"{verb} {relation.removesuffix('s')} {'to' if verb == 'Add' else 'from'}"
            targets += [_resource({"id": other}, "directoryObject") for other in others]
        who = {"appId": by, "displayName": None, "servicePrincipalId": None, "servicePrincipalName": None}
        number = int(self.directory.meta("audits") or 0) + 1
        self.directory.remember("audits", str(number))
        ticks = ticks_of(self.directory.now())
        name = f"Directory_{self._ids('audit', number)}_{number:05}"
        correlation = self._ids("correlation", number)
        audit = self._audit_body(verb, kind, targets, {"user": None, "app": who if by else None}, correlation)
        self.directory.audit(ticks, name, {"id": name, "activityDateTime": stamp_of(ticks), **audit})

    def sign_app_in(
        self, client_id: str, request_id: uuid.UUID, address: str, error: int = 0, credential: str = ""
    ) -> None:
        """Records that an app registration signed in, or was refused with an error of Entra.

        Args:
            client_id: AppId of the app registration.
            request_id: Id of the sign-in; the token carries it in its claim `uti`.
            address: Where the request came from.
            error: Number of the AADSTS error; 0 when a token was given.
            credential: Id of the secret or certificate.
        """
        ticks = ticks_of(self.directory.now())
        body = app_sign_in(client_id, request_id, stamp_of(ticks), address, error, credential)
        self.directory.sign_app_in(ticks, str(request_id), body)

    def _recorded(self, name: str, first: int, end: int) -> list[LogEntry]:
        recorded = {"directoryAudit": self.directory.audited, APP_SIGN_IN: self.directory.app_sign_ins}.get(name)
        return [_stored(*one) for one in recorded(first, end)] if recorded else []

    @staticmethod
    def _audit_body(verb: str, kind: str, targets: list[Entity], by: Entity, correlation: str) -> Entity:
        words = re.sub(r"(?<=[a-z])([A-Z])", r" \1", kind).lower()
        return {
            "category": _CATEGORIES.get(kind, "DirectoryManagement"),
            "correlationId": correlation,
            "result": "success",
            "resultReason": "",
            "activityDisplayName": f"{verb} {words}",
            "loggedByService": "Core Directory",
            "operationType": verb.partition(" ")[0],
            "initiatedBy": by,
            "targetResources": targets,
            "additionalDetails": [],
        }


def _descending(entry: EntitySet, text: str) -> bool:
    name, _, direction = text.partition(" ")
    if text and (name != _WHEN.get(entry.name, _OTHERWISE) or direction not in {"", "asc", "desc"}):
        raise unsupported("Invalid $orderby.")
    return direction == "desc" or not text


def _top(entry: EntitySet, text: str | None) -> int:
    if text is None:
        return entry.page
    if not text.isdigit() or not 1 <= int(text) <= entry.largest_page:
        raise bad_request(f"Invalid page size specified: '{text}'. Must be between 1 and 1000 inclusive.")
    return int(text)


def _resource(body: Entity, kind: str) -> Entity:
    return {
        "id": body["id"],
        "displayName": body.get("displayName"),
        "type": kind[:1].upper() + kind[1:],
        "userPrincipalName": body.get("userPrincipalName"),
        "groupType": None,
        "modifiedProperties": [],
    }


def _stored(ticks: int, identifier: str, body: bytes) -> LogEntry:
    return LogEntry(ticks, identifier, lambda: body)


def _order(entry: LogEntry) -> tuple[int, str]:
    return entry.ticks, entry.id


def _part(key: str, whole: int) -> int:
    """Returns a number below `whole`, always the same for a key."""
    return int.from_bytes(blake2b(key.encode(), digest_size=8).digest()) * whole >> 64


def _ticks(text: str) -> int:
    matched = _TIME.fullmatch(text)
    if not matched:
        raise unsupported("Invalid filter clause: a time in UTC is expected.")
    date, time, fraction = matched.groups()
    try:
        moment = datetime.fromisoformat(f"{date}T{time or '00:00:00'}+00:00")
    except ValueError:
        raise unsupported("Invalid filter clause: a time in UTC is expected.") from None
    return ticks_of(moment) + int((fraction or "").ljust(7, "0"))


def unlicensed() -> Failure:
    """Returns the refusal (403) of sign-ins to a tenant without a premium licence."""
    return Failure(
        403,
        "Authentication_RequestFromNonPremiumTenantOrB2CTenant",
        "Neither tenant is B2C or tenant doesn't have premium license",
    )


def _encoded(body: Entity) -> bytes:
    return msgspec.json.encode(body)


_APPLICATIONS = (
    ("de8bc8b5-d9f9-48b1-a8ad-b748da725064", "Graph Explorer"),
    ("00000002-0000-0ff1-ce00-000000000000", "Office 365 Exchange Online"),
    ("c44b4083-3bb0-49c1-b47d-974e53cbdf3c", "Azure Portal"),
    ("1fec8e78-bce4-4aaf-ab1b-5451cc387264", "Microsoft Teams"),
)
