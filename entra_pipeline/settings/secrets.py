"""Secrets: never in the configuration itself, only where to find them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from entra_pipeline.settings.section import Section, wrong

_HOW = 'Write { env = "NAME" } or { file = "path" }.'


class Secret(Section):
    """Where a secret is: `{ env = "NAME" }` or `{ file = "path" }`. Never shows its value."""

    env: str | None = None
    file: Annotated[Path, Field(strict=False)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _is_a_reference(cls, value: object) -> object:
        if isinstance(value, str):
            raise wrong("contains a secret, which does not belong in this file", _HOW)
        return value

    @model_validator(mode="after")
    def _one_place(self) -> Secret:
        if (self.env is None) == (self.file is None):
            raise wrong("does not name the location of the secret", _HOW)
        return self

    def reveal(self) -> str:
        """Returns the secret, without white space around it.

        Raises:
            ConfigurationError: The variable is not set, or the file cannot be read.
        """
        if self.env is not None:
            value = os.environ.get(self.env, "").strip()
            if not value:
                raise self.error(
                    "env", f"the environment variable {self.env} is not set", remedy=f"Set it: export {self.env}=…"
                )
            return value
        path = self.resolve(self.file or "")
        try:
            value = path.read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", "") or "not text"
            raise self.error(
                "file", f"{path} cannot be read ({reason})", remedy="Create it, readable only by you."
            ) from None
        if not value:
            raise self.error("file", f"{path} is empty", remedy="Write the secret into it.")
        return value
