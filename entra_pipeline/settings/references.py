"""Which secrets a configuration names, and whom each is sent to: what a change may do with them is judged by it.

What belongs here: finding references. What does not: which of them are refused (`console.editing.secret_rules`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

from entra_pipeline.settings.secrets import Secret
from entra_pipeline.settings.section import Receiver, Section

_NOBODY = Receiver("nobody")


class Reference(NamedTuple):
    """A setting that names something which proves who this machine is, a file that is read, or a folder written to.

    Attributes:
        key: Dotted key of the setting.
        place: Where it is: an environment variable, a file with a secret, another file (`public`), a folder that is
            written to, or an identity that the machine itself has.
        name: Of the variable or the identity; the absolute path of the file or folder.
        receiver: Whom it is sent to.
    """

    key: str
    place: Literal["env", "file", "public", "folder", "machine"]
    name: str
    receiver: Receiver

    def same_as(self, other: Reference) -> bool:
        """Whether both are one secret."""
        return (self.place, self.name) == (other.place, other.name)


def references(section: Section, receiver: Receiver = _NOBODY) -> Iterator[Reference]:
    """Yields every reference of a table, and of those inside it.

    Args:
        section: The table.
        receiver: Whom the table around it sends its secrets to.
    """
    receiver = section.receiver() or receiver
    if identity := section.machine_identity():
        key, name = identity
        yield Reference(section.setting(key)[1], "machine", name, receiver)
    for name, field in type(section).model_fields.items():
        value, key = getattr(section, name), section.setting(field.alias or name)[1]
        if isinstance(value, Secret):
            if value.env is not None:
                yield Reference(key, "env", value.env, receiver)
            else:
                yield Reference(key, "file", str(value.resolve(value.file or "")), receiver)
        elif name in section.secret_files and value is not None:
            yield Reference(key, "file", str(section.resolve(value)), receiver)
        elif name in section.public_files and value is not None:
            yield Reference(key, "public", str(section.resolve(value)), receiver)
        elif name in section.written_folders and value is not None:
            yield Reference(key, "folder", str(section.resolve(value)), receiver)
        elif isinstance(value, Section):
            yield from references(value, receiver)
        elif isinstance(value, dict):
            for one in value.values():
                if isinstance(one, Section):
                    yield from references(one, receiver)
