"""`signing` of a storage profile: the private key that signs, and the public keys that are trusted besides."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator, model_validator

from entra_pipeline.settings.secrets import Secret
from entra_pipeline.settings.section import Receiver, Section, wrong
from entra_pipeline.store.backends.object_store import ObjectStore
from entra_pipeline.store.backends.signing.keys import SigningKey, VerifyingKey
from entra_pipeline.store.backends.signing.signed_store import SignedObjectStore


class Signing(Section):
    """Signed records.

    Attributes:
        private_key: An Ed25519 key, PKCS #8 in PEM; None on a machine that only reads.
        public_keys: Public keys as base64url, as `entra-pipeline storage sign` shows them.
    """

    private_key: Annotated[Secret | None, Field(title="Private key", description="Ed25519, PKCS #8 in PEM.")] = None
    public_keys: Annotated[list[str], Field(title="Other trusted keys", description="Public keys, one per line.")] = []

    def receiver(self) -> Receiver:
        """As `Section.receiver`: keys stay on this machine."""
        return Receiver("signatures")

    @field_validator("public_keys")
    @classmethod
    def _are_keys(cls, value: list[str]) -> list[str]:
        for text in value:
            try:
                VerifyingKey.parse(text)
            except ValueError:
                raise wrong(
                    f"{text!r} is no public key", "Write what entra-pipeline storage sign shows: 43 characters."
                ) from None
        return value

    @model_validator(mode="after")
    def _some_key(self) -> Signing:
        if self.private_key is None and not self.public_keys:
            raise wrong("names no key", "Set private_key; or public_keys on a machine that only reads.")
        return self

    def above(self, place: ObjectStore) -> SignedObjectStore:
        """Returns a place with signatures.

        Raises:
            ConfigurationError: The private key cannot be found, or is none.
        """
        return SignedObjectStore(
            place, self.signing_key(), map(VerifyingKey.parse, self.public_keys), error_factory=self.error
        )

    def signing_key(self) -> SigningKey | None:
        """Returns the private key, if there is one; errors as of `above`."""
        if self.private_key is None:
            return None
        try:
            return SigningKey(self.private_key.reveal())
        except ValueError as error:
            raise self.error(
                "private_key",
                f"is no Ed25519 private key in PEM ({error})",
                remedy="Make one: openssl genpkey -algorithm ed25519 -out signing.pem",
            ) from None
