"""`encryption` of a storage profile: what wraps the data keys."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field, field_validator, model_validator

from entra_pipeline.errors import EntraPipelineError
from entra_pipeline.settings.fields import WebUrl
from entra_pipeline.settings.secrets import Secret
from entra_pipeline.settings.section import Alternatives, Receiver, Section, wrong
from entra_pipeline.store.backends.encryption.age import AgeIdentity, check_recipient
from entra_pipeline.store.backends.encryption.encrypted_store import EncryptedObjectStore
from entra_pipeline.store.backends.encryption.keys import DataKeys
from entra_pipeline.store.backends.encryption.wrappers import AgeWrapper, KeyWrapper, KmsWrapper, PassphraseWrapper
from entra_pipeline.store.backends.object_store import ObjectStore

_LEAST = 20


class AgeSettings(Section):
    """age keys.

    Attributes:
        identity: The secret key, as `age-keygen` writes it.
        recipients: Public keys of others who can unwrap the data keys, such as one whose identity is kept in a safe.
    """

    identity: Annotated[Secret, Field(title="age identity")]
    recipients: Annotated[
        list[str], Field(title="Other recipients", description="Public keys (age1…), one per line.")
    ] = []

    @field_validator("recipients")
    @classmethod
    def _are_recipients(cls, value: list[str]) -> list[str]:
        for text in value:
            try:
                check_recipient(text)
            except ValueError as error:
                raise wrong(f"{text!r} is no recipient: it {error}", "Write a public key: age1…") from None
        return value


class KmsSettings(Section):
    """A key in AWS KMS; credentials are those that boto3 finds on this machine.

    Attributes:
        key: Id, ARN or alias.
        region: Its region.
        endpoint_url: The service; Amazon's when None.
    """

    key: Annotated[str, Field(title="KMS key", description="Id, ARN or alias.")]
    region: Annotated[str, Field(title="Region of the key")] = "us-east-1"
    endpoint_url: Annotated[WebUrl | None, Field(title="Address of KMS", description="Empty: Amazon's.")] = None

    def receiver(self) -> Receiver:
        """As `Section.receiver`."""
        return Receiver(self.endpoint_url.lower(), own=True) if self.endpoint_url else Receiver("AWS KMS")

    def machine_identity(self) -> tuple[str, str]:
        """As `Section.machine_identity`."""
        return "endpoint_url", "the role of this machine"


class Wrapping(Section):
    """What wraps data keys: one of three.

    Attributes:
        passphrase: A secret of 20 characters or more.
        age: Keys of age.
        kms: A key in AWS KMS.
    """

    one_of: ClassVar[Alternatives | None] = Alternatives("Key", {"passphrase": (), "age": (), "kms": ()})

    passphrase: Annotated[Secret | None, Field(title="Passphrase", description="20 characters or more.")] = None
    age: Annotated[AgeSettings | None, Field(title="age keys")] = None
    kms: Annotated[KmsSettings | None, Field(title="Key in AWS KMS")] = None

    def receiver(self) -> Receiver:
        """As `Section.receiver`: keys stay on this machine."""
        return Receiver("encryption before sending")

    @model_validator(mode="after")
    def _one(self) -> Wrapping:
        if [self.passphrase, self.age, self.kms].count(None) != 2:
            raise wrong("does not name one key", "Set one of passphrase, age and kms.")
        return self

    @property
    def kind(self) -> str:
        """Which of the three it is."""
        return next(name for name in ("passphrase", "age", "kms") if getattr(self, name) is not None)

    def wrapper(self) -> KeyWrapper:
        """Makes what wraps.

        Raises:
            ConfigurationError: A secret cannot be found, or is no key.
        """
        if self.passphrase is not None:
            text = self.passphrase.reveal()
            if len(text) < _LEAST:
                raise self.error(
                    "passphrase", f"has fewer than {_LEAST} characters", remedy="Make one: openssl rand -base64 32"
                )
            return PassphraseWrapper(text)
        if self.age is not None:
            try:
                return AgeWrapper(AgeIdentity(self.age.identity.reveal()), self.age.recipients)
            except ValueError as error:
                raise self.age.error("identity", str(error), remedy="Make one: age-keygen -o age.key") from None
        if self.kms is None:
            raise AssertionError("one of the three is set")
        from boto3 import Session

        client = Session().client("kms", region_name=self.kms.region, endpoint_url=self.kms.endpoint_url)
        return KmsWrapper(client, self.kms.key)


class Encryption(Wrapping):
    """Encryption before bytes leave this machine.

    Attributes:
        former: What wrapped data keys until now, until they are wrapped anew.
    """

    former: Annotated[Wrapping | None, Field(title="Former key", description="Until data keys are wrapped anew.")] = (
        None
    )

    def above(self, place: ObjectStore) -> EncryptedObjectStore:
        """Returns a place with encryption; errors as of `keys`, when the first key is needed."""
        return EncryptedObjectStore(place, lambda: self.keys(place))

    def keys(self, place: ObjectStore) -> DataKeys:
        """Returns the data keys of a place.

        Raises:
            ConfigurationError: A secret cannot be found, or is no key.
        """
        return DataKeys(place, [one.wrapper() for one in (self, self.former) if one is not None], self._error)

    def _error(self, key: str, message: str, /, *, remedy: str) -> EntraPipelineError:
        return self.error(key, message, remedy=remedy)
