"""Comparing the sign-ins of our app registrations with the tokens that we took: one that nobody explains is an alarm.

1. The log `app_sign_ins` has what Entra says: each sign-in, with the identifier of the token that it gave.
2. The records of tokens (`store.tokens`) say what this installation took.
3. A sign-in is explained by a record of the same token. Where one of them has no identifier, by a record of the same
   app registration within `SKEW`, each explaining one sign-in.
4. What is not explained is kept, once, and alarms: an event of the audit log, a notification, and the last recovery
   point before it on hold.

Sign-ins before the first record, and those of the last minutes, are not judged: a record may be on its way.
"""

from __future__ import annotations

import base64
import uuid
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

import msgspec

from entra_pipeline.analysis.unusual import UnusualFinding
from entra_pipeline.audit import Act, AuditLog, Origin
from entra_pipeline.catalogue.logs import APP_SIGN_INS
from entra_pipeline.clock import iso, parse_iso
from entra_pipeline.errors import EntraPipelineError, IntegrityError, NotInStore
from entra_pipeline.project import Project, Scope
from entra_pipeline.store.backends import ObjectStore
from entra_pipeline.store.events import announce
from entra_pipeline.store.logs import LogDay
from entra_pipeline.store.manifest import canonical, sha256
from entra_pipeline.store.parallel import in_parallel
from entra_pipeline.store.points.keys import key_of
from entra_pipeline.store.recovery_points import ScopeStore
from entra_pipeline.store.retention.holds import hold
from entra_pipeline.store.state import connect
from entra_pipeline.store.tokens import TokenRecord, TokenRecords

SKEW = timedelta(minutes=5)
"""How far clocks may differ, and a record may be behind its token."""
FOLDER = "_sign_ins/"
"""What the keys of unexplained sign-ins begin with; the name of the scope follows."""
ADVICE = (
    "Somebody has signed in as an app registration of entra-pipeline, and no job here has. If it was not another "
    "installation or one of you, remove its credentials in Entra (Certificates & secrets) and make new ones."
)
# A managed identity is given the same token for up to a day (Azure doc: managed identities, how-to-use-vm-token).
_DAY = timedelta(days=1)
_GUID_BYTES = 16
# Sign-ins that a message shows.
_SHOWN = 100
_TEXTS = ("app", "app_name", "address", "resource", "credential", "token")


class AppSignIn(msgspec.Struct, frozen=True, kw_only=True):
    """A sign-in of one of our app registrations.

    Attributes:
        id: Of the sign-in, as Entra names it.
        moment: When, RFC 3339.
        app: AppId of the app registration.
        app_name: What it is called.
        address: Network address that it came from.
        resource: What the token is for.
        credential: Id of the secret or certificate that was used; may be empty.
        token: Identifier of the token; may be empty.
    """

    id: str
    moment: str
    app: str
    app_name: str = ""
    address: str = ""
    resource: str = ""
    credential: str = ""
    token: str = ""


class SignInVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """What comparing has found.

    Attributes:
        judged: How many sign-ins were compared.
        unexplained: Those that nothing explains, and that nobody was told of before.
        known: How many others nothing explains either.
        held: The recovery point that was put on hold for them; empty when none was.
        problem: Why sign-ins could not be compared, or not all; empty when they were.
    """

    judged: int = 0
    unexplained: tuple[AppSignIn, ...] = ()
    known: int = 0
    held: str = ""
    problem: str = ""


_DECODER = msgspec.json.Decoder(AppSignIn)


def app_ids(project: Project, scope: Scope, files: ObjectStore, tenant_id: str) -> set[str]:
    """Returns the app registrations of a scope's tenant: the configured ones, and those that tokens were taken for."""
    tenant = project.tenants[scope.tenant]
    restore = tenant.restore
    configured = [
        tenant.client_id,
        *((restore.client_id, restore.owner and restore.owner.client_id) if restore else ()),
    ]
    return {one for one in configured if one} | TokenRecords(files, tenant_id).apps()


def judge_sign_ins(
    project: Project, scope: Scope, store: ScopeStore, days: Sequence[LogDay], origin: Origin
) -> SignInVerdict | None:
    """Compares the sign-ins of some days with the tokens that were taken, and alarms for what nothing explains.

    Args:
        project: The project: tokens may be recorded in every storage of the tenant's scopes.
        scope: The scope.
        store: Its store.
        days: Days of logs that were read; None is returned when none of them is of `app_sign_ins`.
        origin: Whom the audit log names.
    """
    own = [day for day in days if day.log == APP_SIGN_INS]
    if not own:
        return None
    try:
        return _judged(project, scope, store, own, origin)
    except EntraPipelineError as error:
        return SignInVerdict(problem=error.message)


def _judged(project: Project, scope: Scope, store: ScopeStore, days: Sequence[LogDay], origin: Origin) -> SignInVerdict:
    problems = list(dict.fromkeys(f"{gap.what}: {gap.reason}" for day in days for gap in day.gaps))
    problems += dict.fromkeys(note for day in days if not day.reads for note in day.notes)
    read = [day for day in days if day.parts]
    sign_ins = _sign_ins(store, read) if read else []
    until = store.clock() - SKEW
    sign_ins = [one for one in sign_ins if parse_iso(one.moment) <= until]
    if not sign_ins:
        return SignInVerdict(problem="; ".join(problems))
    places = [TokenRecords(files, days[0].tenant_id) for files in _places(project, scope, store)]
    begun = min((since for place in places if (since := place.begun()) is not None), default=None)
    if begun is None:
        return SignInVerdict(problem="; ".join([*problems, "no token was recorded yet that could explain a sign-in"]))
    # Not even a little before: what was done with the app by hand until then would alarm on the first day.
    sign_ins = [one for one in sign_ins if parse_iso(one.moment) >= begun]
    records: list[TokenRecord] = []
    for place in places:
        moments = [parse_iso(one.moment) for one in sign_ins] or [begun]
        found, wrong = place.of_days(min(moments) - _DAY, max(moments) + _DAY)
        records += found
        problems += wrong
        place.forget(store.clock())
    foreign = unexplained(sign_ins, records)
    new = [one for one in foreign if not _is_kept(store, one)]
    held = _alarm(store, new, origin, problems) if new else ""
    for one in new:
        # Only now: whoever is killed before alarms again.
        store.files.replace(_key(store, one), canonical(one))
    return SignInVerdict(
        judged=len(sign_ins),
        unexplained=tuple(new),
        known=len(foreign) - len(new),
        held=held,
        problem="; ".join(problems),
    )


def _places(project: Project, scope: Scope, store: ScopeStore) -> Iterator[ObjectStore]:
    """Yields every place in which tokens of the scope's tenant may be recorded."""
    yield store.files
    others = {one.storage for one in project.scopes.values() if one.tenant == scope.tenant} - {scope.storage}
    yield from (project.storage[name].open() for name in sorted(others))


def _sign_ins(store: ScopeStore, days: Sequence[LogDay]) -> list[AppSignIn]:
    """Reads the sign-ins that gave a token, oldest first."""
    with connect(store.files) as connection:
        rows = connection.execute(
            f"""
            SELECT id, epoch_ms(createdDateTime), appId, appDisplayName, ipAddress, resourceDisplayName,
                _raw->>'$.servicePrincipalCredentialKeyId', _raw->>'$.uniqueTokenIdentifier'
            FROM ({store.logs.query(days)})
            WHERE coalesce((status->>'$.errorCode')::INTEGER, 0) = 0 AND createdDateTime IS NOT NULL
            ORDER BY 2, 1
            """
        ).fetchall()
    return [
        AppSignIn(
            id=str(row[0]),
            moment=iso(datetime.fromtimestamp(row[1] / 1000, UTC)),
            **{name: str(value or "") for name, value in zip(_TEXTS, row[2:], strict=True)},
        )
        for row in rows
    ]


def unexplained(sign_ins: Sequence[AppSignIn], records: Sequence[TokenRecord]) -> list[AppSignIn]:
    """Returns the sign-ins that no record explains; see the module."""
    known = {same_form(one.token): one for one in records if one.token}
    left, used = [], set()
    for one in sign_ins:
        match = known.get(same_form(one.token)) or known.get(one.id.lower())
        if match is None:
            left.append(one)
        else:
            used.add(id(match))
    spare = [one for one in records if id(one) not in used]
    found = []
    for one in left:
        match = next((record for record in spare if _fits(one, record)), None)
        if match is None:
            found.append(one)
        else:
            spare.remove(match)
    return found


def _fits(one: AppSignIn, record: TokenRecord) -> bool:
    """Tells whether a record may be of a sign-in, where one of them does not say of which token it is."""
    near = abs(parse_iso(one.moment) - parse_iso(record.taken)) <= SKEW
    return near and record.app == one.app and not (record.token and one.token)


def same_form(token: str) -> str:
    """Returns the identifier of a token in one form: the claim `uti` and the log write the same id in different ways.

    The claim is the base64url of the 16 bytes of a GUID. The log says "a unique base64 encoded request identifier"
    (Graph doc: resources/signin), in its examples that of the GUID's text. Anything else is taken as it is.
    """
    try:
        data = base64.urlsafe_b64decode(token.replace("+", "-").replace("/", "_") + "=" * (-len(token) % 4))
    except ValueError:
        return token
    try:
        return str(uuid.UUID(bytes_le=data) if len(data) == _GUID_BYTES else uuid.UUID(data.decode()))
    except ValueError:
        return token


# --- What is not explained -------------------------------------------------------------------------------------------


def kept_sign_ins(store: ScopeStore, since: datetime) -> list[AppSignIn]:
    """Returns the unexplained sign-ins since a moment, oldest first."""
    first = f"{FOLDER}{store.scope}/{key_of(since)}"
    keys = [file.key for file in store.files.list(f"{FOLDER}{store.scope}/") if file.key >= first]
    return [_DECODER.decode(data) for data in in_parallel(store.files.read, keys)]


def _is_kept(store: ScopeStore, one: AppSignIn) -> bool:
    """Tells whether somebody was told of a sign-in before; what nobody signed does not say so."""
    try:
        store.files.read(_key(store, one))
    except (NotInStore, IntegrityError):
        return False
    return True


def _key(store: ScopeStore, one: AppSignIn) -> str:
    name = f"{key_of(parse_iso(one.moment))}~{sha256(one.id.encode())[:16]}"
    return f"{FOLDER}{store.scope}/{name}.json"


def _alarm(store: ScopeStore, new: Sequence[AppSignIn], origin: Origin, problems: list[str]) -> str:
    """Tells of sign-ins that nothing explains, and puts the last point before them on hold; returns that point."""
    log = AuditLog(store.files, store.clock)
    for one in new:
        details = {"app": one.app, "moment": one.moment, "address": one.address, "credential": one.credential}
        log.write(
            Act(action="unexplained sign-in", scope=store.scope, subject=one.id, result="failed", details=details),
            origin,
        )
    before = [point for point in store.points() if point < key_of(parse_iso(new[0].moment))]
    held = before[-1] if before else ""
    if held:
        try:
            hold(store, held, reason="unexplained sign-in of an app registration after it", by="sign-ins")
        except EntraPipelineError as error:
            problems.append(f"{held} could not be held from retention: {error.message}")
            held = ""
    announce(store, _event(store, new, held))
    return held


def _event(store: ScopeStore, new: Sequence[AppSignIn], held: str) -> dict[str, object]:
    finding = UnusualFinding(
        rule="unexplained_sign_in",
        title="Sign-ins of our app registrations that no job explains",
        columns=["moment", "app", "app_name", "address", "resource", "credential"],
        rows=[[one.moment, one.app, one.app_name, one.address, one.resource, one.credential] for one in new[:_SHOWN]],
        total=len(new),
    )
    return {
        "id": f"sign-in-{key_of(parse_iso(new[0].moment))}-{new[0].id[:8]}",
        "type": "unusual",
        "scope": store.scope,
        "status": "unusual",
        "what": "Unexplained sign-in",
        "lead": ADVICE,
        "parent": held,
        "finished": iso(store.clock()),
        "findings": msgspec.to_builtins([finding]),
    }
