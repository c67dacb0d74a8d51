"""The configuration as objects: scopes, notification profiles, the console, the whole; tenants: `tenant_models`."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field, PrivateAttr, StringConstraints, field_validator, model_validator

from entra_pipeline.catalogue import CATALOGUE, EVERYTHING
from entra_pipeline.catalogue.logs import LOGS
from entra_pipeline.channels import CHANNELS, ProfileChannels, SharedChannels
from entra_pipeline.errors import ConfigurationError, UsageError
from entra_pipeline.project.tenant_models import Tenant
from entra_pipeline.settings.fields import (
    FilePath,
    Guid,
    Name,
    TlsPeer,
    WebUrl,
    not_in_the_clear,
    time_zone,
)
from entra_pipeline.settings.periods import FOREVER, Period
from entra_pipeline.settings.secrets import Secret
from entra_pipeline.settings.section import Receiver, Section, wrong
from entra_pipeline.store.backends import Storage
from entra_pipeline.text import did_you_mean
from entra_pipeline.ticks import problem

JobStatus = Literal["finished", "finished with exception", "failed", "cancelled"]
"""How a job ended; `cancelled`: somebody stopped it."""

DEFAULT_FULL_BACKUP_FREQUENCY = Period(3, "month")
DEFAULT_KEEP_RUNS = Period(30, "day")


class Selection(Section):
    """Chosen users and groups."""

    users: list[str] = []
    groups: list[str] = []

    @model_validator(mode="after")
    def _somebody(self) -> Selection:
        if not self.users and not self.groups:
            raise wrong(
                "chooses nobody", "Choose at least one user or group, or remove `select` to protect everything."
            )
        if any(not name.strip() for name in (*self.users, *self.groups)):
            raise wrong("has an empty name", "Remove it.")
        return self


class Scope(Section):
    """One tenant and what to protect of it, where, when and for how long."""

    name: str = ""
    description: str = ""
    tenant: str
    storage: str
    protect: Literal["all"] | list[str] = "all"
    select: Selection | None = None
    schedule: str | None = None
    drill: str | None = None
    timezone: str = "UTC"
    retention: Period = FOREVER
    full_backup_frequency: Period | None = None
    prune: bool = True
    approval: bool = False
    erasure: Literal["per-person"] | None = None
    bitlocker_keys: bool = False
    logs: bool | list[str] | None = None
    entra_log_retention: Period | None = None
    unusual: dict[Name, Literal[False] | dict[str, float]] = {}
    max_incrementals: Annotated[int, Field(ge=1, le=1000)] = 30

    @field_validator("protect", mode="before")
    @classmethod
    def _known_types(cls, value: object) -> object:
        if value == "all":
            return value
        if not isinstance(value, list) or not value:
            raise wrong("protects nothing", 'Write "all", or a list of object types or categories.')
        known = [*CATALOGUE, *categories()]
        for one in value:
            if one not in {*CATALOGUE, "all"} and str(one).lower() not in {c.lower() for c in categories()}:
                raise wrong(
                    f"{one!r} is neither an object type nor a category{did_you_mean(str(one), known)}",
                    "entra-pipeline catalogue shows what can be protected.",
                )
        return value

    @field_validator("logs")
    @classmethod
    def _known_logs(cls, value: bool | list[str] | None) -> bool | list[str] | None:
        for one in value if isinstance(value, list) else ():
            if one not in LOGS:
                raise wrong(f"{one!r} is not a log{did_you_mean(one, LOGS)}", f"There are {', '.join(LOGS)}.")
        return value

    @field_validator("entra_log_retention")
    @classmethod
    def _days_only(cls, value: Period | None) -> Period | None:
        if value is not None and (value.forever or value.unit != "day"):
            raise wrong(f"{value} is not a number of days", 'Write what Entra keeps, for example "30 days".')
        return value

    @field_validator("schedule", "drill")
    @classmethod
    def _cron(cls, value: str | None) -> str | None:
        if value is not None and (found := problem(value)):
            raise wrong(found, 'Write five fields, for example "0 */6 * * *" (every six hours).')
        return value

    @field_validator("timezone")
    @classmethod
    def _zone(cls, value: str) -> str:
        return time_zone(value)

    @model_validator(mode="after")
    def _no_logs(self) -> Scope:
        if self.erasure is not None and self.log_types():
            raise wrong(
                "has erasure, and protects logs: their entries name people, and cannot be erased",
                "Write logs = false; logs can be protected by a scope of their own.",
            )
        return self

    @model_validator(mode="after")
    def _frequency(self) -> Scope:
        frequency = self.full_backup_frequency
        if frequency is None:
            return self
        if not self.retention.in_years:
            raise wrong(
                "full_backup_frequency requires a retention in years",
                "Remove it, or write the retention in years.",
            )
        if frequency.forever or not frequency < self.retention:
            raise wrong(
                f"a full backup every {frequency} is too rare for a retention of {self.retention}",
                "Shorten full_backup_frequency, or lengthen the retention.",
            )
        return self

    @property
    def full_frequency(self) -> Period | None:
        """How often a full backup is due; None when only the first is."""
        return self.full_backup_frequency or (DEFAULT_FULL_BACKUP_FREQUENCY if self.retention.in_years else None)

    def types(self) -> list[str]:
        """Returns the names of the protected object types, in the order of the catalogue."""
        if self.protect == "all":
            return list(EVERYTHING)
        # `users` is the object type, `Users` the category.
        named = {one for one in self.protect if one in CATALOGUE}
        categories = {one.lower() for one in self.protect} - named
        every = "all" in self.protect
        return [
            name
            for name, entry in CATALOGUE.items()
            if name in named or (not entry.on_demand and (every or entry.category.lower() in categories))
        ]

    def log_types(self) -> list[str]:
        """Returns the names of the protected logs.

        Unless the scope says, all of them where it protects a whole tenant, and none where it protects a part of one.
        """
        if isinstance(self.logs, list):
            return [name for name in LOGS if name in self.logs]
        whole = self.protect == "all" and self.select is None
        return list(LOGS) if self.logs or (self.logs is None and whole) else []


class NotificationProfile(ProfileChannels):
    """Which outcomes are reported to whom, and how; the settings of each channel are those of its module."""

    name: str = ""
    backup: list[JobStatus] = []
    restore: list[JobStatus] = []
    prune: list[JobStatus] = []
    drill: list[JobStatus] = []
    unusual: bool = False
    digest: Literal["daily"] | None = None
    digest_at: str = "07:00"
    timezone: str = "UTC"

    @field_validator("digest_at")
    @classmethod
    def _time_of_day(cls, value: str) -> str:
        if not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", value):
            raise wrong(f"{value!r} is not a time of day", 'Write hours and minutes, for example "07:00".')
        return value

    @field_validator("timezone")
    @classmethod
    def _zone(cls, value: str) -> str:
        return time_zone(value)

    @model_validator(mode="after")
    def _somebody(self) -> NotificationProfile:
        ways = [channel for channel in CHANNELS.values() if channel.recipients(self)]
        if not ways:
            every = ", ".join(channel.how for channel in CHANNELS.values())
            raise wrong("has no recipients", f"Set {every}, or {'both' if len(CHANNELS) == 2 else 'several'}.")
        if self.digest and not any(channel.digests for channel in ways):
            able = " or ".join(f"`{channel.setting}`" for channel in CHANNELS.values() if channel.digests)
            raise wrong("has a digest but no mail recipients", f"Set {able}, or remove `digest`.")
        return self

    def wants(self, kind: str, status: str) -> bool:
        """Tells whether a profile asks for an event: a type of job and its outcome, or an unusual change.

        Logs are read with every backup: whoever is told of backups that failed is told of logs that could not be read.
        A sensor of Dagster that fails is told to whoever is told of failed jobs, of any type.
        """
        if kind == "sensor":
            return status in {*self.backup, *self.restore, *self.prune, *self.drill}
        if kind == "logs":
            return status == "failed" and status in self.backup
        return self.unusual if kind == "unusual" else status in getattr(self, kind, ())


class OpenIdConnect(TlsPeer):
    """The app registration by which people sign in to the console."""

    tenant_id: Guid | None = None
    issuer: WebUrl | None = None
    client_id: Annotated[str, StringConstraints(min_length=1)]
    client_secret: Secret

    @field_validator("issuer")
    @classmethod
    def _no_listening(cls, value: str | None) -> str | None:
        return not_in_the_clear(value)

    @model_validator(mode="after")
    def _one_issuer(self) -> OpenIdConnect:
        if (self.tenant_id is None) == (self.issuer is None):
            raise wrong("needs one issuer", "Set tenant_id (of the Entra tenant of the people), or another issuer.")
        return self

    @property
    def issued_by(self) -> str:
        """The issuer (Entra doc: v2-protocols-oidc)."""
        return self.issuer or f"https://login.microsoftonline.com/{self.tenant_id}/v2.0"

    def receiver(self) -> Receiver:
        """As `Section.receiver`."""
        return Receiver(self.issuer.lower(), own=True) if self.issuer else Receiver("Microsoft Entra (global)")


class Roles(Section):
    """Which app roles, or ids of groups or users, give which role for everything in the console."""

    viewer: list[str] = []
    operator: list[str] = []
    administrator: list[str] = []


class RoleAssignment(Section):
    """A role for some scopes only, in the console.

    Attributes:
        role: The role.
        members: App roles, or ids of groups or users, that have it.
        scopes: Names of scopes, with `*` and `?` for any characters.
        tenants: Names of tenants, of which all scopes count; with `*` and `?` as well.
    """

    role: Literal["viewer", "operator", "administrator"]
    members: list[str]
    scopes: list[str] = []
    tenants: list[str] = []

    @model_validator(mode="after")
    def _somebody_somewhere(self) -> RoleAssignment:
        if not self.members:
            raise wrong("has no members", "Set members to app roles, or to ids of groups or users.")
        if not self.scopes and not self.tenants:
            raise wrong("is for no scope", "Set scopes or tenants; a role for everything is given in [console.roles].")
        if any(not one.strip() for one in (*self.members, *self.scopes, *self.tenants)):
            raise wrong("has an empty name", "Remove it.")
        return self


class DagsterWebservers(Section):
    """Dagster's webservers that somebody else runs, both with the path prefix /dagster."""

    url: WebUrl
    read_only_url: WebUrl


class FormerSecret(Secret):
    """A secret that the configuration named once, and that stays with the server which it was for.

    Attributes:
        server: The server.
    """

    server: str


class Console(Section):
    """The web console.

    Attributes:
        role_assignments: Roles for some scopes only.
        storage: The storage profile where processes of the console share sessions and the like; None: a folder.
        metrics_token: What a scraper of `/metrics` shows; without it, there are no metrics.
        secret_folders: Folders with files that settings made in the console may refer to.
        former_secrets: Secrets that tables named which were changed or deleted in the console.
    """

    public_url: WebUrl | None = None
    oidc: OpenIdConnect | None = None
    roles: Roles = Roles(
        viewer=["EntraPipeline.Viewer"],
        operator=["EntraPipeline.Operator"],
        administrator=["EntraPipeline.Administrator"],
    )
    role_assignments: dict[Name, RoleAssignment] = {}
    dagster: DagsterWebservers | None = None
    storage: Name | None = None
    metrics_token: Secret | None = None
    secret_folders: list[FilePath] = [Path("secrets")]
    former_secrets: list[FormerSecret] = []

    @property
    def folders(self) -> list[Path]:
        """The folders of secrets, absolute."""
        return [self.resolve(folder) for folder in self.secret_folders]

    @field_validator("public_url")
    @classmethod
    def _no_listening(cls, value: str | None) -> str | None:
        return not_in_the_clear(value)

    @model_validator(mode="after")
    def _known_address(self) -> Console:
        if self.oidc is not None and self.public_url is None:
            raise wrong("public_url is missing", "Add it: the public address of the console, such as https://…")
        return self


class UnusualChange(Section):
    """Rules of the project's own for unusual change."""

    rules: FilePath

    @property
    def rules_folder(self) -> Path:
        """The folder of the rules, absolute."""
        return self.resolve(self.rules)


class DagsterSettings(Section):
    """What is done in Dagster.

    Attributes:
        keep_runs: How long its runs are kept that show nothing that exists.
        layout: `scopes`: every scope has assets, jobs and schedules of its own. `fleet`: all scopes share two assets,
            with a partition for each scope, and one sensor looks which scopes are due.
        spread_minutes: In the layout `fleet`: how long after their ticks schedules are due at most.
        queued_runs: In the layout `fleet`: backups that run or are queued at a time.
    """

    keep_runs: Period = DEFAULT_KEEP_RUNS
    layout: Literal["scopes", "fleet"] = "scopes"
    spread_minutes: Annotated[int, Field(ge=0, le=1440)] = 60
    queued_runs: Annotated[int, Field(ge=1, le=1000)] = 32

    @property
    def fleet(self) -> bool:
        """Whether all scopes share their assets."""
        return self.layout == "fleet"

    @property
    def spread(self) -> timedelta:
        """How long after their ticks schedules are due at most, in the layout `fleet`."""
        return timedelta(minutes=self.spread_minutes)


class ConfigurationProblem(NamedTuple):
    """What is wrong in a file of `scopes.d`; all that is not in it works.

    Attributes:
        file: The file.
        error: What is wrong, and what to do about it.
        scopes: The scopes that cannot be used because of it, as far as the file can be read.
    """

    file: Path
    error: ConfigurationError
    scopes: tuple[str, ...] = ()


class Project(SharedChannels):
    """The whole configuration.

    Attributes:
        name: Tells this project's reports from those of other projects in the same Dagster; may be empty.
        scope_defaults: Settings that all scopes have which do not say otherwise.
        tenant_defaults: The same of tenants.
    """

    name: Name | None = None
    scope_defaults: dict[str, Any] = {}
    tenant_defaults: dict[str, Any] = {}
    storage: dict[Name, Storage] = {}
    tenants: dict[Name, Tenant] = {}
    scopes: dict[Name, Scope] = {}
    notifications: dict[Name, NotificationProfile] = {}
    unusual: UnusualChange | None = None
    console: Console = Console()
    dagster: DagsterSettings = DagsterSettings()

    _problems: tuple[ConfigurationProblem, ...] = PrivateAttr(default=())
    _partial: bool = PrivateAttr(default=False)

    @property
    def problems(self) -> tuple[ConfigurationProblem, ...]:
        """What is wrong in files of `scopes.d`: their scopes are not among `scopes`."""
        return self._problems

    @property
    def partial(self) -> bool:
        """Whether it is what somebody may see of the configuration (`narrowed`), which others may see more of."""
        return self._partial

    def narrowed(self, names: Collection[str]) -> Project:
        """Returns the configuration with some of its scopes only, and with what these use of tenants and storage."""
        scopes = {name: scope for name, scope in self.scopes.items() if name in names}
        tenants = {scope.tenant for scope in scopes.values()}
        storage = {scope.storage for scope in scopes.values()}
        part = self.model_copy(
            update={
                "scopes": scopes,
                "tenants": {name: one for name, one in self.tenants.items() if name in tenants},
                "storage": {name: one for name, one in self.storage.items() if name in storage},
                "notifications": {},
            }
        )
        # A file that cannot be used may say something of other scopes as well.
        part._problems, part._partial = (), True
        return part

    def joined(
        self, scopes: Mapping[str, Scope], tenants: Mapping[str, Tenant], problems: Iterable[ConfigurationProblem]
    ) -> Project:
        """Returns the configuration with other scopes and tenants, and with what is wrong in their files."""
        whole = self.model_copy(update={"scopes": dict(scopes), "tenants": dict(tenants)})
        whole._problems = tuple(problems)
        return whole

    @property
    def file(self) -> Path:
        """The configuration file."""
        return self._file

    def scope(self, name: str) -> Scope:
        """Returns a scope by name.

        Raises:
            UsageError: There is none of the name.
            ConfigurationError: It is in a file that cannot be used.
        """
        if name not in self.scopes:
            for problem in self.problems:
                if name in problem.scopes:
                    raise problem.error
            raise UsageError(
                f"there is no scope {name!r} in {self.file}{did_you_mean(name, self.scopes)}",
                remedy="entra-pipeline scope list shows them; entra-pipeline scope create makes one.",
            )
        return self.scopes[name]

    def protected_types(self, tenant: str) -> list[str]:
        """Returns the names of the object types that scopes protect of a tenant, sorted."""
        return sorted({name for scope in self.scopes.values() if scope.tenant == tenant for name in scope.types()})

    def erases_in(self, storage: str) -> bool:
        """Tells whether a scope in a storage encrypts values by person."""
        return any(scope.erasure is not None for scope in self.scopes.values() if scope.storage == storage)

    def profile(self, name: str) -> NotificationProfile:
        """Returns a notification profile by name; raises UsageError when there is none."""
        if name not in self.notifications:
            raise UsageError(
                f"there is no notification profile {name!r} in {self.file}{did_you_mean(name, self.notifications)}",
                remedy="entra-pipeline notifications list shows them.",
            )
        return self.notifications[name]


def categories() -> list[str]:
    """Returns the names of the catalogue's categories, each once."""
    return list(dict.fromkeys(entry.category.value for entry in CATALOGUE.values()))
