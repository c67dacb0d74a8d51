"""Kinds of values that settings share: names, addresses, paths, time zones; each says what to write instead."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, ClassVar
from urllib.parse import urlsplit
from uuid import UUID
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, StringConstraints

from entra_pipeline.settings.section import Section, wrong

_NAME = r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}"
Name = Annotated[str, StringConstraints(pattern=f"^{_NAME}$")]

LOOPBACK = {"127.0.0.1", "localhost", "::1"}


def is_name(text: str) -> bool:
    """Returns whether a text can be the name of a table, such as that of a scope."""
    return re.fullmatch(_NAME, text) is not None


def _guid(value: str) -> str:
    try:
        return str(UUID(value))
    except ValueError:
        raise wrong("is not a GUID", "Write one such as 3f2504e0-4f89-11d3-9a0c-0305e82c3301.") from None


def _https(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme != "https" or not parts.hostname:
        raise wrong("is not an https address", "Write an address that starts with https://.")
    return value.rstrip("/")


def _web(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in {"https", "http"} or not parts.hostname:
        raise wrong("is not a web address", "Write an address that starts with https:// or http://.")
    return value.rstrip("/")


def _mail_address(value: str) -> str:
    name, _, host = value.rpartition("@")
    if not name or "." not in host or any(c.isspace() for c in value):
        raise wrong("is not a mail address", "Write one such as entra-admins@example.com.")
    return value


def time_zone(value: str) -> str:
    """Returns the name of a time zone; refuses what is none of the IANA database."""
    try:
        ZoneInfo(value)
    except (ValueError, OSError, KeyError):
        raise wrong(
            f"{value!r} is not a time zone", 'Write one of the IANA database, for example "Europe/Stockholm".'
        ) from None
    return value


Guid = Annotated[str, AfterValidator(_guid)]
HttpsUrl = Annotated[str, AfterValidator(_https)]
WebUrl = Annotated[str, AfterValidator(_web)]
MailAddress = Annotated[str, AfterValidator(_mail_address)]
# TOML knows strings only; a path is one.
FilePath = Annotated[Path, Field(strict=False)]


def not_in_the_clear(value: str | None) -> str | None:
    """Returns a web address that nobody can listen to; refuses one that is neither https nor on this machine."""
    if value is not None and urlsplit(value).scheme == "http" and urlsplit(value).hostname not in LOOPBACK:
        raise wrong(
            "would send credentials in the clear",
            "Write an address that starts with https:// (http:// only on loopback).",
        )
    return value


class TlsPeer(Section):
    """A service that is reached over TLS, and may have a certificate authority of its own."""

    public_files: ClassVar[tuple[str, ...]] = ("ca_bundle",)

    ca_bundle: Annotated[
        FilePath | None,
        Field(title="Certificate authorities", description="A PEM file to trust besides the machine's own."),
    ] = None

    @property
    def ca_file(self) -> Path | None:
        """Certificates to trust besides the machine's own, absolute."""
        return self.resolve(self.ca_bundle) if self.ca_bundle else None
