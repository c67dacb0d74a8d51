"""The file: a line of canonical JSON per item, then a line with the SHA-256 of each of them, which is signed.

So every byte of the file is covered: that of an item by its SHA-256, those of the last line by the signature.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from entra_pipeline.store.backends.signing.keys import SigningKey
from entra_pipeline.store.manifest import canonical, sha256

FORMAT = "entra-pipeline/evidence"
VERSION = 1
SIGNED_AS = "evidence"
"""What the signature says instead of a record's key: no record of a storage has it."""


def bundle(items: Mapping[str, Any], facts: Mapping[str, Any], key: SigningKey | None) -> bytes:
    """Writes the file.

    Args:
        items: Name → content, which JSON can hold.
        facts: Members of the manifest besides its format: the period, the scopes.
        key: Signs it; None leaves it unsigned, and the manifest says so.

    Returns:
        UTF-8 lines. The same arguments give the same bytes.
    """
    lines = [canonical({"content": content, "item": name}) for name, content in items.items()]
    manifest = canonical(
        {
            **facts,
            "format": FORMAT,
            "items": [{"item": name, "sha256": sha256(line)} for name, line in zip(items, lines, strict=True)],
            "signed_with": key.public.id if key else "",
            "tool": f"entra-pipeline {version('entra-pipeline')}",
            "version": VERSION,
        }
    )
    return b"".join([*lines, key.signed(SIGNED_AS, manifest) if key else manifest])
