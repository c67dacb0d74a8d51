"""Property names and types of Graph objects, read from msgraph-sdk's generated models.

Kiota generates for each model a table of functions, JSON name → "read yourself from this parse node". Calling them
with a node that only records which reader they ask for yields name and type of each property, without parsing docs.

Importing the models takes more than a second, so what they say is kept in `models.json` beside this module, for the
version of msgraph-sdk that it was read from (`make models` renews it); with another version the models are read.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec


class PropertyKind(StrEnum):
    """How a property's value looks in JSON."""

    STRING = "string"
    BOOLEAN = "boolean"
    INTEGER = "integer"
    NUMBER = "number"
    DATETIME = "datetime"
    DATE = "date"
    COMPLEX = "complex"


@dataclass(frozen=True, slots=True)
class Property:
    """A structural property: its kind, and whether it is a collection of that kind.

    `model` names the msgraph-sdk class of a complex property (`AssignedLicense`), and is empty for scalars.
    """

    kind: PropertyKind
    many: bool = False
    model: str = ""


JSON = Property(PropertyKind.COMPLEX)
"""A property whose value is kept as JSON, whatever is in it."""

_READERS = {
    "get_str_value": PropertyKind.STRING,
    "get_bool_value": PropertyKind.BOOLEAN,
    "get_int_value": PropertyKind.INTEGER,
    "get_float_value": PropertyKind.NUMBER,
    "get_datetime_value": PropertyKind.DATETIME,
    "get_date_value": PropertyKind.DATE,
}
_PRIMITIVES = {
    "str": PropertyKind.STRING,
    "bool": PropertyKind.BOOLEAN,
    "int": PropertyKind.INTEGER,
    "float": PropertyKind.NUMBER,
}
_COLLECTIONS = {
    "get_collection_of_object_values",
    "get_collection_of_primitive_values",
    "get_collection_of_enum_values",
}


class _RecordingNode:
    """Stands in for a Kiota ParseNode: remembers the one reader that is called on it, and with what class.

    It gives itself as the value, so that the attribute of the model that it ends up in can be found.
    """

    reader = ""
    argument: Any = None

    def __getattr__(self, reader: str) -> Any:
        def record(*arguments: Any) -> _RecordingNode:
            self.reader = reader
            self.argument = arguments[0] if arguments else None
            return self

        return record


def class_name(model: str) -> str:
    """The class in module `model`: `conditional_access_policy` → `ConditionalAccessPolicy`."""
    return "".join(part[:1].upper() + part[1:] for part in model.rpartition(".")[2].split("_"))


def model_class(model: str) -> Any:
    """The msgraph-sdk class generated in module `model`, which may be in a package (`identity_governance.workflow`)."""
    return getattr(importlib.import_module(f"msgraph.generated.models.{model}"), class_name(model))


@dataclass(frozen=True, slots=True)
class Model:
    """What a model says of its objects.

    Attributes:
        properties: Structural properties by JSON name; `@odata.*` is not among them.
        navigation: Names of navigation properties.
    """

    properties: dict[str, Property]
    navigation: list[str]


class Models(msgspec.Struct):
    """The file `models.json`: the version of msgraph-sdk, and models by their module."""

    version: str
    models: dict[str, Model]


_MODELS_DECODER = msgspec.json.Decoder(Models)


MODELS_FILE = Path(__file__).with_name("models.json")


def model_properties(model: str) -> dict[str, Property]:
    """Structural properties of the model, by JSON name. Navigation properties and `@odata.*` are not among them."""
    return _model(model).properties


def has_navigation(model: str, segment: str) -> bool:
    """Whether objects of the model have the navigation property `segment`."""
    return segment in _model(model).navigation


@cache
def _model(model: str) -> Model:
    return _kept().get(model) or read_model(model)


@cache
def _kept() -> dict[str, Model]:
    kept = _MODELS_DECODER.decode(MODELS_FILE.read_bytes())
    return kept.models if kept.version == sdk_version() else {}


def sdk_version() -> str:
    """The version of msgraph-sdk that is installed."""
    return version("msgraph-sdk")


def read_model(model: str) -> Model:
    """The model as msgraph-sdk has it.

    There a property whose class has an id of its own (a subclass of `Entity`) is a navigation property.
    """
    from msgraph.generated.models.entity import Entity

    found = Model({}, [])
    instance = model_class(model)()
    for name, read in instance.get_field_deserializers().items():
        node = _RecordingNode()
        read(node)
        argument = node.argument
        if isinstance(argument, type) and issubclass(argument, Entity):
            found.navigation.append(name)
        elif not name.startswith("@"):
            found.properties[name] = _property(node.reader, argument, listed=_is_list(instance, node))
    return found


def _is_list(instance: Any, value: object) -> bool:
    """Whether the attribute of the model that holds the value is declared as a list."""
    attribute = next(name for name, held in vars(instance).items() if held is value)
    declared = next(c.__annotations__[attribute] for c in type(instance).__mro__ if attribute in c.__annotations__)
    return "list[" in str(declared)


def _property(reader: str, argument: Any, *, listed: bool) -> Property:
    # An enum of flags is read as a collection, but is one string in JSON: "none", or "mfa,somethingElse".
    many = reader in _COLLECTIONS and listed
    if reader in _READERS:
        return Property(_READERS[reader])
    if "object" in reader:
        return Property(PropertyKind.COMPLEX, many, argument.__name__)
    if reader == "get_collection_of_primitive_values":
        return Property(_PRIMITIVES.get(getattr(argument, "__name__", str(argument)), PropertyKind.STRING), many)
    # Enums, GUIDs, durations, times of day and bytes are strings in JSON.
    return Property(PropertyKind.STRING, many)
