"""The data keys of a storage: their records in the store, the newest, a new one, wrapping them anew."""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from datetime import datetime
from functools import cached_property

import msgspec

from entra_pipeline.clock import iso
from entra_pipeline.errors import IntegrityError, StoreError
from entra_pipeline.store.backends.encryption.data_key import DataKey
from entra_pipeline.store.backends.encryption.names import ENCRYPTION, KEY_NAME, generation_of, record_of
from entra_pipeline.store.backends.encryption.wrappers import CannotUnwrap, KeyWrapper
from entra_pipeline.store.backends.object_store import ErrorFactory, ObjectStore
from entra_pipeline.store.manifest import canonical, decode_record

FORMAT = "entra-pipeline/data-key"
_SECRET = 32
_LOST = "Restore the file from a copy of the storage: without it nothing can be read that its data key encrypted."


class DataKeyRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A data key as it is stored.

    Attributes:
        name: Its name.
        created: When it was made, RFC 3339.
        wrapped_by: What wrapped it (`KeyWrapper.kind`).
        wrapped: What that needs to unwrap it, and the wrapped key.
        format, version: Of this file.
    """

    name: str
    created: str
    wrapped_by: str
    wrapped: dict[str, str]
    format: str = FORMAT
    version: int = 1


_DECODER = msgspec.json.Decoder(DataKeyRecord)


class DataKeys:
    """The data keys of a storage.

    Args:
        place: The storage without encryption.
        wrappers: What wraps new keys, then what else has wrapped older ones.
        error_factory: Makes the error when none of them unwraps a key (key as in the profile).
    """

    def __init__(self, place: ObjectStore, wrappers: Sequence[KeyWrapper], error_factory: ErrorFactory) -> None:
        self._place, self._wrappers, self._error_factory = place, wrappers, error_factory

    @cached_property
    def records(self) -> list[DataKeyRecord]:
        """The records, oldest first."""
        found = []
        for file in self._place.list(ENCRYPTION):
            record = decode_record(self._place.read(file.key), file.key, _DECODER, remedy=_LOST)
            if file.key != record_of(record.name) or not re.fullmatch(KEY_NAME, record.name):
                raise IntegrityError(f"{file.key} is the record of data key {record.name}", remedy=_LOST)
            found.append(record)
        return sorted(found, key=lambda record: generation_of(record.name))

    @cached_property
    def all(self) -> dict[str, DataKey]:
        """The keys by name, oldest first.

        Raises:
            ConfigurationError: One was wrapped by something else than what the profile names.
        """
        return {record.name: DataKey(record.name, self._unwrapped(record)) for record in self.records}

    @property
    def newest(self) -> DataKey:
        """The key that encrypts what is written; raises StoreError when there is none yet."""
        if not self.all:
            raise StoreError(
                f"{self._place} is to be encrypted, and has no data key yet",
                remedy="Run: entra-pipeline storage encrypt NAME",
            )
        return list(self.all.values())[-1]

    def add(self, now: datetime) -> DataKeyRecord:
        """Makes a new key, with which everything is encrypted from now on; older ones keep what they encrypted.

        Raises:
            AlreadyExists: Somebody else is making one.
            StoreError: It cannot be wrapped, or stored.
        """
        last = self.records[-1].name if self.records else f"g0000-{secrets.token_hex(4)}"
        name = f"g{generation_of(last) + 1:04d}{last[5:]}"
        record = self._wrapped(name, secrets.token_bytes(_SECRET), iso(now))
        self._place.create(record_of(name), canonical(record))
        self._forget()
        return record

    def rewrap(self) -> int:
        """Wraps all keys by the first wrapper, and returns how many.

        Raises:
            ConfigurationError: One was wrapped by something else than what the profile names; none is changed.
            StoreError: One cannot be wrapped, or stored.
        """
        secrets_of = [(record, self._unwrapped(record)) for record in self.records]
        for record, secret in secrets_of:
            self._place.replace(record_of(record.name), canonical(self._wrapped(record.name, secret, record.created)))
        self._forget()
        return len(secrets_of)

    def _forget(self) -> None:
        self.__dict__.pop("records", None)
        self.__dict__.pop("all", None)

    def _wrapped(self, name: str, secret: bytes, created: str) -> DataKeyRecord:
        wrapper = self._wrappers[0]
        try:
            wrapped = wrapper.wrap(secret, name)
        except CannotUnwrap as error:
            raise self._error_factory(wrapper.kind, str(error), remedy="Name a key that may encrypt.") from error
        return DataKeyRecord(name=name, created=created, wrapped_by=wrapper.kind, wrapped=wrapped)

    def _unwrapped(self, record: DataKeyRecord) -> bytes:
        reasons = []
        for wrapper in self._wrappers:
            if wrapper.kind == record.wrapped_by:
                try:
                    return wrapper.unwrap(record.wrapped, record.name)
                except CannotUnwrap as error:
                    reasons.append(str(error))
                except (KeyError, ValueError) as error:
                    raise IntegrityError(f"{record_of(record.name)} is damaged: {error}", remedy=_LOST) from None
        why = "; ".join(reasons) or f"it was wrapped by {record.wrapped_by}"
        raise self._error_factory(
            record.wrapped_by,
            f"the data key {record.name} cannot be unwrapped: {why}",
            remedy="Set the key that wrapped it, itself or as former: entra-pipeline storage keys NAME shows which.",
        )
