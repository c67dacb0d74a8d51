"""Texts that Graph takes for some properties only within limits: characters and length (`TextRule`)."""

from __future__ import annotations

import re
from hashlib import blake2b

from entra_pipeline.catalogue.restoring import TextRule


def is_valid(rule: TextRule, text: str) -> bool:
    """Tells whether Graph takes a text."""
    return len(text) <= rule.longest and not (rule.refused and re.search(rule.refused, text)) and bool(text)


def valid_text(rule: TextRule, text: str, identifier: str = "") -> str:
    """Returns the most of a text that Graph takes.

    Args:
        rule: The limits.
        text: The text.
        identifier: Id of the object: adds eight characters that follow from it, so that nobody else has the text.
    """
    end = f"-{blake2b(identifier.encode(), digest_size=4).hexdigest()}" if identifier else ""
    kept = re.sub(rule.refused, "", text) if rule.refused else text
    return f"{kept[: rule.longest - len(end)] or 'restored'}{end}"
