"""What every kind of storage says of itself: its settings, how it is opened, and what people are told of it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, ClassVar, Self

from pydantic import Field

from entra_pipeline.settings.section import Section
from entra_pipeline.store.backends.encryption.settings import Encryption
from entra_pipeline.store.backends.object_store import ObjectStore
from entra_pipeline.store.backends.signing.settings import Signing

if TYPE_CHECKING:
    from entra_pipeline.store.backends.promise import StoragePromise


class StorageSettings(Section):
    """A storage profile, `[storage.NAME]` of the configuration. Each kind of storage has a subclass.

    Attributes:
        kind: Which kind it is; a subclass narrows it to one text.
        signing: The keys, where records are signed.
        encryption: The keys, where everything is encrypted before it leaves this machine.
    """

    kind: str
    signing: Annotated[
        Signing | None, Field(title="Signed records", description="Shows whether records were changed by others.")
    ] = None
    encryption: Annotated[
        Encryption | None,
        Field(
            title="Encryption before sending",
            description="Recommended. Without the key nothing can be read again: keep a copy elsewhere.",
        ),
    ] = None

    about: ClassVar[str]
    """What the kind is, for docs/configuration.md."""

    def open(self) -> ObjectStore:
        """Opens the place, with signatures and encryption where they are set; nothing is read or written yet.

        Every later failure that is the fault of a setting (missing bucket, refused credentials, unreachable endpoint,
        forbidden folder) is a ConfigurationError that names file and key.

        Raises:
            ConfigurationError: A secret cannot be found.
        """
        return self.protected(self.place())

    def protected(self, place: ObjectStore) -> ObjectStore:
        """Returns a place that `place` gave, with signatures and encryption where they are set.

        What is signed is what is stored: signatures are verified without the data keys.
        """
        below = place if self.signing is None else self.signing.above(place)
        return below if self.encryption is None else self.encryption.above(below)

    @abstractmethod
    def place(self) -> ObjectStore:
        """Opens the place as it is, without signatures; errors as of `open`."""

    @abstractmethod
    def location(self) -> str:
        """Returns which place it is: another text means another place, with other recovery points."""

    @abstractmethod
    def facts(self) -> list[tuple[str, str]]:
        """Returns what the console shows of it, as names and values. Never secrets."""

    def protection(self) -> list[tuple[str, str]]:
        """Returns what `facts` says of encryption; empty where there is none."""
        return (
            [("Encryption", f"before it is sent; {self.encryption.kind} wraps the data keys")]
            if self.encryption
            else []
        )

    def hurried(self) -> Self:
        """Returns the profile for a check: nobody wants to wait long for what does not work."""
        return self

    def promises(self, files: ObjectStore) -> Iterator[StoragePromise]:
        """Tries what only this kind of storage can promise or lack.

        Args:
            files: The place, as `open` gave it.
        """
        return iter(())

    def access_statements(self, name: str) -> list[str]:
        """Returns the SQL by which a DuckDB elsewhere gets access, without keys; empty when it needs none.

        Args:
            name: Name of the profile.
        """
        return []
