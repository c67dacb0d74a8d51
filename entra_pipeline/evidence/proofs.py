"""Records of a storage together with what proves them, so that they can be checked without the storage.

A signature is over a record's key and SHA-256: both are enough to check it, and tell nothing of what is in the record.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

import msgspec

from entra_pipeline.errors import EntraPipelineError
from entra_pipeline.store.backends import StorageSettings
from entra_pipeline.store.backends.signing.envelope import split, statement
from entra_pipeline.store.backends.signing.keys import KEYS
from entra_pipeline.store.manifest import decode_record, sha256
from entra_pipeline.store.parallel import in_parallel

_S = TypeVar("_S", bound=msgspec.Struct)


class Proven(NamedTuple):
    """A record.

    Attributes:
        data: Its bytes, decrypted where they are encrypted as a whole.
        proof: `key`, `sha256` of its bytes as they are stored without the signature, and `signature`, which is empty
            where records are not signed and for one that was adopted.
    """

    data: bytes
    proof: dict[str, str]


class ProofReader:
    """Reads records of a storage; what cannot be read or verified is collected, never left out in silence.

    Args:
        settings: The storage profile.

    Attributes:
        files: The place, with signatures and encryption where they are set.
        problems: Why something is not in the evidence.
    """

    def __init__(self, settings: StorageSettings) -> None:
        self.files = settings.open()
        self._place = settings.place()
        self._ring = settings.signing.above(self._place).ring if settings.signing else None
        self.problems: list[str] = []

    def read(self, key: str) -> Proven | None:
        """Reads a record; None, and a problem, when it cannot be read or verified."""
        try:
            return Proven(self.files.read(key), self.proof(key))
        except EntraPipelineError as error:
            self.problems.append(error.message)
            return None

    def decoded(self, key: str, decoder: msgspec.json.Decoder[_S]) -> tuple[_S, dict[str, str]] | None:
        """Reads and decodes a record, with its proof; None as `read`."""
        found = self.read(key)
        try:
            return (decode_record(found.data, key, decoder, remedy=""), found.proof) if found else None
        except EntraPipelineError as error:
            self.problems.append(error.message)
            return None

    def proof(self, key: str) -> dict[str, str]:
        """Returns the proof of a record, as in `Proven`; raises StoreError when it cannot be read."""
        stored = self._place.read(key)
        found = split(stored) if self._ring else None
        signer = self._ring.find(found.key_id) if found and self._ring else None
        proof = {"key": key, "sha256": sha256(found.data if found else stored), "signature": ""}
        if found and signer and signer.verifies(found.signature, statement(key, found.data)):
            proof["signature"] = f"{found.key_id}.{found.signature}"
        return proof

    def proofs(self, keys: Sequence[str]) -> list[dict[str, str] | None]:
        """Returns the proofs of records, in their order; None, and a problem, for one that cannot be read."""

        def proof(key: str) -> dict[str, str] | EntraPipelineError:
            try:
                return self.proof(key)
            except EntraPipelineError as error:
                return error

        found = in_parallel(proof, keys)
        self.problems += [one.message for one in found if isinstance(one, EntraPipelineError)]
        return [None if isinstance(one, EntraPipelineError) else one for one in found]

    def keys(self, folder: str) -> list[str]:
        """Lists the keys of records below a folder, in order."""
        return sorted(file.key for file in self.files.list(folder) if file.key.endswith(".json"))

    def stored(self, folder: str) -> list[dict[str, str]]:
        """Returns records as they are stored, `key` and `stored` text: those that say nothing of the tenant's."""
        return [{"key": key, "stored": self._place.read(key).decode()} for key in self.keys(folder)]

    def public_keys(self) -> list[dict[str, str]]:
        """Returns the records of public keys, by which one key vouches for the next; none where nothing is signed."""
        return self.stored(KEYS) if self._ring else []

    def note(self, error: EntraPipelineError, what: str = "") -> None:
        """Adds what an error says to the problems."""
        self.problems.append(f"{what}: {error.message}" if what else error.message)


def with_proof(members: dict[str, Any], proof: dict[str, str]) -> dict[str, Any]:
    """Returns what is told of a record, with its proof as the member `proof`."""
    return {**members, "proof": proof}
