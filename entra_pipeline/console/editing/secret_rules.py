"""What may be changed from the console at all: whoever may edit the configuration there does not have its secrets.

1. A secret stays with the server that it is sent to: nobody sends one that is kept on the machine to a server of
   their own. What an edit no longer names is remembered with its server (`former_secrets`).
2. A new reference leads to no variable of the machine's own software, and to no file outside the secret folders; what
   is written goes to no other folder of the machine.
3. Where restores take a second administrator, no single one moves what that rests on.

What belongs here: what is refused. What does not: what is asked (`consequences`).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from entra_pipeline.errors import UsageError
from entra_pipeline.project import Project
from entra_pipeline.project.models import FormerSecret
from entra_pipeline.settings.references import Reference, references
from entra_pipeline.settings.section import Receiver

RESERVED = (
    *("AWS_", "AZURE_", "DAGSTER_", "ENTRA_PIPELINE_", "GOOGLE_"),
    *("IDENTITY_", "KUBERNETES_", "MSI_", "VAULT_"),
)
"""Beginnings of the names of variables that no setting made in the console refers to."""
_PROXIES = "_PROXY"


class RefusedChange(UsageError):
    """A change that the console does not make.

    Attributes:
        settings: What is wrong with each setting, by its dotted key; empty when it is the change as a whole.
    """

    def __init__(self, message: str, *, remedy: str = "", settings: dict[str, str] | None = None) -> None:
        super().__init__(message, remedy=remedy)
        self.settings = settings or {}


def accept(before: Project, after: Project, table: str) -> list[FormerSecret]:
    """Checks a change of one table of the configuration; returns the secrets that it does not name any more.

    Args:
        before: The configuration as it is.
        after: As it is to be.
        table: Dotted key of the table that is changed.

    Raises:
        RefusedChange: The console does not make this change.
    """
    _check_approval(before, after)
    refused = {
        one.key: text for one in references(after) if _within(one, table) if (text := _wrong(one, before, after, table))
    }
    if refused:
        raise RefusedChange(next(iter(refused.values())), settings=refused)
    named = list(references(after))
    former: list[FormerSecret] = []
    for one in references(before):
        left = one.place in {"env", "file"} and not any(one.same_as(other) for other in named)
        known = any(one.same_as(other) for other in [*_former(after), *_former_of(former)])
        if left and not known:
            former.append(_remembered(one))
    return former


def _remembered(one: Reference) -> FormerSecret:
    return FormerSecret.model_validate({one.place: one.name, "server": one.receiver.name})


def _former(project: Project) -> Iterator[Reference]:
    return _former_of(project.console.former_secrets)


def _former_of(secrets: list[FormerSecret]) -> Iterator[Reference]:
    for one in secrets:
        receiver = Receiver(one.server)
        if one.env is not None:
            yield Reference("", "env", one.env, receiver)
        else:
            yield Reference("", "file", str(one.resolve(one.file or "")), receiver)


def _within(one: Reference, table: str) -> bool:
    return f"{one.key}.".startswith(f"{table}.")


def _wrong(one: Reference, before: Project, after: Project, table: str) -> str:
    """Returns why a reference is refused; empty when it is not."""
    kept = [other for other in references(before) if _within(other, table) and other.same_as(one)]
    if any(other.receiver.name == one.receiver.name for other in kept):
        return ""
    if one.place == "machine":
        if not one.receiver.own:
            return ""
        return (
            f"The console sends {one.name} to the service's usual address only. Leave the address empty, use another "
            "credential, or edit the configuration file."
        )
    if one.place == "public":
        return _outside(one, after)
    if one.place == "folder":
        return _elsewhere(one, after)
    if kept:
        return (
            f"The server is another one now, and {_text(one)} stays with {kept[0].receiver.name}. Put the secret of "
            "the new server into another variable or file, and name that."
        )
    if one.place == "env" and (one.name.upper().startswith(RESERVED) or one.name.upper().endswith(_PROXIES)):
        return (
            f"Variables that begin with {', '.join(RESERVED[:-1])} or {RESERVED[-1]}, or end with {_PROXIES}, belong "
            "to the machine's own software. Put the secret into another one."
        )
    others = [*references(before), *references(after), *_former(before)]
    used = next((other for other in others if other.same_as(one) and other.receiver.name != one.receiver.name), None)
    if used is not None:
        return (
            f"It is the secret for {used.receiver.name} already, and is not sent to another server. Put this secret "
            "into a variable or file of its own."
        )
    return _outside(one, after)


def _text(one: Reference) -> str:
    return f"the variable {one.name}" if one.place == "env" else "this file"


def _outside(one: Reference, project: Project) -> str:
    """Returns what is wrong with a file outside the secret folders; empty for anything else."""
    folders = project.console.folders
    if one.place == "env" or any(folder in project.resolve(one.name).parents for folder in folders):
        return ""
    named = ", ".join(map(str, project.console.secret_folders)) or "none"
    return (
        f"Files are read from the secret folders only ({named}). Put it there, or add its folder to secret_folders of "
        "[console] in the configuration file."
    )


def _elsewhere(one: Reference, project: Project) -> str:
    """Returns what is wrong with a folder that is written to outside of those of the project; empty for others."""
    root = project.file.parent.resolve()
    allowed = [root, *project.console.folders]
    path = Path(one.name)
    if any(folder in (path, *path.parents) for folder in allowed):
        return ""
    return (
        "The console lets these files go only into the folder of the configuration file, and into the secret folders. "
        "Name a folder in one of these, or edit the configuration file."
    )


def _check_approval(before: Project, after: Project) -> None:
    guarded = {scope.tenant for scope in before.scopes.values() if scope.approval}
    if not guarded:
        return
    for name, storage in after.storage.items():
        known = before.storage.get(name)
        if known is None or known.location() != storage.location():
            raise _needs_file("storage is neither created nor moved in the console", before)
    if before.mail != after.mail and _sign_in(before) != _sign_in(after):
        raise _needs_file("the mail server and its sign-in are not changed in the console", before)
    for name in guarded:
        one, other = before.tenants[name], after.tenants.get(name)
        if other is None or (one.tenant_id, one.receiver()) != (other.tenant_id, other.receiver()):
            raise _needs_file(f"the tenant {name} is not exchanged for another in the console", before)


def _sign_in(project: Project) -> object:
    mail = project.mail
    return mail and (mail.host, mail.server_port, mail.encryption, mail.username, mail.password)


def _needs_file(what: str, project: Project) -> RefusedChange:
    return RefusedChange(
        f"restores require approval by a second administrator, so {what}",
        remedy=f"Edit it in {project.file.name}, on the console's machine.",
    )
