"""Which tokens the app registrations were given: a small record of each, and never the token.

What belongs here: the shape of a record, writing and reading it. What does not: who takes tokens (`graph.credentials`),
and comparing the records with what Entra says (`operations.sign_ins`). The format is public: docs/storage-format.md.

Records are created and never replaced; where the store is signed they are signed, so that nobody who has no key can
explain a sign-in away.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta

import msgspec

from entra_pipeline.clock import parse_iso
from entra_pipeline.errors import AlreadyExists, IntegrityError, NotInStore
from entra_pipeline.store.backends import ObjectStore
from entra_pipeline.store.manifest import canonical, decode_record
from entra_pipeline.store.parallel import in_parallel

FOLDER = "_tokens/"
"""What the keys begin with; the id of the tenant follows."""
KEPT = timedelta(days=40)
"""How long records are kept: longer than Entra keeps what they explain, which is thirty days."""

_BEGUN = "begun.json"
_REMEDY = "Find out who wrote it; a sign-in that it explains is believed only with a record that is whole."


class TokenRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A token that was taken.

    Attributes:
        tenant_id: Id of the tenant.
        app: AppId of the app registration.
        token: Claim `uti` of the token; empty when it had none.
        taken: When, RFC 3339.
        job: What took it: `backup`, `restore`, `doctor` …
        host: The machine.
        format, version: Of this file.
    """

    tenant_id: str
    app: str
    token: str
    taken: str
    job: str
    host: str
    format: str = "entra-pipeline/token"
    version: int = 1


class _Begun(msgspec.Struct, frozen=True, kw_only=True):
    """Since when tokens of a tenant are recorded here."""

    since: str
    format: str = "entra-pipeline/tokens-begun"
    version: int = 1


_RECORD_DECODER = msgspec.json.Decoder(TokenRecord)
_BEGUN_DECODER = msgspec.json.Decoder(_Begun)


class TokenRecords:
    """The records of one tenant in one place.

    Args:
        files: The place.
        tenant_id: Id of the tenant.
    """

    def __init__(self, files: ObjectStore, tenant_id: str) -> None:
        self._files = files
        self._root = f"{FOLDER}{tenant_id}/"

    def add(self, record: TokenRecord) -> None:
        """Writes a record; raises StoreError when it cannot."""
        moment = parse_iso(record.taken)
        key = f"{self._root}{moment:%Y-%m-%d}/{moment:%H-%M-%S}~{record.app}~{secrets.token_hex(4)}.json"
        self._files.create(key, canonical(record))
        if self.begun() is None:
            with suppress(AlreadyExists):
                self._files.create(f"{self._root}{_BEGUN}", canonical(_Begun(since=record.taken)))

    def begun(self) -> datetime | None:
        """Returns since when tokens are recorded; None when they are not.

        Raises:
            IntegrityError: Nobody signed what says so.
        """
        key = f"{self._root}{_BEGUN}"
        try:
            found = decode_record(self._files.read(key), key, _BEGUN_DECODER, remedy=_REMEDY)
        except NotInStore:
            return None
        return parse_iso(found.since)

    def of_days(self, first: datetime, last: datetime) -> tuple[list[TokenRecord], list[str]]:
        """Reads the records of some days, those of both moments included.

        Returns:
            The records; and what is wrong with those that cannot be believed.
        """
        names = [
            f"{first + timedelta(days=number):%Y-%m-%d}" for number in range((last.date() - first.date()).days + 1)
        ]
        keys = [file.key for name in names for file in self._files.list(f"{self._root}{name}/")]

        def read(key: str) -> TokenRecord | str:
            try:
                return decode_record(self._files.read(key), key, _RECORD_DECODER, remedy=_REMEDY)
            except IntegrityError as error:
                return error.message
            except NotInStore:
                return ""

        found = list(in_parallel(read, keys))
        records = [one for one in found if isinstance(one, TokenRecord)]
        return records, [one for one in found if isinstance(one, str) and one]

    def apps(self) -> set[str]:
        """Returns the app registrations that tokens were taken for, as the keys of the records say."""
        names = (file.key.rpartition("/")[2].split("~") for file in self._files.list(self._root))
        return {parts[1] for parts in names if len(parts) == 3 and parts[1]}

    def forget(self, now: datetime) -> None:
        """Removes records whose time is over; those that cannot be removed stay."""
        self._files.clear(self._old(f"{now - KEPT:%Y-%m-%d}"))

    def _old(self, before: str) -> Iterator[str]:
        for file in self._files.list(self._root):
            day = file.key.removeprefix(self._root).partition("/")[0]
            if day >= before:
                return
            yield file.key
