"""A place above a place: records are signed when they are written, and verified when they are read."""

# ruff: noqa: D102 - what the methods do is said in `object_store`

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

from entra_pipeline.store.backends.layered_store import LayeredObjectStore
from entra_pipeline.store.backends.object_store import ErrorFactory, ObjectStore, store_error
from entra_pipeline.store.backends.signing.adopted import AdoptedLists
from entra_pipeline.store.backends.signing.envelope import BadSignature, is_record, split, statement
from entra_pipeline.store.backends.signing.keys import KeyRing, SigningKey, VerifyingKey


class SignedObjectStore(LayeredObjectStore):
    """A place whose records are signed. `slice` gives them as they are stored: DuckDB reads them with their signature.

    Args:
        place: The place.
        key: Signs what is written; None on a machine that only reads.
        trusted: Public keys that are believed besides that of `key`.
        error_factory: Makes the error when something is to be signed and there is no key (key `private_key`).

    Attributes:
        place: The place without signatures.
        key: The private key.
        ring: The public keys that are believed.
    """

    def __init__(
        self,
        place: ObjectStore,
        key: SigningKey | None,
        trusted: Iterable[VerifyingKey] = (),
        *,
        error_factory: ErrorFactory = store_error,
    ) -> None:
        super().__init__(place)
        self.signed = True
        self.key = key
        self.ring = KeyRing(place, [*trusted, *([key.public] if key else [])])
        self._adopted = AdoptedLists(self.read)
        self._error_factory = error_factory

    def create(self, key: str, data: bytes, *, until: datetime | None = None) -> None:
        self.place.create(key, self._signed(key, data), until=until)

    def replace(self, key: str, data: bytes) -> None:
        self.place.replace(key, self._signed(key, data))

    def read(self, key: str) -> bytes:
        """As `ObjectStore.read`; raises BadSignature for a record that no trusted key has signed at this place."""
        stored = self.place.read(key)
        return self._verified(key, stored) if is_record(key) else stored

    def stream(self, key: str) -> Iterator[bytes]:
        if is_record(key):
            return iter([self.read(key)])
        return self.place.stream(key)

    def _signed(self, key: str, data: bytes) -> bytes:
        if not is_record(key):
            return data
        if self.key is None:
            raise self._error_factory(
                "private_key",
                f"{key} cannot be signed: there is no private key",
                remedy="Set private_key where backups and restores run; a machine with public_keys alone only reads.",
            )
        return self.key.signed(key, data)

    def _verified(self, key: str, stored: bytes) -> bytes:
        """Returns the bytes of a record without its signature."""
        found = split(stored)
        signer = self.ring.find(found.key_id) if found else None
        if found and signer and signer.verifies(found.signature, statement(key, found.data)):
            return found.data
        data = found.data if found else stored
        if self._adopted.has(key, stored):
            return data
        if found is None:
            what, remedy = "is not signed", _UNSIGNED
        elif signer is None:
            what, remedy = f"is signed with the key {found.key_id}, which is not trusted here", _UNKNOWN
        else:
            what, remedy = "is not what was signed: it was changed, or belongs elsewhere", _CHANGED
        raise BadSignature(f"{key} {what}", remedy=remedy, data=data)


_CHANGED = (
    "Restore the file from a copy of the storage, and find out who wrote it; entra-pipeline verify shows what else is "
    "not as it was written."
)
_UNSIGNED = f"{_CHANGED} If it is from before signing was turned on, entra-pipeline storage sign adopts what is there."
_UNKNOWN = (
    "If it is a key of yours, add it to signing.public_keys of the storage, or introduce its successor: entra-pipeline "
    f"storage sign NAME --previous FILE. Else: {_CHANGED}"
)
