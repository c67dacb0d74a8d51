"""A text is found whatever its case, and only what holds it: the quick way finds what the plain one does."""

from __future__ import annotations

from collections.abc import Iterator

import duckdb
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from entra_pipeline.analysis.objects import _holds
from entra_pipeline.store.state import sql_text

pytestmark = pytest.mark.pure

# Letters with odd cases, what means something in a regular expression or in SQL, and whatever else there is.
_LETTERS = st.sampled_from([*"aAkKiIsS09 .*+?()[]{}|^$\\'\"%_-\n\t", "İ", "ı", "\u212a", "ſ", "ß", "Å", "å", "\u212b"])
_TEXTS = st.text(_LETTERS | st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=12)


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as one:
        yield one


@settings(deadline=None, max_examples=300)
@example(text="İ", before="", after="b", other="i")
@example(text="\u212a", before="", after="m", other="KM")
@example(text="Malmö Öst\u212aA", before="x", after="", other="öst\u212aa")
@given(text=_TEXTS, before=_TEXTS, after=_TEXTS, other=_TEXTS)
def test_the_quick_way_finds_what_the_plain_one_does(
    connection: duckdb.DuckDBPyConnection, text: str, before: str, after: str, other: str
) -> None:
    rows = [before + text + after, before + text.swapcase() + after, before]
    for searched in (text, text.upper(), text.lower(), other):
        plain = f"contains(lower(text), lower({sql_text(searched)}))"
        query = f"SELECT text FROM (SELECT unnest(?) AS text) WHERE {_holds('text', searched)} <> {plain}"
        assert connection.execute(query, [rows]).fetchall() == [], searched


def test_beyond_ascii_two_letters_are_of_its_lower_case() -> None:
    found = duckdb.sql(
        "SELECT chr(code::INTEGER) FROM range(128, 1114112) codes(code) "
        "WHERE code NOT BETWEEN 55296 AND 57343 AND ascii(lower(chr(code::INTEGER))) < 128 ORDER BY code"
    ).fetchall()
    assert found == [("\u0130",), ("\u212a",)]
