"""What all parts of the configuration share: strictness, and knowing where they came from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, NamedTuple

from pydantic import BaseModel, ConfigDict, PrivateAttr
from pydantic_core import PydanticCustomError

from entra_pipeline.errors import ConfigurationError


class Receiver(NamedTuple):
    """Whom the secrets of a table are sent to.

    Attributes:
        name: Tells it from others; says what the secrets are for where nobody gets them.
        own: Whether the file names the address, instead of the usual one of a service.
    """

    name: str
    own: bool = False


class Alternatives(NamedTuple):
    """Settings of which a table has one.

    Attributes:
        title: What is chosen.
        settings: Each of them, with the other settings that go with it.
        help: What to know when choosing.
    """

    title: str
    settings: Mapping[str, tuple[str, ...]]
    help: str = ""


class Section(BaseModel):
    """A table of the configuration file. Unknown keys are refused; values are not converted.

    Attributes:
        one_of: Settings of which the table has one.
        secret_files: Settings that name files with secrets.
        public_files: Settings that name other files which are read.
        written_folders: Settings that name folders which are written to, besides those of storage.
    """

    one_of: ClassVar[Alternatives | None] = None
    secret_files: ClassVar[tuple[str, ...]] = ()
    public_files: ClassVar[tuple[str, ...]] = ()
    written_folders: ClassVar[tuple[str, ...]] = ()

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    _file: Path = PrivateAttr(default=Path("dagster_project.toml"))
    _key: str = PrivateAttr(default="")
    _folder: Path | None = PrivateAttr(default=None)

    def locate(self, file: Path, key: str, folder: Path | None = None) -> None:
        """Tells the section, and those inside it, where it came from.

        Args:
            file: The file.
            key: Dotted key of the table.
            folder: Where relative paths start; None = where the file is.
        """
        self._file = file
        self._key = key
        self._folder = folder
        for name in type(self).model_fields:
            inner = getattr(self, name)
            if isinstance(inner, Section):
                inner.locate(file, f"{key}.{name}" if key else name, folder)
            elif isinstance(inner, list):
                for one in inner:
                    if isinstance(one, Section):
                        one.locate(file, f"{key}.{name}" if key else name, folder)
            elif isinstance(inner, dict):
                for table, section in inner.items():
                    if isinstance(section, Section):
                        section.locate(file, f"{key}.{name}.{table}" if key else f"{name}.{table}", folder)

    def receiver(self) -> Receiver | None:
        """Returns whom the secrets of the table are sent to; None for whoever gets those of the table around it."""
        return None

    def machine_identity(self) -> tuple[str, str] | None:
        """Returns the setting that leads to an identity of this machine, and what it is; None without one."""
        return None

    def setting(self, key: str) -> tuple[Path, str]:
        """Returns the file and the dotted key of one of the section's settings, or of the section itself for ""."""
        return self._file, ".".join(part for part in (self._key, key) if part)

    def error(self, key: str, message: str, *, remedy: str = "") -> ConfigurationError:
        """Makes an error about one of the section's settings, found when it was used."""
        file, dotted = self.setting(key)
        return ConfigurationError(message, file=str(file), key=dotted, remedy=remedy)

    def resolve(self, text: Path | str) -> Path:
        """Returns a path in the configuration; relative ones start at the configuration file."""
        return ((self._folder or self._file.parent) / Path(text).expanduser()).resolve()


def wrong(what: str, remedy: str) -> PydanticCustomError:
    """Makes the error that a validator raises: what is wrong with the value, and what to write instead."""
    return PydanticCustomError("explained", "{what}", {"what": what, "remedy": remedy})
