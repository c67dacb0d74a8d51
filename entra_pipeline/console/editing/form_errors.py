"""What is wrong with the entries of a form, each at its field.

What belongs here: from an error to the field that it is about. What does not: how it looks (`templates/parts.html`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from entra_pipeline.errors import ConfigurationError, EntraPipelineError, UsageError
from entra_pipeline.project.loading import NOT_A_NAME
from entra_pipeline.text import pluralize

NAME = "Use letters, digits, hyphens and underscores, up to 63 characters; the first is a letter or digit."
"""What the name of a table of the configuration may be."""


class InvalidEntries(UsageError):
    """Entries of a form that cannot be saved.

    Attributes:
        fields: What is wrong with each, by the name of its field.
    """

    def __init__(self, fields: Mapping[str, str], *, what: str = "nothing has been saved") -> None:
        super().__init__(
            what,
            remedy=f"Correct the {pluralize(len(fields), 'marked entry', 'marked entries')} below.",
        )
        self.fields = dict(fields)


def at_fields(error: EntraPipelineError, table: str, fields: Mapping[str, str]) -> EntraPipelineError:
    """Returns an error as `InvalidEntries` where it is about a setting that has a field in the form; else itself.

    Args:
        error: The error.
        table: The dotted key of the table that the form writes, such as that of a scope.
        fields: The names of the form's fields by the names of settings; that of the empty name is for what is wrong
            with the table as a whole.
    """
    if not isinstance(error, ConfigurationError):
        return error
    if error.key == table and error.what == NOT_A_NAME:
        return InvalidEntries({"name": NAME})
    head, found, own = f"{error.key}.".partition(f"{table}.")
    field = fields.get(own.partition(".")[0]) if found and not head else None
    if field is None:
        return error
    # Some say what is wrong as the rest of a sentence about the setting.
    what = f"this {error.what}" if error.what.startswith(("is ", "has ", "needs ", "would ")) else error.what
    return InvalidEntries({field: f"{what[:1].upper()}{what[1:]}. {error.remedy}"})


def check_name(name: str, known: Collection[str], what: str) -> dict[str, str]:
    """Returns what is wrong with the name of something new, at its field; nothing when it is free.

    Args:
        name: The name.
        known: The names that there are.
        what: What has the name, for example `scope`.
    """
    if not name:
        return {"name": "Enter a name."}
    return {"name": f"There is a {what} {name} already. Choose another name."} if name in known else {}
