"""Secrets are found in texts however they are written there."""

import html
import json
import logging
from urllib.parse import quote, quote_plus

import pytest

from entra_pipeline.settings.scrubbing import ScrubbingFilter, scrub

pytestmark = pytest.mark.pure

SECRET = 'pa"ss/wörd +%<1>'
VALUES = frozenset({SECRET, "short"})
WAYS = [
    SECRET,
    json.dumps(SECRET),
    json.dumps(SECRET, ensure_ascii=False),
    json.dumps(json.dumps(SECRET)),
    quote(SECRET),
    quote(SECRET, safe=""),
    quote_plus(SECRET),
    quote(SECRET, safe="").lower(),
    html.escape(SECRET),
    html.escape(SECRET).replace("&quot;", "&#34;"),
]


@pytest.mark.parametrize("text", WAYS)
def test_every_way_to_write_a_secret_is_found(text: str) -> None:
    clean = scrub(f"a {text} b", VALUES)
    assert clean.startswith("a ") and clean.endswith(" b") and "[secret]" in clean
    assert "ss" not in clean.replace("[secret]", "")


def test_what_is_short_or_unknown_stays() -> None:
    assert scrub("a short text", VALUES) == "a short text"
    assert scrub("a text", frozenset()) == "a text"


def test_the_longer_of_two_secrets_goes_whole() -> None:
    assert scrub("correct-horse-battery", frozenset({"correct-horse", "correct-horse-battery"})) == "[secret]"


def test_a_record_is_logged_without(caplog: pytest.LogCaptureFixture) -> None:
    log = logging.getLogger("scrubbed")
    only = ScrubbingFilter(VALUES)
    log.addFilter(only)
    try:
        raise ValueError(SECRET)
    except ValueError:
        log.exception("asked with %s", SECRET)
    finally:
        log.removeFilter(only)
    assert "asked with [secret]" in caplog.text and "ValueError: [secret]" in caplog.text
    assert SECRET not in caplog.text
