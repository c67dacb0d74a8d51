"""What every kind of storage says of itself: its settings, how it is opened, and what people are told of it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar, Self

from entra_pipeline.settings.section import Section
from entra_pipeline.store.backends.object_store import ObjectStore
from entra_pipeline.store.backends.signing.settings import Signing

if TYPE_CHECKING:
    from entra_pipeline.store.backends.promise import StoragePromise


class StorageSettings(Section):
    """A storage profile, `[storage.NAME]` of the configuration. Each kind of storage has a subclass.

    Attributes:
        kind: Which kind it is; a subclass narrows it to one text.
        signing: The keys, where records are signed.
    """

    kind: str
    signing: Signing | None = None

    about: ClassVar[str]
    """What the kind is, for docs/configuration.md."""

    def open(self) -> ObjectStore:
        """Opens the place, with signatures where they are set; nothing is read or written yet.

        Every later failure that is the fault of a setting (missing bucket, refused credentials, unreachable endpoint,
        forbidden folder) is a ConfigurationError that names file and key.

        Raises:
            ConfigurationError: A secret cannot be found.
        """
        return self.signed(self.place())

    def signed(self, place: ObjectStore) -> ObjectStore:
        """Returns a place that `place` gave, with signatures where they are set."""
        return place if self.signing is None else self.signing.above(place)

    @abstractmethod
    def place(self) -> ObjectStore:
        """Opens the place as it is, without signatures; errors as of `open`."""

    @abstractmethod
    def facts(self) -> list[tuple[str, str]]:
        """Returns what the console shows of it, as names and values. Never secrets."""

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
