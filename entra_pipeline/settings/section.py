"""What all parts of the configuration share: strictness, and knowing where they came from."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, PrivateAttr
from pydantic_core import PydanticCustomError

from entra_pipeline.errors import ConfigurationError


class Section(BaseModel):
    """A table of the configuration file. Unknown keys are refused; values are not converted."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    _file: Path = PrivateAttr(default=Path("dagster_project.toml"))
    _key: str = PrivateAttr(default="")

    def locate(self, file: Path, key: str) -> None:
        """Tells the section, and those inside it, where it came from."""
        self._file = file
        self._key = key
        for name in type(self).model_fields:
            inner = getattr(self, name)
            if isinstance(inner, Section):
                inner.locate(file, f"{key}.{name}" if key else name)
            elif isinstance(inner, dict):
                for one, section in inner.items():
                    if isinstance(section, Section):
                        section.locate(file, f"{name}.{one}")

    def setting(self, key: str) -> tuple[Path, str]:
        """Returns the file and the dotted key of one of the section's settings."""
        return self._file, f"{self._key}.{key}" if self._key else key

    def error(self, key: str, message: str, *, remedy: str = "") -> ConfigurationError:
        """Makes an error about one of the section's settings, found when it was used."""
        file, dotted = self.setting(key)
        return ConfigurationError(message, file=str(file), key=dotted, remedy=remedy)

    def resolve(self, text: Path | str) -> Path:
        """Returns a path in the configuration; relative ones start at the configuration file."""
        return (self._file.parent / Path(text).expanduser()).resolve()


def wrong(what: str, remedy: str) -> PydanticCustomError:
    """Makes the error that a validator raises: what is wrong with the value, and what to write instead."""
    return PydanticCustomError("explained", "{what}", {"what": what, "remedy": remedy})
