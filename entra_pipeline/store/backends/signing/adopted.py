"""Records that were there before anybody signed: a signed list of their keys and SHA-256.

Nothing is rewritten, since a record may be under Object Lock. There is a list for each of the folders in which records
are, so that whoever reads one old record need not read the names of all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

import msgspec

from entra_pipeline.clock import iso
from entra_pipeline.errors import NotInStore
from entra_pipeline.store.backends.object_store import ObjectStore
from entra_pipeline.store.backends.signing.envelope import FOLDERS, BadSignature, is_record
from entra_pipeline.store.manifest import canonical, decode_record, sha256
from entra_pipeline.store.parallel import in_parallel

FORMAT = "entra-pipeline/adopted-records"
ADOPTED = "_adopted/"
# Written by those who sign only.
_NEVER = (ADOPTED, "_keys/")


class AdoptedRecords(msgspec.Struct, frozen=True, kw_only=True):
    """Records of one folder that are believed although no trusted key has signed them.

    Attributes:
        adopted: When, RFC 3339.
        by: Who asked for it.
        records: Key of the record → SHA-256 of its bytes as they are stored, hexadecimal.
        format, version: Of this file.
    """

    adopted: str
    by: str
    records: dict[str, str]
    format: str = FORMAT
    version: int = 1


_DECODER = msgspec.json.Decoder(AdoptedRecords)


class AdoptedLists:
    """The lists of a place.

    Args:
        read: Reads a record, verified.
    """

    def __init__(self, read: Callable[[str], bytes]) -> None:
        self._read = read
        self._known: dict[str, dict[str, str]] = {}

    def has(self, key: str, stored: bytes) -> bool:
        """Tells whether a record was adopted with these bytes."""
        if key.startswith(_NEVER):
            return False
        where = _list_of(key)
        if where not in self._known:
            self._known[where] = self._records(where)
        return self._known[where].get(key) == sha256(stored)

    def _records(self, where: str) -> dict[str, str]:
        try:
            return _records(self._read(where), where)
        except (NotInStore, BadSignature):
            # A list of somebody else adopts nothing; `verify` tells of it.
            return {}


def unverified(signed: ObjectStore, place: ObjectStore) -> dict[str, str]:
    """Finds the records that cannot be verified: key → SHA-256 of their bytes as they are stored.

    Args:
        signed: The place with signatures.
        place: The same without.
    """
    found: dict[str, str] = {}
    for folder in FOLDERS:
        if folder not in _NEVER:
            keys = [file.key for file in place.list(folder) if is_record(file.key)]
            digests = in_parallel(lambda key: _unsigned(signed, place, key), keys)
            found |= {key: digest for key, digest in zip(keys, digests, strict=True) if digest}
    return found


def adopt(signed: ObjectStore, records: Mapping[str, str], *, by: str, now: datetime) -> None:
    """Adopts records as `unverified` found them; whoever asks for it says that they are right.

    What was read through `signed` before is not believed there: open the place anew.

    Args:
        signed: The place with signatures.
        records: Key → SHA-256.
        by: Who asks for it.
        now: The present.
    """
    lists: dict[str, dict[str, str]] = {}
    for key, digest in records.items():
        lists.setdefault(_list_of(key), {})[key] = digest
    for where, some in sorted(lists.items()):
        try:
            before = _records(signed.read(where), where)
        except NotInStore:
            before = {}
        signed.replace(where, canonical(AdoptedRecords(adopted=iso(now), by=by, records=before | some)))


def _records(data: bytes, where: str) -> dict[str, str]:
    return decode_record(data, where, _DECODER, remedy="Restore the file from a copy of the storage.").records


def _unsigned(signed: ObjectStore, place: ObjectStore, key: str) -> str:
    """Returns the SHA-256 of a record that cannot be verified; empty when it can, or has gone."""
    try:
        signed.read(key)
    except BadSignature:
        return sha256(place.read(key))
    except NotInStore:
        pass
    return ""


def _list_of(key: str) -> str:
    return f"{ADOPTED}{_folder(key)}.json"


def _folder(key: str) -> str:
    """Returns the first two parts of a record's key: its kind, and its scope, day or job."""
    parts: Sequence[str] = key.split("/")
    return "/".join(parts[: min(2, len(parts) - 1)])
