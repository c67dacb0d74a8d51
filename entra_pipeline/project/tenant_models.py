"""A tenant as an object: an Entra directory, the app registration that reads it, and the one that writes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import Field, PrivateAttr, field_validator, model_validator

from entra_pipeline.settings.fields import LOOPBACK, FilePath, Guid, HttpsUrl, TlsPeer, WebUrl
from entra_pipeline.settings.secrets import Secret
from entra_pipeline.settings.section import Alternatives, Receiver, Section, wrong


class Certificate(Section):
    """A certificate with its private key, PEM or PKCS #12."""

    secret_files: ClassVar[tuple[str, ...]] = ("path",)

    path: Annotated[FilePath, Field(title="Certificate file", description="PEM or PKCS #12 with the private key.")]
    password: Annotated[Secret | None, Field(title="Its password", description="Empty: it has none.")] = None

    def read(self) -> bytes:
        """Returns the file's bytes; raises ConfigurationError when it cannot be read."""
        path = self.resolve(self.path)
        try:
            return path.read_bytes()
        except OSError as error:
            raise self.error("path", f"{path} cannot be read ({error.strerror})", remedy="Correct the path.") from None

    def password_value(self) -> str | None:
        """Returns the password of the private key, if it has one."""
        return self.password.reveal() if self.password else None


class SimulatedTenant(Section):
    """A simulated tenant inside the process, for trying things out."""

    written_folders: ClassVar[tuple[str, ...]] = ("state",)

    users: Annotated[int, Field(ge=0, le=1_000_000, title="Users")] = 200
    groups: Annotated[int, Field(ge=0, le=100_000, title="Groups")] = 20
    seed: Annotated[int, Field(title="Seed")] = 7
    state: Annotated[FilePath, Field(title="Folder of the tenant")] = Path(".demo/tenant")
    port: Annotated[int, Field(ge=1024, le=65534, title="Port")] = 8480

    @property
    def folder(self) -> Path:
        """Where the tenant lives, absolute."""
        return self.resolve(self.state)


_CREDENTIALS = ("managed_identity", "workload_identity", "certificate", "client_secret")
"""Kinds of credentials, the safest first: a client secret works wherever somebody has copied it to."""
_OVERVIEW = "Add it; it is shown on the overview page of the app registration."


def _given_credentials(app: Section) -> list[str]:
    return [kind for kind in _CREDENTIALS if getattr(app, kind, None)]


_CHOICE = Alternatives("Credential", dict.fromkeys(_CREDENTIALS, ()))


def _machine_identity(app: Section) -> tuple[str, str] | None:
    kinds = ("managed_identity", "workload_identity")
    return next(((kind, f"the {kind.replace('_', ' ')}") for kind in kinds if getattr(app, kind)), None)


class OwnerApp(Section):
    """The app registration that owns the one which writes, and gives it a credential for an hour."""

    one_of: ClassVar[Alternatives | None] = _CHOICE

    client_id: Annotated[Guid | None, Field(title="Application (client) ID")] = None
    managed_identity: Annotated[bool, Field(title="Managed identity (Azure)")] = False
    workload_identity: Annotated[bool, Field(title="Workload identity (Kubernetes)")] = False
    certificate: Annotated[Certificate | None, Field(title="Certificate")] = None
    client_secret: Annotated[Secret | None, Field(title="Client secret")] = None

    def machine_identity(self) -> tuple[str, str] | None:
        """As `Section.machine_identity`."""
        return _machine_identity(self)

    @model_validator(mode="after")
    def _one_credential(self) -> OwnerApp:
        if len(_given_credentials(self)) != 1:
            raise wrong("needs one credential", f"Set one of {', '.join(_CREDENTIALS)}.")
        if self.client_id is None and not self.managed_identity:
            raise wrong("client_id is missing", _OVERVIEW)
        return self


class RestoreApp(Section):
    """The app registration that may write, and the key for first passwords of users that it makes."""

    one_of: ClassVar[Alternatives | None] = Alternatives(
        "Credential", {"just_in_time": ("owner",), "certificate": (), "client_secret": ()}
    )
    written_folders: ClassVar[tuple[str, ...]] = ("passwords_folder",)

    client_id: Annotated[Guid, Field(title="Application (client) ID")]
    certificate: Annotated[Certificate | None, Field(title="Certificate")] = None
    client_secret: Annotated[Secret | None, Field(title="Client secret")] = None
    just_in_time: Annotated[bool, Field(title="Just in time, from an owner app")] = False
    owner: Annotated[
        OwnerApp | None, Field(title="Owner app", description="It owns the app above, and gives it the credential.")
    ] = None
    passwords_key: Annotated[
        Secret | None,
        Field(title="Key for first passwords", description="20 characters or more. Empty: a file beside this one."),
    ] = None
    passwords_folder: Annotated[
        FilePath | None,
        Field(title="Folder for first passwords", description="Empty: beside the configuration file."),
    ] = None

    @model_validator(mode="after")
    def _one_credential(self) -> RestoreApp:
        given = _given_credentials(self)
        if self.just_in_time:
            if given:
                raise wrong(f"is just_in_time and has {given[0]} too", "Remove it, in Entra as well.")
            if self.owner is None:
                raise wrong(
                    "owner is missing: just_in_time takes an app registration that owns this one",
                    "Describe it in the table owner below this one.",
                )
        elif self.owner is not None:
            raise wrong("has an owner and is not just_in_time", "Set just_in_time = true, or remove owner.")
        elif len(given) != 1:
            raise wrong("needs one credential", "Set one of certificate and client_secret, or just_in_time.")
        return self


class Tenant(TlsPeer):
    """An Entra directory and the app registration that reads it."""

    name: str = ""
    one_of: ClassVar[Alternatives | None] = Alternatives(
        "Credential", {**_CHOICE.settings, "simulator": ()}, "The safest first."
    )

    tenant_id: Annotated[
        Guid | None, Field(title="Tenant ID", description="From the overview page of the app registration.")
    ] = None
    client_id: Annotated[
        Guid | None, Field(title="Application (client) ID", description="Of the app that only reads.")
    ] = None
    managed_identity: Annotated[bool, Field(title="Managed identity (Azure)")] = False
    workload_identity: Annotated[bool, Field(title="Workload identity (Kubernetes)")] = False
    certificate: Annotated[Certificate | None, Field(title="Certificate")] = None
    client_secret: Annotated[Secret | None, Field(title="Client secret")] = None
    cloud: Annotated[Literal["global", "usgov", "usgov-dod", "china"], Field(title="Cloud")] = "global"
    graph_url: Annotated[WebUrl | None, Field(title="Address of Graph", description="Empty: that of the cloud.")] = None
    authority: Annotated[
        HttpsUrl | None, Field(title="Address for sign-in", description="Empty: that of the cloud.")
    ] = None
    seats: Annotated[
        Annotated[int, Field(gt=0)] | None, Field(title="Seats", description="Of the subscription, for the report.")
    ] = None
    restore: Annotated[
        RestoreApp | None,
        Field(title="App registration for restores", description="Without it, restores can be planned only."),
    ] = None
    simulator: Annotated[SimulatedTenant | None, Field(title="Simulated tenant, for trying out")] = None

    # The table of the app registration, where it is another than the one that reads.
    _app: str = PrivateAttr(default="")

    @field_validator("graph_url")
    @classmethod
    def _graph_root(cls, value: str | None) -> str | None:
        if value is None:
            return None
        if urlsplit(value).scheme == "http" and urlsplit(value).hostname not in LOOPBACK:
            raise wrong(
                "would send tokens in the clear",
                "Write an address that starts with https:// (http:// only on loopback).",
            )
        return value if value.endswith("/v1.0") else f"{value}/v1.0"

    @model_validator(mode="after")
    def _one_credential(self) -> Tenant:
        given = _given_credentials(self)
        if self.simulator is not None:
            others = [*given, *(k for k in ("tenant_id", "client_id", "graph_url", "authority") if getattr(self, k))]
            if others:
                raise wrong(f"is simulated and has {', '.join(others)} too", "Remove them, or remove simulator.")
            if self.restore is not None and self.restore.just_in_time:
                raise wrong("is simulated, and restore is just_in_time", "Remove just_in_time.")
            return self
        if len(given) != 1:
            found = f"has {' and '.join(given)}" if given else "has no credential"
            raise wrong(found, f"Set one of {', '.join(_CREDENTIALS)}.")
        for key in ("tenant_id", "client_id"):
            if getattr(self, key) is None and not self.managed_identity:
                raise wrong(f"{key} is missing", _OVERVIEW)
        if self.tenant_id is None:
            raise wrong("tenant_id is missing", "Add it; it is shown on the overview page of the tenant.")
        return self

    def receiver(self) -> Receiver:
        """As `Section.receiver`: sign-in gets secrets, Graph gets tokens."""
        own = bool(self.authority or self.graph_url)
        where = " and ".join(address.lower() for address in (self.authority, self.graph_url) if address)
        return Receiver(where or f"Microsoft Entra ({self.cloud})", own=own)

    def machine_identity(self) -> tuple[str, str] | None:
        """As `Section.machine_identity`."""
        return _machine_identity(self)

    def setting(self, key: str) -> tuple[Path, str]:
        """Names a setting as `Section.setting` does; the credential of another app is that of its table."""
        return super().setting(f"{self._app}.{key}" if self._app and key in OwnerApp.model_fields else key)

    def as_writer(self) -> Tenant:
        """Returns the tenant with its app registration for restores; raises ConfigurationError without one."""
        app = self.restore
        if app is None:
            raise self.error(
                "restore",
                "there is no app registration with write permissions for the tenant",
                remedy="Register a second app in Entra, grant it what `entra-pipeline catalogue --permissions "
                f"--restore` lists, and write its client_id and credential into [tenants.{self.name}.restore].",
            )
        writer = self.model_copy(
            update={
                "client_id": app.client_id,
                "client_secret": app.client_secret,
                "certificate": app.certificate,
                "managed_identity": False,
                "workload_identity": False,
            }
        )
        writer._app = "restore"
        return writer

    def as_owner(self) -> Tenant:
        """Returns the tenant with the app registration that owns the one for restores; ConfigurationError without."""
        app = self.restore.owner if self.restore is not None else None
        if app is None:
            raise self.error("restore", "has no owner", remedy="Set just_in_time and the table owner.")
        owner = self.model_copy(update={key: getattr(app, key) for key in OwnerApp.model_fields})
        owner._app = "restore.owner"
        return owner
