"""The tables of the configuration that the console edits by their definition: what each is called, and how it is tried.

What belongs here: what differs between storage profiles, tenants and the mail server. What does not: their forms
(`settings_form`), and what happens when one is sent (`pages.settings_editing`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from entra_pipeline.catalogue import EVERYTHING
from entra_pipeline.channels import CHANNELS
from entra_pipeline.channels.mail import Mail
from entra_pipeline.clock import Clock
from entra_pipeline.console.editing.consequences import Consequence, of_storage, of_tenant
from entra_pipeline.doctor import Diagnosis, examine_storage, examine_tenant
from entra_pipeline.doctor.diagnosis import failed
from entra_pipeline.errors import EntraPipelineError
from entra_pipeline.project import Project, Tenant
from entra_pipeline.settings.section import Section
from entra_pipeline.store.backends import KINDS


def _none(before: Project, after: Project, name: str) -> list[Consequence]:
    return []


@dataclass(frozen=True, slots=True)
class SettingsTable:
    """What pages say and do about a table of the configuration.

    Attributes:
        section: Its key in the file.
        noun: What it is called.
        back: Text and address of the page that shows it.
        saved: What is said when it is saved.
        deleted: What deleting it means.
        test: Tries it, by its name in a configuration.
        models: The kinds that there are: what each is, and the definition of its settings.
        consequences: What somebody has to agree to before a table changes, by two configurations and its name.
        users: What cannot do without it, by its name in a configuration; empty when nothing uses it.
        named: Whether there can be several.
    """

    section: str
    noun: str
    back: tuple[str, str]
    saved: str
    deleted: str
    test: Callable[[Project, str, Clock], Iterable[Diagnosis]]
    users: Callable[[Project, str], str]
    models: Mapping[str, tuple[str, type[Section]]]
    consequences: Callable[[Project, Project, str], list[Consequence]] = _none
    named: bool = True

    @property
    def parameter(self) -> str:
        """What addresses of pages call its name."""
        return self.section.removesuffix("s")

    def definition(self, current: Section | None, kind: str) -> tuple[str, type[Section]]:
        """Returns the kind of a table, and the definition of its settings; of a new one, by what was asked for."""
        if current is not None:
            return getattr(current, "kind", ""), type(current)
        kind = kind if kind in self.models else next(iter(self.models))
        return kind, self.models[kind][1]

    def kinds(self) -> list[tuple[str, str]]:
        """Returns the kinds that there are, with what each is."""
        return [(kind, text) for kind, (text, _) in self.models.items()]

    def keys(self, name: str) -> tuple[str, ...]:
        """Returns the keys that lead to a table in the file."""
        return (self.section, name) if self.named else (self.section,)

    def subject(self, name: str) -> str:
        """Returns what it is called with its name."""
        return f"the {self.noun} {name}" if self.named else f"the {self.noun}"

    def of(self, project: Project, name: str) -> Section | None:
        """Returns the table as it is; None where there is none."""
        found = getattr(project, self.section)
        table: Section | None = found.get(name) if self.named else found
        return table


# --- What is tried ---------------------------------------------------------------------------------------------------


def _test_storage(project: Project, name: str, clock: Clock) -> Iterable[Diagnosis]:
    return examine_storage(project, name)


def _test_tenant(project: Project, name: str, clock: Clock) -> Iterable[Diagnosis]:
    # A tenant that no scope protects yet is to be able to protect everything.
    return examine_tenant(project, name, clock, types=project.protected_types(name) or sorted(EVERYTHING))


def _test_mail(project: Project, name: str, clock: Clock) -> Iterable[Diagnosis]:
    yield Diagnosis("mail", "mail server", "ok", CHANNELS["mail"].reach(project))


def tested(table: SettingsTable, project: Project, name: str, clock: Clock) -> list[Diagnosis]:
    """Tries a table; every failure is one of what was found, without the path of the configuration."""
    path = f"{project.file}: "
    try:
        found = list(table.test(project, name, clock))
    except EntraPipelineError as error:
        found = [failed(table.noun, "connection", error)]
    return [one._replace(told=one.told.replace(path, "")) for one in found]


def _scopes_of(setting: str) -> Callable[[Project, str], str]:
    def users(project: Project, name: str) -> str:
        scopes = [scope.name for scope in project.scopes.values() if getattr(scope, setting) == name]
        many = len(scopes) > 1
        return f"the scope{'s' if many else ''} {', '.join(scopes)} use{'' if many else 's'} it" if scopes else ""

    return users


def _of_storage(project: Project, name: str) -> str:
    return "[console] storage names it" if project.console.storage == name else _scopes_of("storage")(project, name)


def _profiles(project: Project, name: str) -> str:
    profiles = [profile.name for profile in project.notifications.values() if profile.to]
    many = len(profiles) > 1
    if not profiles:
        return ""
    return f"the notification profile{'s' if many else ''} {', '.join(profiles)} send{'' if many else 's'} mail"


STORAGE = SettingsTable(
    "storage",
    "storage profile",
    ("Settings", "/settings"),
    "To use it, choose it in a scope.",
    "What is stored there stays there.",
    _test_storage,
    _of_storage,
    {kind: (one.about[:1].upper() + one.about[1:], one) for kind, one in KINDS.items()},
    of_storage,
)
TENANTS = SettingsTable(
    "tenants",
    "tenant",
    ("Settings", "/settings"),
    "To protect it, create a scope.",
    "Nothing changes in Entra: remove its app registrations there.",
    _test_tenant,
    _scopes_of("tenant"),
    {"": ("", Tenant)},
    of_tenant,
)
MAIL = SettingsTable(
    "mail",
    "mail server",
    ("Notifications", "/notifications"),
    "Send a test message to check delivery.",
    "No mail is sent any more.",
    _test_mail,
    _profiles,
    {"": ("", Mail)},
    named=False,
)
