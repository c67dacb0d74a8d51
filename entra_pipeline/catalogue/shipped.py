"""Writes `models.json`: what msgraph-sdk says of the models that the catalogue names (`make models`)."""

from __future__ import annotations

import msgspec

from entra_pipeline.catalogue import CATALOGUE
from entra_pipeline.catalogue.logs import LOGS
from entra_pipeline.catalogue.sdk import MODELS_FILE, Models, read_model, sdk_version


def models() -> Models:
    """Every model of the catalogue, read from the installed msgraph-sdk."""
    names = {name for entry in CATALOGUE.values() for name in (entry.model, *entry.subtypes)}
    names |= {entry.model for entry in LOGS.values()}
    return Models(sdk_version(), {name: read_model(name) for name in sorted(names)})


def encoded(kept: Models) -> bytes:
    """The file's content: a line for each model."""
    lines = [f"{_json(name)}: {_json(model)}" for name, model in kept.models.items()]
    listed = ",\n".join(lines)
    return f'{{"version": {_json(kept.version)}, "models": {{\n{listed}\n}}}}\n'.encode()


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


if __name__ == "__main__":
    MODELS_FILE.write_bytes(encoded(models()))
