"""Encrypted places for tests."""

from __future__ import annotations

from entra_pipeline.store.backends import ObjectStore
from entra_pipeline.store.backends.encryption.encrypted_store import EncryptedObjectStore
from entra_pipeline.store.backends.encryption.keys import DataKeys
from entra_pipeline.store.backends.encryption.wrappers import PassphraseWrapper
from entra_pipeline.store.backends.object_store import store_error
from tests.support.writing import START

PASSPHRASE = "a passphrase that is long enough"


def data_keys(place: ObjectStore, passphrase: str = PASSPHRASE) -> DataKeys:
    """The data keys of a place, wrapped with a passphrase."""
    return DataKeys(place, [PassphraseWrapper(passphrase)], store_error)


def encrypted(place: ObjectStore, passphrase: str = PASSPHRASE) -> EncryptedObjectStore:
    """An encrypted place; its first data key is made when there is none."""
    keys = data_keys(place, passphrase)
    if not keys.records:
        keys.add(START)
    return EncryptedObjectStore(place, lambda: data_keys(place, passphrase))
