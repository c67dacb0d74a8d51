"""Takes values that are known as secret out of texts and log records.

What belongs here: finding a value in a text, however it is written there. What does not: which values are secret
(`project.secrets`).
"""

from __future__ import annotations

import html
import json
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any
from urllib.parse import quote, quote_plus

SCRUBBED = "[secret]"
"""What stands in the place of a secret."""
SHORTEST = 8
"""Characters that a secret has at least which is taken out: shorter ones are found in words that are none."""


def scrub(text: str, values: frozenset[str]) -> str:
    """Replaces secrets in a text by `[secret]`, also where they are percent-encoded, or escaped for JSON or HTML.

    Args:
        text: The text.
        values: The secrets; those of fewer than 8 characters stay.
    """
    found = _pattern(values)
    return found.sub(SCRUBBED, text) if found else text


class ScrubbingFilter(logging.Filter):
    """Lets every record of a logger pass, without secrets.

    Args:
        values: The secrets.
    """

    def __init__(self, values: frozenset[str]) -> None:
        super().__init__()
        self._values = values

    def filter(self, record: logging.LogRecord) -> bool:
        """Takes secrets out of the message of a record, and out of its traceback."""
        _scrub_record(record, self._values)
        return True


@contextmanager
def scrubbed_records(values: frozenset[str]) -> Iterator[None]:
    """Takes secrets out of the log records that this process makes meanwhile, whichever logger makes them."""
    make = logging.getLogRecordFactory()

    def scrubbed(*args: Any, **named: Any) -> logging.LogRecord:
        record = make(*args, **named)
        _scrub_record(record, values)
        return record

    logging.setLogRecordFactory(scrubbed)
    try:
        yield
    finally:
        logging.setLogRecordFactory(make)


def _scrub_record(record: logging.LogRecord, values: frozenset[str]) -> None:
    try:
        text = record.getMessage()
    except (TypeError, ValueError, KeyError):
        # Arguments that do not fit the message: logging reports that itself, and shows both.
        text = f"{record.msg} {record.args}"
    if (clean := scrub(text, values)) != text:
        record.msg, record.args = clean, ()
    if record.exc_info and record.exc_info[0] is not None:
        trace = logging.Formatter().formatException(record.exc_info)
        if (clean := scrub(trace, values)) != trace:
            record.exc_text, record.exc_info = clean, None


@lru_cache(maxsize=8)
def _pattern(values: frozenset[str]) -> re.Pattern[str] | None:
    """Returns what finds each way to write the secrets, the longest first; None when there is nothing to find."""
    ways = {way for value in values if len(value) >= SHORTEST for way in _ways(value)}
    if not ways:
        return None
    return re.compile("|".join(re.escape(way) for way in sorted(ways, key=lambda way: (-len(way), way))))


def _ways(value: str) -> Iterator[str]:
    escaped = {json.dumps(value, ensure_ascii=ascii_only)[1:-1] for ascii_only in (True, False)}
    yield value
    for once in escaped:
        yield once
        # JSON within a text of JSON, as in what GraphQL answers of metadata.
        yield json.dumps(once, ensure_ascii=False)[1:-1]
    # The console's pages and others write quotes by their number or name.
    named = html.escape(value)
    yield named
    yield named.replace("&quot;", "&#34;").replace("&#x27;", "&#39;")
    for encoded in (quote(value), quote(value, safe=""), quote_plus(value)):
        yield encoded
        yield re.sub("%[0-9A-F]{2}", lambda digits: digits[0].lower(), encoded)
